// The collapse to empty masks in a page; live.py is its other face.
import { mount } from "../../live/figure.js";

const SIDE = 64, PIXELS = SIDE * SIDE, SLICES = 10;
const LOWEST = -12, PER_UNIT = 10, POINTS = 151;
const LOGITS = Array.from({ length: POINTS }, (_, i) => (i + LOWEST * PER_UNIT) / PER_UNIT);
const CENTRE = { row: 31.29, column: 31.83 };

const chance = (z) => 1 / (1 + Math.exp(-z));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

// All pixels, those nearest to the centre first.
const NEAREST = Array.from({ length: PIXELS }, (_, i) => ({
  i, far: Math.hypot(Math.floor(i / SIDE) - CENTRE.row, (i % SIDE) - CENTRE.column),
})).sort((a, b) => a.far - b.far || a.i - b.i).map(({ i }) => i);

export function nodule(area) {
  const mask = new Float32Array(PIXELS);
  for (let k = 0; k < area; k++) mask[NEAREST[k]] = 1;
  return mask;
}

// The loss at a logit z outside nodules, and how strongly nodules pull z up and all else pulls it
// down. Every pixel of a nodule has one probability p, every other q: the sums of Dice are products.
export function at(z, { loss, empty, area, contrast, smooth: s }) {
  const p = chance(z + contrast), q = chance(z), full = SLICES - empty;
  const dp = p * (1 - p), dq = q * (1 - q);
  let [value, up, down] = [0, 0, 0];
  // `weight` pictures with `inside` pixels of nodules and `outside` others.
  const dice = (weight, inside, outside) => {
    const above = 2 * inside * p + s, below = inside * p + outside * q + inside + s;
    value += weight * (1 - above / below);
    up += weight * inside * dp * (2 * below - above) / below ** 2;
    down += weight * outside * dq * above / below ** 2;
  };
  if (loss.startsWith("Dice by slice")) {
    dice(full / SLICES, area, PIXELS - area);
    dice(empty / SLICES, 0, PIXELS);
  } else if (loss.startsWith("Dice of the batch")) {
    dice(1, full * area, SLICES * PIXELS - full * area);
  }
  if (loss.endsWith("cross-entropy")) {
    const share = (full * area) / (SLICES * PIXELS);
    value += share * softplus(-z - contrast) + (1 - share) * softplus(z);
    up += share * (1 - p);
    down += (1 - share) * q;
  }
  return { value, up, down };
}

// The place on the grid where a walk downhill ends.
export function descend(values, start) {
  for (let place = start; ;) {
    const left = values[Math.max(place - 1, 0)];
    const right = values[Math.min(place + 1, values.length - 1)];
    if (Math.min(left, right) > values[place] - 1e-9) return place;
    place += left < right ? -1 : 1;
  }
}

export function marked(z, contrast) {
  if (chance(z) > 0.5) return "everything marked";
  return chance(z + contrast) > 0.5 ? "nodules marked" : "nothing marked";
}

const TICKS = Object.entries(
  { "10⁻⁵": 1e-5, "10⁻⁴": 1e-4, "10⁻³": 1e-3, 0.01: 0.01, 0.1: 0.1, 0.5: 0.5, 0.9: 0.9 },
).map(([name, p]) => [Math.log(p / (1 - p)), name]);
const PULLS = [[-6, "10⁻⁶"], [-4, "10⁻⁴"], [-2, "0.01"], [0, "1"]];

mount("collapse", (ui) => {
  ui.views.classList.add("lf-beside");
  const first = ui.field("start", SIDE, "The answer to a slice with a nodule, at the start");
  const last = ui.field("end", SIDE, "The answer to the same slice where descent ends");
  const axis = { x: "probability outside nodules", xRange: [LOWEST - 0.4, LOGITS[POINTS - 1] + 0.2] };
  const losses = ui.plot("Loss", { ...axis, y: "loss",
    label: "The loss over the probability outside nodules, with start and end of descent" });
  const pulls = ui.plot("Who pulls", { ...axis, y: "pull", yRange: [-6, Math.log10(2)],
    label: "How strongly nodules pull the answer up, and how strongly all else pulls it down" });
  const show = ui.readouts(["it ends with", "p in a nodule, there", "p outside, there",
    "loss, start and end"]);

  ui.run((p) => {
    const found = LOGITS.map((z) => at(z, p)), values = found.map(({ value }) => value);
    const start = Math.round((p.logit - LOWEST) * PER_UNIT), end = descend(values, start);
    const mask = nodule(p.area);
    for (const [view, place, title] of [[first, start, "start"], [last, end, "end"]]) {
      const z = LOGITS[place], [inside, outside] = [chance(z + p.contrast), chance(z)];
      view.draw(mask.map((one) => (one ? inside : outside)), ["low", "middle", "high"], 0, 1);
      view.contours([[mask, "muted"], ...(inside > 0.5 && outside <= 0.5 ? [[mask, "contour"]] : [])]);
      view.title(`${title}: ${marked(z, p.contrast)}`);
    }
    const here = { x: LOGITS[start], kind: "cursor" };
    losses.draw([{ x: LOGITS, y: values, kind: "first" }], [
      here, { x: LOGITS[start], y: values[start], kind: "first" },
      { x: LOGITS[end], y: values[end], kind: "second" }], { xTicks: TICKS });
    const log = (name) => found.map((one) => Math.log10(Math.max(one[name], 1e-12)));
    pulls.draw([
      { x: LOGITS, y: log("up"), kind: "first", label: "nodules pull up" },
      { x: LOGITS, y: log("down"), kind: "second", label: "all else pulls down" },
    ], [here], { xTicks: TICKS, yTicks: PULLS });
    const short = (value) => (value < 1e-3 ? value.toExponential(1).replace("-", "−") : value.toFixed(3));
    const there = LOGITS[end];
    show(marked(there, p.contrast), short(chance(there + p.contrast)), short(chance(there)),
      `${values[start].toFixed(3)}, ${values[end].toFixed(3)}`);
    return { input: Float32Array.from(LOGITS), field: Float32Array.from(values), height: 1, width: POINTS };
  });
});
