// Two outlines and the six measures in a page; live.py is its other face.
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { fixed } from "../../live/format.js";
import { overlap } from "../../live/measures.js";
import { coarseToFine, Curve, remember } from "../../live/slow.js";
import { CENTRE, RADII, REACH, SIZE, SPECK_AT, SPECKS } from "./live.py";

// A lobed disc as 0 and 1; empty for a radius of 0.
function outline(radius, down = 0, right = 0, rough = 0) {
  const mask = new Float32Array(SIZE * SIZE);
  // No edge lies further out than this: most pixels need no angle.
  const reach = (1.18 * radius + 2 * rough) ** 2;
  for (let y = 0, i = 0; y < SIZE && radius > 0; y++) {
    const dy = y - (CENTRE[0] + down);
    for (let x = 0; x < SIZE; x++, i++) {
      const dx = x - (CENTRE[1] + right), square = dx * dx + dy * dy;
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

function predictedMask(p) {
  const mask = outline(RADII[p.truth][1] * p.size, p.down, p.right, p.rough);
  const [row, column] = SPECK_AT, side = SPECKS[p.speck];
  for (let y = row; y < row + side; y++) mask.fill(1, y * SIZE + column, y * SIZE + column + side);
  return mask;
}

// Rows and columns of the pixels with a background neighbour; outside is background.
function contourPixels(mask, n) {
  const on = (y, x) => y >= 0 && x >= 0 && y < n && x < n && mask[y * n + x] > 0;
  const pixels = [];
  for (let i = 0; i < n * n; i++) {
    if (!mask[i]) continue;
    const y = Math.floor(i / n), x = i % n;
    if (!(on(y - 1, x) && on(y + 1, x) && on(y, x - 1) && on(y, x + 1))) pixels.push([y, x]);
  }
  return pixels;
}

// For each point the nearest of the others: its squared distance, and both pixels.
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
function measuresOf(pred, truth, n, mm) {
  const { both, area, wanted, dice } = overlap(pred, truth);
  const [x, y] = [pred, truth].map((mask) => contourPixels(mask, n));
  const gaps = x.length && y.length ? [...nearest(x, y), ...nearest(y, x)] : [];
  const worst = gaps.reduce((a, b) => (a && a.square >= b.square ? a : b), null);
  const sum = gaps.reduce((total, { square }) => total + Math.sqrt(square), 0);
  return {
    values: {
      precision: both / area, sensitivity: both / wanted,
      dice, iou: both / (area + wanted - both),
      hausdorff_distance: worst ? mm * Math.sqrt(worst.square) : NaN,
      assd: (mm * sum) / gaps.length,
    },
    worst,
  };
}

mount("segmentation_measures", (ui) => {
  const drawn = ui.field("truth and prediction", SIZE,
    "The true outline, filled, and the predicted one, which can be dragged");
  const apart = ui.field("where they differ", SIZE,
    "Wrongly marked and missed pixels, and the longest distance between the contours");
  const axis = { x: "shift right, pixels", xRange: [-REACH, REACH] };
  const overlaps = ui.plot("Overlap", { ...axis, y: "Dice, IoU", yRange: [0, 1.02],
    label: "Dice and IoU against the shift to the right" });
  const distances = ui.plot("Distance", { ...axis, y: "mm",
    label: "Hausdorff distance and ASSD in millimetres against the shift to the right" });
  const show = ui.readouts(["precision", "sensitivity", "Dice", "IoU", "HD", "ASSD"]);
  const millimetres = (value) => fixed(value, 2) + (Number.isNaN(value) ? "" : " mm");

  const truthOf = remember((name) => {
    const truth = outline(RADII[name][0]);
    return { truth, line: contour(truth, SIZE) };
  });
  // The measures for each shift to the right; the curve is kept while that shift alone changes.
  const curveOf = remember((p) => new Curve(coarseToFine(2 * REACH + 1), (i) => {
    const right = i - REACH, pred = predictedMask({ ...p, right });
    return { x: right, ...measuresOf(pred, truthOf(p.truth).truth, SIZE, p.pixel).values };
  }));

  let last;
  ui.run((p) => {
    last = p;
    const { truth, line } = truthOf(p.truth), pred = predictedMask(p);
    const { values, worst } = measuresOf(pred, truth, SIZE, p.pixel);
    const edge = [contour(pred, SIZE), "contour"];
    drawn.draw(truth, "pale", 0, 1);
    drawn.contours([edge]);
    apart.draw(pred.map((value, i) => value - truth[i]), "signed", -1, 1);
    const longest = worst ? [[worst.from[1], worst.from[0], worst.to[1], worst.to[0]]] : [];
    apart.contours([[line, "muted"], [longest, "cursor"]]);
    const { precision, sensitivity, dice, iou, hausdorff_distance, assd } = values;
    show(...[precision, sensitivity, dice, iou].map((value) => fixed(value)),
      millimetres(hausdorff_distance), millimetres(assd));
    return { input: truth, field: pred, height: SIZE, width: SIZE, measures: values };
  }, () => ui.refine(curveOf({ ...last, right: null }), (curve) => {
    const lines = (...wanted) => wanted
      .map(([name, kind, label]) => curve.line((point) => point[name], kind, label))
      .filter(({ x }) => x.length);
    const marks = [{ x: last.right, kind: "cursor" }];
    overlaps.draw(lines(["dice", "first", "Dice"], ["iou", "second", "IoU"]), marks);
    const lengths = lines(["hausdorff_distance", "first", "HD"], ["assd", "second", "ASSD"]);
    const largest = Math.max(1, ...lengths.flatMap(({ y }) => y));
    distances.draw(lengths, marks, { y: [0, 1.05 * largest] });
  }));

  // A drag moves the prediction as far as the pointer goes, by the sliders.
  const { canvas } = drawn;
  canvas.style.cursor = "move";
  let start = null;
  ui.drag(canvas, (x, y) => {
    if (!start) return;
    ui.controls.right.set(Math.round(start.right + (x - start.x) * SIZE));
    ui.controls.down.set(Math.round(start.down + (y - start.y) * SIZE));
    ui.update();
  }, (x, y) => {
    const { right, down } = ui.parameters;
    start = { x, y, right, down };
  });
  canvas.addEventListener("pointerup", () => (start = null));
});
