// The regimes of the layer in a page; live.py is its other face.
import { mount } from "../../live/figure.js";
import { fixed } from "../../live/format.js";
import { sigmoid, xlogx } from "../../live/logistic.js";
import { remember } from "../../live/slow.js";
import { gaussianTaps } from "../../live/std.js";
import { LAYER, PIXELS, POINTS, RATIOS, SETTLED } from "./live.py";

const MIDDLE = PIXELS / 2, PLACES = Array.from({ length: PIXELS }, (_, i) => i);
const HARD_EDGE = Float64Array.from(PLACES, (i) => (i < MIDDLE ? 1 : 0));

// K(offset + scale x) of a line of pixels that is surrounded by zeros. `room` is working memory.
function blurLine(x, offset, scale, taps, room) {
  const radius = taps.length - 1, blurred = new Float64Array(PIXELS);
  for (let i = 0; i < PIXELS; i++) room[radius + i] = offset + scale * x[i];
  for (let i = 0; i < PIXELS; i++) {
    let sum = taps[0] * room[radius + i];
    for (let k = 1; k <= radius; k++) sum += taps[k] * (room[radius + i - k] + room[radius + i + k]);
    blurred[i] = sum;
  }
  return blurred;
}

const roomFor = (taps) => new Float64Array(PIXELS + 2 * taps.length);

// The line after each number of steps in `wanted`, which rises; lambda1 = 1.
function lineAfter(wanted, start, u, ratio, taps) {
  const found = [], room = roomFor(taps);
  let x = start;
  for (let t = 0; t <= wanted.at(-1); t++) {
    if (wanted.includes(t)) found.push(x);
    x = blurLine(x, 1, -2, taps, room);
    for (let i = 0; i < PIXELS; i++) x[i] = sigmoid((u - x[i]) / ratio);
  }
  return found;
}

const entropy = (x) => xlogx(x) + xlogx(1 - x);

function energyOfLine(x, ratio, taps) {
  const outside = blurLine(x, 1, -1, taps, roomFor(taps));
  return x.reduce((sum, value, i) => sum + ratio * entropy(value) + value * outside[i], 0);
}

// A share of the price of a hard edge.
const priceOf = remember((ratio, sigma) => {
  const taps = gaussianTaps(PIXELS, sigma), ones = new Float64Array(PIXELS).fill(1);
  const [edge, flat] = [HARD_EDGE, ones].map(
    (start) => energyOfLine(lineAfter([SETTLED], start, 0, ratio, taps)[0], ratio, taps));
  return ((edge - flat) * Math.sqrt(2 * Math.PI)) / sigma;
});

const flatEnergy = (x, u, ratio) => -u * x + ratio * entropy(x) + x * (1 - x);

function flatLimit(x, u, ratio) {
  for (let t = 0; t < SETTLED; t++) x = sigmoid((u - 1 + 2 * x) / ratio);
  return x;
}

// The largest |u| with two answers.
function fold(ratio) {
  if (2 * ratio >= 1) return 0;
  const m = Math.sqrt(1 - 2 * ratio);
  return m - 2 * ratio * Math.atanh(m);
}

mount("regimes", (ui) => {
  const energies = ui.plot("Energy of a flat field", {
    x: "x", y: "100 × energy per pixel", xRange: [-0.02, 1.02],
    label: "The energy per pixel of a flat field over its value x, and where the layer ends" });
  const edges = ui.plot("An edge", {
    x: "pixel", y: "x", xRange: [0, PIXELS - 1], yRange: [-0.05, 1.05],
    label: "A line of pixels that starts as a hard edge, after ten and after three hundred steps" });
  const shares = ui.plot("Price of the edge at u = 0", {
    x: "ε / λ₁", y: "price, hard edge = 1", xRange: [0, RATIOS.at(-1)], yRange: [-0.05, 1.05], full: true,
    label: "The price of an edge over epsilon by lambda1: it falls from 1 to 0 at one half" });
  const show = ui.readouts(["answers of a flat field", "price of the edge", "gain 1/(1 − q)"]);
  const values = Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1));

  ui.run(({ ratio, u, sigma }) => {
    const height = (x) => 100 * flatEnergy(x, u, ratio); // short numbers beside the axis
    const limits = [0, 1].map((start) => flatLimit(start, u, ratio));
    energies.draw([{ x: values, y: values.map(height), kind: "first" }],
      limits.map((x, i) => ({
        x, y: height(x), kind: "second", label: i ? "" : "from x = 0 and from x = 1" })));
    const [ten, settled] = lineAfter(
      [LAYER, SETTLED], HARD_EDGE, u, ratio, gaussianTaps(PIXELS, sigma));
    edges.draw([
      { x: PLACES, y: HARD_EDGE, kind: "muted", label: "start" },
      { x: PLACES, y: ten, kind: "second", label: `${LAYER} steps` },
      { x: PLACES, y: settled, kind: "first", label: `${SETTLED} steps` },
    ]);
    const price = priceOf(ratio, sigma);
    shares.draw([{ x: RATIOS, y: ui.options.prices, kind: "first" }],
      [{ x: 0.5, kind: "muted", label: "ε = λ₁/2" }, { x: ratio, y: price, kind: "second" }]);
    show(Math.abs(u) < fold(ratio) ? "two" : "one", fixed(price),
      ratio > 0.5 ? fixed(1 / (1 - 0.5 / ratio), 2) : "not bounded");
    return {
      input: Float32Array.from(HARD_EDGE), field: Float32Array.from(settled),
      height: 1, width: PIXELS };
  });
});
