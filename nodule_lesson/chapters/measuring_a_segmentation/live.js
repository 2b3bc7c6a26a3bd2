// Two outlines and the six measures in a page; live.py is its other face.
import { contour } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const GRID = 96, SHIFT = 40, MIDDLE = { row: 47.8, column: 48.3 };
const RADII = { "large nodule": [22, 22], "small nodule": [5, 5], "empty slice": [0, 10] };
const SPECKS = { none: 0, "1 pixel": 1, "25 pixels": 5 }, SPECK_AT = { row: 12, column: 80 };

// A lobed disc as 0 and 1; empty for a radius of 0.
export function outline(radius, down = 0, right = 0, rough = 0) {
  const mask = new Float32Array(GRID * GRID);
  // No edge lies further out than this: most pixels need no angle.
  const reach = (1.18 * radius + 2 * rough) ** 2;
  for (let y = 0, i = 0; y < GRID && radius > 0; y++) {
    const dy = y - (MIDDLE.row + down);
    for (let x = 0; x < GRID; x++, i++) {
      const dx = x - (MIDDLE.column + right), square = dx * dx + dy * dy;
      if (square > reach) continue;
      const angle = Math.atan2(dy, dx);
      const lobes = 1 + 0.12 * Math.cos(3 * angle + 0.5) + 0.06 * Math.cos(5 * angle + 2);
      const edge = radius * lobes
        + rough * (Math.cos(9 * angle + 1) + Math.cos(16 * angle + 2.2));
      if (edge > 0 && square < edge * edge) mask[i] = 1;
    }
  }
  return mask;
}

export const trueMask = (p) => outline(RADII[p.truth][0]);

export function predictedMask(p) {
  const mask = outline(RADII[p.truth][1] * p.size, p.down, p.right, p.rough);
  for (let k = 0, side = SPECKS[p.speck]; k < side * side; k++) {
    mask[(SPECK_AT.row + Math.floor(k / side)) * GRID + SPECK_AT.column + (k % side)] = 1;
  }
  return mask;
}

// Rows and columns of the pixels with a background neighbour; outside is background.
export function contourPixels(mask, n) {
  const on = (y, x) => y >= 0 && x >= 0 && y < n && x < n && mask[y * n + x] > 0;
  const pixels = [];
  for (let i = 0; i < n * n; i++) {
    if (!mask[i]) continue;
    const y = Math.floor(i / n), x = i % n;
    if (!(on(y - 1, x) && on(y + 1, x) && on(y, x - 1) && on(y, x + 1))) pixels.push([y, x]);
  }
  return pixels;
}

// Of each point the nearest of the others: its squared distance, and between which pixels it runs.
function nearest(points, others) {
  return points.map(([y, x]) => {
    let best = Infinity, end = null;
    for (const other of others) {
      const dy = y - other[0], dx = x - other[1], square = dy * dy + dx * dx;
      if (square < best) [best, end] = [square, other];
    }
    return { square: best, from: [y, x], to: end };
  });
}

// Eqs. (8)-(13) of two masks of n * n numbers with pixels of `mm`; NaN where one is undefined.
// `worst` says between which pixels HD runs.
export function measuresOf(pred, truth, n, mm) {
  let [both, marked, real] = [0, 0, 0];
  for (let i = 0; i < n * n; i++) {
    both += pred[i] * truth[i];
    marked += pred[i];
    real += truth[i];
  }
  const [x, y] = [pred, truth].map((mask) => contourPixels(mask, n));
  const gaps = x.length && y.length ? [...nearest(x, y), ...nearest(y, x)] : [];
  const worst = gaps.reduce((a, b) => (a && a.square >= b.square ? a : b), null);
  const sum = gaps.reduce((total, { square }) => total + Math.sqrt(square), 0);
  return {
    values: {
      precision: both / marked, sensitivity: both / real,
      dice: (2 * both) / (marked + real), iou: both / (marked + real - both),
      hausdorff_distance: worst ? mm * Math.sqrt(worst.square) : NaN,
      assd: (mm * sum) / gaps.length,
    },
    worst,
  };
}

// Every shift, in an order that shows the whole curve from its first points on.
const SHIFTS = [40, 20, 10, 5, 1].flatMap((step, level, steps) =>
  Array.from({ length: 2 * SHIFT + 1 }, (_, i) => i - SHIFT).filter((shift) =>
    shift % step === 0 && steps.slice(0, level).every((coarser) => shift % coarser !== 0)));

mount("segmentation_measures", (ui) => {
  const drawn = ui.field("truth and prediction", GRID,
    "The true outline, filled, and the predicted one, which can be dragged");
  const apart = ui.field("where they differ", GRID,
    "Wrongly marked and missed pixels, and the longest distance between the contours");
  const axis = { x: "shift right, pixels", xRange: [-SHIFT, SHIFT] };
  const overlap = ui.plot("Overlap", { ...axis, y: "Dice, IoU", yRange: [0, 1.02],
    label: "Dice and IoU against the shift to the right" });
  const distance = ui.plot("Distance", { ...axis, y: "mm",
    label: "Hausdorff distance and ASSD in millimetres against the shift to the right" });
  const show = ui.readouts(["precision", "sensitivity", "Dice", "IoU", "HD", "ASSD"]);
  const text = (value, digits, unit = "") =>
    Number.isNaN(value) ? "undefined" : value.toFixed(digits) + unit;

  let base = { name: null };
  let last, next, curve = { key: null, points: [] };
  ui.run((p) => {
    if (base.name !== p.truth) {
      const truth = trueMask(p);
      base = { name: p.truth, truth, line: contour(truth, GRID) };
    }
    const { truth } = base, pred = predictedMask(p);
    const { values, worst } = measuresOf(pred, truth, GRID, p.pixel);
    const edge = [contour(pred, GRID), "contour"];
    drawn.draw(truth, ["low", "middle"], 0, 1);
    drawn.contours([edge]);
    apart.draw(pred.map((value, i) => value - truth[i]), ["negative", "zero", "positive"], -1, 1);
    const line = worst ? [[worst.from[1], worst.from[0], worst.to[1], worst.to[0]]] : [];
    apart.contours([[base.line, "muted"], [line, "cursor"]]);
    const { precision, sensitivity, dice, iou, hausdorff_distance: hd, assd } = values;
    show(text(precision, 3), text(sensitivity, 3), text(dice, 3), text(iou, 3),
      text(hd, 2, " mm"), text(assd, 2, " mm"));
    last = { truth, p };
    return { input: truth, field: pred, height: GRID, width: GRID, measures: values };
  });

  // The curves need every shift: some of them a frame, and none at all while only `right` moves.
  function refine() {
    const { truth, p } = last;
    const key = JSON.stringify({ ...p, right: null });
    if (curve.key !== key) curve = { key, points: [] };
    const { points } = curve, end = performance.now() + 8;
    while (points.length < SHIFTS.length && (points.length < 3 || performance.now() < end)) {
      const right = SHIFTS[points.length];
      const { values } = measuresOf(predictedMask({ ...p, right }), truth, GRID, p.pixel);
      points.push({ right, ...values });
    }
    const sorted = [...points].sort((a, b) => a.right - b.right);
    const lines = (...wanted) => wanted.map(([name, kind, label]) => {
      const known = sorted.filter((point) => !Number.isNaN(point[name]));
      return { x: known.map(({ right }) => right), y: known.map((at) => at[name]), kind, label };
    }).filter(({ x }) => x.length);
    const here = [{ x: p.right, kind: "cursor" }];
    overlap.draw(lines(["dice", "first", "Dice"], ["iou", "second", "IoU"]), here);
    const lengths = lines(["hausdorff_distance", "first", "HD"], ["assd", "second", "ASSD"]);
    const longest = Math.max(1, ...lengths.flatMap(({ y }) => y));
    distance.draw(lengths, here, { y: [0, 1.05 * longest] });
    cancelAnimationFrame(next);
    if (points.length < SHIFTS.length) next = requestAnimationFrame(refine);
  }
  ui.later(refine);
  ui.update();

  // A drag moves the prediction as far as the pointer goes, by the sliders.
  const { canvas } = drawn;
  canvas.classList.add("lf-paintable");
  canvas.style.cursor = "move";
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const { right, down } = ui.parameters;
    start = { x: event.clientX, y: event.clientY, right, down };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start || !(event.buttons & 1)) return;
    const pixels = GRID / canvas.getBoundingClientRect().width;
    ui.controls.right.set(Math.round(start.right + (event.clientX - start.x) * pixels));
    ui.controls.down.set(Math.round(start.down + (event.clientY - start.y) * pixels));
    ui.update();
  });
  canvas.addEventListener("pointerup", () => (start = null));
});
