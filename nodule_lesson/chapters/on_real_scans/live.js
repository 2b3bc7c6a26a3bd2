// A crop and one threshold in a page; live.py is its other face and sends the crops.
import { unpackBits, unpackNumbers } from "../../live/arrays.js";
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { fixed, minus } from "../../live/format.js";
import { histogram, overlap } from "../../live/measures.js";
import { remember } from "../../live/slow.js";
import { BINS, CENTRAL, OPENINGS, SIZE, THRESHOLDS } from "./live.py";

// The smallest or the largest value under a disc; outside the crop is the smallest of all values.
function underDisc(values, radius, smallerOrLarger) {
  const results = new Int16Array(values.length);
  for (let y = 0, i = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++, i++) {
      let result = values[i];
      for (let dy = -radius; dy <= radius; dy++) {
        const reach = Math.floor(Math.sqrt(radius * radius - dy * dy));
        for (let dx = -reach; dx <= reach; dx++) {
          const inside = y + dy >= 0 && y + dy < SIZE && x + dx >= 0 && x + dx < SIZE;
          result = smallerOrLarger(result, inside ? values[i + dy * SIZE + dx] : -32768);
        }
      }
      results[i] = result;
    }
  }
  return results;
}
const openedBy = (hu, radius) =>
  underDisc(underDisc(hu, radius, Math.min), radius, Math.max);

// Pixels from the nearest to the centre outwards.
const INWARDS = Array.from({ length: SIZE * SIZE }, (_, i) => i);
const MIDDLE = (SIZE - 1) / 2;
const SQUARE = INWARDS.map((i) =>
  (Math.floor(i / SIZE) - MIDDLE) ** 2 + ((i % SIZE) - MIDDLE) ** 2);
INWARDS.sort((a, b) => SQUARE[a] - SQUARE[b] || a - b);

// The part of what is brighter that comes nearest to the centre, joined over four neighbours; nothing
// where it comes no nearer than `reach` pixels.
function centralPart(grey, t, reach) {
  const mask = new Float32Array(grey.length);
  const start = INWARDS.find((i) => SQUARE[i] > reach ** 2 || grey[i] > t);
  if (SQUARE[start] > reach ** 2) return mask;
  const waiting = [start];
  mask[start] = 1;
  while (waiting.length) {
    const i = waiting.pop(), x = i % SIZE;
    for (const [next, there] of [
      [i - SIZE, i >= SIZE], [i + SIZE, i + SIZE < grey.length], [i - 1, x > 0], [i + 1, x < SIZE - 1]]) {
      if (there && !mask[next] && grey[next] > t) {
        mask[next] = 1;
        waiting.push(next);
      }
    }
  }
  return mask;
}

// Variance between the classes of each threshold as a share of all variance, and Otsu's own
// threshold, which may be any value of the crop. Of the sorted values two running sums are enough.
function classesOf(hu) {
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

mount("threshold", (ui) => {
  ui.views.classList.add("lf-beside");
  const shown = ui.field("crop, truth dotted", SIZE,
    "The crop with the outlines of what is kept and of the truth", "lf-half lf-scan");
  const marked = ui.field("brighter, and kept", SIZE,
    "What is brighter than the threshold, and what is kept of it");
  const axis = { x: "HU", xRange: [THRESHOLDS[0], THRESHOLDS.at(-1)] };
  const pixels = ui.plot("Histogram", { ...axis, y: "% of the pixels", yRange: [0, 40],
    label: "Histograms of all pixels and of the nodule's pixels over HU, with the threshold" });
  const curves = ui.plot("Every threshold", { ...axis, y: "Dice, share of variance", yRange: [0, 1.02],
    label: "Dice and the variance between the classes against the threshold" });
  const show = ui.readouts(["Dice", "Otsu's threshold and Dice", "best threshold and Dice",
    "your threshold, min-max scaled"]);

  const cropOf = remember((name) => {
    const { hu: packed, outline, ends: [low, high] } = ui.options.crops[name];
    const hu = unpackNumbers(packed), truth = unpackBits(outline);
    const scaled = (value) => (value - low) / (high - low);
    return {
      hu, truth, border: contour(truth, SIZE), ...classesOf(hu), scaled,
      input: Float32Array.from(hu, scaled),
      all: histogram(hu, BINS), nodule: histogram(hu.filter((_, i) => truth[i]), BINS),
    };
  });
  const maskOf = (grey, keep, t) => keep === CENTRAL
    ? centralPart(grey, t, ui.options.reach) : Float32Array.from(grey, (value) => value > t);
  // The opened crop, Dice for every threshold, the best of them, and Dice of Otsu's.
  const scoresOf = remember((name, keep, opening) => {
    const { hu, truth, otsu } = cropOf(name), grey = openedBy(hu, OPENINGS[opening]);
    const diceAt = (t) => overlap(maskOf(grey, keep, t), truth).dice;
    const scores = THRESHOLDS.map(diceAt);
    return { grey, scores, best: scores.indexOf(Math.max(...scores)), ofOtsu: diceAt(otsu) };
  });

  ui.run((p) => {
    const { truth, border, otsu, variance, scaled, input, all, nodule } = cropOf(p.nodule);
    const { grey, scores, best, ofOtsu } = scoresOf(p.nodule, p.keep, p.opening);
    const mask = maskOf(grey, p.keep, p.threshold), edge = contour(mask, SIZE);
    shown.draw(input, "grey", 0, 1);
    shown.contours([[edge, "contour"], [border, "third"]]);
    marked.draw(mask.map((kept, i) => (kept + (grey[i] > p.threshold)) / 2), "share", 0, 1);
    marked.contours([[edge, "contour"]]);
    const marks = [
      { x: otsu, kind: "second", label: "Otsu's threshold" },
      { x: p.threshold, kind: "cursor" }];
    pixels.draw([
      { ...all, kind: "muted", label: "all pixels" },
      { ...nodule, kind: "first", label: "nodule" }], marks);
    curves.draw([
      { x: THRESHOLDS, y: scores, kind: "first", label: "Dice" },
      { x: THRESHOLDS, y: variance, kind: "third", label: "variance between the classes" }],
      [{ x: otsu, kind: "second" }, { x: p.threshold, kind: "cursor" },
        { x: THRESHOLDS[best], y: scores[best], kind: "first" }]);
    show(
      fixed(overlap(mask, truth).dice), `${minus(otsu)} HU, ${fixed(ofOtsu)}`,
      `${minus(THRESHOLDS[best])} HU, ${fixed(scores[best])}`, fixed(scaled(p.threshold)));
    return { input, field: mask, height: SIZE, width: SIZE };
  });
});
