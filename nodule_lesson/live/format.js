// Numbers as texts, with a true minus sign.

export const minus = (value) => String(value).replace("-", "−");

// With digits after the point, no minus sign before zeros, and a word for what is not a number.
export function fixed(value, digits = 3) {
  if (Number.isNaN(value)) return "undefined";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

export const signed = (value, digits = 3) =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

export const scientific = (value) => minus(value.toExponential(1));

export const pretty = (value) => Math.abs(value) >= 1e4
  ? scientific(value).replace("e+", "e") : minus(+value.toPrecision(6));

// The heading of a field x of Eq. (5).
export const xAfter = (steps) => `x after ${steps} ${steps === 1 ? "step" : "steps"}`;

// Places for ticks: round numbers from low to high, about as many as wanted.
export function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}
