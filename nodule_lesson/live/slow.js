// Values that take long: computed once, or a few per frame.

// A function that keeps its last value, and computes it again when its arguments have changed.
export function remember(compute) {
  let key, value;
  return (...given) => {
    const next = JSON.stringify(given);
    if (next !== key) [key, value] = [next, compute(...given)];
    return value;
  };
}

// Whole numbers below `count`: both ends, then the middles of ever smaller gaps, so that a curve
// over them is whole from its first points on.
export function coarseToFine(count) {
  const order = new Set();
  for (let step = count - 1; order.size < count; step = Math.ceil(step / 2)) {
    for (let i = 0; i < count; i += step) order.add(i);
  }
  return [...order];
}

// A curve of points {x, ...}, computed in the order of `places` and as far as somebody asks.
export class Curve {
  constructor(places, pointAt) {
    Object.assign(this, { places, pointAt, points: [] });
  }

  get complete() {
    return this.points.length === this.places.length;
  }

  // At least two points, then more of them until the time is over.
  work(milliseconds = Infinity) {
    const { places, points } = this, end = performance.now() + milliseconds;
    while (!this.complete && (points.length < 2 || performance.now() < end)) {
      points.push(this.pointAt(places[points.length]));
    }
    return this;
  }

  // A line for ui.plot over the points that there are, but for those where y(point) is undefined.
  line(y, kind, label) {
    const points = this.points.filter((point) => !Number.isNaN(y(point)));
    points.sort((a, b) => a.x - b.x);
    return { x: points.map((point) => point.x), y: points.map(y), kind, label };
  }
}
