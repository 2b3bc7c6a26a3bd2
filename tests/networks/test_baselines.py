"""The rival networks: their sizes, their skip connections, and what makes each the one it is."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.networks.baselines import (
    AttentionStage,
    DeepLabV3Plus,
    PooledASPP,
    ResUNet,
    ResUNetPlusPlus,
    SqueezeExcite,
    SummedASPP,
    UNet,
    UpStage,
)
from nodule_lesson.networks.blocks import ResidualUnit
from nodule_lesson.networks.detection_guided import DetectionGuidedNet

NETWORKS = (UNet, ResUNet, ResUNetPlusPlus, DeepLabV3Plus)
every_network = pytest.mark.parametrize("network", NETWORKS)
F64 = torch.float64


def images(count=2, height=32, width=32, seed=0):
    values = np.random.default_rng(seed).random((count, 1, height, width))
    return torch.as_tensor(values, dtype=torch.float32)


def slim(network, seed=0):
    torch.manual_seed(seed)
    return network(width=8)


def settled(model):
    """In evaluation mode, after its batch normalisations have seen some images."""
    model.train()
    with torch.no_grad():
        for seed in range(3):
            model(images(4, 64, 64, seed=100 + seed))
    return model.eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def record(model, names, *inputs):
    """What each of these submodules took and gave."""
    seen = {}

    def note(name, module, inputs, output):
        seen[name] = inputs, output

    handles = [
        model.get_submodule(name).register_forward_hook(partial(note, name)) for name in names
    ]
    output = model(*inputs)
    for handle in handles:
        handle.remove()
    return seen, output


# --- sizes ---------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("height, width", [(16, 16), (16, 80), (48, 32), (112, 64)])
def test_any_size_that_is_a_multiple_of_16(network, height, width):
    model = slim(network)
    for output in (model(images(2, height, width)), model.eval()(images(1, height, width))):
        size = (len(output.mask), 1, height, width)
        assert output.mask.shape == output.logits.shape == output.u.shape == size
        assert output.nodule is None and output.nodule_logits is None
        assert torch.equal(output.mask, torch.sigmoid(output.u))
        assert torch.equal(output.logits, output.u)


TABLES = {
    UNet: {
        "E1": (64, 128), "E2": (128, 64), "E3": (256, 32), "E4": (512, 16), "E5": (1024, 8),
        "D4": (512, 16), "D3": (256, 32), "D2": (128, 64), "D1": (64, 128), "last": (1, 128),
    },
    ResUNet: {
        "E1": (64, 128), "E2": (128, 64), "E3": (256, 32), "bridge": (512, 16),
        "D3": (256, 32), "D2": (128, 64), "D1": (64, 128), "last": (1, 128),
    },
    ResUNetPlusPlus: {
        "E1": (16, 128), "E2": (32, 64), "E3": (64, 32), "E4": (128, 16), "bridge": (256, 16),
        "D3": (128, 32), "D2": (64, 64), "D1": (32, 128), "ASPP": (16, 128), "last": (1, 128),
    },
    DeepLabV3Plus: {
        "C1": (64, 64), "C2": (256, 32), "C3": (512, 16), "C4": (1024, 8), "C5": (2048, 8),
        "ASPP": (256, 8), "low": (48, 32), "decoder": (256, 32), "last": (1, 32),
    },
}  # fmt: skip


@every_network
def test_shapes_are_those_of_its_paper(network):
    with torch.device("meta"):
        model = network().eval()
        names = [name for name, _ in model.named_children()]
        seen, output = record(model, names, torch.empty(1, 1, 128, 128))
    shapes = {name: tuple(result.shape[1:]) for name, (_, result) in seen.items()}
    assert shapes == {name: (c, side, side) for name, (c, side) in TABLES[network].items()}
    assert output.mask.shape == (1, 1, 128, 128)


# --- parameters: from each paper's own table, and as published -----------------------------------


def unet_count():
    """The 2015 drawing for one channel and one logit: every convolution with its bias."""
    c = [1, 64, 128, 256, 512, 1024]
    pairs = [(9 * a * b + b) + (9 * b * b + b) for a, b in zip(c, c[1:], strict=False)]
    for above, here in zip(c[:1:-1], c[-2:0:-1], strict=False):
        pairs.append((4 * above * here + here) + (9 * above * here + here) + (9 * here**2 + here))
    return sum(pairs) + 64 + 1


def test_unet_has_the_parameters_of_2015():
    assert unet_count() == 31_030_593
    with torch.device("meta"):
        model = UNet()
    normalised = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert normalised == 5_888  # scale and shift in the place of a bias: one number more each
    assert parameters(model) == unet_count() + normalised
    assert parameters(model) == pytest.approx(31.0e6, rel=0.002)


def test_resunet_has_the_parameters_of_2018():
    with torch.device("meta"):
        model = ResUNet()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    three = sum(m.weight.numel() for m in convolutions if m.kernel_size == (3, 3))
    one = sum(m.weight.numel() for m in convolutions if m.kernel_size == (1, 1))
    # Units of the paper's Table I: inputs, outputs.
    units = [(1, 64), (64, 128), (128, 256), (256, 512), (768, 256), (384, 128), (192, 64)]
    assert three == sum(9 * a * b + 9 * b * b for a, b in units)
    assert three == pytest.approx(7.8e6, rel=0.005)  # what its paper counts
    assert one == sum(a * b for a, b in units) + 64
    assert parameters(model) == pytest.approx(8.2e6, rel=0.005)  # what others count


def resunet_plus_plus_count(inputs, channels=(16, 32, 64, 128, 256), normalisation=2):
    """The authors' public code, layer by layer; Keras counts 4 numbers a normalised channel."""

    def conv(a, b, size=3):
        return size * size * a * b + b

    def unit(a, b, first=False):
        normalised = (0 if first else a) + b + b
        excited = 2 * b * (b // 8)
        return conv(a, b) + conv(b, b) + conv(a, b, 1) + normalisation * normalised + excited

    def aspp(a, b):
        return 4 * (conv(a, b) + normalisation * b) + conv(b, b, 1)

    def attention(skip, x):
        return conv(skip, x) + 2 * conv(x, x) + normalisation * (skip + 2 * x)

    a, b, c, d, e = channels
    encoder = unit(inputs, a, first=True) + unit(a, b) + unit(b, c) + unit(c, d) + aspp(d, e)
    decoder = attention(c, e) + unit(c + e, d) + attention(b, d) + unit(b + d, c)
    decoder += attention(a, c) + unit(a + c, b)
    return encoder + decoder + aspp(b, a) + conv(a, 1, 1)


def test_resunet_plus_plus_has_the_parameters_of_its_authors_code():
    assert resunet_plus_plus_count(3) == 4_062_993
    assert resunet_plus_plus_count(3, normalisation=4) == 4_070_385
    with torch.device("meta"):
        model = ResUNetPlusPlus()
    # Less: biases before a normalisation or an addition, and normalised shortcuts.
    outputs = (16, 32, 64, 128, 128, 64, 32)
    biases = 3 * sum(outputs) + 4 * (256 + 16) + 2 * (256 + 128 + 64)
    shortcuts = 2 * sum(outputs)
    assert parameters(model) == resunet_plus_plus_count(1) - biases - shortcuts
    assert parameters(model) == pytest.approx(4.06e6, rel=0.005)


def test_deeplab_has_the_parameters_of_public_code():
    with torch.device("meta"):
        model = DeepLabV3Plus()
    resnet = 23_503_809 - 2048 - 1  # a ResNet-50 for one channel, without its last layer
    aspp = 2048 * 256 + 3 * 9 * 2048 * 256 + 2048 * 256 + 5 * 256 * 256 + 6 * 2 * 256
    low = 256 * 48 + 2 * 48
    second = 9 * 256 * 256 + 2 * 256
    decoder = 9 * (256 + 48) * 256 + 2 * 256 + second
    assert parameters(model) == resnet + aspp + low + decoder + 256 + 1
    assert parameters(model) == pytest.approx(40.3e6, rel=0.002)
    # Public code with one convolution in the decoder.
    assert parameters(model) - second == pytest.approx(39.8e6, rel=0.002)


@every_network
@pytest.mark.parametrize("width", [1, 8, 20])
def test_no_convolution_is_under_16_channels(network, width):
    with torch.device("meta"):
        model = network(width)
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            assert layer.groups == 1
            assert layer.in_channels >= 16 or layer.in_channels == 1  # what sees the image
            assert layer.out_channels >= 16 or layer is model.last
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.num_features >= 16


@every_network
def test_width_scales_every_channel(network):
    with torch.device("meta"):
        full, double = network(), network(128)
    for (name, a), (_, b) in zip(full.named_parameters(), double.named_parameters(), strict=True):
        for before, after in zip(a.shape, b.shape, strict=True):
            assert after in (before, 2 * before), name
    assert 3.9 < parameters(double) / parameters(full) < 4.1


# --- gradients, evaluation -----------------------------------------------------------------------


@every_network
def test_gradients_reach_every_parameter(network):
    largest = {}
    # Over three starts: the two ReLUs inside an excitation of 16 channels may both be born dead.
    for seed in range(3):
        model = slim(network, seed)
        output = model(images(4, 64, 64))
        (output.logits * images(4, 64, 64, seed=5)).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            largest[name] = max(largest.get(name, 0), parameter.grad.abs().max())
    assert not [name for name, value in largest.items() if value == 0]


@every_network
def test_evaluation_is_deterministic_and_knows_no_batch(network):
    model = settled(slim(network))
    image = images(3, 48, 32)
    with torch.no_grad():
        together = model(image)
        assert torch.equal(together.u, model(image).u)
        for i in range(3):
            alone = model(image[i : i + 1])
            torch.testing.assert_close(alone.u, together.u[i : i + 1], rtol=1e-4, atol=1e-5)


@every_network
def test_precision(network):
    model = slim(network).double()
    assert model(images().double()).mask.dtype == F64
    model = model.float()
    handle = model.last.register_forward_hook(lambda module, inputs, u: u.bfloat16())
    output = model(images())
    handle.remove()
    assert output.mask.dtype == output.logits.dtype == torch.float32


@every_network
def test_the_input_is_left_alone(network):
    image = images()
    kept = image.clone()
    slim(network)(image)
    assert torch.equal(image, kept)


# --- what makes each the one it is ---------------------------------------------------------------


SKIPS = {
    UNet: {"D4": "E4", "D3": "E3", "D2": "E2", "D1": "E1"},
    ResUNet: {"D3": "E3", "D2": "E2", "D1": "E1"},
    ResUNetPlusPlus: {"D3": "E3", "D2": "E2", "D1": "E1"},
}


@pytest.mark.parametrize("network", SKIPS)
def test_skip_connections(network):
    model = settled(slim(network)).double()
    names = [name for name, _ in model.named_children()]
    image = images(2, 64, 64).double()
    with torch.no_grad():
        seen, output = record(model, names, image)
        for decoder, encoder in SKIPS[network].items():
            (x, skip), _ = seen[decoder]
            assert skip is seen[encoder][1]
            assert skip.shape[-2:] == tuple(2 * side for side in x.shape[-2:])
            # Without the skip, or without what comes from below, the network says something else.
            for lost in (0, 1):
                handle = model.get_submodule(decoder).register_forward_pre_hook(
                    lambda module, inputs, lost=lost: tuple(
                        torch.zeros_like(x) if i == lost else x for i, x in enumerate(inputs)
                    )
                )
                assert (model(image).u - output.u).abs().max() > 1e-11, (decoder, lost)
                handle.remove()


def test_the_only_skip_of_deeplab():
    model = settled(slim(DeepLabV3Plus))
    names = [name for name, _ in model.named_children()]
    with torch.no_grad():
        seen, output = record(model, names, images(2, 64, 64))
        assert seen["low"][0][0] is seen["C2"][1] and seen["C3"][0][0] is seen["C2"][1]
        both = seen["decoder"][0][0]
        low = seen["low"][1]
        assert torch.equal(both[:, -low.shape[1] :], low)
        expected = F.interpolate(seen["ASPP"][1], size=low.shape[-2:], mode="bilinear")
        assert torch.equal(both[:, : -low.shape[1]], expected)
        handle = model.low.register_forward_hook(lambda m, i, o: torch.zeros_like(o))
        assert (model(images(2, 64, 64)).u - output.u).abs().max() > 1e-3
        handle.remove()
        # The logits are computed at a quarter of the size, and enlarged.
        enlarged = F.interpolate(seen["last"][1], size=(64, 64), mode="bilinear")
        assert torch.equal(output.u, enlarged)


def test_unet_stage_is_its_formula():
    torch.manual_seed(0)
    stage = UpStage(6, 4).double().eval()
    x, skip = torch.randn(2, 6, 3, 5, dtype=F64), torch.randn(2, 4, 6, 10, dtype=F64)
    # A transposed convolution of 2x2 with stride 2: each pixel becomes a square of its own.
    weight, bias = stage.up.weight, stage.up.bias
    up = torch.einsum("nchw,coab->nohawb", x, weight).reshape(2, 4, 6, 10) + bias[:, None, None]
    y = torch.cat([skip, up], 1)
    for convolution, batch_norm, _ in stage.convolutions:
        y = F.conv2d(y, convolution.weight, padding=1) / np.sqrt(1 + batch_norm.eps)
        y = torch.relu(y)
    torch.testing.assert_close(stage(x, skip), y)


def test_unet_pools_and_resunet_strides():
    def layers(network, kind):
        return [m for m in slim(network).modules() if isinstance(m, kind)]

    assert len(layers(UNet, nn.MaxPool2d)) == 4
    assert len(layers(UNet, nn.ConvTranspose2d)) == 4
    assert {m.stride for m in layers(UNet, nn.Conv2d)} == {(1, 1)}
    assert not layers(ResUNet, nn.MaxPool2d) and not layers(ResUNet, nn.ConvTranspose2d)
    assert len(layers(ResUNet, ResidualUnit)) == len(layers(ResUNetPlusPlus, ResidualUnit)) == 7
    for network in (ResUNet, ResUNetPlusPlus):
        strides = [m.stride for m in layers(network, nn.Conv2d) if m.stride != (1, 1)]
        assert strides == 3 * [(2, 2), (2, 2)]  # three units, each in convolution and shortcut


def test_resunet_is_the_papers_branch_without_what_the_paper_adds():
    """With one scale less, dense units and no ASPP the branch S1 .. S9 is ResUNet."""
    torch.manual_seed(0)
    branch = DetectionGuidedNet(8, False, "none", separable_units=False).eval()
    model = slim(ResUNet).eval()
    pairs = {"E1": "S1", "E2": "S2", "E3": "S3", "bridge": "S4", "D3": "S7", "D2": "S8"}
    for ours, theirs in pairs.items():
        model.get_submodule(ours).load_state_dict(branch.get_submodule(theirs).state_dict())
    model.D1.unit.load_state_dict(branch.S9.unit.state_dict())
    image = images(2, 64, 64)
    with torch.no_grad():
        s1 = branch.S1(image)
        s2 = branch.S2(s1)
        s3 = branch.S3(s2)
        x = branch.S8(branch.S7(branch.S4(s3), s3), s2)
        x = F.interpolate(x, scale_factor=2)
        x = branch.S9.unit(torch.cat([x, s1], 1))
        assert torch.equal(model(image).u, model.last(x))


def test_squeeze_and_excitation():
    torch.manual_seed(0)
    layer = SqueezeExcite(16).double()
    x = torch.randn(3, 16, 4, 5, dtype=F64)
    down, up = layer.gate[2].weight, layer.gate[4].weight
    assert down.shape == (2, 16) and up.shape == (16, 2)
    gate = torch.sigmoid(torch.relu(x.mean((2, 3)) @ down.T) @ up.T)
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])
    assert gate.std() > 0
    # Squeezed: where a value stands in its channel does not matter to the gate.
    mixed = x.flatten(2)[..., torch.randperm(20)].reshape(x.shape)
    torch.testing.assert_close(layer(mixed).sum((2, 3)), layer(x).sum((2, 3)))
    with torch.no_grad():
        down.zero_()
        assert torch.equal(layer(x), x / 2)
    counts = [sum(isinstance(m, SqueezeExcite) for m in slim(n).modules()) for n in NETWORKS]
    assert counts == [0, 0, 7, 0]


def test_attention_weighs_what_comes_from_below():
    torch.manual_seed(0)
    stage = AttentionStage(16, 24, 32).double().eval()
    x, skip = torch.randn(2, 16, 4, 6, dtype=F64), torch.randn(2, 24, 8, 12, dtype=F64)
    scale = 1 / np.sqrt(1 + 1e-5)  # a batch normalisation that has seen nothing

    def brc(block, value):
        convolution = block[2]
        value = torch.relu(scale * value)
        return F.conv2d(value, convolution.weight, convolution.bias, padding=1)

    pooled = F.max_pool2d(brc(stage.from_skip[0], skip), 2)
    weights = brc(stage.weight, pooled + brc(stage.from_x, x))
    weighed = (weights * x).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(stage(x, skip), stage.unit(torch.cat([weighed, skip], 1)))
    assert weights.min() < 0  # no sigmoid, as published
    # Where x is nothing, no attention brings it back.
    seen, _ = record(stage, ["unit"], torch.zeros_like(x), skip)
    assert not seen["unit"][0][0][:, :16].any()


def test_both_pyramids_are_their_formulas():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 20, 24, dtype=F64)
    scale = 1 / np.sqrt(1 + 1e-5)

    def atrous(convolution, rate):
        kernel = torch.zeros(24, 16, 2 * rate + 1, 2 * rate + 1, dtype=F64)
        kernel[..., ::rate, ::rate] = convolution.weight
        return scale * F.conv2d(x, kernel, padding=rate)

    aspp = SummedASPP(16, 24).double().eval()
    features = [atrous(b[0], r) for b, r in zip(aspp.branches, (1, 6, 12, 18), strict=True)]
    project = aspp.project
    torch.testing.assert_close(aspp(x), F.conv2d(sum(features), project.weight, project.bias))

    aspp = PooledASPP(16, 24).double().eval()
    one, *three = aspp.branches
    features = [scale * F.conv2d(x, one[0].weight)]
    features += [atrous(b[0], r) for b, r in zip(three, (6, 12, 18), strict=True)]
    mean = scale * F.conv2d(x.mean((2, 3), keepdim=True), aspp.pooled[1][0].weight)
    features.append(mean.expand(-1, -1, 20, 24))
    features = torch.relu(torch.cat(features, 1))
    expected = torch.relu(scale * F.conv2d(features, aspp.project[0].weight))
    torch.testing.assert_close(aspp(x), expected)


def test_deeplab_sees_the_whole_image():
    # Its mean over the image carries a change in one corner to the opposite one.
    model = settled(slim(DeepLabV3Plus))
    image = images(1, 256, 256).requires_grad_()
    model(image).u[..., 0, 0].sum().backward()
    assert image.grad[..., -8:, -8:].abs().max() > 0


# --- what is refused -----------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize(
    "image, error, message",
    [
        (torch.zeros(1, 32, 32), ValueError, r"\(N, 1, H, W\), found \(1, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32), ValueError, r"found \(2, 3, 32, 32\)"),
        (torch.zeros(1, 1, 40, 32), ValueError, "multiples of 16, found 40x32"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.uint8), TypeError, "found torch.uint8"),
        (torch.zeros(1, 1, 32, 32, dtype=F64), TypeError, "float32, found torch.float64"),
    ],
)
def test_bad_images(network, image, error, message):
    with pytest.raises(error, match=message):
        slim(network)(image)


@every_network
@pytest.mark.parametrize("width", [0, -8, 8.0, "8", True])
def test_bad_widths(network, width):
    with pytest.raises(ValueError, match="width must be an integer of at least 1, found"):
        network(width=width)


def test_deeplab_does_not_train_on_one_image():
    model = slim(DeepLabV3Plus)
    with pytest.raises(ValueError, match="batches of at least 2 images, found 1"):
        model(images(1))
    assert model.eval()(images(1)).mask.shape == (1, 1, 32, 32)
