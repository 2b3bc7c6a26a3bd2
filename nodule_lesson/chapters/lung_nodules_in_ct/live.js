// A crop of CT through a window in a page; live.py is its other face and sends the crops.
import { contour } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const CROP_SIDE = 96, SOLID = -500;
const BIN = { first: -1048, width: 32, count: 71 };

// Crops come as base64: HU as 16-bit numbers, the outline as bits.
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export function unpack([hu, outline]) {
  const view = new DataView(bytesOf(hu).buffer), bits = bytesOf(outline);
  const pixels = Array.from({ length: view.byteLength / 2 }, (_, i) => i);
  return {
    hu: Float32Array.from(pixels, (i) => view.getInt16(2 * i, true)),
    outline: Uint8Array.from(pixels, (i) => (bits[i >> 3] >> (i & 7)) & 1),
  };
}

// The HU that become 0 and 1.
export function windowEnds(p, hu, range) {
  if (p.display === "HU window") return [p.level - p.width / 2, p.level + p.width / 2];
  if (p.display !== "the paper's Eq. (6), each slice") return range;
  return [hu.reduce((a, b) => Math.min(a, b)), hu.reduce((a, b) => Math.max(a, b))];
}

// The paper's Eq. (6) between two values; what lies beyond them is cut, and 0/0 is 0.
export function stretch(hu, [low, high]) {
  const scale = high > low ? 1 / (high - low) : 0;
  return hu.map((value) => Math.min(1, Math.max(0, (value - low) * scale)));
}

// Mean of the displayed values over lung and over the nodule.
export function meansOf(field, hu, outline) {
  const sum = [0, 0], count = [0, 0];
  field.forEach((value, i) => {
    if (!outline[i] && hu[i] >= SOLID) return;
    sum[outline[i]] += value;
    count[outline[i]]++;
  });
  return { lung: sum[0] / count[0], nodule: sum[1] / count[1] };
}

// Percent of the pixels in each bin; what lies beyond counts to the last ones.
export function histogram(hu, counts) {
  const bins = new Float64Array(BIN.count);
  let total = 0;
  hu.forEach((value, i) => {
    if (!counts(i)) return;
    const bin = Math.floor((value - BIN.first) / BIN.width);
    bins[Math.min(BIN.count - 1, Math.max(0, bin))]++;
    total++;
  });
  return bins.map((bin) => (100 * bin) / Math.max(1, total));
}

mount("ct_window", (ui) => {
  const shown = ui.field("", CROP_SIDE, "The crop as displayed, with the outline of the nodule");
  shown.canvas.dataset.grey = "";
  shown.canvas.closest(".lf-view").classList.remove("lf-half"); // as wide as a telephone: it is alone
  const plot = ui.plot("Histogram of the crop", {
    x: "HU", y: "% of the pixels", yRange: [0, 35],
    xRange: [BIN.first, BIN.first + BIN.width * BIN.count],
    label: "Histograms of all pixels and of the nodule's pixels over HU, with the window's ends" });
  const show = ui.readouts(
    ["HU shown as 0 and 1", "pixels beyond them", "lung and nodule, mean", "their contrast"]);
  const middles = Array.from({ length: BIN.count }, (_, i) => BIN.first + BIN.width * (i + 0.5));
  const signed = (value) => String(value).replace("-", "−");

  let base = { name: null };
  ui.run((p) => {
    if (base.name !== p.nodule) {
      const { hu, outline } = unpack(ui.options.types[p.nodule]);
      base = {
        name: p.nodule, hu, outline, lines: contour(outline, CROP_SIDE),
        all: histogram(hu, () => true), part: histogram(hu, (i) => outline[i]),
      };
    }
    const { hu, outline, lines, all, part } = base;
    const [low, high] = windowEnds(p, hu, ui.options.range);
    const field = stretch(hu, [low, high]);
    shown.title(p.display);
    shown.draw(field, ["black", "white"], 0, 1);
    shown.contours([[lines, "contour"]]);
    plot.draw([
      { x: middles, y: all, kind: "muted", label: "all pixels" },
      { x: middles, y: part, kind: "first", label: "nodule" },
    ], [{ x: low, kind: "second", label: "become 0 and 1" }, { x: high, kind: "second" }]);
    const { lung, nodule } = meansOf(field, hu, outline);
    const lost = hu.reduce((count, value) => count + (value < low || value > high), 0);
    show(
      `${signed(low)} and ${signed(high)}`, `${((100 * lost) / hu.length).toFixed(1)} %`,
      `${lung.toFixed(3)} and ${nodule.toFixed(3)}`, signed((nodule - lung).toFixed(3)));
    return { input: hu, field, height: CROP_SIDE, width: CROP_SIDE };
  });
});
