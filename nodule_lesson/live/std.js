// The mathematics of nodule_lesson.std for square fields, fast enough for a slider.
// Fields are row-major arrays of n * n numbers. test_live_figures_node.py holds every function
// here to the Python package.

import { xlogx } from "./logistic.js";

// Half a Gaussian kernel: taps w[0..r], normalised as in `gaussian_matrix`. Outer taps whose sum is
// below `tail` are cut after the normalisation: the tests allow fields to be off by 1e-5.
export function gaussianTaps(size, sigma, radius = null, tail = 1e-8) {
  const reach = radius ?? size - 1;
  const taps = Array.from({ length: reach + 1 }, (_, i) => Math.exp(-0.5 * (i / sigma) ** 2));
  const total = 2 * taps.reduce((sum, tap) => sum + tap, 0) - taps[0];
  let last = reach;
  for (let cut = 0; last > 0 && cut + (2 * taps[last]) / total < tail; last--) {
    cut += (2 * taps[last]) / total;
  }
  return Float64Array.from(taps.slice(0, Math.min(last, size - 1) + 1), (tap) => tap / total);
}

// A square field with a margin of zeros left and right of each row, wide enough for the taps.
export class PaddedField {
  constructor(n, radius) {
    Object.assign(this, { n, radius, stride: n + 2 * radius });
    this.values = new Float64Array((n + 4) * this.stride + 4 * radius + 8);
  }

  // The field without its margins.
  copyTo(result) {
    const { n, radius, stride, values } = this;
    for (let y = 0, row = radius; y < n; y++, row += stride) {
      result.set(values.subarray(row, row + n), y * n);
    }
    return result;
  }
}

// Blur along the rows and write the result transposed: twice this is a blur in both directions.
// Four neighbouring outputs share their inputs, which slide through local variables; that, and
// 64-bit floats, which JavaScript need not convert, make it three times as fast as the plain loop.
// With `step`, {constant, scale}, a sum s is written as Sig(constant + scale s): the second blur and
// the rest of Eq. (5) in one go.
export function blurRows(input, output, taps, step = null) {
  const { n, radius, stride, values } = input;
  const target = output.values;
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x += 4) {
      const i = y * stride + radius + x;
      let l0 = values[i], l1 = values[i + 1], l2 = values[i + 2], l3 = values[i + 3];
      let r0 = l0, r1 = l1, r2 = l2, r3 = l3;
      let s0 = taps[0] * l0, s1 = taps[0] * l1, s2 = taps[0] * l2, s3 = taps[0] * l3;
      for (let k = 1; k < taps.length; k++) {
        const tap = taps[k];
        l3 = l2; l2 = l1; l1 = l0; l0 = values[i - k];
        r0 = r1; r1 = r2; r2 = r3; r3 = values[i + 3 + k];
        s0 += tap * (l0 + r0);
        s1 += tap * (l1 + r1);
        s2 += tap * (l2 + r2);
        s3 += tap * (l3 + r3);
      }
      const o = x * stride + radius + y;
      if (step) {
        const { constant, scale } = step, j = x * n + y;
        s0 = quickSigmoid(constant[j] + scale * s0);
        s1 = quickSigmoid(constant[j + n] + scale * s1);
        s2 = quickSigmoid(constant[j + 2 * n] + scale * s2);
        s3 = quickSigmoid(constant[j + 3 * n] + scale * s3);
      }
      target[o] = s0;
      target[o + stride] = s1;
      target[o + 2 * stride] = s2;
      target[o + 3 * stride] = s3;
    }
  }
}

// K1, the blurred constant 1: below 1 near the border, since the field is 0 outside the image.
export function blurredOne(n, taps) {
  const line = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    for (let j = Math.max(0, i - taps.length + 1); j < Math.min(n, i + taps.length); j++) {
      line[i] += taps[Math.abs(i - j)];
    }
  }
  return line;
}

// K f of a field of n * n numbers, as if it were 0 outside the image.
export function blur(field, n, sigma, radius = null) {
  const taps = gaussianTaps(n, sigma, radius);
  const margin = Math.max(taps.length - 1, 3);
  const input = new PaddedField(n, margin), between = new PaddedField(n, margin);
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x++) input.values[y * input.stride + margin + x] = field[y * n + x];
  }
  blurRows(input, between, taps);
  blurRows(between, input, taps);
  return input.copyTo(new Float64Array(n * n));
}

// Sig from a table of s = Sig(z) at the nearest of 8193 places and two terms of Taylor's series, with
// Sig' = s(1 - s), Sig'' = s(1 - s)(1 - 2s): error below 1e-9, a third of the time of Math.exp.
const TABLE_END = 24, TABLE_STEPS = 4096;
const TABLE = Float64Array.from({ length: 2 * TABLE_STEPS + 1 },
  (_, i) => 1 / (1 + Math.exp((TABLE_END * (TABLE_STEPS - i)) / TABLE_STEPS)));
export function quickSigmoid(z) {
  let place = z * (TABLE_STEPS / TABLE_END) + TABLE_STEPS;
  if (place < 0) place = 0;
  else if (place > 2 * TABLE_STEPS) place = 2 * TABLE_STEPS;
  const i = (place + 0.5) | 0;
  const s = TABLE[i], d = (place - i) * (TABLE_END / TABLE_STEPS);
  return s + d * s * (1 - s) * (1 + d * (0.5 - s));
}

// How much of the Gaussian may be cut. Each step adds an error of at most g tails to x, and multiplies
// earlier errors by at most g, so that the error of x_T is below (g + g^2 + ... + g^T) tails.
function affordableTail(p, printed) {
  const g = p.lambda1 / (2 * p.epsilon), factor = g + (printed ? 1 / (4 * p.epsilon) : 0);
  let tails = 0;
  for (let t = 0; t < p.iterations; t++) tails = g + factor * tails;
  return Math.min(1e-5, Math.max(1e-12, 8e-6 / tails));
}

// Memory of a run, kept for the next one: to allocate half a megabyte at each move of a slider costs
// time. Margins may be wider than the taps, but not by much: they would fill the processor's cache.
let kept = { n: 0 };
function workspace(n, radius) {
  if (kept.n !== n || kept.radius < radius || kept.radius > radius + 16) {
    const [x, between, kx] = Array.from({ length: 3 }, () => new PaddedField(n, radius));
    kept = { n, radius, x, between, kx, constant: new Float64Array(n * (n + 4)) };
  }
  return kept;
}

// x_T of Eq. (5). p: {sigma, lambda1, lambda2, c, epsilon, iterations, radius}. With `energies`,
// an array, E(x_0) .. E(x_T) are pushed onto it. With `printed`, x_t stands in the place of u.
export function softThresholdDynamics(u, n, p, { printed = false, energies = null } = {}) {
  const taps = gaussianTaps(n, p.sigma, p.radius ?? null, affordableTail(p, printed));
  const { x, between, kx, constant, radius } = workspace(n, Math.max(taps.length - 1, 3));
  const one = blurredOne(n, taps), inverse = 1 / p.epsilon;
  const length = p.lambda1 * inverse, shift = p.lambda2 * (1 - p.c) * inverse;
  // K is linear, K(1 - 2x) = K1 - 2 Kx: what is not Kx is computed beforehand.
  const step = { constant, scale: 2 * length };
  for (let t = 0; t <= p.iterations; t++) {
    for (let y = 0, j = 0; y < n && (t === 0 || printed); y++) {
      for (let i = 0, at = y * x.stride + radius; i < n; i++, j++, at++) {
        if (t === 0) x.values[at] = quickSigmoid(u[j]);
        const logit = printed ? x.values[at] : u[j];
        constant[j] = inverse * logit - length * one[y] * one[i] - shift;
      }
    }
    const last = t === p.iterations;
    if (last && !energies) break;
    blurRows(x, between, taps);
    if (energies) {
      blurRows(between, kx, taps);
      energies.push(energy(u, n, p, x, kx, one));
    }
    if (!last) blurRows(between, x, taps, step);
  }
  return x.copyTo(new Float32Array(n * n));
}

// E(x) of Eq. (4), with Kx at hand and K1 = one[y] one[x].
function energy(u, n, p, x, kx, one) {
  const shift = p.lambda2 * (1 - p.c);
  let total = 0;
  for (let y = 0; y < n; y++) {
    for (let i = 0; i < n; i++) {
      const at = y * x.stride + x.radius + i, now = x.values[at];
      total += (shift - u[y * n + i]) * now
        + p.lambda1 * now * (one[y] * one[i] - kx.values[at])
        + p.epsilon * (xlogx(now) + xlogx(1 - now));
    }
  }
  return total;
}
