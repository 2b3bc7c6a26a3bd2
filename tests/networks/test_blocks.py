"""networks.blocks against explicit loops, dense kernels, formulas and MONAI's ResNet-50."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import resnet50
from torch.nn import functional as F

from nodule_lesson.networks.blocks import (
    ASPP,
    CombinationBlock,
    Concatenation,
    DepthwiseConv,
    DepthwiseSeparableConv,
    Head,
    LinearCombination,
    ResidualUnit,
    UpsampledCombination,
    conv3x3,
    resnet_stages,
    scaled,
)

F64 = torch.float64
quick = settings(deadline=None, max_examples=20)


def field(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def filled(module, seed=1):
    """The module in float64, with random weights, biases and running statistics."""
    random = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=random, dtype=F64))
        for name, value in module.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=random, dtype=F64))
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=random, dtype=F64))
    return module


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# --- depthwise separable convolution -------------------------------------------------------------


def loop_convolution(x, kernel, stride, dilation):
    """Each output pixel by itself: the definition of a k x k convolution, zero outside."""
    outputs, inputs, size, _ = kernel.shape
    reach = dilation * (size // 2)
    batch, _, height, width = x.shape
    out = np.zeros((batch, outputs, -(-height // stride), -(-width // stride)))
    for n, o, i, j in np.ndindex(*out.shape):
        for c, a, b in itertools.product(range(inputs), range(size), range(size)):
            row, column = i * stride + a * dilation - reach, j * stride + b * dilation - reach
            if 0 <= row < height and 0 <= column < width:
                out[n, o, i, j] += kernel[o, c, a, b] * x[n, c, row, column]
    return out


@quick
@given(
    st.sampled_from([1, 3, 5]),
    st.integers(1, 2),
    st.integers(1, 3),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_separable_convolution_is_one_with_the_composed_kernel(kernel, stride, dilation, sides):
    layer = filled(DepthwiseSeparableConv(2, 2, kernel, stride, dilation))
    depthwise, pointwise = layer[0].weight.detach(), layer[1].weight.detach()
    # K[o, c] = P[o, c] D[c]: rank one in (output, tap) for each input channel.
    composed = pointwise * depthwise[:, 0]
    x = field(1, 2, *sides)
    expected = loop_convolution(x.numpy(), composed.numpy(), stride, dilation)
    close(layer(x).detach(), torch.from_numpy(expected))


def test_separable_convolution_has_the_weights_it_says():
    for inputs, outputs, k in ((16, 32, 3), (7, 5, 5)):
        layer = DepthwiseSeparableConv(inputs, outputs, k)
        count = sum(p.numel() for p in layer.parameters())
        assert count == k * k * inputs + inputs * outputs
        assert count < k * k * inputs * outputs


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 5), (2, 3)])
def test_conv3x3_keeps_or_divides_the_size(separable, stride, dilation):
    layer = conv3x3(4, 6, stride, dilation, separable)
    assert layer(torch.zeros(1, 4, 9, 12)).shape == (1, 6, -(-9 // stride), -(-12 // stride))
    assert all(name.endswith("weight") for name, _ in layer.named_parameters())  # no bias


# --- the residual unit ---------------------------------------------------------------------------


def normalised(x, batch_norm, training):
    """Batch normalisation from its formula."""
    if training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    else:
        mean, variance = batch_norm.running_mean, batch_norm.running_var
    scale = batch_norm.weight / torch.sqrt(variance + batch_norm.eps)
    return (x - mean[:, None, None]) * scale[:, None, None] + batch_norm.bias[:, None, None]


def residual_formula(unit, x, stride, separable, first, training):
    one, two = unit.residual
    convolution = one if first else one[2]
    a = x if first else torch.relu(normalised(x, one[0], training))
    if separable:
        depthwise, pointwise = convolution[0].weight, convolution[1].weight
        a = F.conv2d(a, depthwise, stride=stride, padding=1, groups=x.shape[1])
        a = F.conv2d(a, pointwise)
    else:
        a = F.conv2d(a, convolution.weight, stride=stride, padding=1)
    a = torch.relu(normalised(a, two[0], training))
    a = F.conv2d(a, two[2].weight, padding=1)
    projected = isinstance(unit.shortcut, torch.nn.Conv2d)
    # A 1x1 convolution with a stride looks at every stride-th pixel.
    thinned = x[..., ::stride, ::stride]
    weight = unit.shortcut.weight[..., 0, 0] if projected else torch.eye(x.shape[1], dtype=F64)
    return torch.einsum("oc,nchw->nohw", weight, thinned) + a


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "inputs, outputs, stride, separable, first",
    [
        (3, 5, 2, True, False),
        (3, 5, 2, False, False),
        (4, 4, 1, True, False),
        (4, 4, 2, True, False),
        (1, 4, 1, True, True),
    ],
)
def test_residual_unit_is_its_formula(inputs, outputs, stride, separable, first, training):
    unit = filled(ResidualUnit(inputs, outputs, stride, separable, first)).train(training)
    x = field(2, inputs, 6, 8)
    expected = residual_formula(unit, x, stride, separable and not first, first, training)
    kept = x.clone()
    close(unit(x), expected)
    assert torch.equal(x, kept)  # the ReLUs work in place, but never on what comes in


def test_residual_unit_projects_only_where_the_shape_changes():
    def identity(*arguments):
        return not list(ResidualUnit(*arguments).shortcut.parameters())

    assert identity(4, 4) and not identity(4, 5) and not identity(4, 4, 2)


def test_a_unit_without_residual_is_its_shortcut():
    unit = ResidualUnit(4, 4)
    torch.nn.init.zeros_(unit.residual[1][2].weight)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(unit(x), x)


# --- atrous spatial pyramid pooling --------------------------------------------------------------


@pytest.mark.parametrize("separable", [False, True])
def test_aspp_branches_are_convolutions_with_a_kernel_full_of_zeros(separable):
    rates = (1, 5, 10, 15)
    aspp = filled(ASPP(3, 4, rates, separable)).eval()
    x = field(2, 3, 17, 20)
    features = []
    for branch, rate in zip(aspp.branches, rates, strict=True):
        convolution, batch_norm, _ = branch
        if separable:
            taps = convolution[1].weight * convolution[0].weight[:, 0]
        else:
            taps = convolution.weight
        kernel = torch.zeros(4, 3, 2 * rate + 1, 2 * rate + 1, dtype=F64)
        kernel[..., ::rate, ::rate] = taps
        y = F.conv2d(x, kernel, padding=rate)
        features.append(torch.relu(normalised(y, batch_norm, False)))
    project, batch_norm, _ = aspp.project
    mixed = torch.einsum("oc,nchw->nohw", project.weight[..., 0, 0], torch.cat(features, 1))
    close(aspp(x), torch.relu(normalised(mixed, batch_norm, False)))


def test_aspp_defaults_to_the_rates_of_the_paper():
    dilations = [branch[0].dilation[0] for branch in ASPP(16, 16).branches]
    assert dilations == [1, 5, 10, 15]


@pytest.mark.parametrize("rates", [(), 3, (0, 1), (1, 2.0), ("1",), None])
def test_rates_are_counts(rates):
    with pytest.raises(ValueError, match="^rates must be one or more integers of at least 1, "):
        ASPP(16, 16, rates)


@pytest.mark.parametrize("separable", [False, True])
def test_outer_taps_at_dilation_10_and_15_see_nothing_of_an_8x8_map(separable):
    aspp = ASPP(16, 16, separable=separable)
    aspp(torch.randn(2, 16, 8, 8)).square().sum().backward()
    for branch, alive in zip(aspp.branches, (True, True, False, False), strict=True):
        convolution = branch[0][0] if separable else branch[0]
        gradient = convolution.weight.grad.abs().sum((0, 1))
        assert gradient[1, 1] > 0
        outer = gradient.sum() - gradient[1, 1]
        assert (outer > 0) == alive


# --- combination ---------------------------------------------------------------------------------


def combination_formula(block, s, c):
    translated = torch.einsum("dc,nchw->ndhw", block.translate.weight[..., 0, 0], c)
    both = torch.cat([s, translated], 1)
    fused = torch.einsum("oc,nchw->nohw", block.fuse.weight[..., 0, 0], both)
    depthwise, pointwise = (layer.weight for layer in block.spread)
    height, width = s.shape[-2:]
    padded = F.pad(fused, (1, 1, 1, 1))
    spread = sum(
        depthwise[:, 0, a, b, None, None] * padded[..., a : a + height, b : b + width]
        for a in range(3)
        for b in range(3)
    )
    return torch.einsum("oc,nchw->nohw", pointwise[..., 0, 0], spread)


def test_combination_block_is_its_formula():
    block = filled(CombinationBlock(4, 3))
    s, c = field(2, 4, 6, 5), field(2, 3, 6, 5, seed=2)
    close(block(s, c), combination_formula(block, s, c))


def test_combination_block_has_the_sizes_of_the_paper():
    block = CombinationBlock(128, 64)
    shapes = [tuple(p.shape) for p in block.parameters()]
    # C to C; C + S to S; 3x3 depthwise S; 1x1 S to S.
    assert shapes == [(64, 64, 1, 1), (128, 192, 1, 1), (128, 1, 3, 3), (128, 128, 1, 1)]
    assert block.out_channels == 128


@quick
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 1000))
def test_combination_block_is_linear(alpha, beta, seed):
    block = filled(CombinationBlock(3, 2))
    s1, s2 = field(1, 3, 4, 4, seed=seed), field(1, 3, 4, 4, seed=seed + 1)
    c1, c2 = field(1, 2, 4, 4, seed=seed + 2), field(1, 2, 4, 4, seed=seed + 3)
    together = block(alpha * s1 + beta * s2, alpha * c1 + beta * c2)
    close(together, alpha * block(s1, c1) + beta * block(s2, c2))


def test_combination_block_collapses_to_one_3x3_convolution():
    block = filled(CombinationBlock(4, 3))
    translate, fuse = block.translate.weight[..., 0, 0], block.fuse.weight[..., 0, 0]
    depthwise, pointwise = block.spread[0].weight[:, 0], block.spread[1].weight[..., 0, 0]
    # From s and c to the fused channels, and from these to the output.
    mix = torch.cat([fuse[:, :4], fuse[:, 4:] @ translate], 1)
    kernel = torch.einsum("om,mab,mi->oiab", pointwise, depthwise, mix)
    s, c = field(2, 4, 6, 5), field(2, 3, 6, 5, seed=2)
    close(block(s, c), F.conv2d(torch.cat([s, c], 1), kernel, padding=1))


def test_combination_block_with_activation_is_not_linear():
    block = filled(CombinationBlock(4, 3, activation=True)).eval()
    s, c = field(1, 4, 6, 5), field(1, 3, 6, 5, seed=2)
    nothing = block(torch.zeros_like(s), torch.zeros_like(c))
    defect = block(s, c) + block(-s, -c) - 2 * nothing
    assert defect.abs().max() > 0.1
    convolution, batch_norm, _ = block.translate
    t = torch.relu(normalised(F.conv2d(c, convolution.weight), batch_norm, False))
    convolution, batch_norm, _ = block.fuse
    f = F.conv2d(torch.cat([s, t], 1), convolution.weight)
    close(block(s, c), block.spread(torch.relu(normalised(f, batch_norm, False))))


def test_concatenation_and_linear_combination():
    s, c = field(2, 3, 4, 5), field(2, 3, 4, 5, seed=2)
    block = Concatenation(3, 3)
    assert torch.equal(block(s, c), torch.cat([s, c], 1)) and block.out_channels == 6
    assert not list(block.parameters())
    block = LinearCombination(3, 3)
    close(block(s, c), (0.9 * s + 0.1 * c), 1e-7)
    filled(block)
    expected = torch.stack([block.a[i] * s[:, i] + block.b[i] * c[:, i] for i in range(3)], 1)
    close(block(s, c), expected)
    assert block.out_channels == 3 and sum(p.numel() for p in block.parameters()) == 6


def test_linear_combination_needs_equal_channels():
    with pytest.raises(ValueError, match="equal numbers of channels, found 3 and 4"):
        LinearCombination(3, 4)


def test_upsampled_combination_repeats_pixels():
    block = filled(UpsampledCombination(4, 3))
    s, c = field(2, 4, 6, 10), field(2, 3, 3, 5, seed=2)
    repeated = torch.from_numpy(c.numpy().repeat(2, 2).repeat(2, 3))
    close(block(s, c), combination_formula(block, s, repeated))


def test_an_enlarged_feature_can_be_read_back():
    """Enlarging loses nothing: every second pixel of every second row is the old feature."""
    block, seen = filled(UpsampledCombination(4, 3)), []
    block.translate.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    s, c = field(2, 4, 6, 10), field(2, 3, 3, 5, seed=2)
    block(s, c)
    assert torch.equal(seen[0][..., ::2, ::2], c)


@pytest.mark.parametrize("kind", [CombinationBlock, Concatenation, LinearCombination])
def test_features_of_different_sizes_are_refused(kind):
    for size in ((3, 3), (6, 3)):
        with pytest.raises(RuntimeError):
            kind(4, 4)(torch.zeros(1, 4, 6, 6), torch.zeros(1, 4, *size))


# --- the residual network ------------------------------------------------------------------------


def monai_resnet():
    torch.manual_seed(0)
    return resnet50(
        spatial_dims=2,
        n_input_channels=1,
        num_classes=1,
        conv1_t_stride=2,
        bias_downsample=False,
    )


def monai_name(name):
    """MONAI's name for a parameter or buffer of C1 .. C5 and FC."""
    block, *path, leaf = name.split(".")
    if block == "FC":
        return f"fc.{leaf}"
    if block == "C1":
        return f"{('conv1', 'bn1')[int(path[0])]}.{leaf}"
    unit, branch, layer = int(path[0]), path[1], int(path[2])
    unit -= block == "C2"  # the maximum pooling comes first there
    if branch == "shortcut":
        inner = f"downsample.{layer}"
    else:
        inner = f"{('conv', 'bn')[layer % 3]}{layer // 3 + 1}"
    return f"layer{int(block[1]) - 1}.{unit}.{inner}.{leaf}"


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.C1, self.C2, self.C3, self.C4, self.C5 = resnet_stages()
        self.FC = Head(2048)

    def forward(self, x):
        for stage in self.children():
            x = stage(x)
        return x


def test_classifier_is_monais_resnet_50():
    theirs, ours = monai_resnet(), Classifier()
    assert sum(p.numel() for p in ours.parameters()) == 23_503_809
    values = theirs.state_dict()
    names = {name: monai_name(name) for name in ours.state_dict()}
    assert sorted(names.values()) == sorted(values)
    ours.load_state_dict({name: values[theirs_] for name, theirs_ in names.items()})
    ours, theirs = ours.double(), theirs.double()
    x = field(2, 1, 64, 32)

    # While training: values, gradients, and the statistics that are kept.
    a, b = ours(x), theirs(x)
    assert a.shape == (2,)
    close(a, b[:, 0])
    a.square().sum().backward()
    b.square().sum().backward()
    gradients = dict(theirs.named_parameters())
    largest = max(p.grad.abs().max().item() for p in theirs.parameters())
    for name, parameter in ours.named_parameters():
        reference = gradients[names[name]].grad
        assert (parameter.grad - reference).abs().max() <= 1e-9 * largest, name
    kept = theirs.state_dict()
    for name, value in ours.state_dict().items():
        close(value, kept[names[name]])

    # And after it.
    with torch.no_grad():
        close(ours.eval()(x), theirs.eval()(x)[:, 0])


def test_dilated_stage_gives_the_same_numbers_on_a_finer_grid():
    torch.manual_seed(0)
    blocks = (1, 1, 1, 3)
    plain = torch.nn.Sequential(*resnet_stages(8, blocks)).double().eval()
    dilated = torch.nn.Sequential(*resnet_stages(8, blocks, dilated=True)).double().eval()
    dilated.load_state_dict(plain.state_dict())
    x = field(1, 1, 96, 64)
    with torch.no_grad():
        coarse, fine = plain(x), dilated(x)
    assert coarse.shape[-2:] == (3, 2) and fine.shape[-2:] == (6, 4)
    close(fine[..., ::2, ::2], coarse)


@pytest.mark.parametrize(
    "blocks", [(3, 4, 6), (3, 4, 6, 3, 3), (1, 1, 1, 0), (), 3, (1.0, 1, 1, 1)]
)
def test_a_resnet_has_four_stages_of_units(blocks):
    with pytest.raises(ValueError, match="four counts of at least 1, found"):
        resnet_stages(8, blocks)


def test_scaled_never_goes_under_16():
    assert [scaled(64, w) for w in (1, 8, 16, 32, 64, 128)] == [16, 16, 16, 32, 64, 128]
    assert scaled(2048, 8) == 256 and scaled(512, 2) == 16


def test_head_is_a_mean_and_a_line():
    head = filled(Head(5))
    x = field(3, 5, 4, 6)
    weight, bias = head[2].weight[0], head[2].bias[0]
    close(head(x), x.mean((2, 3)) @ weight + bias)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "kernel, dilation", [(3, 1), (3, 2), (3, 5), (3, 8), (3, 9), (3, 15), (5, 3)]
)
def test_a_depthwise_convolution_is_pytorchs_whatever_its_dilation(kernel, dilation, layout):
    """Values and both gradients, on sides that the dilation does not divide."""
    torch.manual_seed(0)
    layer = DepthwiseConv(4, kernel, dilation=dilation).double()
    x = torch.randn(2, 4, 9, 7, dtype=torch.float64).contiguous(memory_format=layout)
    x.requires_grad_()
    expected = F.conv2d(x, layer.weight, None, 1, dilation * (kernel // 2), dilation, groups=4)
    found = layer(x)
    g = torch.randn_like(found)
    wanted = torch.autograd.grad((expected * g).sum(), (x, layer.weight))
    got = torch.autograd.grad((found * g).sum(), (x, layer.weight))
    assert torch.allclose(found, expected)
    assert all(torch.allclose(a, b) for a, b in zip(got, wanted, strict=True))
    assert torch.allclose(layer(x[:0]), expected[:0]) and layer(x[:0]).shape == (0, 4, 9, 7)
