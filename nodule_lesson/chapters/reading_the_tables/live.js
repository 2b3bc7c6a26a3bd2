// Draw your own eleven in a page; live.py is its other face and sends the lesions.
import { unpackNumbers } from "../../live/arrays.js";
import { mount } from "../../live/figure.js";
import { signed } from "../../live/format.js";
import { uniform } from "../../live/scenes.js";
import { remember } from "../../live/slow.js";
import { DRAWS, FEWEST, MOST, STEP, TICKS } from "./live.py";

// The lesion at a place of a draw. A longer test begins with the lesions of a shorter one.
const lesionOf = (draw, place, total) => Math.floor(total * uniform(256 * draw + place));

// For each number of lesions n: the mean of each draw, and how many of their intervals lie above 0
// and below.
function allTests(values, t) {
  const means = Array.from({ length: MOST + 1 }, () => new Float64Array(DRAWS));
  const above = new Float64Array(MOST + 1), below = new Float64Array(MOST + 1);
  for (let draw = 1; draw <= DRAWS; draw++) {
    let sum = 0, squares = 0;
    for (let n = 1; n <= MOST; n++) {
      const value = values[lesionOf(draw, n - 1, values.length)];
      sum += value;
      squares += value * value;
      const mean = sum / n;
      means[n][draw - 1] = mean;
      if (n < FEWEST) continue;
      const half = t[n - FEWEST] * Math.sqrt(Math.max(0, squares - n * mean * mean) / (n - 1) / n);
      if (mean > half) above[n]++;
      if (mean < -half) below[n]++;
    }
  }
  return { means, above, below };
}

function meanAndSd(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(squares / (values.length - 1)) };
}

// Bars of equal width, 0 at one of their edges; the outermost hold all that is beyond them.
function binned(values, { mean, sd }) {
  const width = sd / 16;
  const first = Math.floor((mean - 1.2 * sd) / width), last = Math.ceil((mean + 1.2 * sd) / width);
  const bars = new Float64Array(last - first);
  for (const value of values) {
    bars[Math.max(0, Math.min(last - first - 1, Math.floor(value / width) - first))]++;
  }
  return { first, width, bars };
}

// The outline of bars from `start` on, as a curve.
function steps({ first, width, bars }, start, end, kind, label) {
  const x = [], y = [];
  for (let i = start; i < end; i++) {
    x.push((first + i) * width, (first + i + 1) * width);
    y.push(bars[i], bars[i]);
  }
  return start < end
    ? { x: [x[0], ...x, x.at(-1)], y: [0, ...y, 0], kind, label }
    : { x, y, kind, label };
}

mount("eleven_lesions", (ui) => {
  const points = ui.plot("Your lesions", {
    x: "difference of Dice", y: "", full: true,
    label: "Each of your lesions as a point, their mean and its interval" });
  const means = ui.plot("Means of 1,000 such tests", {
    x: "difference of Dice", y: "tests", label: "Histogram of the means of a thousand tests" });
  const shares = ui.plot("How many of them name …", {
    x: "lesions", y: "% of tests", xRange: [Math.log(FEWEST), Math.log(MOST)], yRange: [0, 100],
    label: "Share of tests that name the better method and the worse one, over the number of lesions" });
  const show = ui.readouts(["your mean, 95 % interval", "you would say", "mean of all lesions",
    "of 1,000 tests: right, wrong"]);
  ui.button("Draw others", () => {
    ui.controls.draw.set((ui.parameters.draw % DRAWS) + 1);
    ui.update();
  });

  const xTicks = TICKS.map((n) => [Math.log(n), String(n)]);
  const counts = Array.from({ length: MOST - FEWEST + 1 }, (_, i) => FEWEST + i);
  const upright = (x, top, kind, label) => ({ x: [x, x], y: [-2, top], kind, label });
  const testsOf = remember((pair) => {
    const values = Float64Array.from(unpackNumbers(ui.options.pairs[pair]), (steps) => steps * STEP);
    const largest = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
    return {
      values, whole: meanAndSd(values), tests: allTests(values, ui.options.t),
      reach: Math.ceil(10 * largest) / 10,
    };
  });

  ui.run(({ pair, count, draw }) => {
    const { values, whole, tests, reach } = testsOf(pair);
    const input = Float64Array.from(
      { length: count }, (_, i) => values[lesionOf(draw, i, values.length)]);
    let sum = 0;
    const field = Float64Array.from(input, (value, i) => (sum += value) / (i + 1));
    const mine = meanAndSd(input), half = (ui.options.t[count - FEWEST] * mine.sd) / Math.sqrt(count);
    const [low, high] = [mine.mean - half, mine.mean + half];
    const [first, second] = pair.split(" − ");
    const verdict =
      low > 0 ? `${first} is better` : high < 0 ? `${second} is better` : "cannot tell";

    points.title(`Your ${count} lesions: ${verdict}`);
    points.draw(
      [
        upright(0, 13, "cursor"), upright(whole.mean, 13, "third", "the truth: all lesions"),
        { x: [low, high], y: [0, 0], kind: "first", label: "your mean and its interval" },
      ],
      [
        ...Array.from(input, (x, i) => ({ x, y: 1 + (i % 11), kind: "muted" })),
        { x: mine.mean, y: 0, kind: "first" },
      ],
      { x: [-reach, reach], y: [-1, 12], yTicks: [] });

    const histogram = binned(tests.means[count], whole), { first: start, width, bars } = histogram;
    const top = 1.08 * Math.max(...bars);
    const zero = Math.max(0, Math.min(bars.length, -start));
    const [left, right] = whole.mean > 0 ? ["contour", "first"] : ["first", "contour"];
    const labels = { contour: "wrong sign", first: "right sign" };
    means.draw(
      [
        steps(histogram, 0, zero, left, labels[left]),
        steps(histogram, zero, bars.length, right, labels[right]),
        upright(whole.mean, top, "third"), upright(0, top, "cursor"),
      ].filter((curve) => curve.x.length),
      [{ x: mine.mean, y: 0.04 * top, kind: "first" }],
      { x: [start * width, (start + bars.length) * width], y: [0, top] });

    const side = Math.sign(whole.mean);
    const [better, worse] = side < 0 ? [tests.below, tests.above] : [tests.above, tests.below];
    const percent = (list) => counts.map((n) => (100 * list[n]) / DRAWS);
    const at = counts.map((n) => Math.log(n));
    shares.draw(
      [
        { x: at, y: percent(better), kind: "first", label: "the better one" },
        { x: at, y: percent(worse), kind: "contour", label: "the worse one" },
      ],
      [{ x: Math.log(count), kind: "cursor" }], { xTicks });
    show(`${signed(mine.mean)} (${signed(low)} to ${signed(high)})`, verdict, signed(whole.mean),
      `${better[count]}, ${worse[count]}`);
    return {
      input: Float32Array.from(input), field: Float32Array.from(field), height: 1, width: count,
    };
  });
});
