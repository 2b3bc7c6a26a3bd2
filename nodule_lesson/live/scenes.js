// Made-up logits and their noise; scenes.py makes the same ones.

// Numbers in [0, 1) from a counter: mulberry32 without a state.
export function uniform(counter) {
  let a = (counter * 0x6d2b79f5) | 0;
  a = Math.imul(a ^ (a >>> 15), a | 1);
  a ^= a + Math.imul(a ^ (a >>> 7), a | 61);
  return ((a ^ (a >>> 14)) >>> 0) / 4294967296;
}

// A standard normal number from two counters, by Box and Muller.
export const normal = (first, second) =>
  Math.sqrt(-2 * Math.log(1 - uniform(first))) * Math.cos(2 * Math.PI * uniform(second));

export const whiteNoise = (n, seed) => Float64Array.from({ length: n * n }, (_, i) =>
  normal(seed * 65536 + 2 * i + 1, seed * 65536 + 2 * i + 2));

// value(x, y, i) for each pixel i of an n x n field, its centre in units of 1/`side` of the field.
export const atPixels = (n, value, side = 128) => Float32Array.from({ length: n * n }, (_, i) =>
  value((((i % n) + 0.5) * side) / n, ((Math.floor(i / n) + 0.5) * side) / n, i));

const edge = (distance) => Math.tanh(distance / 1.5);
const blob = (dx, dy, width) => Math.exp(-(dx * dx + dy * dy) / (2 * width * width));

// Each scene: the standard deviation of its noise, and logits by place in 1/128 of the side.
const SCENES = {
  "noisy disc": [0.7, (x, y) => 0.6 * edge(30 - Math.hypot(x - 64, y - 64))],
  "strong and weak blob": [0.5, (x, y) =>
    -1.2 + 4 * blob(x - 44, y - 60, 12) + 1.7 * blob(x - 92, y - 72, 9)],
  "bump on the pleura": [0.7, (x, y) => {
    const wall = x - 92 - 10 * ((y - 64) / 64) ** 2;
    const bump = 18 - Math.hypot(x - 84, y - 58);
    return Math.max(1.2 * edge(bump), -0.9 + 0.6 * edge(wall));
  }],
  "ring": [0.8, (x, y) => 0.7 * edge(8 - Math.abs(Math.hypot(x - 64, y - 64) - 24))],
  "ground-glass haze": [0.7, (x, y) =>
    -0.8 + 1.5 * blob((x - 60) * 0.8, y - 66, 20) + 0.5 * blob(x - 82, y - 50, 9)],
};
export const SCENE_NAMES = Object.keys(SCENES);

export function scene(name, n) {
  const [spread, logit] = SCENES[name];
  const noise = whiteNoise(n, SCENE_NAMES.indexOf(name) + 1);
  return atPixels(n, (x, y, i) => logit(x, y) + spread * noise[i]);
}
