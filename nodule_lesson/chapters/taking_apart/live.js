// The prior's trade-off in a page; live.py is its other face and sends the slices.
import { contour, softThresholdDynamics } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const SIDE = 64, LOGIT_STEP = 1e-3;
const LAMBDAS = Array.from({ length: 161 }, (_, i) => i / 10);
const NAMES = ["nodule that c doubts", "empty, c says so", "empty, c is fooled"];

// A crop comes as base64: logits in thousandths, 16 bits each; grey as bytes; the truth as bits.
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export function unpackSlice([logits, grey, bits]) {
  const view = new DataView(bytesOf(logits).buffer), truth = bytesOf(bits);
  const pixels = Array.from({ length: view.byteLength / 2 }, (_, i) => i);
  return {
    u: Float32Array.from(pixels, (i) => view.getInt16(2 * i, true) * LOGIT_STEP),
    image: Float32Array.from(bytesOf(grey), (value) => value / 255),
    truth: Uint8Array.from(pixels, (i) => (truth[i >> 3] >> (i & 7)) & 1),
  };
}

// c of each slice: the classifier's own at 0, the truth at 1, a stranger's at -1.
export const answersOf = ({ c, nodule, order }, quality) =>
  c.map((own, i) => own + Math.abs(quality) * ((quality > 0 ? nodule[i] : c[order[i]]) - own));

// Shares of nodules missed and of empty slices marked, by each slice's critical shift.
export function sharesOf({ nodule, shift }, lambda2, c) {
  let [missed, nodules, marked] = [0, 0, 0];
  for (let i = 0; i < c.length; i++) {
    const off = lambda2 * (1 - c[i]) >= shift[i];
    nodules += nodule[i];
    if (nodule[i]) missed += off;
    else marked += !off;
  }
  return [missed / nodules, marked / (c.length - nodules)];
}

mount("prior_tradeoff", (ui) => {
  const slices = ui.options;
  const crops = slices.crops.map(unpackSlice).map((crop) => ({
    ...crop, plain: contour(crop.u, SIDE, 0, -1), border: contour(crop.truth, SIDE) }));
  const views = NAMES.map((name) => {
    const view = ui.field(name, SIDE,
      `Crop: ${name}. Outlines of x, of the plain sigmoid and of the truth`);
    view.canvas.dataset.grey = "";
    view.canvas.closest(".lf-view").classList.add("lf-scan");
    return view;
  });
  const plane = ui.plot("What is traded", {
    x: "empty slices marked, %", y: "nodules missed, %", xRange: [0, 25], yRange: [0, 50],
    label: "Share of nodules missed over the share of empty slices marked, as λ₂ grows" });
  ui.views.classList.add("lf-three");
  ui.views.lastChild.classList.add("lf-full");
  const show = ui.readouts(["nodules missed", "empty slices marked", "c of the three crops"]);

  const curveOf = (quality, kind, label) => {
    const c = answersOf(slices, quality), all = LAMBDAS.map((l) => sharesOf(slices, l, c));
    return {
      x: all.map(([, marked]) => 100 * marked), y: all.map(([missed]) => 100 * missed), kind, label };
  };
  const fixed = [
    curveOf(-1, "muted", "c shuffled"), curveOf(0, "second", "the classifier’s own"),
    curveOf(1, "third", "the truth"),
  ];
  const nodules = slices.nodule.reduce((sum, one) => sum + one, 0);
  const empties = slices.nodule.length - nodules;

  ui.run(({ lambda2, quality }) => {
    const c = answersOf(slices, quality);
    const input = new Float32Array(crops.length * SIDE * SIDE), field = input.slice();
    const told = crops.map((crop, i) => {
      const now = c[slices.shown[i]];
      const x = softThresholdDynamics(crop.u, SIDE, {
        sigma: slices.sigma, lambda1: 1, epsilon: 1, iterations: 10, lambda2, c: now });
      input.set(crop.u, i * SIDE * SIDE);
      field.set(x, i * SIDE * SIDE);
      views[i].draw(crop.image, ["black", "white"], 0, 1);
      views[i].contours(
        [[crop.plain, "second"], [contour(x, SIDE), "contour"], [crop.border, "third"]]);
      return now.toFixed(2);
    });
    const [missed, marked] = sharesOf(slices, lambda2, c);
    plane.draw([...fixed, curveOf(quality, "first", "this c")],
      [{ x: 100 * marked, y: 100 * missed, kind: "first" }]);
    const share = (value, count) =>
      `${Math.round(value * count)} of ${count}, ${(100 * value).toFixed(0)} %`;
    show(share(missed, nodules), share(marked, empties), told.join(", "));
    return { input, field, height: crops.length * SIDE, width: SIDE };
  });
});
