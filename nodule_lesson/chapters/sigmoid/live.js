// The sigmoid's energy in a page; live.py is its other face.
import { mount, pretty } from "../../live/figure.js";

const POINTS = 201, LOGITS = 241, WIDEST = 6;
const TICKS = [-6, -3, 0, 3, 6].map((place) => [place, pretty(place)]);

const xlogx = (x) => (x > 0 ? x * Math.log(x) : 0);
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
// std.js has a table, good for a picture; the numbers that are shown here need all their digits.
const exactSigmoid = (z) => 1 / (1 + Math.exp(-z));

const price = (x, rest, epsilon) => epsilon * (xlogx(x) + xlogx(rest));

mount("sigmoid_energy", (ui) => {
  const energies = ui.plot("Energy of one pixel", {
    x: "x", y: "energy", xRange: [-0.02, 1.02],
    label: "The energy of one pixel over x between 0 and 1, its two parts, and its lowest point" });
  const answers = ui.plot("Where it is lowest", {
    x: "u", y: "lowest point x", xRange: [-1.02 * WIDEST, 1.02 * WIDEST], yRange: [-0.05, 1.05],
    label: "The lowest point against the logit u, a sigmoid, with the present u marked" });
  const show = ui.readouts(["x* = Sig(u/ε)", "E(x*)", "−ε softplus(u/ε)"]);

  const input = Float32Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1));
  const x = Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1));
  const logits = Array.from({ length: LOGITS }, (_, i) => WIDEST * ((2 * i) / (LOGITS - 1) - 1));
  const plain = logits.map(exactSigmoid);

  ui.run(({ u, epsilon }) => {
    const vote = x.map((value) => -u * value);
    const entropy = x.map((value) => price(value, 1 - value, epsilon));
    const energy = vote.map((value, i) => value + entropy[i]);
    const best = exactSigmoid(u / epsilon), rest = exactSigmoid(-u / epsilon);
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
    answers.draw([
      { x: logits, y: plain, kind: "muted", label: "Sig(u)" },
      { x: logits, y: logits.map((value) => exactSigmoid(value / epsilon)), kind: "first",
        label: "Sig(u/ε)" },
    ], [{ x: u, kind: "cursor" }, { x: u, y: best, kind: "first" }], { xTicks: TICKS });
    show(share(best, rest), digits(lowest), digits(-epsilon * softplus(u / epsilon)));
    return { input, field: Float32Array.from(energy), height: 1, width: POINTS };
  });
});

function digits(value) {
  const text = value.toFixed(5);
  return text.replace("-", Number(text) === 0 ? "" : "−");
}

// x* never is 0 or 1, and should not look so.
function share(best, rest) {
  if (best < 1e-4) return best.toExponential(1).replace("-", "−");
  return rest < 1e-4 ? `1 − ${rest.toExponential(1).replace("-", "−")}` : digits(best);
}
