// The collapse to empty masks in a page; live.py is its other face.
import { mount } from "../../live/figure.js";
import { fixed, scientific } from "../../live/format.js";
import { sigmoid, softplus } from "../../live/logistic.js";
import {
  ALL, CENTRE, CROSS, LOGITS, LOWEST, NODULES, NOTHING, OF_BATCH, PER_NODULE, PER_SLICE, PER_UNIT, SIDE,
  SLICES, TICKS,
} from "./live.py";

const PIXELS = SIDE * SIDE;

// All pixels, those nearest to the centre first.
const NEAREST = Array.from({ length: PIXELS }, (_, i) => ({
  i, far: Math.hypot(Math.floor(i / SIDE) - CENTRE[0], (i % SIDE) - CENTRE[1]),
})).sort((a, b) => a.far - b.far || a.i - b.i).map(({ i }) => i);

function nodule(area) {
  const mask = new Float32Array(PIXELS);
  for (let k = 0; k < area; k++) mask[NEAREST[k]] = 1;
  return mask;
}

// The loss at a logit z outside nodules, and how strongly nodules pull z up and all else pulls it
// down. Every pixel of a nodule has one probability p, every other q: the sums of Dice are products.
function at(z, { loss, empty, area, contrast, smooth: s }) {
  const p = sigmoid(z + contrast), q = sigmoid(z), full = SLICES - empty;
  const dp = p * (1 - p), dq = q * (1 - q);
  let [value, up, down] = [0, 0, 0];
  // `weight` pictures with `inside` pixels of nodules and `outside` others.
  const dice = (weight, inside, outside) => {
    const above = 2 * inside * p + s, below = inside * p + outside * q + inside + s;
    value += weight * (1 - above / below);
    up += weight * inside * dp * (2 * below - above) / below ** 2;
    down += weight * outside * dq * above / below ** 2;
  };
  if (loss.startsWith(PER_SLICE)) {
    dice(full / SLICES, area, PIXELS - area);
    dice(empty / SLICES, 0, PIXELS);
  } else if (loss.startsWith(PER_NODULE)) {
    dice(1, area, PIXELS - area);
  } else if (loss.startsWith(OF_BATCH)) {
    dice(1, full * area, SLICES * PIXELS - full * area);
  }
  if (loss.endsWith(CROSS)) {
    const share = (full * area) / (SLICES * PIXELS);
    value += share * softplus(-z - contrast) + (1 - share) * softplus(z);
    up += share * (1 - p);
    down += (1 - share) * q;
  }
  return { value, up, down };
}

// The place on the grid where a walk downhill ends.
function descend(values, start) {
  for (let place = start; ;) {
    const left = values[Math.max(place - 1, 0)];
    const right = values[Math.min(place + 1, values.length - 1)];
    if (Math.min(left, right) > values[place] - 1e-9) return place;
    place += left < right ? -1 : 1;
  }
}

function marked(z, contrast) {
  if (sigmoid(z) > 0.5) return ALL;
  return sigmoid(z + contrast) > 0.5 ? NODULES : NOTHING;
}

const xTicks = Object.entries(TICKS).map(([name, p]) => [Math.log(p / (1 - p)), name]);
const PULLS = [[-6, "10⁻⁶"], [-4, "10⁻⁴"], [-2, "0.01"], [0, "1"]];

mount("collapse", (ui) => {
  ui.views.classList.add("lf-beside");
  const first = ui.field("start", SIDE, "The answer to a slice with a nodule, at the start");
  const last = ui.field("end", SIDE, "The answer to the same slice where descent ends");
  const axis = { x: "probability outside nodules", xRange: [LOWEST - 0.4, LOGITS.at(-1) + 0.2] };
  const losses = ui.plot("Loss", { ...axis, y: "loss",
    label: "The loss over the probability outside nodules, with start and end of descent" });
  const pulls = ui.plot("Who pulls", { ...axis, y: "pull", yRange: [-6, Math.log10(2)],
    label: "How strongly nodules pull the answer up, and how strongly all else pulls it down" });
  const show = ui.readouts(["it ends with", "probability inside, there",
    "probability outside, there", "loss, start and end"]);

  ui.run((p) => {
    const points = LOGITS.map((z) => at(z, p)), values = points.map(({ value }) => value);
    const start = Math.round((p.logit - LOWEST) * PER_UNIT), end = descend(values, start);
    const mask = nodule(p.area);
    for (const [view, place, title] of [[first, start, "start"], [last, end, "end"]]) {
      const z = LOGITS[place], [inside, outside] = [sigmoid(z + p.contrast), sigmoid(z)];
      view.draw(mask.map((nodule) => (nodule ? inside : outside)), "share", 0, 1);
      const what = marked(z, p.contrast);
      view.contours([[mask, "muted"], ...(what === NODULES ? [[mask, "contour"]] : [])]);
      view.title(`${title}: ${what}`);
    }
    const here = { x: LOGITS[start], kind: "cursor" };
    losses.draw([{ x: LOGITS, y: values, kind: "first" }], [
      here, { x: LOGITS[start], y: values[start], kind: "first" },
      { x: LOGITS[end], y: values[end], kind: "second" }], { xTicks });
    const log = (name) => points.map((point) => Math.log10(Math.max(point[name], 1e-12)));
    pulls.draw([
      { x: LOGITS, y: log("up"), kind: "first", label: "nodules pull up" },
      { x: LOGITS, y: log("down"), kind: "second", label: "all else pulls down" },
    ], [here], { xTicks, yTicks: PULLS });
    const share = (value) => (value < 1e-3 ? scientific(value) : fixed(value));
    const z = LOGITS[end];
    show(marked(z, p.contrast), share(sigmoid(z + p.contrast)), share(sigmoid(z)),
      `${fixed(values[start])}, ${fixed(values[end])}`);
    return {
      input: Float32Array.from(LOGITS), field: Float32Array.from(values),
      height: 1, width: LOGITS.length,
    };
  });
});
