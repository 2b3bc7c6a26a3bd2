// The contour of a field at a level, by marching squares between pixel centres: a list of
// segments [x0, y0, x1, y1] in pixels. The field is taken as `outside` beyond its border.
export function contour(field, n, level = 0.5, outside = 0) {
  const width = n + 2, values = new Float64Array(width * width).fill(outside);
  for (let j = 0, y = 1; y <= n; y++) {
    for (let x = 1; x <= n; x++, j++) values[y * width + x] = field[j];
  }
  const segments = [];
  for (let y = -1; y < n; y++) {
    for (let x = -1, at = (y + 1) * width; x < n; x++, at++) {
      // The corners of a cell, clockwise, and which of them lie above the level.
      const a = values[at], b = values[at + 1], c = values[at + width + 1], d = values[at + width];
      const code = (a > level) | ((b > level) << 1) | ((c > level) << 2) | ((d > level) << 3);
      if (code === 0 || code === 15) continue;
      // Where the contour crosses the sides that it does cross.
      const top = x + (level - a) / (b - a), right = y + (level - b) / (c - b);
      const bottom = x + (level - d) / (c - d), left = y + (level - a) / (d - a);
      if (code === 1 || code === 14) segments.push([x, left, top, y]);
      else if (code === 2 || code === 13) segments.push([top, y, x + 1, right]);
      else if (code === 3 || code === 12) segments.push([x, left, x + 1, right]);
      else if (code === 4 || code === 11) segments.push([x + 1, right, bottom, y + 1]);
      else if (code === 6 || code === 9) segments.push([top, y, bottom, y + 1]);
      else if (code === 7 || code === 8) segments.push([x, left, bottom, y + 1]);
      else if ((code === 5) === ((a + b + c + d) / 4 > level)) {
        // A saddle: the mean decides which corners belong together.
        segments.push([top, y, x + 1, right], [x, left, bottom, y + 1]);
      } else {
        segments.push([x, left, top, y], [x + 1, right, bottom, y + 1]);
      }
    }
  }
  return segments;
}

export function contourLength(segments) {
  return segments.reduce((sum, [x0, y0, x1, y1]) =>
    sum + Math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2), 0);
}
