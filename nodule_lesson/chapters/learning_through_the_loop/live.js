// The gradient to sigma in a page; live.py is its other face.
import { contour, scene } from "../../live/std.js";
import { mount, pretty } from "../../live/figure.js";

const SIZE = 32, POINTS = 33;
const SIGMAS = Float64Array.from({ length: POINTS }, (_, i) => 0.15 * (8 / 0.15) ** (i / (POINTS - 1)));

// Every quantity is a pair: its value, and its derivative with respect to sigma. Such dual numbers
// go through the loop in one pass, forward, and need no memory of earlier steps.

// Half a Gaussian and its derivative. A tap below 1e-10 of the middle one changes nothing here.
function dualTaps(sigma, radius) {
  const reach = radius ?? SIZE - 1;
  const taps = [], slopes = [];
  let total = 0, change = 0;
  for (let k = 0; k <= reach; k++) {
    taps.push(Math.exp(-0.5 * (k / sigma) ** 2));
    slopes.push((taps[k] * k * k) / sigma ** 3);
    total += (k ? 2 : 1) * taps[k];
    change += 2 * slopes[k];
  }
  let last = Math.min(reach, SIZE - 1);
  while (last > 0 && taps[last] < 1e-10) last--;
  return {
    value: Float64Array.from(taps.slice(0, last + 1), (tap) => tap / total),
    slope: Float64Array.from(
      taps.slice(0, last + 1), (tap, k) => (slopes[k] - (tap / total) * change) / total),
  };
}

// Blur the rows of the pair (from, dFrom) and write it transposed, as `blurRows` of std.js does.
function blurDualRows(from, dFrom, to, dTo, taps, stride) {
  const { value, slope } = taps, reach = value.length - 1;
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0, i = y * stride + reach; x < SIZE; x++, i++) {
      let sum = value[0] * from[i], dSum = value[0] * dFrom[i] + slope[0] * from[i];
      for (let k = 1; k <= reach; k++) {
        const pair = from[i - k] + from[i + k];
        sum += value[k] * pair;
        dSum += value[k] * (dFrom[i - k] + dFrom[i + k]) + slope[k] * pair;
      }
      const o = x * stride + reach + y;
      to[o] = sum;
      dTo[o] = dSum;
    }
  }
}

// x_T, the loss and dL/dsigma of `iterations` steps of Eq. (5) with epsilon = 1 and no prior.
function dualDynamics(u, clean, sigma, { lambda1, iterations, radius }) {
  const taps = dualTaps(sigma, radius === "none cut" ? null : Number(radius));
  const reach = taps.value.length - 1, stride = SIZE + 2 * reach;
  const [x, dx, half, dHalf, kx, dKx] =
    Array.from({ length: 6 }, () => new Float64Array(SIZE * stride));
  const one = new Float64Array(SIZE), dOne = new Float64Array(SIZE); // K1 and its derivative
  for (let i = 0; i < SIZE; i++) {
    for (let j = Math.max(0, i - reach); j <= Math.min(SIZE - 1, i + reach); j++) {
      one[i] += taps.value[Math.abs(i - j)];
      dOne[i] += taps.slope[Math.abs(i - j)];
    }
  }
  const field = new Float64Array(SIZE * SIZE);
  let loss = 0, slope = 0;
  for (let t = 0; t <= iterations; t++) {
    if (t > 0) {
      blurDualRows(x, dx, half, dHalf, taps, stride);
      blurDualRows(half, dHalf, kx, dKx, taps, stride);
    }
    for (let row = 0, j = 0; row < SIZE; row++) {
      for (let column = 0, i = row * stride + reach; column < SIZE; column++, i++, j++) {
        const k1 = one[row] * one[column], dK1 = dOne[row] * one[column] + one[row] * dOne[column];
        const z = t ? u[j] - lambda1 * (k1 - 2 * kx[i]) : u[j];
        const dz = t ? -lambda1 * (dK1 - 2 * dKx[i]) : 0;
        x[i] = 1 / (1 + Math.exp(-z));
        dx[i] = x[i] * (1 - x[i]) * dz;
        if (t === iterations) {
          field[j] = x[i];
          loss += (x[i] - clean[j]) ** 2;
          slope += 2 * (x[i] - clean[j]) * dx[i];
        }
      }
    }
  }
  return { field, loss: (100 * loss) / SIZE ** 2, slope: (100 * slope) / SIZE ** 2 };
}

// The points of the grid, coarse ones first: a curve that is not ready can be drawn already.
const ORDER = [];
for (let step = POINTS - 1; step >= 1; step /= 2) {
  for (let i = 0; i < POINTS; i += step) if (!ORDER.includes(i)) ORDER.push(i);
}

// Both curves of one setting, computed as far as somebody asks.
class Curves {
  constructor(u, clean, setting) {
    Object.assign(this, { u, clean, setting, done: 0 });
    this.losses = new Float64Array(POINTS).fill(NaN);
    this.slopes = new Float64Array(POINTS).fill(NaN);
  }

  get ready() {
    return this.done === POINTS;
  }

  work(milliseconds = Infinity) {
    const end = performance.now() + milliseconds;
    while (!this.ready && performance.now() < end) {
      const i = ORDER[this.done++];
      const { loss, slope } = dualDynamics(this.u, this.clean, SIGMAS[i], this.setting);
      this.losses[i] = loss;
      this.slopes[i] = slope;
    }
    return this;
  }
}

// Scales: ln sigma across; up, a logarithm on both sides of 0.
const across = (sigma) => Math.log(sigma);
const signedLog = (slope) => Math.asinh(slope / 0.01);
const SIGMA_TICKS = [0.2, 0.5, 1, 2, 5].map((sigma) => [across(sigma), String(sigma)]);
const SLOPE_TICKS = [-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100].map(
  (slope) => [signedLog(slope), pretty(slope)]);

mount("sigma_gradient", (ui) => {
  ui.views.classList.add("lf-beside");
  const given = ui.field("logits u", SIZE, "The logits u of a disc in noise");
  const result = ui.field("x", SIZE, "The field x after the last step, with its outline at 0.5");
  const axes = (y, label) => ({ x: "σ, pixels", y, label, xRange: [across(0.15), across(8)] });
  const losses = ui.plot("Loss over σ", axes("L", "The loss over sigma, with a mark at the chosen sigma"));
  const slopes = ui.plot("Slope over σ",
    axes("dL/dσ", "The slope of the loss over sigma, on a scale that is logarithmic on both sides of zero"));
  const show = ui.readouts(["loss L", "slope dL/dσ", "gradient descent moves σ", "lowest loss"]);

  const u = scene("noisy disc", SIZE);
  const clean = Float64Array.from(u, (_, i) => {
    const x = ((i % SIZE) + 0.5) * (128 / SIZE) - 64;
    const y = (Math.floor(i / SIZE) + 0.5) * (128 / SIZE) - 64;
    return Math.hypot(x, y) < 30 ? 1 : 0;
  });

  let kept = null;
  ui.button("Keep this curve", () => {
    kept = curves.work();
    ui.update();
  });
  ui.onReset = () => (kept = null);

  let curves, now, waiting = 0;
  ui.run((parameters) => {
    const { sigma, ...setting } = parameters;
    const key = JSON.stringify(setting);
    if (curves?.key !== key) curves = Object.assign(new Curves(u, clean, setting), { key });
    now = { sigma, ...dualDynamics(u, clean, sigma, setting) };
    given.draw(u, ["negative", "zero", "positive"], -3, 3);
    result.draw(now.field, ["low", "middle", "high"], 0, 1);
    result.contours([[contour(clean, SIZE), "muted"], [contour(now.field, SIZE), "contour"]]);
    result.title(`x, T = ${parameters.iterations}`);
    // Both curves take longer than a frame, so they follow; who reads the state gets all of them.
    const mine = curves;
    return {
      input: Float32Array.from(SIGMAS),
      get field() {
        return Float32Array.from(mine.work().slopes);
      },
      height: 1,
      width: POINTS,
    };
  });

  ui.later(function follow() {
    curves.work(6);
    const line = (scale, kind, label) => (source, values) => {
      const points = Array.from(values, (_, i) => i).filter((i) => !Number.isNaN(values[i]));
      return { x: points.map((i) => across(SIGMAS[i])), y: points.map((i) => scale(values[i])),
        kind, label: source && label };
    };
    const zero = { x: [across(0.15), across(8)], y: [0, 0], kind: "muted" };
    const same = (loss) => loss;
    const both = (scale, name) => [
      ...(kept ? [line(scale, "second", "kept")(true, kept[name])] : []),
      line(scale, "first", "now")(kept, curves[name])];
    const ranges = { xTicks: SIGMA_TICKS };
    const at = (y) => [{ x: across(now.sigma), kind: "muted" }, { x: across(now.sigma), y, kind: "first" }];
    losses.draw(both(same, "losses"), at(now.loss), ranges);
    slopes.draw([zero, ...both(signedLog, "slopes")], at(signedLog(now.slope)),
      { ...ranges, y: [signedLog(-100), signedLog(20)], yTicks: SLOPE_TICKS });
    const best = curves.losses.indexOf(Math.min(...curves.losses.filter((loss) => loss >= 0)));
    show(now.loss.toFixed(3), pretty(Number(now.slope.toPrecision(3))),
      Math.abs(now.slope) < 0.01 ? "hardly" : now.slope < 0 ? "up" : "down",
      `at σ ≈ ${SIGMAS[best].toFixed(2)}`);
    if (!curves.ready && !waiting) {
      waiting = requestAnimationFrame(() => {
        waiting = 0;
        follow();
      });
    }
  });
  ui.update();
});
