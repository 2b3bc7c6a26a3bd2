"""The engine that runs networks in a page, in node, against PyTorch; its kernel against numpy."""

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from live_figures import in_node
from torch import nn

from nodule_lesson.data.demo import open_demo
from nodule_lesson.data.patches import normalise
from nodule_lesson.live import arrays, kernel
from nodule_lesson.live.figure import with_imports
from nodule_lesson.networks import SLIM, DetectionGuidedNet, build_model, export, load_pretrained
from nodule_lesson.networks.detection_guided import Output

LIVE = Path(kernel.__file__).parent
RUN = """
const unpack = (text) => new Float32Array(unpackBytes(text).buffer);
const pack = ({ buffer, byteOffset, byteLength }) =>
  Buffer.from(buffer, byteOffset, byteLength).toString("base64");
const tensors = unpackTensors(data.network);
const answers = data.jobs.map(({ side, images, plain }) => {
  const run = new NetworkRun(data.network, tensors, side, { plain });
  return images.map((image) => {
    const { u, logit } = run.run(unpack(image));
    return { u: u.slice(), logit };
  });
});
"""
ANSWERS = """
const result = answers.map((rows) => rows.map(({ u, logit }) => ({ u: pack(u), logit })));
"""
# With the layer at the end, whose parameters come with the network.
MASKS = """
const result = answers.map((rows, job) => rows.map(({ u, logit }) => {
  const c = 1 / (1 + Math.exp(-logit));
  const x = softThresholdDynamics(u, data.jobs[job].side, { ...data.network.std, c });
  return Array.from(x, (value) => (value > 0.5 ? 1 : 0));
}));
"""


def engine():
    scripts = with_imports(LIVE / "network.js", kernel)
    with_imports(LIVE / "std.js", scripts=scripts)
    return "".join(scripts.values())


def described(model):
    graph, weights = export.as_graph(model)
    return graph | {"weights": base64.b64encode(weights).decode()}


def in_engine(node, network, jobs, program):
    """`result` of a program; a job is (images (N, side, side), whether in plain JavaScript)."""
    data = []
    for images, plain in jobs:
        texts = [base64.b64encode(image.astype("<f4").tobytes()).decode() for image in images]
        data.append({"side": images.shape[-1], "images": texts, "plain": plain})
    return in_node(node, engine() + RUN + program, {"network": network, "jobs": data})


def answers(node, network, *jobs):
    """u (N, pixels) and the classifier's logits for each job."""
    for rows in in_engine(node, network, jobs, ANSWERS):
        u = [np.frombuffer(base64.b64decode(row["u"]), "<f4") for row in rows]
        yield np.stack(u), [row["logit"] for row in rows]


@pytest.fixture(scope="module")
def script():
    return export.as_script("slim")


@pytest.fixture(scope="module")
def slim(script):
    return json.loads(script.removeprefix("document.currentScript.network = ").rstrip(";\n"))


def crops(side, count):
    images = normalise(np.asarray(open_demo("luna_like").images))
    rows = np.linspace(0, len(images) - 1, count).astype(int)
    return arrays.middle(images[rows], side)


def of_torch(model, images):
    with torch.no_grad():
        return model(torch.as_tensor(np.ascontiguousarray(images))[:, None])


def test_no_pixel_of_25_masks_differs_from_pytorch(node, slim):
    model, images = load_pretrained("slim"), (crops(64, 20), crops(128, 5))
    found = in_engine(node, slim, [(part, False) for part in images], MASKS)
    wanted = [of_torch(model, part).mask.flatten(1).numpy() > 0.5 for part in images]
    assert all(part.sum() > 500 for part in wanted), "there is hardly anything to compare"
    for masks, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.array(masks, bool), expected)


def test_logits_are_pytorchs_with_and_without_webassembly(node, slim):
    model = load_pretrained("slim")
    jobs = [(crops(64, 4), False), (crops(64, 4), True), (crops(128, 2), False)]
    for (images, _), (u, logits) in zip(jobs, answers(node, slim, *jobs), strict=True):
        wanted = of_torch(model, images)
        np.testing.assert_allclose(u, wanted.u.flatten(1), atol=2e-5 * abs(wanted.u).max())
        np.testing.assert_allclose(logits, wanted.nodule_logits, atol=1e-4)


class Uneven(nn.Module):
    """Operations in forms that no shipped network has: other strides, groups, biases and sizes."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 6, 5, stride=3, padding=1)
        self.two = nn.Conv2d(6, 9, 3, padding=4, dilation=4, groups=3)
        self.pool = nn.MaxPool2d(2)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(9, 9, 1), nn.Sigmoid())
        self.three = nn.Conv2d(18, 1, 1, bias=False)
        self.std = None

    def forward(self, image):
        x = self.two(torch.relu(self.one(image)))
        x = x + torch.relu(x)
        y = nn.functional.interpolate(self.pool(x), scale_factor=2)
        u = self.three(torch.cat([y * self.gate(y), y], 1))
        return Output(torch.sigmoid(u), u, u)


def models():
    torch.manual_seed(3)
    yield Uneven()
    yield DetectionGuidedNet(**SLIM | {"separable_aspp": False}, combine="linear")
    yield build_model("resunet", width=8)


def test_another_architecture_needs_an_export_and_no_new_code(node):
    random = np.random.default_rng(0)
    for model in models():
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.normal_(module.running_mean)
                nn.init.normal_(module.bias)
        images = random.random((2, 64, 64), np.float32)
        wanted = of_torch(model, images)
        jobs = [(images, False), (images, True)]
        for u, logits in answers(node, described(model), *jobs):
            tolerance = 2e-5 * max(1, abs(wanted.u).max())
            np.testing.assert_allclose(u, wanted.u.flatten(1), atol=tolerance)
            if wanted.nodule is None:
                assert logits == [None, None]
            else:
                np.testing.assert_allclose(logits, wanted.nodule_logits, atol=1e-4)


class Cosine(nn.Module):
    std = None

    def forward(self, image):
        return Output(image, image, torch.cos(image))


def test_an_operation_that_a_page_cannot_run_is_named():
    with pytest.raises(ValueError, match="^a page can run conv2d, .*; found cos in the network"):
        export.as_graph(Cosine())


def test_half_precision_is_used_where_it_is_exact(slim):
    assert {kind for kind, _, _ in slim["tensors"]} == {"f2", "f4"}
    numbers = sum(count for kind, _, count in slim["tensors"] if kind == "f2")
    assert numbers > 0.95 * sum(count for _, _, count in slim["tensors"])


def test_a_script_is_small_and_always_the_same(script, slim):
    assert len(script) < 2_000_000, "the page says so"
    assert len(gzip.compress(script.encode())) < 1_500_000, "as servers send it"
    again = json.loads(json.dumps(described(load_pretrained("slim"))))
    assert again == {key: slim[key] for key in again}


# --- the kernel ----------------------------------------------------------------------------------

KERNEL = """
const memory = new WebAssembly.Memory({ initial: 4 });
const bytes = Buffer.from(data.bytes, "base64");
const module = new WebAssembly.Module(bytes);
const { quad, single } = new WebAssembly.Instance(module, { page: { memory } }).exports;
const floats = new Float32Array(memory.buffer), integers = new Int32Array(memory.buffer);
floats.set(data.input, 1000);
floats.set(data.weights, 5000);
integers.set(data.table, 6000);
const { pixels, taps, channels } = data;
(channels === 4 ? quad : single)(4 * 8000, 4 * pixels, 4 * 1000, 4 * 6000, taps, 4 * 5000, pixels);
const result = floats.slice(8000, 8000 + channels * pixels);
"""


@pytest.mark.parametrize(
    "channels, pixels, taps", [(4, 8, 1), (4, 40, 19), (1, 16, 1), (1, 48, 7)]
)
def test_the_kernel_is_a_sum_over_taps(node, channels, pixels, taps):
    random = np.random.default_rng(pixels)
    image = random.standard_normal(400).astype(np.float32)
    weights = random.standard_normal((taps, channels)).astype(np.float32)
    table = random.integers(0, 300, taps)
    data = {"bytes": kernel.KERNEL, "input": image, "weights": weights.ravel()}
    data |= {"table": 4 * table, "pixels": pixels, "taps": taps, "channels": channels}
    found = np.reshape(in_node(node, KERNEL, data), (channels, pixels))
    rows = np.stack([image[start : start + pixels] for start in table]).astype(float)
    np.testing.assert_allclose(found, weights.T.astype(float) @ rows, atol=1e-5)


def test_numbers_of_all_lengths_are_encoded_as_the_specification_says():
    # The examples of https://en.wikipedia.org/wiki/LEB128, and the ends of one byte.
    assert kernel._unsigned(624485) == bytes([0xE5, 0x8E, 0x26])
    assert kernel._signed(-123456) == bytes([0xC0, 0xBB, 0x78])
    assert [kernel._signed(n) for n in (63, 64, -64, -65)] == [
        b"\x3f", b"\xc0\x00", b"\x40", b"\xbf\x7f"
    ]  # fmt: skip
