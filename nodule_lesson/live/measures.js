// What is counted in fields of pixels.

// Pixels of a field above a level, pixels of the truth (0 and 1), those in both, and Dice.
export function overlap(field, truth, level = 0.5) {
  let [area, wanted, both] = [0, 0, 0];
  for (let i = 0; i < field.length; i++) {
    wanted += truth[i];
    if (field[i] > level) {
      area++;
      both += truth[i];
    }
  }
  return { area, wanted, both, dice: (2 * both) / (area + wanted) };
}

// Percent of the values in each bin of equal width, a curve over the middles of the bins. Values
// beyond the bins count to the outermost ones.
export function histogram(values, edges) {
  const width = edges[1] - edges[0], y = new Float64Array(edges.length - 1);
  for (const value of values) {
    y[Math.max(0, Math.min(y.length - 1, Math.floor((value - edges[0]) / width)))]++;
  }
  return {
    x: edges.slice(1).map((edge) => edge - width / 2), y: y.map((n) => (100 * n) / values.length),
  };
}
