// What the boundary term makes of shapes of known perimeter; live.py is its other face.
import { mount } from "../../live/figure.js";
import { signed } from "../../live/format.js";
import { atPixels } from "../../live/scenes.js";
import { remember } from "../../live/slow.js";
import { blur } from "../../live/std.js";
import { SIGMAS, SIZE } from "./live.py";

const CENTRE = SIZE / 2;
const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);

// Each shape of size s: whether a point is inside, its true length, its outline; x and y are counted
// from the centre.
const SHAPES = {
  "disc": {
    inside: (x, y, s) => x * x + y * y < s * s,
    length: (s) => 2 * Math.PI * s,
    outline: (s) => circle(s),
  },
  "square": {
    inside: (x, y, s) => Math.max(Math.abs(x), Math.abs(y)) < s,
    length: (s) => 8 * s,
    outline: (s) => loop([[-s, -s], [s, -s], [s, s], [-s, s]]),
  },
  "tilted square": {
    inside: (x, y, s) => Math.abs(x) + Math.abs(y) < Math.SQRT2 * s,
    length: (s) => 8 * s,
    outline: (s) => loop([[-1, 0], [0, -1], [1, 0], [0, 1]].map(
      (corner) => corner.map((value) => value * Math.SQRT2 * s))),
  },
  "half-plane": {
    inside: (x, y, s) => x < s - CENTRE,
    length: () => SIZE,
    outline: (s) => loop([[s - CENTRE, -CENTRE], [s - CENTRE, CENTRE]]),
  },
  "ring": {
    inside: (x, y, s) => x * x + y * y < s * s && 4 * (x * x + y * y) >= s * s,
    length: (s) => 3 * Math.PI * s,
    outline: (s) => [...circle(s), ...circle(s / 2)],
  },
};

// Segments [x0, y0, x1, y1] in pixels: the centre of the first pixel is (0, 0) there.
function loop(corners) {
  const at = ([x, y]) => [x + CENTRE - 0.5, y + CENTRE - 0.5];
  return corners.map((corner, i) => [...at(corner), ...at(corners[(i + 1) % corners.length])]);
}

function circle(radius) {
  return loop(Array.from({ length: 90 }, (_, i) => {
    const angle = (i * Math.PI) / 45;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }));
}

mount("boundary_length", (ui) => {
  const paid = ui.field("What each pixel pays", SIZE,
    "The length that the boundary term finds in each pixel, with the true outline", "");
  const curve = ui.plot("Estimated length / true length", {
    x: "σ (pixels)", y: "ratio", label: "Estimated by true length over sigma",
    xRange: [0, 12], yRange: [0.5, 1.15] });
  const show = ui.readouts(["true length", "estimate", "error", "window of σ"]);

  const pixels = remember((name, size) => {
    const x = atPixels(SIZE, (column, row) =>
      SHAPES[name].inside(column - CENTRE, row - CENTRE, size), SIZE);
    return { x, outside: Float64Array.from(x, (value) => 1 - value), ratios: null };
  });

  const density = ({ x, outside }, sigma) =>
    blur(outside, SIZE, sigma).map((value, i) => value * ((x[i] * ROOT_TWO_PI) / sigma));
  const total = (values) => values.reduce((sum, value) => sum + value, 0);

  let last;
  ui.run(({ shape, size, sigma }) => {
    const now = pixels(shape, size);
    const field = density(now, sigma);
    const length = SHAPES[shape].length(size), estimate = total(field);
    // A straight edge pays half a length in its first pixel: that is the strongest colour.
    paid.draw(field, "share", 0, (0.5 * ROOT_TWO_PI) / sigma);
    paid.contours([[SHAPES[shape].outline(size), "contour"]]);
    show(`${length.toFixed(1)} px`, `${estimate.toFixed(1)} px`,
      `${signed(100 * (estimate / length - 1), 1)} %`,
      size > 8 ? `2 to ${size / 4} px` : "none: too small");
    last = { now, length, size, sigma, ratio: estimate / length };
    return { input: now.x, field: Float32Array.from(field), height: SIZE, width: SIZE };
  }, () => {
    const { now, length, size, sigma, ratio } = last;
    now.ratios ??= SIGMAS.map((other) => total(density(now, other)) / length);
    const window = size > 8
      ? [{ x: 2, kind: "third" }, { x: size / 4, kind: "third", label: "σ = 2 and σ = size/4" }]
      : [];
    curve.draw(
      [{ x: [0, 12], y: [1, 1], kind: "muted" }, { x: SIGMAS, y: now.ratios, kind: "first" }],
      [...window, { x: sigma, y: ratio, kind: "second" }]);
  });
});
