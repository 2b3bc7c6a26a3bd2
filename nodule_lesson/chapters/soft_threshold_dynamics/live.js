// The STD explorer in a page; live.py is its other face.
import { contour, contourLength } from "../../live/contour.js";
import { mount } from "../../live/figure.js";
import { pretty, xAfter } from "../../live/format.js";
import { scene } from "../../live/scenes.js";
import { softThresholdDynamics } from "../../live/std.js";
import { DEFAULTS, SIZE } from "./live.py";

mount("std_explorer", (ui) => {
  const compact = ui.options.compact;
  const given = ui.field("u, and where Sig(u) = 0.5", SIZE,
    "The logits u: paint here with the pointer, or with arrow keys and the space bar");
  const result = ui.field("x", SIZE, "The field x after the last step, with its outline at 0.5");
  const energies = compact ? null : ui.plot("Energy at every step", {
    x: "step t", y: "E(xₜ), in thousands", full: true,
    label: "Energy over the steps, derived and printed" });
  const show = ui.readouts(["area of x > 0.5", "outline of x", "outline of Sig(u)", "energy E(x)"]);

  // Painted dabs are kept as a list, so that a link can carry them: x, y, and whether it erases.
  let dabs = fromLink(ui.address.get("dabs"));
  let erase = false;
  let shown = { name: null };

  // The scene with its paint, and its outline: the same arrays for as long as neither changes.
  function logits(name) {
    if (shown.name !== name || shown.dabs !== dabs) {
      shown = { name, dabs, count: 0, u: scene(name, SIZE), outline: null };
    }
    if (shown.count < dabs.length) {
      shown = { ...shown, u: paint(shown.u.slice(), dabs.slice(shown.count)), outline: null };
      shown.count = dabs.length;
    }
    shown.outline ??= contour(shown.u, SIZE, 0, -1);
    return shown;
  }

  function paint(values, fresh) {
    for (const [x, y, negative] of fresh) {
      for (let j = Math.max(0, y - 7); j <= Math.min(SIZE - 1, y + 7); j++) {
        for (let i = Math.max(0, x - 7); i <= Math.min(SIZE - 1, x + 7); i++) {
          const bump = 0.6 * Math.exp(-((i - x) ** 2 + (j - y) ** 2) / 18);
          const at = j * SIZE + i;
          values[at] = Math.max(-6, Math.min(6, values[at] + (negative ? -bump : bump)));
        }
      }
    }
    return values;
  }

  ui.paint(given.canvas, SIZE, () => erase, (x, y, negative) => {
    if (dabs.length < 1500) dabs.push([x, y, negative ? 1 : 0]);
    ui.update();
  });
  let cross = []; // where the brush of the keyboard is
  ui.onCursor = ([x, y]) => {
    cross = [[x - 5, y, x + 5, y], [x, y - 5, x, y + 5]];
    ui.update();
  };
  given.canvas.addEventListener("blur", () => {
    cross = [];
    ui.update();
  });
  const eraser = ui.button("Eraser", () => {
    erase = !erase;
    eraser.setAttribute("aria-pressed", erase);
  });
  eraser.setAttribute("aria-pressed", "false");
  ui.button("Clear paint", () => {
    dabs = [];
    ui.update();
  });
  ui.onReset = () => (dabs = []);
  ui.extra = () => (dabs.length ? { dabs: toLink(dabs) } : {});

  let last;
  ui.run((parameters) => {
    const p = { ...DEFAULTS, ...parameters };
    const { u, outline: plain } = logits(p.scene);
    const x = softThresholdDynamics(u, SIZE, p);
    const outline = contour(x, SIZE);
    last = { u, plain, x, outline, p };
    given.draw(u, "signed", -3, 3);
    given.contours([[plain, "contour"], [cross, "cursor"]]);
    result.draw(x, "share", 0, 1);
    result.contours([[outline, "contour"]]);
    result.title(xAfter(p.iterations));
    return { parameters: p, input: u, field: x, height: SIZE, width: SIZE };
  }, () => {
    const { u, plain, x, outline, p } = last;
    const [derived, printed] = [[], []];
    softThresholdDynamics(u, SIZE, p, { energies: derived });
    const lengths = [outline, plain].map((segments) => `${contourLength(segments).toFixed(0)} px`);
    show(`${x.filter((value) => value > 0.5).length} px`, ...lengths,
      pretty(Math.round(derived.at(-1))));
    if (!energies) return;
    softThresholdDynamics(u, SIZE, p, { printed: true, energies: printed });
    const steps = derived.map((_, t) => t);
    const curve = (values, kind, label) =>
      ({ x: steps, y: values.map((value) => value / 1000), kind, label });
    energies.draw(
      [curve(derived, "first", "derived: u stays"), curve(printed, "second", "printed: xₜ in the place of u")],
      [], { x: [0, Math.max(1, p.iterations)] });
  });
});

function toLink(dabs) {
  const bytes = dabs.flatMap(([x, y, negative]) => [x + 128 * negative, y]);
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
}

function fromLink(text) {
  let bytes = "";
  try {
    bytes = atob((text ?? "").replace(/-/g, "+").replace(/_/g, "/"));
  } catch {
    // A damaged link: the figure without its paint.
  }
  return Array.from({ length: bytes.length >> 1 }, (_, i) => {
    const first = bytes.charCodeAt(2 * i);
    return [first & 127, bytes.charCodeAt(2 * i + 1) & 127, first >> 7];
  });
}
