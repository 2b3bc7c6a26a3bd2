// The gradient to sigma in a page; live.py is its other face.
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { pretty } from "../../live/format.js";
import { sigmoid } from "../../live/logistic.js";
import { atPixels, scene } from "../../live/scenes.js";
import { coarseToFine, Curve, remember } from "../../live/slow.js";
import { blurRows, blurredOne, gaussianTaps, PaddedField } from "../../live/std.js";
import {
  LARGEST, NEARLY_ZERO, SIGMA_TICKS, SIGMAS, SIZE, SLOPE_TICKS, SMALLEST,
} from "./live.py";

// Every quantity is a pair: its value, and its derivative with respect to sigma. Such dual numbers
// go through the loop in one pass, forward, and need no memory of earlier steps.

// Half a Gaussian and its derivative. What is cut of it changes nothing here.
function dualTaps(sigma, radius) {
  const value = gaussianTaps(SIZE, sigma, radius, 1e-12);
  const growth = value.map((_, k) => k ** 2 / sigma ** 3); // of a tap that is not normalised
  const mean = 2 * value.reduce((sum, tap, k) => sum + tap * growth[k], 0);
  return { value, slope: value.map((tap, k) => tap * (growth[k] - mean)) };
}

const dualField = (margin) =>
  ({ value: new PaddedField(SIZE, margin), slope: new PaddedField(SIZE, margin) });

// Blur the rows of a pair and write it transposed, as `blurRows` does; `spare` is overwritten.
function blurDualRows(from, to, spare, taps) {
  blurRows(from.value, to.value, taps.value);
  blurRows(from.slope, to.slope, taps.value);
  blurRows(from.value, spare, taps.slope);
  for (let i = 0; i < spare.values.length; i++) to.slope.values[i] += spare.values[i];
}

// x_T, the loss and dL/dsigma of `iterations` steps of Eq. (5) with epsilon = 1 and no prior.
function dualDynamics(u, clean, sigma, { lambda1, iterations, radius }) {
  const taps = dualTaps(sigma, radius === "none cut" ? null : Number(radius));
  const margin = Math.max(taps.value.length - 1, 3);
  const [x, between, kx] = Array.from({ length: 3 }, () => dualField(margin));
  const spare = new PaddedField(SIZE, margin), { stride } = spare;
  // K1 and its derivative.
  const one = blurredOne(SIZE, taps.value), dOne = blurredOne(SIZE, taps.slope);
  const field = new Float64Array(SIZE * SIZE);
  let loss = 0, slope = 0;
  for (let t = 0; t <= iterations; t++) {
    if (t > 0) {
      blurDualRows(x, between, spare, taps);
      blurDualRows(between, kx, spare, taps);
    }
    for (let row = 0, j = 0; row < SIZE; row++) {
      for (let column = 0, i = row * stride + margin; column < SIZE; column++, i++, j++) {
        const k1 = one[row] * one[column], dK1 = dOne[row] * one[column] + one[row] * dOne[column];
        const z = t ? u[j] - lambda1 * (k1 - 2 * kx.value.values[i]) : u[j];
        const dz = t ? -lambda1 * (dK1 - 2 * kx.slope.values[i]) : 0;
        const now = sigmoid(z), change = now * (1 - now) * dz;
        x.value.values[i] = now;
        x.slope.values[i] = change;
        if (t === iterations) {
          field[j] = now;
          loss += (now - clean[j]) ** 2;
          slope += 2 * (now - clean[j]) * change;
        }
      }
    }
  }
  return { field, loss: (100 * loss) / SIZE ** 2, slope: (100 * slope) / SIZE ** 2 };
}

// Scales: ln sigma across; up, a logarithm on both sides of 0.
const across = Math.log;
const upwards = (slope) => Math.asinh(slope / NEARLY_ZERO);
const ENDS = [across(SMALLEST), across(LARGEST)];
const ranges = { xTicks: SIGMA_TICKS.map((sigma) => [across(sigma), pretty(sigma)]) };
const slopeRanges = {
  ...ranges, y: [upwards(-100), upwards(20)],
  yTicks: SLOPE_TICKS.map((slope) => [upwards(slope), pretty(slope)]),
};

mount("sigma_gradient", (ui) => {
  ui.views.classList.add("lf-beside");
  const given = ui.field("logits u", SIZE, "The logits u of a disc in noise");
  const result = ui.field("x", SIZE, "The field x after the last step, with its outline at 0.5");
  const axis = { x: "σ, pixels", xRange: ENDS };
  const losses = ui.plot("Loss over σ", { ...axis, y: "L",
    label: "The loss over sigma, with a mark at the chosen sigma" });
  const slopes = ui.plot("Slope over σ", { ...axis, y: "dL/dσ",
    label: "The slope of the loss over sigma, on a scale that is logarithmic on both sides of zero" });
  const show = ui.readouts(["loss L", "slope dL/dσ", "gradient descent moves σ", "lowest loss"]);

  const u = scene("noisy disc", SIZE);
  const clean = atPixels(SIZE, (x, y) => Math.hypot(x - 64, y - 64) < 30);

  // Losses and slopes over sigma for one setting of the other controls, and those that are kept.
  const curveOf = remember((setting) => new Curve(coarseToFine(SIGMAS.length), (i) =>
    ({ i, x: across(SIGMAS[i]), ...dualDynamics(u, clean, SIGMAS[i], setting) })));
  let curve, kept = null, now;
  ui.button("Keep this curve", () => {
    kept = curve.work();
    ui.update();
  });
  ui.onReset = () => (kept = null);

  ui.run(({ sigma, ...setting }) => {
    const mine = curve = curveOf(setting);
    now = { sigma, ...dualDynamics(u, clean, sigma, setting) };
    given.draw(u, "signed", -3, 3);
    result.draw(now.field, "share", 0, 1);
    result.contours([[contour(clean, SIZE), "muted"], [contour(now.field, SIZE), "contour"]]);
    result.title(`x, T = ${setting.iterations}`);
    return {
      input: Float32Array.from(SIGMAS),
      // All slopes take longer than a frame: they are computed when somebody reads the state.
      get field() {
        const field = new Float32Array(SIGMAS.length);
        for (const { i, slope } of mine.work().points) field[i] = slope;
        return field;
      },
      height: 1,
      width: SIGMAS.length,
    };
  }, () => ui.refine(curve, () => {
    const lines = (y) => [
      ...(kept ? [kept.line(y, "second", "kept")] : []), curve.line(y, "first", kept && "now")];
    const marks = (y) =>
      [{ x: across(now.sigma), kind: "muted" }, { x: across(now.sigma), y, kind: "first" }];
    losses.draw(lines(({ loss }) => loss), marks(now.loss), ranges);
    slopes.draw(
      [{ x: ENDS, y: [0, 0], kind: "muted" }, ...lines(({ slope }) => upwards(slope))],
      marks(upwards(now.slope)), slopeRanges);
    const lowest = curve.points.reduce((a, b) => (b.loss < a.loss ? b : a));
    show(now.loss.toFixed(3), pretty(Number(now.slope.toPrecision(3))),
      Math.abs(now.slope) < NEARLY_ZERO ? "hardly" : now.slope < 0 ? "up" : "down",
      `at σ ≈ ${SIGMAS[lowest.i].toFixed(2)}`);
  }));
});
