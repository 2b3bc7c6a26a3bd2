// The trained network in a page; live.py is its other face. The network comes with a script of its own
// when the reader asks for it.
import { unpackBits, unpackBytes } from "../../live/arrays.js";
import { contour } from "../../live/contour.js";
import { loadScript, mountOnClick } from "../../live/figure.js";
import { fixed, xAfter } from "../../live/format.js";
import { sigmoid } from "../../live/logistic.js";
import { overlap } from "../../live/measures.js";
import { NetworkRun, unpackTensors } from "../../live/network.js";
import { whiteNoise } from "../../live/scenes.js";
import { coarseToFine, Curve, remember } from "../../live/slow.js";
import { softThresholdDynamics } from "../../live/std.js";
import { readPicture } from "./files.js";
import { MASKS, NOISE, NOISE_SEED, SCRIPT, SIDES, SURROUND, WIDTH } from "./live.py";

const BRUSH = 4; // radius of the drawn disc in pixels, of 64
const SHOWN = 512; // pixels a side of a slice on the screen, at most
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// --- pictures: {name, width, height, values, tissue, truth}, and what is drawn on them ---------------

function simulated(name, slices) {
  const size = { name, width: WIDTH, height: WIDTH };
  if (name === NOISE) {
    const values = whiteNoise(WIDTH, NOISE_SEED).map((z) => Math.floor(clamp(128 + 32 * z, 0, 255) + 0.5));
    return { ...size, values: Float32Array.from(values), tissue: 200, truth: null };
  }
  const { grey, truth, low, high } = slices[name], bits = unpackBits(truth);
  return {
    ...size, values: Float32Array.from(unpackBytes(grey)), tissue: (255 * (30 - low)) / (high - low),
    truth: bits.includes(1) ? bits : null,
  };
}

// A picture on which one can draw: `share` says how much of each pixel is a drawn nodule. No two states
// of any pictures have the same `version`.
let versions = 0;
class Sketch {
  constructor(picture) {
    Object.assign(this, picture, {
      original: picture.values, values: picture.values.slice(),
      share: new Float32Array(picture.values.length), version: versions++,
    });
  }

  // A soft disc of tissue, or with `erase` the picture as it was, a little further round.
  dab(x, y, brush, erase) {
    const radius = erase ? 1.5 * brush : brush;
    const { width, height, values, original, share, tissue } = this, reach = Math.ceil(radius + 2);
    for (let j = Math.max(0, Math.floor(y - reach)); j <= Math.min(height - 1, y + reach); j++) {
      for (let i = Math.max(0, Math.floor(x - reach)); i <= Math.min(width - 1, x + reach); i++) {
        const inside = clamp((radius - Math.hypot(i - x, j - y)) / 1.5 + 0.5, 0, 1), at = j * width + i;
        share[at] = erase ? Math.min(share[at], 1 - inside) : Math.max(share[at], inside);
        values[at] = original[at] + share[at] * (tissue - original[at]);
      }
    }
    this.version = versions++;
  }

  clear() {
    this.values.set(this.original);
    this.share.fill(0);
    this.version = versions++;
  }

  // A square part, or a square that holds all of the picture in fewer pixels, `outside` around it.
  square(left, top, side, { pixels = side, from = this.values, outside = 0 } = {}) {
    const part = new Float32Array(pixels * pixels).fill(outside), step = side / pixels;
    for (let y = 0, i = 0; y < pixels; y++) {
      for (let x = 0; x < pixels; x++, i++) {
        const row = top + Math.floor(y * step), column = left + Math.floor(x * step);
        if (row < this.height && column < this.width) part[i] = from[row * this.width + column];
      }
    }
    return part;
  }
}

function ends(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// --- the figure --------------------------------------------------------------------------------------

mountOnClick("network_in_the_page", {
  button: "Load the network",
  note: "Less than 2 MB from this site. Then the page needs neither a network nor Python.",
  load: async () => {
    const network = (await loadScript(SCRIPT)).network;
    return { network, tensors: unpackTensors(network) };
  },
}, (ui, { network, tensors }) => {
  ui.views.classList.add("lf-three");
  const slice = ui.field("slice", WIDTH, "The slice: drag the box over it", "lf-scan");
  const shown = ui.field("the box: draw here", 64,
    "The crop in the box with its outlines: draw here with the pointer, or with arrow keys and the space bar",
    "lf-scan");
  const given = ui.field("logits u", 64, "The network's logits u, with their outline at 0");
  const plain = ui.field("plain sigmoid of u", 64, "The plain sigmoid of u, with its outline at 0.5");
  const result = ui.field("x", 64, "The field x after the last step, with its outline at 0.5");
  const why = ui.field("what changed c", 64, "By how much c's logit falls where the crop is covered");
  const show = ui.readouts(["c, and its logit", "area of x, of Sig(u)", "Dice with the readers",
    "time of the answer"]);
  const say = ui.status();

  // --- pictures ---

  let picture, own = null;
  const sketchOf = remember((name) => new Sketch(simulated(name, ui.options.slices)));
  const current = (p) => own ?? sketchOf(p.slice);

  async function open(file) {
    if (!file) return;
    try {
      const parser = async () =>
        globalThis.dicomParser ?? (await loadScript("dicom-parser/dicomParser.min.js"), globalThis.dicomParser);
      own = new Sketch({ ...await readPicture(file, parser), name: file.name, truth: null });
      say(`${file.name}, ${own.width} × ${own.height} pixels, was read here and has not left this page. `
        + "What the network says of it is for teaching, not for clinical use.");
    } catch (error) {
      say(error.message);
      return;
    }
    ui.update();
  }
  ui.button("Open a picture of your own …", () => {
    const input = document.createElement("input");
    input.type = "file";
    input.addEventListener("change", () => open(input.files[0]));
    input.click();
  });
  ui.root.addEventListener("dragover", (event) => event.preventDefault());
  ui.root.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
  // Who chooses a slice, or starts again, leaves her own picture.
  const leave = () => {
    own = null;
    say("");
  };
  ui.panel.children[0].addEventListener("input", leave, true);

  // --- the box: a square that one drags, or moves with two sliders ---

  const whole = () => Math.max(picture.width, picture.height);
  function place(p) {
    const side = SIDES[p.size];
    const [left, top] = [[p.across, picture.width], [p.down, picture.height]].map(
      ([share, length]) => Math.floor((share * (length - side)) / 100 + 0.5));
    return { left, top, side };
  }
  slice.canvas.style.cursor = "move";
  let grip = [0, 0]; // from the box's corner to where it was taken
  const moveTo = (x, y) => {
    const { side } = place(ui.parameters), size = whole();
    for (const [key, at, length] of [
      ["across", x * size - grip[0], picture.width], ["down", y * size - grip[1], picture.height]]) {
      ui.controls[key].set(length > side ? clamp((100 * at) / (length - side), 0, 100) : 0);
    }
    ui.update();
  };
  ui.drag(slice.canvas, moveTo, (x, y) => {
    const { left, top, side } = place(ui.parameters), size = whole();
    const [right, below] = [x * size - left, y * size - top];
    const within = right >= 0 && right < side && below >= 0 && below < side;
    grip = within ? [right, below] : [side / 2, side / 2];
    moveTo(x, y);
  });

  // --- drawing ---

  let erase = false, cross = [];
  ui.paint(shown.canvas, 64, () => erase, (x, y, erasing) => {
    const { left, top, side } = place(ui.parameters), scale = side / 64;
    picture.dab(left + (x + 0.5) * scale - 0.5, top + (y + 0.5) * scale - 0.5, BRUSH * scale, erasing);
    ui.update();
  });
  ui.onCursor = ([x, y]) => {
    const scale = place(ui.parameters).side / 64;
    cross = [[x - 3, y, x + 3, y], [x, y - 3, x, y + 3]].map((line) => line.map((n) => n * scale));
    ui.update();
  };
  shown.canvas.addEventListener("blur", () => {
    cross = [];
    ui.update();
  });
  const toggle = (text, action) => {
    const button = ui.button(text, () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      action(on);
    });
    button.setAttribute("aria-pressed", "false");
    return button;
  };
  toggle("Eraser", (on) => (erase = on));
  ui.button("Clear the drawing", () => {
    picture.clear();
    ui.update();
  });
  ui.onReset = () => {
    leave();
    sketchOf(ui.parameters.slice).clear();
  };

  // --- the network ---

  const runOf = remember((size) => new NetworkRun(network, tensors, size));
  // The crop and what the network says of it: kept while only the last layer's parameters change.
  const answerOf = remember((version, left, top, side) => {
    const image = picture.square(left, top, side);
    const begin = (first, length) => clamp(first - (SURROUND - side) / 2, 0, length - SURROUND);
    const [low, high] = ends(
      picture.square(begin(left, picture.width), begin(top, picture.height), SURROUND));
    for (let i = 0; i < image.length; i++) image[i] = high > low ? (image[i] - low) / (high - low) : 0;
    const { u, logit } = runOf(side).run(image), kept = u.slice();
    return {
      image, u: kept, logit, c: sigmoid(logit), line: contour(kept, side, 0, -1),
      plain: Float32Array.from(kept, sigmoid),
      truth: picture.truth && picture.square(left, top, side, { from: picture.truth }),
    };
  });
  const overviewOf = remember(() => {
    const size = whole(), pixels = Math.min(size, SHOWN), [low, high] = ends(picture.values);
    return { view: picture.square(0, 0, size, { pixels, outside: low }), low, high, scale: pixels / size };
  });

  // --- what changed c ---

  let asked = false;
  toggle("Show what changed c", (on) => {
    asked = on;
    ui.update();
  });
  const changesOf = remember((version, left, top, side) => {
    const { image, logit } = answerOf(version, left, top, side);
    const patch = side / MASKS, steps = 2 * MASKS - 1, median = medianOf(image);
    return new Curve(coarseToFine(steps * steps), (i) => {
      const covered = image.slice(), x = ((i % steps) * patch) / 2, y = (Math.floor(i / steps) * patch) / 2;
      for (let row = y; row < y + patch; row++) {
        covered.fill(median, row * side + x, row * side + x + patch);
      }
      return { x, y, change: logit - runOf(side).run(covered).logit };
    });
  });
  function drawChanges({ points, complete }, side) {
    const total = new Float32Array(side * side), count = new Uint8Array(side * side), patch = side / MASKS;
    for (const { x, y, change } of points) {
      for (let row = y; row < y + patch; row++) {
        for (let i = row * side + x; i < row * side + x + patch; i++) {
          total[i] += change;
          count[i]++;
        }
      }
    }
    const field = total.map((sum, i) => sum / Math.max(1, count[i]));
    const most = Math.ceil(10 * Math.max(0.2, ...ends(field).map(Math.abs))) / 10;
    why.draw(field, "signed", -most, most);
    ui.root.explained = { field, complete };
  }
  const blank = remember((side) => new Float32Array(side * side));

  let last;
  ui.run((p) => {
    picture = current(p);
    const { left, top, side } = place(p);
    const start = performance.now();
    const answer = answerOf(picture.version, left, top, side), { image, u, c, logit, line, truth } = answer;
    const x = softThresholdDynamics(u, side, {
      ...network.std, sigma: p.sigma, lambda2: p.lambda2, iterations: p.iterations, c });
    const outline = contour(x, side);

    const { view, low, high, scale } = overviewOf(picture.version);
    slice.draw(view, "grey", low, high);
    const corner = (n) => n * scale - 0.5, [x0, y0] = [left, top].map(corner);
    const [x1, y1] = [left + side, top + side].map(corner);
    slice.contours([[[[x0, y0, x1, y0], [x1, y0, x1, y1], [x1, y1, x0, y1], [x0, y1, x0, y0]], "box"]]);
    shown.draw(image, "grey", 0, 1);
    const border = truth ? contour(truth, side) : [];
    shown.contours([[line, "second"], [outline, "contour"], [border, "third"], [cross, "cursor"]]);
    given.draw(u, "signed", -6, 6);
    given.contours([[line, "cursor"]]);
    plain.draw(answer.plain, "share", 0, 1);
    plain.contours([[line, "contour"]]);
    result.draw(x, "share", 0, 1);
    result.contours([[outline, "contour"]]);
    result.title(xAfter(p.iterations));
    if (!asked) why.draw(blank(side), "signed", -1, 1);
    const { dice, area, wanted } = overlap(x, truth ?? blank(side));
    const milliseconds = performance.now() - start;
    show(`${c.toFixed(3)}, ${fixed(logit, 1)}`, `${area} and ${overlap(u, x, 0).area} px`,
      wanted ? fixed(dice) : "nothing outlined", `${milliseconds.toFixed(0)} ms`);
    last = [picture.version, left, top, side];
    return { input: image, field: x, height: side, width: side };
  }, () => {
    if (asked) ui.refine(changesOf(...last), (curve) => drawChanges(curve, last[3]));
  });
});

function medianOf(values) {
  const sorted = Float32Array.from(values).sort(), middle = sorted.length / 2;
  return (sorted[middle - 1] + sorted[middle]) / 2;
}
