// The shipped network's logits and its last layer in a page; live.py is its other face and
// sends the crops.
import { unpackCrop } from "../../live/arrays.js";
import { contour } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { fixed, xAfter } from "../../live/format.js";
import { overlap } from "../../live/measures.js";
import { remember } from "../../live/slow.js";
import { softThresholdDynamics } from "../../live/std.js";
import { BY_HAND, CLASSIFIER, SIZE, U_STEP } from "./live.py";

mount("slim_network", (ui) => {
  const shown = ui.field("crop", SIZE,
    "The crop with the outlines of x, of the sigmoid and of the truth", "lf-half lf-scan");
  const given = ui.field("logits u", SIZE, "The network's logits u, with their outline at 0");
  const result = ui.field("x", SIZE, "The field x after the last step, with its outline at 0.5");
  ui.views.classList.add("lf-three");
  const show = ui.readouts(
    ["Dice of x", "Dice of the plain sigmoid", "area of x and truth", "c of the classifier"]);

  // Who moves the slider of c wants c from there. This listener runs before the figure is drawn, as it
  // captures the event.
  const row = ui.panel.children[Object.keys(ui.controls).indexOf("c")];
  row.addEventListener("input", () => ui.controls.source.set(BY_HAND), true);

  const cropOf = remember((name) => {
    const { c, ...packed } = ui.options.crops[name], crop = unpackCrop(packed, U_STEP);
    return {
      ...crop, c, plainLine: contour(crop.u, SIZE, 0, -1), border: contour(crop.truth, SIZE),
      plain: overlap(crop.u, crop.truth, 0),
    };
  });

  ui.run((p) => {
    const { u, image, truth, c, plainLine, border, plain } = cropOf(p.crop);
    if (p.source === CLASSIFIER) {
      p = { ...p, c };
      ui.controls.c.set(Number(c.toFixed(2)));
    }
    const x = softThresholdDynamics(u, SIZE, { ...p, epsilon: 1 });
    const outline = contour(x, SIZE), { dice, area, wanted } = overlap(x, truth);
    shown.draw(image, "grey", 0, 1);
    shown.contours([[plainLine, "second"], [outline, "contour"], [border, "third"]]);
    given.draw(u, "signed", -6, 6);
    given.contours([[plainLine, "cursor"]]);
    result.draw(x, "share", 0, 1);
    result.contours([[outline, "contour"]]);
    result.title(xAfter(p.iterations));
    const text = (value) => (wanted ? fixed(value) : "no truth");
    show(text(dice), text(plain.dice), `${area} and ${wanted} px`, c.toFixed(2));
    return { input: u, field: x, height: SIZE, width: SIZE };
  });
});
