"""The inner loops of network.js as WebAssembly: 128-bit instructions, four numbers at a time.

Browsers run plain JavaScript on one number at a time, five times as slow. The two functions are
written here in WebAssembly's text format, one instruction a line, and assembled by `assembled`, so
that no compiler is needed and no bytes are kept that nobody can read. Both compute

    out[m, p] = sum over k of  w[m, k] * in[table[k] + 4 p],      p = 0 .. pixels - 1,

a convolution whose taps, over all channels, start at the places `table` of a padded image: `quad`
for four output channels at once, `single` for one. Weights of `quad` lie as (k, m). All places are
in bytes; `pixels` is a multiple of 8 for `quad` and of 16 for `single`.
"""

import base64
import re

# name: (code, kinds of the operands that follow). https://webassembly.github.io/spec/core/binary
INSTRUCTIONS = {
    "loop": (b"\x03\x40", ""),
    "end": (b"\x0b", ""),
    "br_if": (b"\x0d", "n"),
    "local.get": (b"\x20", "l"),
    "local.set": (b"\x21", "l"),
    "local.tee": (b"\x22", "l"),
    "i32.load": (b"\x28\x02", "n"),
    "i32.const": (b"\x41", "s"),
    "i32.lt_s": (b"\x48", ""),
    "i32.add": (b"\x6a", ""),
    "i32.mul": (b"\x6c", ""),
    "v128.load": (b"\xfd\x00\x04", "n"),
    "v128.load32_splat": (b"\xfd\x09\x02", "n"),
    "v128.store": (b"\xfd\x0b\x04", "n"),
    "v128.const0": (b"\xfd\x0c" + bytes(16), ""),
    "f32x4.add": (b"\xfd\xe4\x01", ""),
    "f32x4.mul": (b"\xfd\xe6\x01", ""),
}
I32, V128 = 0x7F, 0x7B


def _unsigned(n):
    """LEB128: seven bits a byte, the lowest first; the highest bit says that more follow."""
    low, rest = n & 0x7F, n >> 7
    return bytes([low | 0x80]) + _unsigned(rest) if rest else bytes([low])


def _signed(n):
    """LEB128 of a number that may be negative; its last byte carries the sign in bit 6."""
    low, rest = n & 0x7F, n >> 7
    done = (rest == 0 and not low & 0x40) or (rest == -1 and low & 0x40)
    return bytes([low]) if done else bytes([low | 0x80]) + _signed(rest)


def _vector(items):
    return _unsigned(len(items)) + b"".join(items)


def _named(name):
    return _vector([name[i : i + 1].encode() for i in range(len(name))])


def _body(lines, parameters, integers, vectors):
    """Local variables and instructions of a function as bytes."""
    places = {name: i for i, name in enumerate([*parameters, *integers, *vectors])}
    encode = {"n": lambda text: _unsigned(int(text)), "s": lambda text: _signed(int(text))}
    encode["l"] = lambda text: _unsigned(places[text])
    code = b""
    for line in lines:
        name, *operands = line.split()
        opcode, kinds = INSTRUCTIONS[name]
        code += opcode + b"".join(encode[k](o) for k, o in zip(kinds, operands, strict=True))
    kinds = ((integers, I32), (vectors, V128))
    local = _vector([_unsigned(len(names)) + bytes([kind]) for names, kind in kinds])
    body = local + code + INSTRUCTIONS["end"][0]
    return _unsigned(len(body)) + body


def assembled(functions):
    """A WebAssembly module that imports the memory "page" "memory" and exports the functions.

    functions: {name: (parameters, integer variables, vector variables, instructions)}, the
    instructions a text with one a line; all parameters are 32-bit integers.
    """
    types, bodies, exports = [], [], []
    for number, (name, (parameters, integers, vectors, text)) in enumerate(functions.items()):
        types.append(b"\x60" + _vector([bytes([I32])] * len(parameters)) + b"\x00")
        lines = [line for line in re.split(r"\s*\n\s*", text) if line]
        bodies.append(_body(lines, parameters, integers, vectors))
        exports.append(_named(name) + b"\x00" + _unsigned(number))
    memory = _named("page") + _named("memory") + b"\x02\x00\x01"
    numbers = [_unsigned(number) for number in range(len(functions))]
    sections = {1: types, 2: [memory], 3: numbers, 7: exports, 10: bodies}
    content = [(kind, _vector(items)) for kind, items in sections.items()]
    return b"\0asm\1\0\0\0" + b"".join(
        bytes([kind]) + _unsigned(len(data)) + data for kind, data in content
    )


PARAMETERS = ("out", "pitch", "in", "table", "taps", "weights", "pixels")


def _convolution(channels, blocks):
    """The function for that many output channels; each turn makes 4 * blocks pixels of them."""
    sums = [[f"s{m}{b}" for b in range(blocks)] for m in range(channels)]
    inputs = [f"x{b}" for b in range(blocks)]
    lines = []
    # For each run of pixels: the sums are 0,
    lines += ["loop", *(f"v128.const0 \n local.set {s}" for row in sums for s in row)]
    lines += ["local.get table", "local.set entry", "local.get weights", "local.set w"]
    # for each tap: read the pixels once, and add their product with each channel's weight;
    lines += ["i32.const 0", "local.set k", "loop"]
    lines += ["local.get in", "local.get entry", "i32.load 0", "i32.add", "local.set from"]
    for b, x in enumerate(inputs):
        lines += ["local.get from", f"v128.load {16 * b}", f"local.set {x}"]
    for m in range(channels):
        lines += ["local.get w", f"v128.load32_splat {4 * m}", "local.set weight"]
        for b, x in enumerate(inputs):
            lines += [f"local.get {sums[m][b]}", f"local.get {x}", "local.get weight"]
            lines += ["f32x4.mul", "f32x4.add", f"local.set {sums[m][b]}"]
    lines += ["local.get entry", "i32.const 4", "i32.add", "local.set entry"]
    lines += ["local.get w", f"i32.const {4 * channels}", "i32.add", "local.set w"]
    lines += ["local.get k", "i32.const 1", "i32.add", "local.tee k"]
    lines += ["local.get taps", "i32.lt_s", "br_if 0", "end"]
    # write the sums, and go on to the next pixels.
    lines += ["local.get out", "local.set to"]
    for m in range(channels):
        for b in range(blocks):
            lines += ["local.get to", f"local.get {sums[m][b]}", f"v128.store {16 * b}"]
        lines += ["local.get to", "local.get pitch", "i32.add", "local.set to"]
    for name in ("in", "out"):
        step = 16 * blocks
        lines += [f"local.get {name}", f"i32.const {step}", "i32.add", f"local.set {name}"]
    lines += ["local.get p", f"i32.const {4 * blocks}", "i32.add", "local.tee p"]
    lines += ["local.get pixels", "i32.lt_s", "br_if 0", "end"]
    integers = ("p", "k", "entry", "w", "from", "to")
    vectors = ("weight", *inputs, *(s for row in sums for s in row))
    return PARAMETERS, integers, vectors, "\n".join(lines)


BYTES = assembled({"quad": _convolution(4, 2), "single": _convolution(1, 4)})
KERNEL = base64.b64encode(BYTES).decode()
