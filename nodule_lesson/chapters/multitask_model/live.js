// The shipped network's logits and its last layer in a page; live.py is its other face and
// sends the crops.
import { contour, softThresholdDynamics } from "../../live/std.js";
import { mount } from "../../live/figure.js";

const CROP_WIDTH = 64, U_STEP = 1e-3;

// A crop comes as base64: logits in thousandths, 16 bits each; grey as bytes; the truth as bits.
const toBytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export function unpackCrop([logits, grey, bits, c]) {
  const view = new DataView(toBytes(logits).buffer), truth = toBytes(bits);
  const pixels = Array.from({ length: view.byteLength / 2 }, (_, i) => i);
  return {
    c,
    u: Float32Array.from(pixels, (i) => view.getInt16(2 * i, true) * U_STEP),
    image: Float32Array.from(toBytes(grey), (value) => value / 255),
    truth: Uint8Array.from(pixels, (i) => (truth[i >> 3] >> (i & 7)) & 1),
  };
}

// Pixels above a level, and Dice against the truth; null where there is none.
export function overlap(field, level, truth) {
  let [area, both, wanted] = [0, 0, 0];
  for (let i = 0; i < field.length; i++) {
    wanted += truth[i];
    if (field[i] > level) {
      area++;
      both += truth[i];
    }
  }
  return { area, wanted, dice: wanted ? (2 * both) / (area + wanted) : null };
}

mount("slim_network", (ui) => {
  const shown = ui.field("crop", CROP_WIDTH, "The crop with the outlines of x, of the sigmoid and of the truth");
  shown.canvas.dataset.grey = "";
  shown.canvas.closest(".lf-view").classList.add("lf-scan");
  const given = ui.field("logits u", CROP_WIDTH, "The network's logits u, with their outline at 0");
  const result = ui.field("x", CROP_WIDTH, "The field x after the last step, with its outline at 0.5");
  ui.views.classList.add("lf-three");
  const show = ui.readouts(
    ["Dice of x", "Dice of the plain sigmoid", "area of x and truth", "c of the classifier"]);

  // Who moves c wants to see it matter: the capture runs before the figure is drawn again.
  const row = ui.panel.children[Object.keys(ui.controls).indexOf("c")];
  row.addEventListener("input", () => ui.controls.source.set("the slider"), true);

  let base = { name: null };
  ui.run((p) => {
    if (base.name !== p.crop) {
      const crop = unpackCrop(ui.options.crops[p.crop]);
      base = {
        name: p.crop, ...crop, line: contour(crop.u, CROP_WIDTH, 0, -1),
        border: contour(crop.truth, CROP_WIDTH), plain: overlap(crop.u, 0, crop.truth),
      };
    }
    const { u, image, truth, line, border, plain } = base;
    if (p.source === "the classifier") {
      p = { ...p, c: base.c };
      ui.controls.c.set(Number(base.c.toFixed(2)));
    }
    const x = softThresholdDynamics(u, CROP_WIDTH, { ...p, epsilon: 1 });
    const outline = contour(x, CROP_WIDTH);
    shown.draw(image, ["black", "white"], 0, 1);
    shown.contours([[line, "second"], [outline, "contour"], [border, "third"]]);
    given.draw(u, ["negative", "zero", "positive"], -6, 6);
    given.contours([[line, "cursor"]]);
    result.draw(x, ["low", "middle", "high"], 0, 1);
    result.contours([[outline, "contour"]]);
    result.title(`x after ${p.iterations} ${p.iterations === 1 ? "step" : "steps"}`);
    const found = overlap(x, 0.5, truth);
    const text = (dice) => (dice === null ? "no truth" : dice.toFixed(3));
    show(
      text(found.dice), text(plain.dice), `${found.area} and ${found.wanted} px`,
      base.c.toFixed(2));
    return { input: u, field: x, height: CROP_WIDTH, width: CROP_WIDTH };
  });
});
