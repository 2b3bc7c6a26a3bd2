// The detection prior in a page; live.py is its other face and has the same crops.
import { contour, softThresholdDynamics, whiteNoise } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const CROP_SIZE = 96;

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

// Logits; the signed distance into the true disc, null without one.
export function crop(name, n) {
  const [spread, logit, truth] = CROPS[name];
  const place = (i) => [(((i % n) + 0.5) * 128) / n, ((Math.floor(i / n) + 0.5) * 128) / n];
  const noise = whiteNoise(n, Object.keys(CROPS).indexOf(name) + 11);
  return {
    u: Float32Array.from(noise, (value, i) => logit(...place(i)) + spread * value),
    distance: truth && Float64Array.from(noise, (_, i) => disc(...place(i), ...truth)),
  };
}

// Pixels above one half around the nodule and elsewhere, and Dice against the truth.
export function areas(x, distance) {
  let [inside, elsewhere, both, truth] = [0, 0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const depth = distance ? distance[i] : -128;
    if (depth > 0) truth++;
    if (x[i] > 0.5) {
      if (depth > -12) inside++;
      else elsewhere++;
      if (depth > 0) both++;
    }
  }
  return { inside, elsewhere, dice: truth ? (2 * both) / (inside + elsewhere + truth) : null };
}

// 0, 1, 1/2, 1/4, 3/4, 1/8, ... down to 32nds: a curve that is whole from its first points on.
const COARSE_TO_FINE = [0, 1, ...[2, 4, 8, 16, 32].flatMap((parts) =>
  Array.from({ length: parts / 2 }, (_, k) => (2 * k + 1) / parts))];

mount("detection_prior", (ui) => {
  const given = ui.field("logits u", CROP_SIZE, "The logits u, with the outline of the true nodule");
  const result = ui.field("x", CROP_SIZE, "The field x after the last step, with its outline at 0.5");
  const plot = ui.plot("Area against the classifier's answer", {
    x: "c", y: "% of the area at c = 1", xRange: [0, 1], yRange: [0, 105],
    label: "Area around the nodule and elsewhere in percent of that at c = 1, against c" });
  ui.views.lastChild.classList.add("lf-full");
  const show = ui.readouts(
    ["area of the nodule", "area elsewhere", "Dice with the truth", "logit shift λ₂(1 − c)"]);

  let base = { name: null };
  let last, next, curve = { key: null, points: [] };

  ui.run((p) => {
    if (base.name !== p.crop) base = { name: p.crop, ...crop(p.crop, CROP_SIZE) };
    const { u, distance } = base;
    const x = softThresholdDynamics(u, CROP_SIZE, p);
    last = { u, distance, p };
    const truth = [distance ? contour(distance, CROP_SIZE, 0, -1) : [], "third"];
    given.draw(u, ["negative", "zero", "positive"], -3, 3);
    given.contours([truth]);
    result.draw(x, ["low", "middle", "high"], 0, 1);
    result.contours([truth, [contour(x, CROP_SIZE), "contour"]]);
    result.title(`x after ${p.iterations} ${p.iterations === 1 ? "step" : "steps"}`);
    const { inside, elsewhere, dice } = areas(x, distance);
    show(
      distance ? `${inside} px` : "no nodule", `${elsewhere} px`,
      dice === null ? "no truth" : dice.toFixed(3), (p.lambda2 * (1 - p.c)).toFixed(2));
    return { input: u, field: x, height: CROP_SIZE, width: CROP_SIZE };
  });

  // The curve needs a run for each c: a few of them a frame, from coarse to fine, and none at all
  // while only c moves.
  function refine() {
    const { u, distance, p } = last;
    const key = JSON.stringify({ ...p, c: null });
    if (curve.key !== key) curve = { key, points: [] };
    const { points } = curve, end = performance.now() + 8;
    while (points.length < COARSE_TO_FINE.length && (points.length < 3 || performance.now() < end)) {
      const c = COARSE_TO_FINE[points.length];
      points.push({ c, ...areas(softThresholdDynamics(u, CROP_SIZE, { ...p, c }), distance) });
    }
    // COARSE_TO_FINE[1] is c = 1: what the outline holds without the prior.
    const share = (part) => points.map((point) =>
      [point.c, (100 * point[part]) / Math.max(1, points[1][part])]).sort((a, b) => a[0] - b[0]);
    const line = (part, kind, label) => {
      const pairs = share(part);
      return { x: pairs.map(([c]) => c), y: pairs.map(([, area]) => area), kind, label };
    };
    const curves = [line("elsewhere", "second", "elsewhere: false positives")];
    if (distance) curves.unshift(line("inside", "first", "around the nodule"));
    plot.draw(curves, [{ x: p.c, kind: "cursor" }]);
    cancelAnimationFrame(next);
    if (points.length < COARSE_TO_FINE.length) next = requestAnimationFrame(refine);
  }
  ui.later(refine);
  ui.update();
});
