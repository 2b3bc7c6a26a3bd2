// The detection prior in a page; live.py is its other face and has the same crops.
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { xAfter } from "../../live/format.js";
import { overlap } from "../../live/measures.js";
import { atPixels, whiteNoise } from "../../live/scenes.js";
import { coarseToFine, Curve, remember } from "../../live/slow.js";
import { softThresholdDynamics } from "../../live/std.js";
import { CROP_NAMES, CURVE_POINTS, SIZE } from "./live.py";

const plateau = (distance, height, width, floor) =>
  floor + (height - floor) * 0.5 * (1 + Math.tanh(distance / width));
const disc = (x, y, cx, cy, radius) => radius - Math.hypot(x - cx, y - cy);
function tube(x, y, ax, ay, bx, by, radius) {
  const along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
  const t = Math.min(1, Math.max(0, along));
  return radius - Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

// Each crop: the spread of its noise, its logits, and the made-up truth, a disc or null.
const CROPS = {
  "nodule and vessel": [0.3, (x, y) => Math.max(
    plateau(disc(x, y, 48, 56, 20), 3, 4, -3),
    plateau(tube(x, y, 114, -8, 92, 136, 4), -1.4, 3, -3),
    plateau(disc(x, y, 98, 90, 9), 1.4, 3, -3)), [48, 56, 20]],
  "vessel only": [0.3, (x, y) => {
    const branches = Math.max(tube(x, y, 66, 62, 54, 136, 4), tube(x, y, 66, 62, 136, 88, 3.5));
    return Math.max(
      plateau(Math.max(tube(x, y, 22, -8, 66, 62, 4), branches), -1.2, 3, -3),
      plateau(disc(x, y, 66, 62, 11), 1.2, 3, -3));
  }, null],
  "faint nodule": [0.3, (x, y) => Math.max(
    plateau(disc(x, y, 50, 58, 23), 1.4, 6, -3),
    plateau(disc(x, y, 102, 94, 9), 1.4, 3, -3)), [50, 58, 22]],
};

// Logits; the distance into the true disc, null without one; the truth and the surroundings of the
// nodule, 0 and 1.
function crop(name) {
  const [spread, logit, truth] = CROPS[name];
  const noise = whiteNoise(SIZE, CROP_NAMES.indexOf(name) + 11);
  const distance = atPixels(SIZE, (x, y) => (truth ? disc(x, y, ...truth) : -128));
  return {
    u: atPixels(SIZE, (x, y, i) => logit(x, y) + spread * noise[i]),
    distance: truth && distance,
    truth: distance.map((value) => value > 0), surroundings: distance.map((value) => value > -12),
  };
}

// Pixels above one half around the nodule and elsewhere, and Dice against the truth.
function areas(x, { truth, surroundings }) {
  const { area, dice } = overlap(x, truth), inside = overlap(x, surroundings).both;
  return { inside, elsewhere: area - inside, dice };
}

mount("detection_prior", (ui) => {
  const given = ui.field("logits u", SIZE, "The logits u, with the outline of the true nodule");
  const result = ui.field("x", SIZE, "The field x after the last step, with its outline at 0.5");
  const plot = ui.plot("Area against the classifier's answer", {
    x: "c", y: "% of the area at c = 1", xRange: [0, 1], yRange: [0, 105], full: true,
    label: "Area around the nodule and elsewhere in percent of that at c = 1, against c" });
  const show = ui.readouts(
    ["area of the nodule", "area elsewhere", "Dice with the truth", "logit shift λ₂(1 − c)"]);

  const cropOf = remember(crop);
  // A run for each c; the curve is kept while c alone changes.
  const curveOf = remember((p) => new Curve(coarseToFine(CURVE_POINTS), (i) => {
    const c = i / (CURVE_POINTS - 1), now = cropOf(p.crop);
    return { x: c, ...areas(softThresholdDynamics(now.u, SIZE, { ...p, c }), now) };
  }));

  let last;
  ui.run((p) => {
    last = p;
    const now = cropOf(p.crop), { u, distance } = now;
    const x = softThresholdDynamics(u, SIZE, p);
    const truth = [distance ? contour(distance, SIZE, 0, -1) : [], "third"];
    given.draw(u, "signed", -3, 3);
    given.contours([truth]);
    result.draw(x, "share", 0, 1);
    result.contours([truth, [contour(x, SIZE), "contour"]]);
    result.title(xAfter(p.iterations));
    const { inside, elsewhere, dice } = areas(x, now);
    show(
      distance ? `${inside} px` : "no nodule", `${elsewhere} px`,
      distance ? dice.toFixed(3) : "no truth", (p.lambda2 * (1 - p.c)).toFixed(2));
    return { input: u, field: x, height: SIZE, width: SIZE };
  }, () => ui.refine(curveOf({ ...last, c: null }), (curve) => {
    // The second point is c = 1: what is marked without the prior.
    const share = (where) => (point) =>
      (100 * point[where]) / Math.max(1, curve.points[1][where]);
    const lines = [curve.line(share("elsewhere"), "second", "elsewhere: false positives")];
    if (cropOf(last.crop).distance) {
      lines.unshift(curve.line(share("inside"), "first", "around the nodule"));
    }
    plot.draw(lines, [{ x: last.c, kind: "cursor" }]);
  }));
});
