// A crop and one threshold in a page; live.py is its other face and sends the crops.
import { contour } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const TILE = 64, NEAR = 4, FIRST = -1000, LAST = 400, PACE = 10;
const HU_BINS = { first: -1024, width: 32, count: 64 };
const THRESHOLDS = Array.from({ length: (LAST - FIRST) / PACE + 1 }, (_, i) => FIRST + PACE * i);

// A crop comes as base64: HU as 16-bit numbers, the outline as bits; then the slice's range.
const bytesFrom = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export function unpackTile([packed, bits, low, high]) {
  const view = new DataView(bytesFrom(packed).buffer), truth = bytesFrom(bits);
  const pixels = Array.from({ length: view.byteLength / 2 }, (_, i) => i);
  return {
    low, high,
    hu: Int16Array.from(pixels, (i) => view.getInt16(2 * i, true)),
    truth: Uint8Array.from(pixels, (i) => (truth[i >> 3] >> (i & 7)) & 1),
  };
}

// The least or the largest value under a disc; outside the crop is nothing, the least of all.
function underDisc(values, radius, best) {
  const result = new Int16Array(values.length);
  for (let y = 0, i = 0; y < TILE; y++) {
    for (let x = 0; x < TILE; x++, i++) {
      let found = values[i];
      for (let dy = -radius; dy <= radius; dy++) {
        const reach = Math.floor(Math.sqrt(radius * radius - dy * dy));
        for (let dx = -reach; dx <= reach; dx++) {
          const inside = y + dy >= 0 && y + dy < TILE && x + dx >= 0 && x + dx < TILE;
          found = best(found, inside ? values[i + dy * TILE + dx] : -32768);
        }
      }
      result[i] = found;
    }
  }
  return result;
}
export const openedBy = (hu, radius) =>
  underDisc(underDisc(hu, radius, Math.min), radius, Math.max);

// Pixels from the nearest to the centre outwards.
const INWARDS = Array.from({ length: TILE * TILE }, (_, i) => i);
const MIDDLE = (TILE - 1) / 2;
const SQUARE = INWARDS.map((i) =>
  (Math.floor(i / TILE) - MIDDLE) ** 2 + ((i % TILE) - MIDDLE) ** 2);
INWARDS.sort((a, b) => SQUARE[a] - SQUARE[b] || a - b);

// The part of what is brighter that comes nearest to the centre, over four neighbours.
export function centralPart(grey, t) {
  const mask = new Float32Array(grey.length);
  const start = INWARDS.find((i) => SQUARE[i] > NEAR * NEAR || grey[i] > t);
  if (SQUARE[start] > NEAR * NEAR) return mask;
  const waiting = [start];
  mask[start] = 1;
  while (waiting.length) {
    const i = waiting.pop(), x = i % TILE;
    for (const [next, there] of [
      [i - TILE, i >= TILE], [i + TILE, i + TILE < grey.length], [i - 1, x > 0], [i + 1, x < TILE - 1]]) {
      if (there && !mask[next] && grey[next] > t) {
        mask[next] = 1;
        waiting.push(next);
      }
    }
  }
  return mask;
}
const keptOf = (grey, keep, t) =>
  keep === "the central part" ? centralPart(grey, t) : Float32Array.from(grey, (v) => +(v > t));

export function diceOf(mask, truth) {
  let [both, sum] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    both += mask[i] * truth[i];
    sum += mask[i] + truth[i];
  }
  return (2 * both) / sum;
}

// Variance between the classes of each threshold as a share of all, and Otsu's own threshold,
// which may be any value of the crop. From the sorted values: two running sums do.
export function classesOf(hu) {
  const sorted = Int16Array.from(hu).sort(), n = sorted.length;
  const mean = sorted.reduce((sum, v) => sum + v, 0) / n;
  const total = sorted.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
  const between = new Map(); // by the largest value of the darker class
  let [count, sum, otsu, most] = [0, 0, sorted[0], -1];
  for (let i = 0; i < n; i++) {
    count++;
    sum += sorted[i] - mean;
    if (i + 1 < n && sorted[i + 1] === sorted[i]) continue;
    const share = i + 1 < n ? sum ** 2 / (count * (n - count)) / total : 0;
    between.set(sorted[i], share);
    if (share > most) [most, otsu] = [share, sorted[i]];
  }
  const values = [...between.keys()];
  const variance = THRESHOLDS.map((t) => {
    const darker = values.filter((v) => v <= t);
    return darker.length ? between.get(darker.at(-1)) : 0;
  });
  return { otsu, variance };
}

// Percent of the chosen values in each bin; what lies beyond counts to the last ones.
export function percentages(hu, chosen) {
  const bins = new Float64Array(HU_BINS.count);
  let total = 0;
  hu.forEach((value, i) => {
    if (!chosen(i)) return;
    const bin = Math.floor((value - HU_BINS.first) / HU_BINS.width);
    bins[Math.min(HU_BINS.count - 1, Math.max(0, bin))]++;
    total++;
  });
  return bins.map((bin) => (100 * bin) / total);
}

mount("threshold", (ui) => {
  const shown = ui.field("crop, truth dotted", TILE, "The crop with the outlines of what is kept and of the truth");
  shown.canvas.dataset.grey = "";
  shown.canvas.closest(".lf-view").classList.add("lf-scan");
  const marked = ui.field("brighter, and kept", TILE, "What is brighter than the threshold, and what is kept of it");
  ui.views.classList.add("lf-beside");
  const axis = { x: "HU", xRange: [FIRST, LAST] };
  const histogram = ui.plot("Histogram", { ...axis, y: "% of the pixels", yRange: [0, 40],
    label: "Histograms of all pixels and of the nodule's pixels over HU, with the threshold" });
  const curves = ui.plot("Every threshold", { ...axis, y: "Dice, share of variance", yRange: [0, 1.02],
    label: "Dice and the variance between the classes against the threshold" });
  const show = ui.readouts(["Dice", "Otsu's threshold and Dice", "best threshold and Dice",
    "your threshold after Eq. (6)"]);
  const middles = Array.from({ length: HU_BINS.count }, (_, i) =>
    HU_BINS.first + HU_BINS.width * (i + 0.5));
  const signed = (value) => String(value).replace("-", "−");

  let base = { name: null }, grid = { key: null };
  ui.run((p) => {
    if (base.name !== p.nodule) {
      const tile = unpackTile(ui.options.crops[p.nodule]);
      const { hu, truth, low, high } = tile;
      base = {
        name: p.nodule, ...tile, ...classesOf(hu), border: contour(truth, TILE),
        scaled: Float32Array.from(hu, (value) => (value - low) / (high - low)),
        all: percentages(hu, () => true), part: percentages(hu, (i) => truth[i]),
      };
    }
    const { hu, truth, low, high, otsu, variance, border, scaled, all, part } = base;
    const key = [p.nodule, p.keep, p.opening].join();
    if (grid.key !== key) {
      const grey = openedBy(hu, p.opening === "none" ? 0 : parseInt(p.opening, 10));
      const scores = THRESHOLDS.map((t) => diceOf(keptOf(grey, p.keep, t), truth));
      const best = scores.reduce((a, score, i) => (score > scores[a] ? i : a), 0);
      grid = { key, grey, scores, best, ofOtsu: diceOf(keptOf(grey, p.keep, otsu), truth) };
    }
    const { grey, scores, best, ofOtsu } = grid;
    const mask = keptOf(grey, p.keep, p.threshold);
    const edge = contour(mask, TILE);
    shown.draw(scaled, ["black", "white"], 0, 1);
    shown.contours([[edge, "contour"], [border, "third"]]);
    marked.draw(mask.map((kept, i) => (kept + (grey[i] > p.threshold)) / 2),
      ["low", "middle", "high"], 0, 1);
    marked.contours([[edge, "contour"]]);
    const marks = [
      { x: otsu, kind: "second", label: "Otsu's threshold" },
      { x: p.threshold, kind: "cursor" }];
    histogram.draw([
      { x: middles, y: all, kind: "muted", label: "all pixels" },
      { x: middles, y: part, kind: "first", label: "nodule" }], marks);
    curves.draw([
      { x: THRESHOLDS, y: scores, kind: "first", label: "Dice" },
      { x: THRESHOLDS, y: variance, kind: "third", label: "variance between the classes" }],
      [{ x: otsu, kind: "second" }, { x: p.threshold, kind: "cursor" },
        { x: THRESHOLDS[best], y: scores[best], kind: "first" }]);
    show(
      diceOf(mask, truth).toFixed(3), `${signed(otsu)} HU, ${ofOtsu.toFixed(3)}`,
      `${signed(THRESHOLDS[best])} HU, ${scores[best].toFixed(3)}`,
      signed(((p.threshold - low) / (high - low)).toFixed(3)));
    return {
      input: scaled, field: mask, height: TILE, width: TILE, scores, variance,
      all: Array.from(all), part: Array.from(part) };
  });
});
