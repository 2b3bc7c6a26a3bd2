// The taps of a dilated 3x3 convolution in a page; live.py is its other face.
import { mount } from "../../live/figure.js";

const PAPER_RATES = [1, 5, 10, 15], STRIDE_OF_S5 = 16;
const CANVAS = 186; // pixels; maps of every side are enlarged to it, three times the largest

// Along one axis: how many of the taps at i - d, i and i + d lie on a map of n pixels.
const along = (i, n, d) => 1 + (i - d >= 0) + (i + d < n);

// Taps on the map for each output pixel.
export function liveTaps(n, d) {
  return Float32Array.from({ length: n * n }, (_, i) =>
    along(Math.floor(i / n), n, d) * along(i % n, n, d));
}

// The nine taps of the output at row, column: [row, column, whether on the map].
export function tapsOf(n, d, row, column) {
  const inside = (i) => i >= 0 && i < n;
  return [-d, 0, d].flatMap((down) => [-d, 0, d].map((across) =>
    [row + down, column + across, inside(row + down) && inside(column + across)]));
}

// The share of all products in which the kernel meets the map.
export const shareOfProducts = (n, d) => ((1 + 2 * Math.max(0, 1 - d / n)) / 3) ** 2;

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
    x: "side n of the map", y: "% of all products", xRange: [4, 32], yRange: [0, 100],
    label: "Share of the products that meet the map against its side, for five rates" });
  ui.views.lastChild.classList.add("lf-full");
  const show = ui.readouts(["this output's taps on the map", "taps that ever see the map",
    "products with the map", "in S5, all alive from"]);
  const sides = Array.from({ length: 29 }, (_, i) => 4 + i);
  const curve = (rate, kind, label) => ({
    x: sides, y: sides.map((n) => 100 * shareOfProducts(n, rate)), kind, label });

  ui.run((p) => {
    const { size: n, rate: d } = p;
    const row = Math.min(p.row, n - 1), column = Math.min(p.column, n - 1);
    const taps = tapsOf(n, d, row, column), padded = n + 2 * d;
    const field = liveTaps(n, d), input = new Float32Array(n * n);
    // What the convolution is given: -0.2 for padding, 0 for the map, -1 and 1 for taps on them.
    const sees = new Float32Array(padded * padded).fill(-0.2);
    for (let y = 0; y < n; y++) sees.fill(0, (y + d) * padded + d, (y + d) * padded + d + n);
    for (const [y, x, alive] of taps) {
      sees[(y + d) * padded + x + d] = alive ? 1 : -1;
      if (alive) input[y * n + x] = 1;
    }
    const alive = field[row * n + column];
    given.title(`${alive} of 9 on the map`);
    given.draw(enlarged(sees, padded), ["negative", "zero", "positive"], -1, 1);
    given.contours([
      [frame(padded, d, d, n, n), "muted"],
      [taps.filter(([, , on]) => !on).flatMap(([y, x]) => cross(padded, y + d, x + d)), "cursor"],
      [frame(padded, row + d, column + d, 1, 1), "contour"],
    ]);
    counts.draw(enlarged(field, n), ["low", "middle", "high"], 0, 9);
    counts.contours([[frame(n, row, column, 1, 1), "contour"]]);
    plot.draw([
      ...PAPER_RATES.map((rate, i) => curve(rate, "muted", i ? "" : "rates 1, 5, 10, 15")),
      curve(d, "first", `rate ${d}`),
    ], [{ x: n, kind: "cursor" }]);
    const share = field.reduce((sum, value) => sum + value, 0) / (9 * n * n);
    const wanted = STRIDE_OF_S5 * (d + 1);
    show(`${alive} of 9`, `${d < n ? 9 : 1} of 9`, `${(100 * share).toFixed(1)} %`,
      `${wanted} × ${wanted} inputs`);
    return { input, field, height: n, width: n };
  });

  // The output follows the mouse or a finger; on the left the map lies inside its padding.
  const follow = (canvas, cells, offset) => {
    const place = (event) => {
      const box = canvas.getBoundingClientRect(), { size: n, rate: d } = ui.parameters;
      const at = (part) =>
        Math.max(0, Math.min(n - 1, Math.floor(part * cells(n, d)) - offset(d)));
      ui.controls.row.set(at((event.clientY - box.top) / box.height));
      ui.controls.column.set(at((event.clientX - box.left) / box.width));
      ui.update();
    };
    canvas.classList.add("lf-paintable");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      place(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) place(event);
    });
  };
  follow(given.canvas, (n, d) => n + 2 * d, (d) => d);
  follow(counts.canvas, (n) => n, () => 0);
});
