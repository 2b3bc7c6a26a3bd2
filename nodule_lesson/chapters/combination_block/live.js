// The combination block in a page; live.py is its other face with the same maps.
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { fixed } from "../../live/format.js";
import { atPixels, whiteNoise } from "../../live/scenes.js";
import { HIDDEN, SIZE } from "./live.py";

const PIXELS = SIZE * SIZE;

// Made-up features of the U-Net and of the classifier, and the disc that is added to them.
function features() {
  const [edges, blobs] = [whiteNoise(SIZE, 41), whiteNoise(SIZE, 42)];
  const [column, row, radius] = HIDDEN;
  return {
    s: atPixels(SIZE, (x, y, i) => {
      const nodule = 11 - Math.hypot(x - 24, y - 36);
      const vessel = 2.5 - Math.abs(x - 50 + 0.2 * (y - 32));
      return Math.max(Math.exp(-((nodule / 2) ** 2)), 0.8 * Math.exp(-((vessel / 2) ** 2)))
        + 0.06 * edges[i];
    }, SIZE),
    f: atPixels(SIZE, (x, y, i) =>
      Math.exp(-((x - 24) ** 2 + (y - 36) ** 2) / 200) + 0.03 * blobs[i], SIZE),
    hidden: atPixels(SIZE, (x, y) =>
      0.5 * (1 + Math.tanh(radius - Math.hypot(x - column, y - row))), SIZE),
  };
}

// 3x3, weights 1 2 1 in both directions, zero outside the map: the depthwise convolution.
function spread(field) {
  const n = SIZE;
  const at = (x, y) => (x < 0 || y < 0 || x >= n || y >= n ? 0 : field[y * n + x]);
  const rows = Float64Array.from(field, (_, i) => {
    const x = i % n, y = (i - x) / n;
    return (at(x - 1, y) + 2 * at(x, y) + at(x + 1, y)) / 4;
  });
  return Float64Array.from(rows, (_, i) => {
    const above = i >= n ? rows[i - n] : 0, below = i < n * (n - 1) ? rows[i + n] : 0;
    return (above + 2 * rows[i] + below) / 4;
  });
}

mount("feature_combination", (ui) => {
  const maps = ["s (U-Net)", "f (classifier)", "output"].map(
    (title) => ui.field(title, SIZE, `${title}, with the circle of the added disc`));
  ui.views.classList.add("lf-three");
  const plot = ui.plot("Can the block see the change?", {
    x: "p, brightness of the disc in s", y: "largest change", xRange: [-2, 2], full: true,
    label: "Largest change of the output against the brightness of the disc in s" });
  const show = ui.readouts(
    ["disc in s and in f", "change of the output", "product b w", "a p + b w q"]);

  const { s, f, hidden } = features();
  // All of it is linear: the output is a mixture of these three, whatever the sliders say.
  const [outS, outF, outDisc] = [s, f, hidden].map(spread);
  const peak = Math.max(...outDisc);
  const circle = [contour(hidden, SIZE), "third"];

  ui.run((p) => {
    const product = p.b * p.w, amount = p.a * p.p + product * p.q;
    const input = new Float32Array(2 * PIXELS), field = new Float32Array(2 * PIXELS);
    for (let i = 0; i < PIXELS; i++) {
      input[i] = s[i] + p.p * hidden[i];
      input[PIXELS + i] = f[i] + p.q * hidden[i];
      field[PIXELS + i] = p.a * outS[i] + product * outF[i]; // without the disc
      field[i] = field[PIXELS + i] + amount * outDisc[i];
    }
    [input.subarray(0, PIXELS), input.subarray(PIXELS), field.subarray(0, PIXELS)].forEach(
      (map, k) => {
        maps[k].draw(map, "signed", -1.5, 1.5);
        maps[k].contours([circle]);
      });
    const change = (place) => Math.abs(p.a * place + product * p.q) * peak;
    const blind = p.a ? Math.min(2, Math.max(-2, (-product * p.q) / p.a)) : 0;
    const places = [-2, blind, 2]; // a V is straight between its tip and its ends
    // Some room below zero, for the whole of the dot.
    const highest = Math.max(1, 1.05 * change(-2), 1.05 * change(2));
    plot.draw(
      [{ x: places, y: places.map(change), kind: "first" }],
      [{ x: p.p, y: change(p.p), kind: "second" }],
      { y: [-0.05 * highest, highest] });
    show(
      `${fixed(Math.abs(p.p))} and ${fixed(Math.abs(p.q))}`, fixed(change(p.p)),
      fixed(product), fixed(amount));
    return { input, field, height: 2 * SIZE, width: SIZE };
  });
});
