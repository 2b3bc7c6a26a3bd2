// The taps of a dilated 3x3 convolution in a page; live.py is its other face.
import { mount } from "../../live/figure.js";
import { KINDS, RATES, SIDES, STRIDE } from "./live.py";

const CANVAS = 186; // pixels: maps of every side are enlarged to it, three times the largest

// Along one axis: how many of the taps at i - d, i and i + d lie on a map of n pixels.
const along = (i, n, d) => 1 + (i - d >= 0) + (i + d < n);

// Taps on the map for each output pixel.
function liveTaps(n, d) {
  return Float32Array.from({ length: n * n }, (_, i) =>
    along(Math.floor(i / n), n, d) * along(i % n, n, d));
}

// The nine taps of the output at row, column: [row, column, whether on the map].
function tapsOf(n, d, row, column) {
  const inside = (i) => i >= 0 && i < n;
  return [-d, 0, d].flatMap((down) => [-d, 0, d].map((across) =>
    [row + down, column + across, inside(row + down) && inside(column + across)]));
}

// The share of all products in which the kernel meets the map.
const shareOfProducts = (n, d) => ((1 + 2 * Math.max(0, 1 - d / n)) / 3) ** 2;

// A square array of side n, each of its numbers repeated to fill the canvas.
function enlarged(values, n) {
  const cell = Array.from({ length: CANVAS }, (_, i) => Math.floor(((i + 0.5) * n) / CANVAS));
  const large = new Float32Array(CANVAS * CANVAS);
  for (let y = 0; y < CANVAS; y++) {
    const start = y * CANVAS;
    if (y && cell[y] === cell[y - 1]) large.copyWithin(start, start - CANVAS, start);
    else for (let x = 0; x < CANVAS; x++) large[start + x] = values[cell[y] * n + cell[x]];
  }
  return large;
}

// Outline of a rectangle of whole cells, where n of them fill the canvas.
function frame(n, top, left, rows, columns) {
  const [y0, y1, x0, x1] = [top, top + rows, left, left + columns].map((at) =>
    (at * CANVAS) / n - 0.5);
  return [[x0, y0, x1, y0], [x1, y0, x1, y1], [x1, y1, x0, y1], [x0, y1, x0, y0]];
}

function cross(n, row, column) {
  const [[x0, y0, x1], [, , , y1]] = frame(n, row, column, 1, 1);
  return [[x0, y0, x1, y1], [x0, y1, x1, y0]];
}

mount("dilated_taps", (ui) => {
  const given = ui.field("", CANVAS, "The map in its padding, with the nine taps of one output");
  const counts = ui.field("Taps on the map", CANVAS,
    "For each output, how many of nine taps see the map");
  const plot = ui.plot("Products with the map, not with its padding", {
    x: "side n of the map", y: "% of all products",
    xRange: [SIDES[0], SIDES.at(-1)], yRange: [0, 100], full: true,
    label: "Share of the products that meet the map against its side, for five rates" });
  const show = ui.readouts(["this output's taps on the map", "taps that ever see the map",
    "products with the map", "in S5, all alive from"]);
  const curve = (rate, kind, label) => ({
    x: SIDES, y: SIDES.map((n) => 100 * shareOfProducts(n, rate)), kind, label });

  ui.run((p) => {
    const { size: n, rate: d } = p;
    const row = Math.min(p.row, n - 1), column = Math.min(p.column, n - 1);
    const taps = tapsOf(n, d, row, column), width = n + 2 * d;
    const field = liveTaps(n, d), input = new Float32Array(n * n);
    // What the convolution is given: -0.2 for padding, 0 for the map, -1 and 1 for taps on them.
    const padded = new Float32Array(width * width).fill(-0.2);
    for (let y = 0; y < n; y++) padded.fill(0, (y + d) * width + d, (y + d) * width + d + n);
    for (const [y, x, onMap] of taps) {
      padded[(y + d) * width + x + d] = onMap ? 1 : -1;
      if (onMap) input[y * n + x] = 1;
    }
    const alive = field[row * n + column];
    given.title(`${alive} of 9 on the map`);
    given.draw(enlarged(padded, width), "signed", -1, 1);
    given.contours([
      [frame(width, d, d, n, n), "muted"],
      [taps.filter(([, , onMap]) => !onMap).flatMap(([y, x]) => cross(width, y + d, x + d)), "cursor"],
      [frame(width, row + d, column + d, 1, 1), "contour"],
    ]);
    counts.title(`Taps on the map: ${Math.min(...field)} to ${Math.max(...field)}`);
    counts.draw(enlarged(field, n), "share", 0, 9);
    counts.contours([[frame(n, row, column, 1, 1), "contour"]]);
    plot.draw([
      ...RATES.map((rate, i) => curve(rate, KINDS[i], `rate ${rate}`)),
      curve(d, "first", `yours: ${d}`),
    ], [{ x: n, kind: "cursor" }]);
    const share = field.reduce((sum, value) => sum + value, 0) / (9 * n * n);
    const side = STRIDE * (d + 1);
    show(`${alive} of 9`, `${d < n ? 9 : 1} of 9`, `${(100 * share).toFixed(1)} %`,
      `${side} × ${side} inputs`);
    return { input, field, height: n, width: n };
  });

  // The output follows the mouse or a finger; on the left the map lies inside its padding.
  const follow = (canvas, cells, offset) => ui.drag(canvas, (x, y) => {
    const { size: n, rate: d } = ui.parameters;
    const at = (share) =>
      Math.max(0, Math.min(n - 1, Math.floor(share * cells(n, d)) - offset(d)));
    ui.controls.row.set(at(y));
    ui.controls.column.set(at(x));
    ui.update();
  });
  follow(given.canvas, (n, d) => n + 2 * d, (d) => d);
  follow(counts.canvas, (n) => n, () => 0);
});
