// Runs the graph of a trained network, as nodule_lesson/networks/export.py writes it.
//
// Values are lists of channels, rows and columns of 32-bit floats in one memory, which WebAssembly
// sees as well (kernel.py); where a browser has none, JavaScript does the same. For one size of image
// everything is laid out once, so that an answer allocates nothing.

import { unpackBytes } from "./arrays.js";
import { KERNEL } from "./kernel.py";

// Vectors read and write up to this many numbers behind the end of a value.
const SLACK = 64;

// The weights of a network as 32-bit floats. Half precision has 5 bits of exponent and 10 of fraction,
// so a table of all its 65,536 numbers is made first.
export function unpackTensors({ tensors, weights }) {
  const bytes = unpackBytes(weights), table = new Float32Array(65536);
  for (let half = 0; half < 32768; half++) {
    const exponent = half >> 10, fraction = half & 1023;
    table[half] = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
    table[half + 32768] = -table[half];
  }
  return tensors.map(([type, first, count]) => {
    if (type === "f4") return new Float32Array(bytes.buffer, first, count);
    const halves = new Uint16Array(bytes.buffer, first, count), values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = table[halves[i]];
    return values;
  });
}

// A network for images of size x size pixels: run(image) gives {u, logit}, where logit, that of c, is
// null without a classifier. With `plain`, in JavaScript alone. Both arrays are overwritten by the next
// run. Throws a RangeError where there is not enough memory.
export class NetworkRun {
  constructor(network, tensors, size, { plain = typeof WebAssembly === "undefined" } = {}) {
    const plan = new Plan(network, tensors, size);
    const bytes = 4 * plan.length;
    let memory;
    if (!plain) {
      memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
      const module = new WebAssembly.Module(unpackBytes(KERNEL));
      Object.assign(this, new WebAssembly.Instance(module, { page: { memory } }).exports);
    }
    this.floats = new Float32Array(memory ? memory.buffer : bytes / 4);
    this.integers = new Int32Array(this.floats.buffer);
    if (plain) {
      this.quad = (...given) => convolve(this.floats, this.integers, 4, ...given);
      this.single = (...given) => convolve(this.floats, this.integers, 1, ...given);
    }
    plan.constants.forEach(({ at, values }) =>
      (values instanceof Int32Array ? this.integers : this.floats).set(values, at));
    this.steps = plan.steps.map((make) => make(this));
    this.image = this.view(plan.values[0]);
    const [u, logit] = network.outputs.map((value) => this.view(plan.values[value]));
    this.output = { u, logit: logit ?? null };
  }

  view({ at, channels, height, width }) {
    return this.floats.subarray(at, at + channels * height * width);
  }

  run(image) {
    this.image.set(image);
    for (const step of this.steps) step();
    const { u, logit } = this.output;
    return { u, logit: logit && logit[0] };
  }
}

// What `quad` and `single` of kernel.py compute, for any number of channels; places are in bytes.
function convolve(floats, integers, channels, out, pitch, input, table, taps, weights, pixels) {
  const from = input >> 2, to = out >> 2, row = pitch >> 2, entries = table >> 2, first = weights >> 2;
  for (let m = 0; m < channels; m++) floats.fill(0, to + m * row, to + m * row + pixels);
  for (let k = 0; k < taps; k++) {
    const start = from + (integers[entries + k] >> 2);
    for (let m = 0; m < channels; m++) {
      const weight = floats[first + k * channels + m], at = to + m * row;
      for (let p = 0; p < pixels; p++) floats[at + p] += weight * floats[start + p];
    }
  }
}

// Where everything lies in memory, in numbers of 4 bytes, and in which order it is computed. A step is
// a function of the NetworkRun that returns what to do.
class Plan {
  constructor({ operations, outputs }, tensors, size) {
    Object.assign(this, { tensors, length: 0, constants: [], steps: [], padded: new Map() });
    this.free = new Map();
    this.values = [this.value(1, size, size)];
    const last = new Map(); // the last operation that reads a value
    operations.forEach(([, inputs], i) => inputs.forEach((value) => last.set(value, i)));
    outputs.forEach((value) => last.set(value, operations.length));
    operations.forEach(([kind, inputs, weights, settings], i) => {
      const given = inputs.map((value) => this.values[value]);
      this.values.push(this[kind](...given, settings, ...weights.map((t) => tensors[t])));
      for (const value of new Set(inputs)) {
        if (value > 0 && last.get(value) === i) this.release(this.values[value]);
      }
    });
  }

  reserve(count) {
    const at = this.length;
    this.length += (count + 3) & ~3; // vectors start at multiples of 16 bytes
    return at;
  }

  // A new value, in the place of a released one of that length if there is one.
  value(channels, height, width) {
    const count = channels * height * width, free = this.free.get(count)?.pop();
    return { at: free ?? this.reserve(count + SLACK), channels, height, width };
  }

  release({ at, channels, height, width }) {
    const count = channels * height * width;
    if (!this.free.has(count)) this.free.set(count, []);
    this.free.get(count).push(at);
  }

  constant(values) {
    const at = this.reserve(values.length);
    this.constants.push({ at, values });
    return at;
  }

  // A value of the shape of x, and a step that computes it from that of others, pixel by pixel.
  each(shape, inputs, compute) {
    const output = this.value(shape.channels, shape.height, shape.width);
    this.steps.push((run) => {
      const views = [output, ...inputs].map((value) => run.view(value));
      return () => compute(...views);
    });
    return output;
  }

  relu(x) {
    return this.each(x, [x], (out, a) => {
      for (let i = 0; i < out.length; i++) out[i] = a[i] > 0 ? a[i] : 0;
    });
  }

  sigmoid(x) {
    return this.each(x, [x], (out, a) => {
      for (let i = 0; i < out.length; i++) out[i] = 1 / (1 + Math.exp(-a[i]));
    });
  }

  add(x, y, { relu }) {
    return this.each(x, [x, y], (out, a, b) => {
      const floor = relu ? 0 : -Infinity;
      for (let i = 0; i < out.length; i++) {
        const sum = a[i] + b[i];
        out[i] = sum > floor ? sum : floor;
      }
    });
  }

  // The smaller of the two may have one number per channel.
  multiply(x, y) {
    const [large, small] = x.height >= y.height ? [x, y] : [y, x];
    const times = (large.height * large.width) / (small.height * small.width);
    return this.each(large, [large, small], (out, a, b) => {
      for (let i = 0, j = 0; i < out.length; j++) {
        for (const end = i + times; i < end; i++) out[i] = a[i] * b[j];
      }
    });
  }

  // A batch normalisation: each channel times one number, plus another.
  affine(x, { relu }, scale, shift) {
    const pixels = x.height * x.width;
    return this.each(x, [x], (out, a) => {
      const floor = relu ? 0 : -Infinity;
      for (let c = 0, i = 0; c < x.channels; c++) {
        const factor = scale[c], constant = shift[c];
        for (const end = i + pixels; i < end; i++) {
          const result = factor * a[i] + constant;
          out[i] = result > floor ? result : floor;
        }
      }
    });
  }

  cat(...given) {
    const inputs = given.slice(0, -1);
    const channels = inputs.reduce((sum, input) => sum + input.channels, 0);
    return this.each({ ...inputs[0], channels }, inputs, (out, ...parts) => {
      let at = 0;
      for (const part of parts) {
        out.set(part, at);
        at += part.length;
      }
    });
  }

  mean(x) {
    const pixels = x.height * x.width;
    return this.each({ channels: x.channels, height: 1, width: 1 }, [x], (out, a) => {
      for (let c = 0, i = 0; c < x.channels; c++) {
        let sum = 0;
        for (const end = i + pixels; i < end; i++) sum += a[i];
        out[c] = sum / pixels;
      }
    });
  }

  repeat(x, { times }) {
    const { channels, height, width } = x, wide = times * width;
    return this.each({ channels, height: times * height, width: wide }, [x], (out, a) => {
      for (let row = 0; row < channels * height; row++) {
        const start = row * times * wide;
        for (let i = 0; i < wide; i++) out[start + i] = a[row * width + ((i / times) | 0)];
        for (let copy = 1; copy < times; copy++) out.copyWithin(start + copy * wide, start, start + wide);
      }
    });
  }

  max(x, { kernel, stride, padding }) {
    const [height, width] = [x.height, x.width].map((side) =>
      Math.floor((side + 2 * padding - kernel) / stride) + 1);
    return this.each({ channels: x.channels, height, width }, [x], (out, a) => {
      for (let c = 0, i = 0; c < x.channels; c++) {
        for (let y = -padding, row = 0; row < height; row++, y += stride) {
          for (let left = -padding, column = 0; column < width; column++, left += stride, i++) {
            let most = -Infinity;
            for (let v = Math.max(0, y); v < Math.min(x.height, y + kernel); v++) {
              for (let h = Math.max(0, left); h < Math.min(x.width, left + kernel); h++) {
                const value = a[(c * x.height + v) * x.width + h];
                if (value > most) most = value;
              }
            }
            out[i] = most;
          }
        }
      }
    });
  }

  // A convolution. Every tap is a copy of the image that starts elsewhere: with a border of zeros, and
  // with the rows and columns sorted by their rest after division by the stride, a tap's pixels follow
  // one another in memory, together with a few at the ends of rows that nobody wants.
  // With `scale` and `shift` a batch normalisation follows at once, or a bias, and with `relu` a ReLU.
  conv(x, settings, weights, scale, shift) {
    const { relu, outputs, kernel, groups, stride, padding, dilation } = settings;
    const reach = dilation * (kernel - 1) + 1;
    const [height, width] = [x.height, x.width].map((side) =>
      Math.floor((side + 2 * padding - reach) / stride) + 1);
    const asItIs = padding === 0 && stride === 1;
    const source = asItIs ? { at: x.at, rows: x.height, pitch: x.width } : this.bordered(x, settings);
    const { rows, pitch } = source, inputs = x.channels / groups;

    const table = new Int32Array(inputs * kernel * kernel);
    for (let c = 0, k = 0; c < inputs; c++) {
      for (let v = 0; v < reach; v += dilation) {
        for (let h = 0; h < reach; h += dilation, k++) {
          const sheet = (c * stride + (v % stride)) * stride + (h % stride);
          table[k] = 4 * ((sheet * rows + Math.floor(v / stride)) * pitch + Math.floor(h / stride));
        }
      }
    }
    const taps = table.length, places = this.constant(table);

    // Four channels at a time where a group has as many; their weights then lie side by side.
    const perGroup = outputs / groups, sorted = new Float32Array(weights.length), calls = [];
    const run = (height - 1) * pitch + width;
    const output = this.value(outputs, height, width);
    const tight = pitch === width && (height * width) % 16 === 0;
    const row = tight ? height * width : Math.ceil(run / 16) * 16;
    const target = tight ? output.at : this.scratch(outputs * row);
    const weightsAt = this.constant(sorted);
    for (let m = 0; m < outputs;) {
      const together = perGroup - (m % perGroup) >= 4 ? 4 : 1;
      for (let k = 0; k < taps; k++) {
        for (let j = 0; j < together; j++) {
          sorted[m * taps + k * together + j] = weights[(m + j) * taps + k];
        }
      }
      const group = Math.floor(m / perGroup);
      calls.push([together, 4 * (target + m * row),
        4 * (source.at + group * inputs * stride * stride * rows * pitch), 4 * (weightsAt + m * taps)]);
      m += together;
    }

    this.steps.push((network) => {
      const { floats, quad, single } = network, out = network.view(output);
      const floor = relu ? 0 : -Infinity;
      return () => {
        for (const [together, to, from, first] of calls) {
          (together === 4 ? quad : single)(to, 4 * row, from, 4 * places, taps, first, row);
        }
        if (tight && !scale && !relu) return;
        for (let m = 0, at = 0; m < outputs; m++) {
          const factor = scale ? scale[m] : 1, constant = scale ? shift[m] : 0;
          for (let y = 0, start = target + m * row; y < height; y++, start += pitch, at += width) {
            for (let i = 0; i < width; i++) {
              const result = factor * floats[start + i] + constant;
              out[at + i] = result > floor ? result : floor;
            }
          }
        }
      };
    });
    return output;
  }

  // Results that are trimmed afterwards share their memory with others of that length.
  scratch(count) {
    return this.padded.get(count) ?? this.padded.set(count, this.reserve(count + SLACK)).get(count);
  }

  // A value within a border of zeros. Values of one shape share their copy, whose border stays 0.
  bordered(x, { kernel, stride, padding, dilation }) {
    const { channels } = x;
    const [rows, pitch] = [x.height, x.width].map((side) => Math.ceil((side + 2 * padding) / stride));
    const key = [channels, x.height, x.width, kernel, stride, padding, dilation].join();
    const length = channels * stride * stride * rows * pitch;
    if (!this.padded.has(key)) this.padded.set(key, this.reserve(length + SLACK));
    const at = this.padded.get(key);
    // Which rests occur among the taps' places.
    const rests = [...new Set(Array.from({ length: kernel }, (_, k) => (k * dilation) % stride))];
    this.steps.push(({ floats }) => () => {
      for (let c = 0; c < channels; c++) {
        for (const v of rests) {
          for (const h of rests) {
            const sheet = at + ((c * stride + v) * stride + h) * rows * pitch;
            // The first row and column with these rests.
            const top = (((v - padding) % stride) + stride) % stride;
            const left = (((h - padding) % stride) + stride) % stride;
            for (let y = top; y < x.height; y += stride) {
              let to = sheet + ((y + padding - v) / stride) * pitch + (left + padding - h) / stride;
              const start = x.at + (c * x.height + y) * x.width;
              for (let i = left; i < x.width; i += stride, to++) floats[to] = floats[start + i];
            }
          }
        }
      }
    });
    return { at, rows, pitch };
  }
}
