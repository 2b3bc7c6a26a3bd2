// The mathematics of nodule_lesson.std for square fields, fast enough for a slider.
// Fields are row-major arrays of n * n numbers. tests/live/test_live_figures.py holds every function here to
// the Python package.

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
        s0 = sigmoid(constant[j] + scale * s0);
        s1 = sigmoid(constant[j + n] + scale * s1);
        s2 = sigmoid(constant[j + 2 * n] + scale * s2);
        s3 = sigmoid(constant[j + 3 * n] + scale * s3);
      }
      target[o] = s0;
      target[o + stride] = s1;
      target[o + 2 * stride] = s2;
      target[o + 3 * stride] = s3;
    }
  }
}

// K1, the blurred constant 1: below 1 near the border, since the field is 0 outside the image.
function blurOfOne(n, taps) {
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
  const result = new Float64Array(n * n);
  for (let y = 0; y < n; y++) {
    const row = y * input.stride + margin;
    result.set(input.values.subarray(row, row + n), y * n);
  }
  return result;
}

// Sig from a table of s = Sig(z) at the nearest of 8193 places and two terms of Taylor's series, with
// Sig' = s(1 - s), Sig'' = s(1 - s)(1 - 2s): error below 1e-9, a third of the time of Math.exp.
const REACH = 24, STEPS = 4096;
const TABLE = Float64Array.from({ length: 2 * STEPS + 1 },
  (_, i) => 1 / (1 + Math.exp((REACH * (STEPS - i)) / STEPS)));
export function sigmoid(z) {
  let place = z * (STEPS / REACH) + STEPS;
  if (place < 0) place = 0;
  else if (place > 2 * STEPS) place = 2 * STEPS;
  const i = (place + 0.5) | 0;
  const s = TABLE[i], d = (place - i) * (REACH / STEPS);
  return s + d * s * (1 - s) * (1 + d * (0.5 - s));
}

const plogp = (p) => (p > 0 ? p * Math.log(p) : 0);

// How much of the Gaussian may be cut. A tail adds at most g tails to x in each step, and a step passes
// what was off before on by a factor of at most g, so that x_T is off by (g + g^2 + ... + g^T) tails.
function affordableTail(p, printed) {
  const g = p.lambda1 / (2 * p.epsilon), factor = g + (printed ? 1 / (4 * p.epsilon) : 0);
  let tails = 0;
  for (let t = 0; t < p.iterations; t++) tails = g + factor * tails;
  return Math.min(1e-5, Math.max(1e-12, 8e-6 / tails));
}

// Memory for one run, kept for the next: a fresh half megabyte at each move of a slider costs time.
// Margins may be wider than the taps, though not by much: they would fill the processor's cache.
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
  const one = blurOfOne(n, taps), inverse = 1 / p.epsilon;
  const length = p.lambda1 * inverse, shift = p.lambda2 * (1 - p.c) * inverse;
  // K is linear, K(1 - 2x) = K1 - 2 Kx: what is not Kx is computed beforehand.
  const step = { constant, scale: 2 * length };
  for (let t = 0; t <= p.iterations; t++) {
    for (let y = 0, j = 0; y < n && (t === 0 || printed); y++) {
      for (let i = 0, at = y * x.stride + radius; i < n; i++, j++, at++) {
        if (t === 0) x.values[at] = sigmoid(u[j]);
        const given = printed ? x.values[at] : u[j];
        constant[j] = inverse * given - length * one[y] * one[i] - shift;
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
  const field = new Float32Array(n * n);
  for (let y = 0; y < n; y++) {
    const row = y * x.stride + radius;
    field.set(x.values.subarray(row, row + n), y * n);
  }
  return field;
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
        + p.epsilon * (plogp(now) + plogp(1 - now));
    }
  }
  return total;
}

// The contour of a field at a level, by marching squares between pixel centres: a list of
// segments [x0, y0, x1, y1] in pixels. The field is taken as `outside` beyond its border.
export function contour(field, n, level = 0.5, outside = 0) {
  const width = n + 2, values = new Float64Array(width * width).fill(outside);
  for (let j = 0, y = 1; y <= n; y++) {
    for (let x = 1; x <= n; x++, j++) values[y * width + x] = field[j];
  }
  const segments = [];
  for (let y = -1; y < n; y++) {
    for (let x = -1, at = (y + 1) * width; x < n; x++, at++) {
      // The corners of a cell, clockwise, and which of them lie above the level.
      const a = values[at], b = values[at + 1], c = values[at + width + 1], d = values[at + width];
      const code = (a > level) | ((b > level) << 1) | ((c > level) << 2) | ((d > level) << 3);
      if (code === 0 || code === 15) continue;
      // Where the contour crosses the sides that it does cross.
      const top = x + (level - a) / (b - a), right = y + (level - b) / (c - b);
      const bottom = x + (level - d) / (c - d), left = y + (level - a) / (d - a);
      if (code === 1 || code === 14) segments.push([x, left, top, y]);
      else if (code === 2 || code === 13) segments.push([top, y, x + 1, right]);
      else if (code === 3 || code === 12) segments.push([x, left, x + 1, right]);
      else if (code === 4 || code === 11) segments.push([x + 1, right, bottom, y + 1]);
      else if (code === 6 || code === 9) segments.push([top, y, bottom, y + 1]);
      else if (code === 7 || code === 8) segments.push([x, left, bottom, y + 1]);
      else if ((code === 5) === ((a + b + c + d) / 4 > level)) {
        // A saddle: the mean decides which corners belong together.
        segments.push([top, y, x + 1, right], [x, left, bottom, y + 1]);
      } else {
        segments.push([x, left, top, y], [x + 1, right, bottom, y + 1]);
      }
    }
  }
  return segments;
}

export function contourLength(segments) {
  return segments.reduce((sum, [x0, y0, x1, y1]) =>
    sum + Math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2), 0);
}

// --- the scenes; scenes.py draws the same ones ---------------------------------------------------

// White noise from a counter (mulberry32) and Box-Muller, the same in both languages.
export function uniform(counter) {
  let a = (counter * 0x6d2b79f5) | 0;
  a = Math.imul(a ^ (a >>> 15), a | 1);
  a ^= a + Math.imul(a ^ (a >>> 7), a | 61);
  return ((a ^ (a >>> 14)) >>> 0) / 4294967296;
}

export function whiteNoise(n, seed) {
  return Float64Array.from({ length: n * n }, (_, i) => {
    const counter = seed * 65536 + 2 * i + 1;
    const radius = Math.sqrt(-2 * Math.log(1 - uniform(counter)));
    return radius * Math.cos(2 * Math.PI * uniform(counter + 1));
  });
}

const edge = (distance) => Math.tanh(distance / 1.5);
const blob = (dx, dy, width) => Math.exp(-(dx * dx + dy * dy) / (2 * width * width));

// Each scene: logits as a function of the pixel's place, in units of 1/128 of the side.
const SCENES = {
  "noisy disc": [0.7, (x, y) => 0.6 * edge(30 - Math.hypot(x - 64, y - 64))],
  "strong and weak blob": [0.5, (x, y) =>
    -1.2 + 4 * blob(x - 44, y - 60, 12) + 1.7 * blob(x - 92, y - 72, 9)],
  "bump on the pleura": [0.7, (x, y) => {
    const wall = x - 92 - 10 * ((y - 64) / 64) ** 2;
    const bump = 18 - Math.hypot(x - 84, y - 58);
    return Math.max(1.2 * edge(bump), -0.9 + 0.6 * edge(wall)) ;
  }],
  "ring": [0.8, (x, y) => 0.7 * edge(8 - Math.abs(Math.hypot(x - 64, y - 64) - 24))],
  "ground-glass haze": [0.7, (x, y) =>
    -0.8 + 1.5 * blob((x - 60) * 0.8, y - 66, 20) + 0.5 * blob(x - 82, y - 50, 9)],
};
export const SCENE_NAMES = Object.keys(SCENES);

export function scene(name, n) {
  const [spread, logit] = SCENES[name];
  const noise = whiteNoise(n, SCENE_NAMES.indexOf(name) + 1);
  return Float32Array.from(noise, (value, i) => {
    const x = (((i % n) + 0.5) * 128) / n, y = ((Math.floor(i / n) + 0.5) * 128) / n;
    return logit(x, y) + spread * value;
  });
}
