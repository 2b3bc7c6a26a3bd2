// The sigmoid's energy in a page; live.py is its other face.
import { mount } from "../../live/figure.js";
import { fixed, pretty, scientific } from "../../live/format.js";
import { sigmoid, softplus, xlogx } from "../../live/logistic.js";
import { LOGIT_POINTS, POINTS, WIDEST } from "./live.py";

const TICKS = [-6, -3, 0, 3, 6].map((place) => [place, pretty(place)]);

const price = (x, rest, epsilon) => epsilon * (xlogx(x) + xlogx(rest));

mount("sigmoid_energy", (ui) => {
  const energies = ui.plot("Energy of one pixel", {
    x: "x", y: "energy", xRange: [-0.02, 1.02],
    label: "The energy of one pixel over x between 0 and 1, its two parts, and its lowest point" });
  const minimisers = ui.plot("Where it is lowest", {
    x: "u", y: "lowest point x", xRange: [-1.02 * WIDEST, 1.02 * WIDEST], yRange: [-0.05, 1.05],
    label: "The lowest point against the logit u, a sigmoid, with the present u marked" });
  const show = ui.readouts(["x* = Sig(u/ε)", "E(x*)", "−ε softplus(u/ε)"]);

  const x = Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1));
  const logits = Array.from({ length: LOGIT_POINTS },
    (_, i) => WIDEST * ((2 * i) / (LOGIT_POINTS - 1) - 1));
  const plain = logits.map(sigmoid);

  ui.run(({ u, epsilon }) => {
    const vote = x.map((value) => -u * value);
    const entropy = x.map((value) => price(value, 1 - value, epsilon));
    const energy = vote.map((value, i) => value + entropy[i]);
    const best = sigmoid(u / epsilon), rest = sigmoid(-u / epsilon);
    const lowest = -u * best + price(best, rest, epsilon);
    // At least one unit of energy high: a shallow bowl should look shallow.
    const low = Math.min(-0.75, lowest, -u), high = Math.max(0.25, -u);
    const room = 0.06 * (high - low);
    energies.draw([
      { x, y: vote, kind: "muted", label: "vote" },
      { x, y: entropy, kind: "second", label: "price" },
      { x, y: energy, kind: "first", label: "E, their sum" },
    ], [{ x: best, kind: "cursor" }, { x: best, y: lowest, kind: "first" }],
    { y: [Math.min(low, -epsilon * Math.LN2) - room, high + room] });
    minimisers.draw([
      { x: logits, y: plain, kind: "muted", label: "Sig(u)" },
      { x: logits, y: logits.map((value) => sigmoid(value / epsilon)), kind: "first",
        label: "Sig(u/ε)" },
    ], [{ x: u, kind: "cursor" }, { x: u, y: best, kind: "first" }], { xTicks: TICKS });
    show(share(best, rest), fixed(lowest, 5), fixed(-epsilon * softplus(u / epsilon), 5));
    return {
      input: Float32Array.from(x), field: Float32Array.from(energy), height: 1, width: POINTS };
  });
});

// x* is never 0 or 1: near both, digits after the point would look as if it were.
function share(best, rest) {
  if (best < 1e-4) return scientific(best);
  return rest < 1e-4 ? `1 − ${scientific(rest)}` : fixed(best, 5);
}
