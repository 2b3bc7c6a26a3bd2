// The sigmoid and its relatives, with all their digits.

export const sigmoid = (z) => 1 / (1 + Math.exp(-z));
export const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
export const xlogx = (x) => (x > 0 ? x * Math.log(x) : 0);
