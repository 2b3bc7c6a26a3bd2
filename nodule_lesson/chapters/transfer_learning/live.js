// A curve of waves, learned from zero and from another data set's; live.py is its other face.
import { mount } from "../../live/figure.js";
import { fixed } from "../../live/format.js";
import { overlap } from "../../live/measures.js";
import { normal, uniform } from "../../live/scenes.js";
import { Curve, remember } from "../../live/slow.js";
import {
  BUMP, CHANGES, COARSE, COARSE_WAVES, COUNTS, DRAWS, MOST_STEPS, MOVE, NOISE, NOTHING, POINTS, RATE,
  STARTS, STEP, WAVES, WIDTH,
} from "./live.py";

const GRID = Float64Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1));

const wavesAt = (s) => Float64Array.from({ length: WAVES },
  (_, k) => (k ? Math.SQRT2 * Math.cos(Math.PI * k * s) : 1));
const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const onGrid = Array.from(GRID, wavesAt);
const curveOfWeights = (weights) => Float32Array.from(onGrid, (features) => dot(features, weights));

// Weights of the waves for a bump at a brightness, by the rule of midpoints.
function bump(place) {
  const weights = new Float64Array(WAVES);
  for (let i = 0; i < 512; i++) {
    const middle = (i + 0.5) / 512;
    const height = Math.exp(-((middle - place) ** 2) / (2 * WIDTH ** 2)) / 512;
    wavesAt(middle).forEach((wave, k) => (weights[k] += wave * height));
  }
  return weights;
}

const A = bump(BUMP), ZERO = new Float64Array(WAVES);

// The weights of a B that is so far from A.
function answerOf({ change, shift }) {
  if (!(change in CHANGES)) return bump(BUMP - MOVE * shift);
  const direction = ZERO.map((_, k) => CHANGES[change][k] ?? 0);
  const scale = (shift * norm(A)) / norm(direction);
  return A.map((weight, k) => weight + scale * direction[k]);
}

// The first points of a draw: brightness, features, and standard normal noise.
function pointsOf(draw, count) {
  return Array.from({ length: count }, (_, i) => {
    const counter = 4096 * draw + 3 * i + 1;
    const s = uniform(counter);
    return { s, features: wavesAt(s), noise: normal(counter + 1, counter + 2) };
  });
}

// What is not frozen, as numbers of waves.
const moving = (frozen) => Array.from(ZERO.keys()).filter((k) =>
  frozen === NOTHING || (k < COARSE) !== (frozen === COARSE_WAVES));

// Gradient descent on half the mean squared error; after each step, afterStep(t, weights).
function descend(points, wanted, start, steps, free, afterStep = () => {}) {
  const weights = Float64Array.from(start), n = points.length, size = free.length;
  // What is left for the weights that move.
  const targets = points.map(({ features }, i) =>
    wanted[i] - dot(features, weights.map((weight, k) => (free.includes(k) ? 0 : weight))));
  // Their Gram matrix, and their pull.
  const gram = new Float64Array(size * size), pull = new Float64Array(size);
  points.forEach(({ features }, i) => free.forEach((a, row) => {
    pull[row] += (features[a] * targets[i]) / n;
    free.forEach((b, column) => (gram[row * size + column] += (features[a] * features[b]) / n));
  }));
  const now = Float64Array.from(free, (k) => weights[k]), slope = new Float64Array(size);
  afterStep(0, weights);
  for (let t = 1; t <= steps; t++) {
    for (let row = 0; row < size; row++) {
      slope[row] = -pull[row];
      for (let k = 0; k < size; k++) slope[row] += gram[row * size + k] * now[k];
    }
    for (let row = 0; row < size; row++) {
      now[row] -= RATE * slope[row];
      weights[free[row]] = now[row];
    }
    afterStep(t, weights);
  }
  return weights;
}

// Both runs of one setting: {scratch, warm}, the weights after `steps`.
function learned(p, { draw = p.draw, count = p.count, steps = p.steps, afterStep } = {}) {
  const b = answerOf(p), points = pointsOf(draw, count);
  const wanted = points.map(({ features, noise }) => dot(features, b) + NOISE * noise);
  const run = (name, start, frozen) => descend(points, wanted, start, steps, moving(frozen),
    afterStep && ((t, weights) => afterStep(name, t, weights)));
  return { b, points, wanted,
    scratch: run("scratch", ZERO, NOTHING), warm: run("warm", A, p.frozen) };
}

// Root of the mean squared distance of two curves: the waves are orthonormal.
const errorOf = (weights, b) => norm(weights.map((weight, k) => weight - b[k]));

// The errors after every fifth step.
function overSteps(p) {
  const errors = { steps: [], scratch: [], warm: [] }, b = answerOf(p);
  for (let t = 0; t <= MOST_STEPS; t += STEP) errors.steps.push(t);
  learned(p, { steps: MOST_STEPS, afterStep: (name, t, weights) => {
    if (t % STEP === 0) errors[name].push(errorOf(weights, b));
  } });
  return errors;
}

// The mean errors over all draws for one number of points.
function meanError(p, count) {
  const means = { scratch: 0, warm: 0 };
  for (let draw = 1; draw <= DRAWS; draw++) {
    const { b, ...weights } = learned(p, { draw, count });
    for (const name of Object.keys(means)) means[name] += errorOf(weights[name], b) / DRAWS;
  }
  return means;
}

// Dice of what two curves call nodule: where they are above one half.
const diceOf = (curve, truth) => overlap(curve, truth.map((value) => value > 0.5)).dice;

mount("fine_tuning", (ui) => {
  const answer = ui.plot("What is learned", {
    x: "brightness", y: "answer", xRange: [0, 1], yRange: [-1, 2], full: true,
    label: "The curves of A and B, points of B, and the two learned curves" });
  const steps = ui.plot("Error over steps", { x: "steps", y: "distance from B",
    xRange: [0, MOST_STEPS], label: "Error of both curves against the number of steps" });
  const counts = ui.plot(`Error over points, ${DRAWS} draws`, { x: "points", y: "distance from B",
    xRange: [COUNTS[0], COUNTS.at(-1)].map(Math.log2),
    label: "Mean error of both starts against the number of points" });
  const show = ui.readouts(
    ["error of A", "error from zero", "error from A", "Dice from zero", "Dice from A"]);
  const starts = Object.entries(STARTS).map(([name, [kind, label]]) => ({ name, kind, label }));
  const xTicks = COUNTS.map((count) => [Math.log2(count), String(count)]);

  // Means over all draws, for each number of points: `points` and `draw` do not change them.
  const curveOf = remember((p) => new Curve(COUNTS, (count) =>
    ({ x: Math.log2(count), ...meanError(p, count) })));
  const top = (...lists) => [0, 1.08 * Math.max(0.2, ...lists.flat())];

  let now;
  ui.run((p) => {
    const { b, points, wanted, ...weights } = learned(p);
    const truth = curveOfWeights(b);
    const scratch = curveOfWeights(weights.scratch), warm = curveOfWeights(weights.warm);
    answer.draw([
      { x: GRID, y: curveOfWeights(A), kind: "muted", label: "A" },
      { x: GRID, y: truth, kind: "third", label: "B" },
      ...starts.map(({ name, ...line }) => ({ x: GRID, y: { scratch, warm }[name], ...line })),
    ], points.map(({ s }, i) => ({ x: s, y: wanted[i], kind: "muted" })));
    const error = { scratch: errorOf(weights.scratch, b), warm: errorOf(weights.warm, b) };
    show(...[errorOf(A, b), error.scratch, error.warm, diceOf(scratch, truth), diceOf(warm, truth)]
      .map((value) => fixed(value)));
    now = { p, error };
    return { input: truth, field: warm, height: 1, width: truth.length };
  }, () => {
    const { p, error } = now, track = overSteps(p);
    steps.draw(
      starts.map(({ name, ...line }) => ({ x: track.steps, y: track[name], ...line })),
      starts.map(({ name, kind }) => ({ x: p.steps, y: error[name], kind })),
      { y: top(track.scratch, track.warm) });
    ui.refine(curveOf({ ...p, draw: null, count: null }), (curve) => {
      const lines = starts.map(
        ({ name, kind, label }) => curve.line((point) => point[name], kind, label));
      counts.draw(lines, [{ x: Math.log2(p.count), kind: "cursor" }],
        { y: top(...lines.map(({ y }) => y)), xTicks });
    });
  });
});
