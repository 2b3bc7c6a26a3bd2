"""Models by name, their summary against a count by hand, and the weights that ship."""

import copy
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from nightly import NIGHTLY
from torch import nn

import nodule_lesson
from nodule_lesson.data.demo import open_demo
from nodule_lesson.data.patches.normalisation import normalise
from nodule_lesson.networks import registry as models
from nodule_lesson.networks.blocks import CombinationBlock
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet, Output
from nodule_lesson.networks.registry import (
    MODELS,
    PRETRAINED,
    build_model,
    load_pretrained,
    model_card,
    summary,
)
from nodule_lesson.std import STDSigmoid

STUDIES = Path(__file__).parents[2] / "studies"
RIVALS = ("unet", "resunet", "resunet++", "deeplabv3+")


def slim_options(name):
    return {} if name in RIVALS else {k: v for k, v in SLIM.items() if k != "width"}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_returns_the_same_kind_of_object(name):
    torch.manual_seed(0)
    output = build_model(name, width=8, **slim_options(name)).eval()(torch.rand(2, 1, 64, 48))
    assert isinstance(output, Output)
    for field in (output.mask, output.logits, output.u):
        assert field.shape == (2, 1, 64, 48) and field.dtype == torch.float32
    assert torch.equal(output.mask, torch.sigmoid(output.logits))
    if name in RIVALS:
        assert output.nodule is None and output.nodule_logits is None
    else:
        assert torch.equal(output.nodule, torch.sigmoid(output.nodule_logits))
        assert output.nodule.shape == (2,)


def test_names_are_those_of_the_tables():
    def std_of(name):
        return build_model(name, **SLIM).std

    assert std_of("backbone") is None and std_of("backbone+combination") is None
    assert set(dict(std_of("std").named_parameters())) == {"raw_sigma"}
    assert std_of("std").lambda2 == 0
    for name in ("proposed", "std+prior"):
        assert set(dict(std_of(name).named_parameters())) == {"raw_sigma", "raw_lambda2"}
    assert len(build_model("backbone", **SLIM).combination) == 0
    assert list(build_model("std", **SLIM).combination) == ["S2", "S3", "S4", "S5"]
    for name in ("build_model", "load_pretrained", "summary"):
        assert getattr(nodule_lesson, name) is getattr(models, name)
    with pytest.raises(AttributeError, match="build_modle"):
        _ = nodule_lesson.build_modle


@pytest.mark.parametrize(
    "call, names",
    [
        (build_model, MODELS),
        (load_pretrained, PRETRAINED),
        (model_card, PRETRAINED),
    ],
)
def test_an_unknown_name_is_told_the_names(call, names):
    for wrong in ("unett", ["unet"], None):
        with pytest.raises(ValueError, match=re.escape(f"found {wrong!r}")) as caught:
            call(wrong)
        assert all(name in str(caught.value) for name in names)


# --- the summary ---------------------------------------------------------------------------------


def count_by_hand(width, side):
    """Multiply-adds of the paper's network, written out from its table of sizes."""

    def wide(channels):
        return max(16, channels * width // 64)

    def separable(a, b, places, before=None):
        return 9 * a * places + a * b * places

    total = 0
    c = [wide(n) for n in (64, 256, 512, 1024, 2048)]
    inner = [wide(n) for n in (64, 128, 256, 512)]
    places = [(side // 2**k) ** 2 for k in range(6)]
    total += 49 * c[0] * places[1]
    blocks = (3, 4, 6, 3)
    for k in range(4):
        at = places[k + 2]
        before = places[max(k + 1, 2)]  # C2 is entered after its pooling
        for unit in range(blocks[k]):
            inputs = c[k] if unit == 0 else c[k + 1]
            total += inputs * inner[k] * (before if unit == 0 else at)
            total += 9 * inner[k] ** 2 * at + inner[k] * c[k + 1] * at
            if unit == 0:
                total += inputs * c[k + 1] * at
    total += c[4]
    s = [wide(64 * 2**k) for k in range(5)]
    total += (9 * s[0] + 9 * s[0] ** 2 + s[0]) * places[0]
    for k in range(1, 5):
        at = places[k]
        total += separable(s[k - 1], s[k], at) + 9 * s[k] ** 2 * at + s[k - 1] * s[k] * at
        both = c[k - 1] ** 2 + (s[k] + c[k - 1]) * s[k]
        total += both * at + separable(s[k], s[k], at)
    for k, channels in ((4, s[4]), (0, s[0])):
        total += (4 * 9 * channels**2 + 4 * channels**2) * places[k]
    for k in (3, 2, 1, 0):
        inputs = s[k + 1] + s[k]
        total += (9 * inputs + inputs * s[k] + 9 * s[k] ** 2 + inputs * s[k]) * places[k]
    total += s[0] * places[0]
    return total + 10 * 2 * side**3


@pytest.mark.parametrize("width, side", [(16, 64), (32, 128)])
def test_multiply_adds_are_those_of_a_count_by_hand(width, side):
    model = DetectionGuidedNet(width)
    table = summary(model, side)
    assert table.multiply_adds == count_by_hand(width, side)
    assert table.parameters == sum(p.numel() for p in model.parameters())
    assert table.multiply_adds == sum(row.multiply_adds for row in table.rows)


def test_a_summary_has_the_papers_names_and_leaves_the_model_alone():
    model = DetectionGuidedNet(**SLIM).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    table = summary(model, 64)
    names = [row.name for row in table.rows]
    assert set(names) >= {f"S{k}" for k in range(1, 10)} | {f"C{k}" for k in range(1, 6)} | {"FC"}
    assert {"S2 + C1", "S3 + C2", "S4 + C3", "S5 + C4", "std"} <= set(names)
    assert names.index("S3 + C2") < names.index("S4") < names.index("S6") < names.index("S9")
    shapes = {row.name: row.shape for row in table.rows}
    assert shapes["S5"] == (128, 4, 4) and shapes["C5"] == (256, 2, 2) and shapes["FC"] == ()
    assert model.training and not model.S1._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert f"{table.parameters:,}" in repr(table) and "S5 + C4" in repr(table)
    assert table._repr_markdown_().count("\n") == len(table.rows) + 2
    assert summary(model.half(), 64) == table
    upsampled = summary(DetectionGuidedNet(**SLIM, combine="upsampled"), 64)
    assert "S5 + C5" in [row.name for row in upsampled.rows]


def test_a_transposed_convolution_counts_its_input():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 3, 2, 2)

        def forward(self, x):
            return self.up(x)

    assert summary(Small(), 16).multiply_adds == 16 * 16 * 3 * 2 * 2


class Own(nn.Module):
    """What a reader may build: the lesson's blocks in lists, under names of her own."""

    def __init__(self, named="std"):
        super().__init__()
        self.features = nn.ModuleList([nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(1, 4, 1)])
        self.combination = CombinationBlock(8, 4)
        self.end = nn.ModuleDict({"last": nn.Conv2d(8, 1, 1)})
        self.scale = nn.Parameter(torch.ones(()))
        setattr(self, named, STDSigmoid(iterations=3))
        self.named = named

    def forward(self, image):
        s, c = (feature(image) for feature in self.features)
        u = self.scale * self.end["last"](self.combination(s, c))
        layer = getattr(self, self.named)
        return layer(u) if self.named == "std" else layer.logits(u)


@pytest.mark.parametrize("named", ["std", "head"])  # called as a module, or for its logits
def test_a_summary_of_a_network_of_ones_own(named):
    model = Own(named)
    table = summary(model, 16)
    block = 4 * 4 + 12 * 8 + 9 * 8 + 8 * 8
    expected = {
        "features.0": ((8, 16, 16), 80, 72 * 256),
        "features.1": ((4, 16, 16), 8, 4 * 256),
        "combination": ((8, 16, 16), block, block * 256),
        "end.last": ((1, 16, 16), 9, 8 * 256),
        named: ((1, 16, 16), 2, 3 * 2 * 16**3),
    }
    assert {row.name: row[1:] for row in table.rows} == expected
    # The lone parameter is in the whole, though in no block.
    assert table.parameters == sum(p.numel() for p in model.parameters())
    assert table.parameters == sum(row.parameters for row in table.rows) + 1
    assert table.multiply_adds == sum(row.multiply_adds for row in table.rows)
    assert isinstance(getattr(model, named), STDSigmoid)


def test_a_summary_of_a_network_around_a_network():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = DetectionGuidedNet(**SLIM)

        def forward(self, image):
            return self.inner(image)

    (row,), whole = summary(Around(), 64).rows, summary(DetectionGuidedNet(**SLIM), 64)
    assert row == ("inner", (1, 64, 64), whole.parameters, whole.multiply_adds)


@pytest.mark.parametrize("model", [None, "slim", DetectionGuidedNet])
def test_a_summary_of_no_network_is_refused(model):
    said = f"^model must be a torch.nn.Module, found {type(model).__name__}.$"
    with pytest.raises(TypeError, match=said):
        summary(model)


# --- what ships ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_card_tells_where_weights_come_from(name):
    card = model_card(name)
    assert "not for clinical use" in card["what"]
    assert card["data"]["source"] and card["data"]["licence"] and card["recipe"]["seed"] == 0
    for source in card["data"]["sources"]:
        assert source["doi"].startswith("10.") and source["licence"]
    assert "/slim_weights.py" in card["provenance"]["command"]
    assert len(card["data"].get("sha256") or card["data"]["simulator_sha256"]) == 64
    for size in ("scores", "scores at 128x128"):
        assert set(card[size]) == {
            "simulated patients",
            "real patients",
            "patients of the second real set",
        }
        for score in card[size].values():
            low, high = score["interval_by_patient"]
            assert 0 < low < score["mean_dice"] < high < 1 and score["slices"] > 90
    assert not re.search(r"/(home|work|tmp|root)/", json.dumps(card))
    path = models._WEIGHTS / f"{name}.safetensors"
    assert path.stat().st_size == card["bytes"] < 4e6


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("name", PRETRAINED)
def test_pretrained_networks_find_the_nodules_of_the_demo_set(name, side):
    """Simulated slices that none of the four has seen."""
    model = load_pretrained(name)
    assert not model.training and (model.std is None) == name.endswith("plain")
    demo = open_demo("luna_like")
    rows = np.flatnonzero(demo.masks[:, 32:96, 32:96].any((1, 2)))[::2]
    images, masks, _ = demo.batch(rows)
    middle = slice(64 - side // 2, 64 + side // 2)
    with torch.no_grad():
        output = model(images[..., middle, middle])
    found, truth = output.mask >= 0.5, masks[..., middle, middle] > 0
    dice = 2 * (found & truth).sum((1, 2, 3)) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)))
    assert len(dice) > 30 and dice.mean() > 0.6, f"{dice.mean():.3f}"


def test_twins_differ_in_the_last_layer_alone():
    for name in ("slim", "slim-real"):
        with_std, plain = load_pretrained(name), load_pretrained(f"{name}-plain")
        extra = set(with_std.state_dict()) - set(plain.state_dict())
        assert extra and all(key.startswith("std.") for key in extra)
        card = model_card(name)
        for key in ("sigma", "lambda1", "lambda2", "epsilon"):
            assert card["std"][key] == pytest.approx(getattr(with_std.std, key).item(), abs=1e-4)


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    for suffix in ("json", "safetensors"):
        shutil.copy(models._WEIGHTS / f"slim.{suffix}", tmp_path)
    monkeypatch.setattr(models, "_WEIGHTS", tmp_path)
    assert load_pretrained("slim")
    path = tmp_path / "slim.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="slim.safetensors are damaged: install"):
        load_pretrained("slim")


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_script_stores_what_ships_and_its_recipe_is_that_of_the_card(name, monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    import slim_weights
    from safetensors.torch import load, load_file

    ships = load_file(models._WEIGHTS / f"{name}.safetensors")
    stored = load(slim_weights.stored(load_pretrained(name)))
    assert stored.keys() == ships.keys()
    for key, value in ships.items():
        assert value.dtype == stored[key].dtype and torch.equal(value, stored[key]), key
    recipe = model_card(name)["recipe"]
    assert recipe["seed"] == slim_weights.SEED and recipe["steps"] == slim_weights.STEPS
    assert recipe["batches"] == {str(side): [*n] for side, n in slim_weights.CROPS.items()}


@pytest.mark.parametrize(
    "side, scores",
    [(64, "scores"), pytest.param(128, "scores at 128x128", marks=NIGHTLY)],
)
@pytest.mark.parametrize("name", PRETRAINED)
def test_scores_on_real_slices_can_be_made_again(name, side, scores, real_data, monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    from crops import load_real
    from slim_weights import score

    found = score(load_pretrained(name), load_real(real_data, "lidc_clinic"), side)
    card = model_card(name)[scores]["patients of the second real set"]
    assert found["slices"] == card["slices"] and found["negatives"] == card["negatives"]
    # Hardly a real slice is without a nodule as a whole; here none is.
    of_negatives = ("auc_of_c", "negatives_marked") if side == 64 else ()
    for key in ("mean_dice", "median_dice", *of_negatives):
        assert found[key] == pytest.approx(card[key], abs=2e-3), key


def test_batches_of_both_sizes_take_turns(monkeypatch):
    """Crops with a nodule come first, and a crop has a nodule where its mask has a pixel."""
    monkeypatch.syspath_prepend(STUDIES)
    from crops import simulate
    from slim_weights import CROPS, both_sizes

    slices = simulate(60, 0)
    stream = both_sizes({64: slices, 128: slices + slices}, 0)
    for turn in range(4):
        images, masks, has_nodule = next(stream)
        side = (64, 128)[turn % 2]
        with_nodule, without = CROPS[side]
        assert images.shape == masks.shape == (with_nodule + without, 1, side, side)
        assert has_nodule.tolist() == [1] * with_nodule + [0] * without
        assert torch.equal(masks.flatten(1).any(1), has_nodule.bool())
        assert 0 <= images.min() and images.max() <= 1


def test_the_auc_of_c_is_that_of_scipy(monkeypatch):
    """The share of ordered pairs equals Mann and Whitney's U over their number."""
    monkeypatch.syspath_prepend(STUDIES)
    from scipy.stats import mannwhitneyu
    from slim_weights import area_under_curve

    random = np.random.default_rng(0)
    yes, no = random.integers(0, 9, 50) / 8, random.integers(0, 6, 40) / 8  # with ties
    expected = mannwhitneyu(yes, no).statistic / (len(yes) * len(no))
    assert area_under_curve(yes, no) == pytest.approx(expected)


def test_training_slim_networks_needs_real_slices(tmp_path):
    import subprocess

    environment = {"PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        [sys.executable, STUDIES / "slim_weights.py"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert found.returncode == 2 and "NODULE_REAL_DATA" in found.stderr


def test_trained_weights_refuse_an_image_that_is_not_scaled():
    model = load_pretrained("slim")
    hounsfield = 1000 * torch.rand(1, 1, 64, 64) - 800
    for image in (
        hounsfield,
        torch.full((1, 1, 64, 64), torch.nan),
        255 * torch.rand(1, 1, 64, 64),
    ):
        with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
            model(image)
    with pytest.warns(UserWarning, match="for images of 64x64 and 128x128; found 96x64"):
        model(torch.rand(1, 1, 96, 64))
    scaled = normalise(hounsfield)
    assert torch.equal(model(scaled).mask, copy.deepcopy(model)(scaled).mask)
    assert summary(model, 64).parameters == sum(p.numel() for p in model.parameters())
