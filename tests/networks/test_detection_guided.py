"""The paper's network: its shapes, what reaches what, its options, and what it refuses."""

import copy
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nodule_lesson.networks.blocks import (
    ASPP,
    CombinationBlock,
    Concatenation,
    DepthwiseSeparableConv,
    LinearCombination,
    UpsampledCombination,
)
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet, Output, check_image
from nodule_lesson.std import STDSigmoid, soft_threshold_dynamics

# Smaller still than the slim one, for what does not depend on the size.
TINY = {**SLIM, "width": 1}
COMBINATIONS = (True, False, ("S3",), ["S2", "S5"], "concatenation", "linear", "upsampled")
COMBINATIONS += ("shared",)
PAIRS = {"S2": "C1", "S3": "C2", "S4": "C3", "S5": "C4"}


def images(count=2, height=32, width=32, seed=0, dtype=torch.float32):
    values = np.random.default_rng(seed).random((count, 1, height, width))
    return torch.as_tensor(values, dtype=dtype)


def network(seed=0, **options):
    torch.manual_seed(seed)
    return DetectionGuidedNet(**{**TINY, **options})


def settled(model, steps=3):
    """In evaluation mode, after its batch normalisations have seen some images."""
    model.train()
    with torch.no_grad():
        for step in range(steps):
            model(images(4, seed=100 + step))
    return model.eval()


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


def test_shapes_are_those_of_the_paper():
    with torch.device("meta"):
        model = DetectionGuidedNet(regularisation="none")
        names = [name for name, _ in model.named_children() if name != "combination"]
        seen, output = record(model, names, torch.empty(3, 1, 128, 128))
    shapes = {name: tuple(out.shape) for name, (_, out) in seen.items()}
    table = {
        "C1": (64, 64), "C2": (256, 32), "C3": (512, 16), "C4": (1024, 8), "C5": (2048, 4),
        "S1": (64, 128), "S2": (128, 64), "S3": (256, 32), "S4": (512, 16), "S5": (1024, 8),
        "S6": (512, 16), "S7": (256, 32), "S8": (128, 64), "S9": (64, 128), "last": (1, 128),
    }  # fmt: skip
    expected = {name: (3, channels, side, side) for name, (channels, side) in table.items()}
    assert shapes == {**expected, "FC": (3,)}
    for value in (output.mask, output.logits, output.u):
        assert value.shape == (3, 1, 128, 128)
    assert output.nodule.shape == output.nodule_logits.shape == (3,)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def unit_parameters(inputs, outputs, stride, separable=True):
    first = 9 * inputs + inputs * outputs if separable else 9 * inputs * outputs
    shortcut = inputs * outputs if inputs != outputs or stride > 1 else 0
    return first + 9 * outputs**2 + shortcut + 2 * inputs + 2 * outputs


def aspp_parameters(channels, separable=False):
    dense = 9 * channels + channels**2 if separable else 9 * channels**2
    return 4 * (dense + 2 * channels) + 4 * channels**2 + 2 * channels


def combination_parameters(s, c):
    return c * c + (s + c) * s + 9 * s + s * s


def test_parameters_of_the_full_model():
    with torch.device("meta"):
        model = DetectionGuidedNet(regularisation="none")
    s, c = (64, 128, 256, 512, 1024), (64, 256, 512, 1024, 2048)
    classifier = 23_503_809  # a ResNet-50 for one channel and one class
    encoder = 9 * 64 + 9 * 64 * 64 + 64 + 2 * 64
    encoder += sum(unit_parameters(a, b, 2) for a, b in itertools.pairwise(s))
    decoder = sum(unit_parameters(b + a, a, 1) for a, b in itertools.pairwise(s))
    aspp = aspp_parameters(1024) + aspp_parameters(64)
    combination = sum(combination_parameters(a, b) for a, b in zip(s[1:], c, strict=False))
    assert parameters(model) == classifier + encoder + decoder + aspp + combination + 65
    assert round(parameters(model) / 1e6, 1) == 90.4
    # STD adds two numbers, sigma and lambda2.
    assert parameters(network()) == parameters(network(regularisation="none")) + 2
    assert parameters(network(regularisation="std")) == parameters(network()) - 1


def test_parameters_of_the_slim_model():
    assert SLIM == {"width": 8, "classifier_blocks": (1, 1, 1, 1), "separable_aspp": True}
    assert round(parameters(DetectionGuidedNet(**SLIM)) / 1e6, 2) == 0.67


@pytest.mark.parametrize("width", [1, 8, 13, 24])
@pytest.mark.parametrize("combine", [True, "concatenation", "upsampled", "shared"])
def test_no_layer_is_under_16_channels(width, combine):
    with torch.device("meta"):
        model = DetectionGuidedNet(width, combine, "none")
    assert {model.C1[0].in_channels if combine != "shared" else 1, model.last.out_channels} == {1}
    first = [model.S1.residual[0], model.S1.shortcut]
    first += [] if combine == "shared" else [model.C1[0]]
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.in_channels >= 16 or layer in first
            assert layer.out_channels >= 16 or layer is model.last


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("height, width", [(16, 16), (16, 80), (48, 32), (112, 64)])
def test_any_size_that_is_a_multiple_of_16(combine, height, width):
    model = network(combine=combine).eval()
    names = [f"combination.{name}" for name in model.combination]
    with torch.no_grad():
        seen, output = record(model, names, images(2, height, width))
    assert output.mask.shape == output.logits.shape == output.u.shape == (2, 1, height, width)
    assert output.nodule.shape == (2,)
    assert ((output.mask >= 0) & (output.mask <= 1)).all()
    assert ((output.nodule > 0) & (output.nodule < 1)).all()
    for (s, c), combined in seen.values():
        if combine == "upsampled":
            assert c.shape[-2:] == tuple(-(-side // 2) for side in s.shape[-2:])
        else:
            assert s.shape[-2:] == c.shape[-2:]  # equal sizes only: nothing is resampled
        assert combined.shape[-2:] == s.shape[-2:]


def test_the_full_model_runs():
    torch.manual_seed(0)
    model = DetectionGuidedNet().eval()
    with torch.no_grad():
        output = model(images(1))
    assert output.mask.dtype == torch.float32 and torch.isfinite(output.logits).all()


# --- the options, each of which changes what it should -------------------------------------------


def test_default_combination_pairs():
    model = network(width=24)
    assert tuple(model.combination) == tuple(PAIRS)
    for name, block in model.combination.items():
        assert type(block) is CombinationBlock
        assert len(block.translate.weight) == {"S2": 24, "S3": 96, "S4": 192, "S5": 384}[name]
        assert block.out_channels == {"S2": 48, "S3": 96, "S4": 192, "S5": 384}[name]


@pytest.mark.parametrize(
    "combine, kind, names",
    [
        (False, None, ()),
        ("shared", None, ()),
        (("S4", "S2"), CombinationBlock, ("S2", "S4")),
        (["S3"], CombinationBlock, ("S3",)),
        ({"S5"}, CombinationBlock, ("S5",)),
        ("concatenation", Concatenation, ("S2", "S3", "S4", "S5")),
        ("linear", LinearCombination, ("S3", "S4", "S5")),
        ("upsampled", UpsampledCombination, ("S2", "S3", "S4", "S5")),
    ],
)
def test_what_combine_builds(combine, kind, names):
    model = network(combine=combine)
    assert tuple(model.combination) == names
    assert all(type(block) is kind for block in model.combination.values())
    assert hasattr(model, "C1") != (combine == "shared")


def reached(model, what, names):
    """Which of these blocks a gradient of the output's `what` arrives at."""
    output = model(images(4))
    blocks = {name: list(model.get_submodule(name).parameters()) for name in names}
    flat = [p for block in blocks.values() for p in block]
    gradients = dict(
        zip(
            map(id, flat),
            torch.autograd.grad(getattr(output, what).sum(), flat, allow_unused=True),
            strict=True,
        )
    )
    found = {
        name: any(gradients[id(p)] is not None and gradients[id(p)].abs().max() > 0 for p in block)
        for name, block in blocks.items()
    }
    # Nothing arrives means no path, not a very small number.
    for name, block in blocks.items():
        assert found[name] or all(gradients[id(p)] is None for p in block)
    return "".join(sorted(name for name in names if found[name]))


CLASSIFIER = ("C1", "C2", "C3", "C4", "C5", "FC")


@pytest.mark.parametrize(
    "combine, expected",
    [
        (True, "C1C2C3C4"),
        (False, ""),
        (("S2",), "C1"),
        (("S3",), "C1C2"),
        (("S2", "S4"), "C1C2C3"),
        (("S5",), "C1C2C3C4"),
        ("concatenation", "C1C2C3C4"),
        ("linear", "C1C2C3C4"),
        ("upsampled", "C1C2C3C4C5"),
    ],
)
def test_the_prior_is_cut_off_but_combination_is_not(combine, expected):
    model = network(combine=combine)
    # The mask depends on c, and yet no gradient runs through it: FC never learns from the outline.
    assert reached(model, "mask", CLASSIFIER) == expected
    assert reached(model, "logits", CLASSIFIER) == expected
    assert reached(model, "nodule_logits", CLASSIFIER) == "C1C2C3C4C5FC"


def test_the_answer_does_not_depend_on_the_outline():
    stages = [f"S{k}" for k in range(1, 10)]
    assert reached(network(), "nodule", stages) == ""
    # One encoder: the classifier hangs on its end, and both tasks train it.
    model = network(combine="shared")
    assert reached(model, "nodule", [*stages, "FC"]) == "FCS1S2S3S4S5"
    assert reached(model, "mask", [*stages, "FC"]) == "S1S2S3S4S5S6S7S8S9"


def test_the_combined_feature_goes_on_and_skips():
    model = network().eval()
    after = {"S2": ("S3", "S8"), "S3": ("S4", "S7"), "S4": ("S5", "S6")}
    names = [f"S{k}" for k in range(1, 10)] + [f"C{k}" for k in range(1, 6)]
    names += [f"combination.{name}" for name in PAIRS]
    with torch.no_grad():
        seen, _ = record(model, names, images())
    for stage, (following, decoder) in after.items():
        combined = seen[f"combination.{stage}"][1]
        assert seen[following][0][0] is combined
        assert seen[decoder][0][1] is combined
    assert seen["S6"][0][0] is seen["combination.S5"][1]  # the deepest has no skip
    assert seen["S2"][0][0] is seen["S1"][1] and seen["S9"][0][1] is seen["S1"][1]
    for stage, partner in PAIRS.items():
        taken, _ = seen[f"combination.{stage}"]
        assert taken[0] is seen[stage][1] and taken[1] is seen[partner][1]


@pytest.mark.parametrize("combine", [True, False, ("S3",), ("S2", "S4", "S5")])
def test_moving_one_feature_of_the_classifier(combine):
    model = network(combine=combine).eval()
    stages = ["S2", "S3", "S4", "S5"]
    names = ["S3", "S4", "S5", "S6", "S7", "S8"]
    image = images()
    with torch.no_grad():
        before, _ = record(model, names, image)
        for stage, partner in PAIRS.items():
            handle = model.get_submodule(partner).register_forward_hook(
                lambda module, inputs, output: output + 0.5
            )
            after, _ = record(model, names, image)
            handle.remove()
            moved = {
                name: [
                    not torch.equal(a, b)
                    for a, b in zip(before[name][0], after[name][0], strict=True)
                ]
                for name in names
            }
            # The first stage at or behind this one that listens to the classifier.
            behind = stages[stages.index(stage) :]
            heard = [s for s in behind if s in model.combination]
            for s, following, decoder in (
                ("S2", "S3", "S8"),
                ("S3", "S4", "S7"),
                ("S4", "S5", "S6"),
            ):
                late = bool(heard) and stages.index(s) >= stages.index(heard[0])
                assert moved[following] == [late], (stage, following)
                assert moved[decoder][1] == late, (stage, decoder)


def dilations(model):
    found = [layer.dilation for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return sorted({d for pair in found for d in pair})


def test_what_the_open_choices_build():
    assert dilations(network()) == [1, 5, 10, 15]
    assert dilations(network(rates=(1, 2, 3))) == [1, 2, 3]
    pyramids = [m for m in network(rates=(1, 2)).modules() if isinstance(m, ASPP)]
    assert [len(m.branches) for m in pyramids] == [2, 2]
    for separable in (True, False):
        model = network(separable_aspp=separable, separable_units=separable)
        pyramid = model.S5[1].branches[1][0]
        assert isinstance(pyramid, DepthwiseSeparableConv) == separable
        units = [model.S2, model.S3, model.S4, model.S5[0], *(model.S6.unit, model.S9.unit)]
        for unit in units:
            assert isinstance(unit.residual[0][2], DepthwiseSeparableConv) == separable
            assert isinstance(unit.residual[1][2], nn.Conv2d)  # the second stays dense
    assert isinstance(network().S1.residual[0], nn.Conv2d)
    with_aspp = [n for n, m in network().named_modules() if isinstance(m, ASPP)]
    assert with_aspp == ["S5.1", "S9.aspp"]
    model = network(classifier_blocks=(1, 2, 3, 1))
    counts = [len(model.C2) - 1, len(model.C3), len(model.C4), len(model.C5)]
    assert counts == [1, 2, 3, 1]
    plain = [m for m in network().combination.modules() if isinstance(m, nn.BatchNorm2d)]
    active = network(activation=True).combination
    assert not plain
    assert sum(isinstance(m, nn.BatchNorm2d) for m in active.modules()) == 8


def test_upsampling():
    deep = images(2, 4, 4).expand(-1, 16, -1, -1)
    skip = torch.zeros(2, 16, 8, 8)
    for mode in ("nearest", "bilinear"):
        seen, _ = record(network(upsampling=mode).S9, ["unit"], deep, skip)
        taken = seen["unit"][0][0]
        doubled = taken[:, :16]
        if mode == "nearest":
            assert torch.equal(doubled[..., ::2, ::2], deep)
            assert torch.equal(doubled[..., 1::2, 1::2], deep)
        else:
            # Halfway between two pixels, a quarter from one: 3/4 and 1/4 in each direction.
            inner = doubled[..., 1, 1]
            weights = torch.tensor([[9.0, 3.0], [3.0, 1.0]]) / 16
            torch.testing.assert_close(inner, (deep[..., :2, :2] * weights).sum((-2, -1)))
        assert torch.equal(taken[:, 16:], skip)


# --- regularisation ------------------------------------------------------------------------------


def moved_off(std):
    """Parameters of the layer that are nobody's default."""
    with torch.no_grad():
        for parameter in std.parameters():
            parameter += 0.3
    return std


def test_none_is_a_plain_sigmoid():
    output = network(regularisation="none")(images())
    assert torch.equal(output.logits, output.u)
    assert torch.equal(output.mask, torch.sigmoid(output.u))


@pytest.mark.parametrize("gradient", ["unrolled", "implicit"])
@pytest.mark.parametrize("regularisation", ["std", "std+prior"])
def test_mask_is_soft_threshold_dynamics_of_u(regularisation, gradient):
    options = {"sigma": 1.7, "lambda1": 0.8, "epsilon": 0.9, "iterations": 4, "gradient": gradient}
    model = network(regularisation=regularisation, std=options).double()
    std = moved_off(model.std)
    output = model(images(3, dtype=torch.float64))
    with_prior = regularisation == "std+prior"
    assert (std.lambda2 > 0) == with_prior
    expected = soft_threshold_dynamics(
        output.u,
        sigma=std.sigma,
        lambda1=0.8,
        lambda2=std.lambda2 if with_prior else 0.0,
        c=output.nodule.detach() if with_prior else 1.0,
        epsilon=0.9,
        iterations=4,
    )
    # 0.8 and 0.9 were kept in single precision.
    torch.testing.assert_close(output.mask, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(output.mask, torch.sigmoid(output.u), atol=1e-3)


def test_std_is_named_as_in_the_paper():
    std = network().std
    assert isinstance(std, STDSigmoid)
    assert sorted(name for name, _ in std.named_parameters()) == ["raw_lambda2", "raw_sigma"]
    assert std.lambda1 == 1
    std = network(regularisation="std", std={"lambda2": 3.0}).std
    assert std.lambda2 == 0 and [name for name, _ in std.named_parameters()] == ["raw_sigma"]


@pytest.mark.parametrize("regularisation", ["std+prior", "std", "none"])
@pytest.mark.parametrize("combine", [True, "shared"])
def test_logits_are_those_of_the_mask(regularisation, combine):
    output = network(regularisation=regularisation, combine=combine)(images())
    assert isinstance(output, Output)
    assert torch.equal(torch.sigmoid(output.logits), output.mask)
    assert torch.equal(torch.sigmoid(output.nodule_logits), output.nodule)


def test_a_doubting_classifier_shrinks_the_mask():
    model = network().eval()
    with torch.no_grad():
        masks = []
        for bias in (-10.0, 0.0, 10.0):
            model.FC[2].bias.fill_(bias)
            masks.append(model(images()).mask)
        assert (masks[0] < masks[1]).all() and (masks[1] < masks[2]).all()
        model = network(regularisation="std").eval()
        plain = model(images())
        model.FC[2].bias.fill_(-10.0)
        doubting = model(images())
    assert torch.equal(doubting.mask, plain.mask)
    assert not torch.equal(doubting.nodule, plain.nodule)


def test_weights_move_from_pretraining_without_std():
    before = network(regularisation="none", seed=1)
    after = network(seed=2)
    missing, unexpected = after.load_state_dict(before.state_dict(), strict=False)
    assert not unexpected
    assert sorted(missing) == [
        "std.fixed_epsilon",
        "std.fixed_lambda1",
        "std.raw_lambda2",
        "std.raw_sigma",
    ]
    a, b = before.eval()(images()), after.eval()(images())
    assert torch.equal(a.u, b.u) and torch.equal(a.nodule, b.nodule)


def test_single_precision_after_autocast():
    # No dilated depthwise convolution here: PyTorch's bfloat16 one crashes on some CPUs.
    model = network(rates=(1,), separable_aspp=False)
    with torch.autocast("cpu", torch.bfloat16):
        seen, output = record(model, ["S9"], images())
    assert seen["S9"][1].dtype == torch.bfloat16
    assert {value.dtype for value in output} == {torch.float32}
    std = model.std
    expected = soft_threshold_dynamics(
        output.u.detach(),
        sigma=std.sigma.detach(),
        lambda2=std.lambda2.detach(),
        c=output.nodule.detach(),
    )
    # As exact as single precision is: in bfloat16 the error would be a thousand times larger.
    torch.testing.assert_close(output.mask.detach(), expected, rtol=0, atol=1e-6)


def test_double_precision_stays_double():
    output = network().double()(images(dtype=torch.float64))
    assert {value.dtype for value in output} == {torch.float64}


# --- training and evaluation ---------------------------------------------------------------------


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_gradients_reach_every_parameter(combine):
    model = network(combine=combine, activation=True)
    output = model(images(4, 64, 64))
    weights = images(4, 64, 64, seed=5)  # a sum over all pixels is blind after a normalisation
    ((output.logits * weights).sum() + output.nodule_logits.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_every_parameter_of_the_combination_has_one_owner():
    # S6 .. S9 and the encoder share no weights, whatever is combined.
    for combine in COMBINATIONS:
        model = network(combine=combine)
        assert parameters(model) == sum(parameters(child) for child in model.children())


@pytest.mark.parametrize("combine", [True, "shared"])
def test_evaluation_is_deterministic_and_knows_no_batch(combine):
    model = settled(network(combine=combine))
    image = images(5, 48, 32)
    with torch.no_grad():
        together, again = model(image), model(image)
        for a, b in zip(together, again, strict=True):
            assert torch.equal(a, b)
        for i in range(5):
            alone = model(image[i : i + 1])
            for a, b in zip(alone, together, strict=True):
                torch.testing.assert_close(a, b[i : i + 1], rtol=1e-4, atol=1e-5)
        # In training the batch normalisations do know it.
        model.train()
        assert not torch.allclose(model(image).u[:2], model(image[:2]).u, atol=1e-3)


def test_the_same_seed_builds_the_same_network():
    a, b = network(seed=3).state_dict(), network(seed=3).state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_an_exported_network_takes_batches_of_any_size():
    model = settled(network())
    batch = {"image": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(model, (images(2),), dynamic_shapes=batch).module()
    with torch.no_grad():
        for a, b in zip(exported(images(5)), model(images(5)), strict=True):
            torch.testing.assert_close(a, b)


def test_a_copy_is_a_copy():
    model = settled(network())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(twin(images()).mask, model(images()).mask)


def test_the_input_is_left_alone():
    image = images()
    kept = image.clone()
    network()(image)
    assert torch.equal(image, kept)


# --- what is refused -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 70), st.integers(0, 70))
def test_an_image_is_checked(count, channels, height, width):
    image = torch.zeros(count, channels, height, width)
    good = count > 0 and channels == 1 and height > 0 and width > 0
    if good and height % 16 == 0 and width % 16 == 0:
        check_image(image)
    else:
        with pytest.raises(ValueError):
            check_image(image)


@pytest.mark.parametrize(
    "image, error, message",
    [
        (torch.zeros(1, 32, 32), ValueError, r"\(N, 1, H, W\), found \(1, 32, 32\)"),
        (torch.zeros(32, 32), ValueError, r"\(N, 1, H, W\), found \(32, 32\)"),
        (torch.zeros(2, 3, 32, 32), ValueError, r"found \(2, 3, 32, 32\)"),
        (torch.zeros(0, 1, 32, 32), ValueError, r"found \(0, 1, 32, 32\)"),
        (torch.zeros(1, 1, 32, 40), ValueError, "multiples of 16, found 32x40"),
        (torch.zeros(1, 1, 100, 128), ValueError, "multiples of 16, found 100x128"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.int32), TypeError, "found torch.int32"),
        (np.zeros((1, 1, 32, 32), np.float32), TypeError, "tensor, found ndarray"),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        network()(image)


def test_an_image_has_the_type_of_the_weights():
    """An array of numpy's becomes an image of 64 bits, which PyTorch would refuse far inside."""
    said = "^image must have the type of the weights, torch.float32, found torch.float64.$"
    with pytest.raises(TypeError, match=said):
        network()(images(dtype=torch.float64))
    with pytest.raises(TypeError, match="torch.float64, found torch.float32"):
        network().double()(images())
    # Under autocast PyTorch converts by itself.
    model = network(rates=(1,), separable_aspp=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(images(dtype=torch.bfloat16)).mask.dtype == torch.float32


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 0}, "width must be an integer of at least 1, found 0"),
        ({"width": 8.0}, "found 8.0"),
        ({"width": True}, "found True"),
        ({"width": "8"}, "found '8'"),
        ({"regularisation": "prior"}, "one of std[+]prior, std, none; found 'prior'"),
        ({"regularisation": None}, "found None"),
        ({"classifier_blocks": (3, 4, 6)}, "four counts of at least 1"),
        ({"classifier_blocks": 3}, "four counts of at least 1, found 3"),
        ({"rates": ()}, r"rates must be one or more integers of at least 1, found \(\)"),
        ({"upsampling": "cubic"}, "one of nearest, bilinear; found 'cubic'"),
        ({"regularisation": "none", "std": {"sigma": 2.0}}, "std needs a regularisation to set"),
        *(
            ({"combine": value}, "combine must be True, False, some of S2, S3, S4, S5, or one of")
            for value in (
                "stitch",
                "S2",
                (),
                ("S1",),
                ("S2", "S2"),
                ("C1",),
                1,
                2.5,
                None,
                [["S2"]],
            )
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)
