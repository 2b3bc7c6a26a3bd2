// A crop of CT through a window in a page; live.py is its other face and sends the crops.
import { unpackBits, unpackNumbers } from "../../live/arrays.js";
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { fixed, minus } from "../../live/format.js";
import { histogram } from "../../live/measures.js";
import { remember } from "../../live/slow.js";
import { AIR_AND_TISSUE, BINS, SIZE, SLICE, WINDOW } from "./live.py";

// The HU that become 0 and 1.
function windowEnds(p, hu, range) {
  if (p.display === WINDOW) return [p.level - p.width / 2, p.level + p.width / 2];
  if (p.display !== SLICE) return range;
  return [hu.reduce((a, b) => Math.min(a, b)), hu.reduce((a, b) => Math.max(a, b))];
}

// The paper's Eq. (6) between two values; what lies beyond them is cut, and 0/0 is 0.
function stretch(hu, [low, high]) {
  const scale = high > low ? 1 / (high - low) : 0;
  return hu.map((value) => Math.min(1, Math.max(0, (value - low) * scale)));
}

// Mean of the displayed values over lung and over the nodule.
function meansOf(field, hu, outline) {
  const sum = [0, 0], count = [0, 0];
  field.forEach((value, i) => {
    if (!outline[i] && hu[i] >= AIR_AND_TISSUE) return;
    sum[outline[i]] += value;
    count[outline[i]]++;
  });
  return { lung: sum[0] / count[0], nodule: sum[1] / count[1] };
}

mount("ct_window", (ui) => {
  const shown = ui.field(
    "", SIZE, "The crop as displayed, with the outline of the nodule", "");
  const plot = ui.plot("Histogram of the crop", {
    x: "HU", y: "% of the pixels", yRange: [0, 35], xRange: [BINS[0], BINS.at(-1)],
    label: "Histograms of all pixels and of the nodule's pixels over HU, with the window's ends" });
  const show = ui.readouts(
    ["HU shown as 0 and 1", "pixels beyond them", "lung and nodule, mean", "their contrast"]);

  const cropOf = remember((name) => {
    const packed = ui.options.crops[name], outline = unpackBits(packed.outline);
    const hu = Float32Array.from(unpackNumbers(packed.hu));
    return {
      hu, outline, line: contour(outline, SIZE),
      all: histogram(hu, BINS), nodule: histogram(hu.filter((_, i) => outline[i]), BINS),
    };
  });

  ui.run((p) => {
    const { hu, outline, line, all, nodule } = cropOf(p.nodule);
    const [low, high] = windowEnds(p, hu, ui.options.range);
    const field = stretch(hu, [low, high]), means = meansOf(field, hu, outline);
    shown.title(p.display);
    shown.draw(field, "grey", 0, 1);
    shown.contours([[line, "contour"]]);
    plot.draw([
      { ...all, kind: "muted", label: "all pixels" },
      { ...nodule, kind: "first", label: "nodule" },
    ], [{ x: low, kind: "second", label: "become 0 and 1" }, { x: high, kind: "second" }]);
    const lost = hu.filter((value) => value < low || value > high).length;
    show(
      `${minus(low)} and ${minus(high)}`, `${((100 * lost) / hu.length).toFixed(1)} %`,
      `${fixed(means.lung)} and ${fixed(means.nodule)}`, fixed(means.nodule - means.lung));
    return { input: hu, field, height: SIZE, width: SIZE };
  });
});
