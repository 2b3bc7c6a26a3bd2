// A reader's own picture: PNG, JPEG, .npy or uncompressed DICOM, read in her browser and sent nowhere.
// What cannot be read is an Error whose message is a sentence for her.

const MEGABYTES = 64; // of a file, at most
const SMALLEST = 128, LARGEST = 2048; // pixels of a side

const KINDS = [
  ["DICOM", 128, "DICM"], ["PNG", 0, "\x89PNG\r\n\x1a\n"], ["JPEG", 0, "\xff\xd8\xff"],
  [".npy", 0, "\x93NUMPY"],
];

// {values: Float32Array, width, height, tissue}: numbers as they stand in the file, for CT in HU, and
// what a drawn nodule has. `parser` gives the library dicomParser, which only a DICOM file needs.
export async function readPicture(file, parser) {
  const fail = (why) => {
    throw new Error(`${file.name}: ${why}`);
  };
  if (file.size > MEGABYTES * 1e6) {
    fail(`files of up to ${MEGABYTES} MB can be opened; this one has ${Math.round(file.size / 1e6)} MB.`);
  }
  const buffer = await file.arrayBuffer(), bytes = new Uint8Array(buffer);
  const kind = KINDS.find(([, at, text]) => textAt(bytes, at, text.length) === text)?.[0];
  if (!kind) fail("it is neither PNG, JPEG, .npy nor DICOM, to judge by its first bytes.");
  const read = { DICOM: readDicom, ".npy": readNpy, PNG: readImage, JPEG: readImage }[kind];
  const picture = await read(bytes, fail, { file, kind, parser });
  let [low, high] = [Infinity, -Infinity];
  for (const value of picture.values) {
    if (!Number.isFinite(value)) fail("some of its values are not numbers.");
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === high) fail("all of its pixels are alike, so there is nothing to see.");
  return { ...picture, tissue: kind === "DICOM" ? 30 : low + 0.6 * (high - low) };
}

const textAt = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

function checkSides(width, height, fail) {
  if (Math.min(width, height) < SMALLEST || Math.max(width, height) > LARGEST) {
    fail(`pictures of ${SMALLEST} to ${LARGEST} pixels a side can be opened; `
      + `this one has ${width} × ${height}.`);
  }
}

// --- PNG and JPEG: what the browser makes of them, 8 bits -------------------------------------------

async function readImage(bytes, fail, { file, kind }) {
  // Before anything is decoded: a small file can hold a picture that fills the memory.
  const sides = (kind === "PNG" ? sidesOfPng : sidesOfJpeg)(bytes);
  if (!sides) fail(`it is a damaged ${kind}.`);
  checkSides(...sides, fail);
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => fail(`it is a damaged ${kind}.`));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const values = Float32Array.from({ length: data.length / 4 }, (_, i) =>
    0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  return { values, width: bitmap.width, height: bitmap.height };
}

function sidesOfPng(bytes) {
  const view = new DataView(bytes.buffer);
  return bytes.length > 24 ? [view.getUint32(16), view.getUint32(20)] : null;
}

// A JPEG is a row of segments, marker and length; SOF, C0 to CF without C4, C8 and CC, has the sides.
function sidesOfJpeg(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

// --- NumPy ------------------------------------------------------------------------------------------

const NUMPY_TYPES = {
  b1: "getUint8", u8: "getBigUint64", i8: "getBigInt64", u1: "getUint8", i1: "getInt8", u2: "getUint16", i2: "getInt16", u4: "getUint32", i4: "getInt32",
  f4: "getFloat32", f8: "getFloat64",
};

function readNpy(bytes, fail) {
  const view = new DataView(bytes.buffer), long = bytes[6] > 1;
  if (bytes.length < 12) fail("it is a damaged .npy.");
  const start = long ? 12 : 10, length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const head = textAt(bytes, start, Math.min(length, 4096));
  const type = /'descr': *'([<>|=])(\w+)'/.exec(head);
  const shape = /'shape': *\(([\d, ]*)\)/.exec(head)?.[1].split(",").filter((n) => n.trim()).map(Number);
  if (!shape || !/'fortran_order'/.test(head)) fail("it is a damaged .npy.");
  const get = NUMPY_TYPES[type?.[2]];
  if (!get) fail("it must hold integers or floats, and holds something else.");
  if (shape.length !== 2) {
    fail(`it must hold one slice, (rows, columns); it has the shape (${shape.join(", ")}).`);
  }
  const [height, width] = shape, size = Number(type[2][1]);
  checkSides(width, height, fail);
  const data = start + length;
  if (bytes.length < data + size * width * height) fail("it ends before its last pixel.");
  const columns = /'fortran_order': *True/.test(head), little = type[1] !== ">";
  const values = new Float32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      values[i] = Number(view[get](data + size * (columns ? x * height + y : i), little));
    }
  }
  return { values, width, height };
}

// --- DICOM ------------------------------------------------------------------------------------------

// Explicit and implicit value representation, lowest byte first: neither compressed nor reversed.
const PLAIN_DICOM = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"];

async function readDicom(bytes, fail, { parser }) {
  const { parseDicom } = await parser();
  let data;
  try {
    data = parseDicom(bytes);
  } catch {
    fail("it is a damaged DICOM file.");
  }
  const text = (tag) => data.string(tag)?.trim() ?? "";
  if (!PLAIN_DICOM.includes(text("x00020010"))) {
    fail("its pixels are compressed; save it uncompressed (gdcmconv --raw, dcmdjpeg).");
  }
  if (text("x00080060") !== "CT") {
    fail(`it says that it is ${text("x00080060") || "of no modality"}; the network has seen CT alone.`);
  }
  const part = text("x00180015");
  if (part && !/CHEST|LUNG|THORAX/i.test(part)) {
    fail(`it says that it shows ${part}; the network has seen lungs alone, and what it would say `
      + "means nothing.");
  }
  const [height, width, bits, samples] = ["x00280010", "x00280011", "x00280100", "x00280002"]
    .map((tag) => data.uint16(tag));
  const pixels = data.elements.x7fe00010, frames = Number(text("x00280008") || 1);
  if (!pixels || !height || !width) fail("it holds no picture.");
  checkSides(width, height, fail);
  if (bits !== 16 || samples !== 1 || frames !== 1) {
    fail(`it must hold one slice of 16 bits; it has ${frames} of ${samples} × ${bits} bits.`);
  }
  if (pixels.length < 2 * width * height || pixels.dataOffset + 2 * width * height > bytes.length) {
    fail("it ends before its last pixel.");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + pixels.dataOffset);
  const get = data.uint16("x00280103") ? "getInt16" : "getUint16";
  const slope = data.floatString("x00281053") ?? 1, intercept = data.floatString("x00281052") ?? 0;
  const values = Float32Array.from({ length: width * height }, (_, i) =>
    slope * view[get](2 * i, true) + intercept);
  return { values, width, height };
}
