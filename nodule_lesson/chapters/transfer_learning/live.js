// A curve of waves, learned from zero and from another data set's; live.py is its other face.
import { uniform } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const WAVES = 16, COARSE = 4, SPREAD = 0.2, RATE = 1 / 32, DRAWS = 20, MOST_STEPS = 300;
const PLACES = Float64Array.from({ length: 201 }, (_, i) => i / 200);
const COUNTS = [2, 4, 8, 16, 32, 64];
const CHANGES = {
  "coarse waves": [0.4, 0.3, -0.3, 0.2],
  "fine waves": [0, 0, 0, 0, 0.3, -0.25, 0.2, 0.2, -0.15, 0.1, 0.1, -0.1, 0.05, -0.05, 0.05, -0.05],
};

const wavesAt = (s) => Float64Array.from({ length: WAVES },
  (_, k) => (k ? Math.SQRT2 * Math.cos(Math.PI * k * s) : 1));
const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const onGrid = Array.from(PLACES, wavesAt);
const curveOf = (weights) => Float32Array.from(onGrid, (features) => dot(features, weights));

// Weights of the waves for a bump at a brightness, by the rule of midpoints.
function bump(place) {
  const weights = new Float64Array(WAVES);
  for (let i = 0; i < 512; i++) {
    const middle = (i + 0.5) / 512;
    const height = Math.exp(-((middle - place) ** 2) / (2 * 0.1 ** 2)) / 512;
    wavesAt(middle).forEach((wave, k) => (weights[k] += wave * height));
  }
  return weights;
}

const A = bump(0.55), ZERO = new Float64Array(WAVES);

// The weights of a B that is so far from A.
function answerOf({ change, shift }) {
  if (!(change in CHANGES)) return bump(0.55 - 0.3 * shift);
  const moved = ZERO.map((_, k) => CHANGES[change][k] ?? 0);
  const scale = (shift * norm(A)) / norm(moved);
  return A.map((weight, k) => weight + scale * moved[k]);
}

// The first points of a draw: features, and standard normal noise.
function pointsOf(draw, count) {
  return Array.from({ length: count }, (_, i) => {
    const counter = 4096 * draw + 3 * i + 1;
    const radius = Math.sqrt(-2 * Math.log(1 - uniform(counter + 1)));
    const s = uniform(counter);
    return { s, features: wavesAt(s), noise: radius * Math.cos(2 * Math.PI * uniform(counter + 2)) };
  });
}

// What is not frozen, as numbers of waves.
const moving = (frozen) => Array.from(ZERO.keys()).filter((k) =>
  frozen === "nothing" || (k < COARSE) !== (frozen === "coarse waves"));

// Gradient descent on half the mean squared error, step by step; see(t, weights) after each.
function descend(points, wanted, start, steps, free, see = () => {}) {
  const weights = Float64Array.from(start), n = points.length, size = free.length;
  const fixed = points.map(({ features }, i) =>
    wanted[i] - dot(features, weights.map((weight, k) => (free.includes(k) ? 0 : weight))));
  // The Gram matrix of what moves, and its pull.
  const gram = new Float64Array(size * size), pull = new Float64Array(size);
  points.forEach(({ features }, i) => free.forEach((a, row) => {
    pull[row] += (features[a] * fixed[i]) / n;
    free.forEach((b, column) => (gram[row * size + column] += (features[a] * features[b]) / n));
  }));
  const now = Float64Array.from(free, (k) => weights[k]), slope = new Float64Array(size);
  see(0, weights);
  for (let t = 1; t <= steps; t++) {
    for (let row = 0; row < size; row++) {
      slope[row] = -pull[row];
      for (let k = 0; k < size; k++) slope[row] += gram[row * size + k] * now[k];
    }
    for (let row = 0; row < size; row++) {
      now[row] -= RATE * slope[row];
      weights[free[row]] = now[row];
    }
    see(t, weights);
  }
  return weights;
}

// Both runs of one setting: {scratch, warm}, the weights after `steps`.
export function learned(p, { draw = p.draw, count = p.count, steps = p.steps, see } = {}) {
  const b = answerOf(p), points = pointsOf(draw, count);
  const wanted = points.map(({ features, noise }) => dot(features, b) + SPREAD * noise);
  const run = (name, start, frozen) =>
    descend(points, wanted, start, steps, moving(frozen), see && ((t, w) => see(name, t, w)));
  return { b, points, wanted,
    scratch: run("scratch", ZERO, "nothing"), warm: run("warm", A, p.frozen) };
}

// Root of the mean squared distance of two curves: the waves are orthonormal.
export const errorOf = (weights, b) => norm(weights.map((weight, k) => weight - b[k]));

// The errors after every fifth step.
export function overSteps(p) {
  const found = { steps: [], scratch: [], warm: [] }, b = answerOf(p);
  for (let t = 0; t <= MOST_STEPS; t += 5) found.steps.push(t);
  learned(p, { steps: MOST_STEPS, see: (name, t, weights) => {
    if (t % 5 === 0) found[name].push(errorOf(weights, b));
  } });
  return found;
}

// The mean errors over all draws for one number of points.
export function meanError(p, count) {
  const means = { scratch: 0, warm: 0 };
  for (let draw = 1; draw <= DRAWS; draw++) {
    const { b, ...found } = learned(p, { draw, count });
    for (const name of Object.keys(means)) means[name] += errorOf(found[name], b) / DRAWS;
  }
  return means;
}

// Dice of two curves, each on where it is above one half.
export function diceOf(curve, truth) {
  let [both, sum] = [0, 0];
  curve.forEach((value, i) => {
    both += value > 0.5 && truth[i] > 0.5;
    sum += (value > 0.5) + (truth[i] > 0.5);
  });
  return (2 * both) / sum;
}

mount("fine_tuning", (ui) => {
  const answer = ui.plot("What is learned", { x: "brightness", y: "answer", xRange: [0, 1],
    yRange: [-1, 2], label: "The curves of A and B, points of B, and the two learned curves" });
  ui.views.lastChild.classList.add("lf-full");
  const steps = ui.plot("Error over steps", { x: "steps", y: "distance from B",
    xRange: [0, MOST_STEPS], label: "Error of both curves against the number of steps" });
  const counts = ui.plot("Error over points, 20 draws", { x: "points", y: "distance from B",
    xRange: [1, 6], label: "Mean error of both starts against the number of points" });
  const show = ui.readouts(["A is off by", "from zero", "from A", "Dice from zero", "Dice from A"]);
  const text = (value) => (Number.isNaN(value) ? "undefined" : value.toFixed(3));
  const STARTS = [["scratch", "second", "from zero"], ["warm", "first", "from A"]];

  let now, next, means = { key: null };
  ui.run((p) => {
    const { b, points, wanted, ...weights } = learned(p);
    const truth = curveOf(b), scratch = curveOf(weights.scratch), warm = curveOf(weights.warm);
    answer.draw([
      { x: PLACES, y: curveOf(A), kind: "muted", label: "A" },
      { x: PLACES, y: truth, kind: "third", label: "B" },
      { x: PLACES, y: scratch, kind: "second", label: "from zero" },
      { x: PLACES, y: warm, kind: "first", label: "from A" },
    ], points.map(({ s }, i) => ({ x: s, y: wanted[i], kind: "muted" })));
    const error = { scratch: errorOf(weights.scratch, b), warm: errorOf(weights.warm, b) };
    show(text(errorOf(A, b)), text(error.scratch), text(error.warm),
      text(diceOf(scratch, truth)), text(diceOf(warm, truth)));
    now = { p, error };
    return { input: truth, field: warm, height: 1, width: truth.length };
  });

  // The curves below take longer than a frame: one more number of points a frame.
  function refine() {
    const { p, error } = now;
    const key = JSON.stringify({ ...p, draw: null, count: null });
    if (means.key !== key) means = { key, found: [] };
    const { found } = means, track = overSteps(p);
    const top = (...lists) => [0, 1.08 * Math.max(0.2, ...lists.flat())];
    const lines = (x, values, bare) => STARTS.map(([name, kind, label]) =>
      ({ x, y: values[name], kind, label: bare ? undefined : label }));
    steps.draw(lines(track.steps, track),
      STARTS.map(([name, kind]) => ({ x: p.steps, y: error[name], kind })),
      { y: top(track.scratch, track.warm) });
    if (found.length < COUNTS.length) found.push(meanError(p, COUNTS[found.length]));
    const by = Object.fromEntries(STARTS.map(([name]) => [name, found.map((mean) => mean[name])]));
    counts.draw(lines(COUNTS.slice(0, found.length).map(Math.log2), by),
      [{ x: Math.log2(p.count), kind: "cursor" }],
      { y: top(by.scratch, by.warm), xTicks: COUNTS.map((count) => [Math.log2(count), String(count)]) });
    cancelAnimationFrame(next);
    if (found.length < COUNTS.length) next = requestAnimationFrame(refine);
  }
  ui.later(refine);
  ui.update();
});
