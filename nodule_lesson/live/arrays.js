// Arrays that arrays.py has packed.

// A loop, since Uint8Array.from takes ten times as long, and a network has a megabyte.
export function unpackBytes(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// 16-bit numbers: their low byte comes first, as in the memory of all machines with browsers.
export const unpackNumbers = (text) => new Int16Array(unpackBytes(text).buffer);

export function unpackBits(text) {
  const bytes = unpackBytes(text);
  return Uint8Array.from({ length: 8 * bytes.length }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1);
}

// A crop of a network: logits in multiples of a step, grey values from 0 to 1, and the truth.
export const unpackCrop = ({ u, image, truth }, step) => ({
  u: Float32Array.from(unpackNumbers(u), (value) => value * step),
  image: Float32Array.from(unpackBytes(image), (value) => value / 255),
  truth: unpackBits(truth),
});
