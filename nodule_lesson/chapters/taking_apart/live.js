// The prior's trade-off in a page; live.py is its other face and sends the slices.
import { unpackCrop } from "../../live/arrays.js";
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { softThresholdDynamics } from "../../live/std.js";
import { CROP_NAMES, GRID, ITERATIONS, SIZE, U_STEP } from "./live.py";

// c of each slice: the classifier's own at 0, the truth at 1, a stranger's at -1.
const answersOf = ({ c, nodule, order }, quality) =>
  c.map((own, i) => own + Math.abs(quality) * ((quality > 0 ? nodule[i] : c[order[i]]) - own));

// Shares of nodules missed and of empty slices marked, by each slice's critical shift.
function sharesOf({ nodule, shift }, lambda2, c) {
  let [missed, nodules, marked] = [0, 0, 0];
  for (let i = 0; i < c.length; i++) {
    const unmarked = lambda2 * (1 - c[i]) >= shift[i];
    nodules += nodule[i];
    if (nodule[i]) missed += unmarked;
    else marked += !unmarked;
  }
  return [missed / nodules, marked / (c.length - nodules)];
}

mount("prior_tradeoff", (ui) => {
  const slices = ui.options;
  const crops = slices.crops.map((packed) => unpackCrop(packed, U_STEP)).map((crop) => ({
    ...crop, plain: contour(crop.u, SIZE, 0, -1), border: contour(crop.truth, SIZE) }));
  const views = CROP_NAMES.map((name) => ui.field(name, SIZE,
    `Crop: ${name}. Outlines of x, of the plain sigmoid and of the truth`, "lf-half lf-scan"));
  const plane = ui.plot("What is traded", {
    x: "empty slices marked, %", y: "nodules missed, %", xRange: [0, 25], yRange: [0, 50], full: true,
    label: "Share of nodules missed over the share of empty slices marked, as λ₂ grows" });
  ui.views.classList.add("lf-three");
  const show = ui.readouts(["nodules missed", "empty slices marked", "c of the three crops"]);

  const curveOf = (quality, kind, label) => {
    const c = answersOf(slices, quality);
    const shares = GRID.map((lambda2) => sharesOf(slices, lambda2, c));
    return {
      x: shares.map(([, marked]) => 100 * marked), y: shares.map(([missed]) => 100 * missed),
      kind, label,
    };
  };
  const fixed = [
    curveOf(-1, "muted", "c shuffled"), curveOf(0, "second", "the classifier’s own"),
    curveOf(1, "third", "the truth"),
  ];
  const nodules = slices.nodule.filter(Boolean).length;
  const empties = slices.nodule.length - nodules;

  ui.run(({ lambda2, quality }) => {
    const c = answersOf(slices, quality);
    const input = new Float32Array(crops.length * SIZE * SIZE), field = input.slice();
    crops.forEach((crop, i) => {
      const x = softThresholdDynamics(crop.u, SIZE, {
        sigma: slices.sigma, lambda1: 1, epsilon: 1, iterations: ITERATIONS, lambda2,
        c: c[slices.shown[i]] });
      input.set(crop.u, i * SIZE * SIZE);
      field.set(x, i * SIZE * SIZE);
      views[i].draw(crop.image, "grey", 0, 1);
      views[i].contours(
        [[crop.plain, "second"], [contour(x, SIZE), "contour"], [crop.border, "third"]]);
    });
    const [missed, marked] = sharesOf(slices, lambda2, c);
    plane.draw([...fixed, curveOf(quality, "first", "this c")],
      [{ x: 100 * marked, y: 100 * missed, kind: "first" }]);
    const share = (value, count) =>
      `${Math.round(value * count)} of ${count}, ${(100 * value).toFixed(0)} %`;
    show(share(missed, nodules), share(marked, empties),
      slices.shown.map((i) => c[i].toFixed(2)).join(", "));
    return { input, field, height: crops.length * SIZE, width: SIZE };
  });
});
