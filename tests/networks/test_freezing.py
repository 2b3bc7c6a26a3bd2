"""Freezing: nothing that is frozen moves, everything else does, whatever loop trains."""

import copy
import re

import pytest
import torch

from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.networks.freezing import BLOCKS, freeze
from nodule_lesson.networks.registry import build_model
from nodule_lesson.training.fitting import Batches, fit
from nodule_lesson.training.losses import multitask_loss

# Two slices of 32x32 a step: the numbers do not matter, only which of them move.
PAPER = (["S1"], ["S5"], ["S9"], ["C1"], ["FC"])
CASES = [*PAPER, ["S1", "C1"], ["S5", "S9", "FC"], list(BLOCKS)]


@pytest.fixture(scope="module")
def trained():
    """A network whose batch-norm statistics are no longer 0 and 1, its data, and its blocks."""
    torch.manual_seed(0)
    model = DetectionGuidedNet(**SLIM)
    images = torch.rand(8, 1, 32, 32)
    masks = (images > 0.9).float()
    has_nodule = (torch.arange(8) % 2).float()
    fit(model, Batches(images, masks, has_nodule, 2), multitask_loss, steps=3, progress=False)
    return model, (images, masks, has_nodule)


def everything(model):
    """Parameters and running statistics by name, copied; STD's constants left out."""
    names = [name for name, _ in model.named_parameters()]
    names += [name for name, _ in model.named_buffers() if "running" in name]
    state = model.state_dict()
    return {name: state[name].clone() for name in names}


def belongs(name, blocks):
    return name.split(".")[0] in blocks


def with_package(model, data):
    fit(model, Batches(*data, 2, seed=5), multitask_loss, steps=3, progress=False)


def with_own_loop(model, data):
    """As a reader writes it: every step begins with model.train(), the optimiser knows all."""
    images, masks, has_nodule = data
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for step in range(3):
        model.train()
        rows = slice(2 * step, 2 * step + 2)
        optimiser.zero_grad()
        multitask_loss(model(images[rows]), masks[rows], has_nodule[rows]).backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            model(images)


@pytest.mark.parametrize("loop", [with_package, with_own_loop])
@pytest.mark.parametrize("blocks", CASES, ids="+".join)
def test_nothing_frozen_moves_and_everything_else_does(trained, blocks, loop):
    model, data = copy.deepcopy(trained[0]), trained[1]
    freeze(model, blocks)
    before = everything(model)
    counts = {n: int(v) for n, v in model.state_dict().items() if n.endswith("batches_tracked")}
    loop(model, data)
    after = everything(model)
    assert {name.split(".")[0] for name in before} >= {*blocks, "last", "std", "combination"}
    statistics = 0
    for name, value in before.items():
        same = torch.equal(value, after[name])
        if belongs(name, blocks):
            assert same, f"{name} is frozen and moved"
            statistics += "running" in name
        else:
            # A dilated tap on a map of 2 x 2 sees padding alone, but a tensor has others.
            assert not same, f"{name} is not frozen and stood still"
    assert statistics > 0 or blocks == ["FC"]  # FC alone has no batch normalisation
    for name, count in counts.items():
        moved = int(model.state_dict()[name]) - count
        assert moved == (0 if belongs(name, blocks) else 3), name


def test_a_frozen_block_is_one_function(trained):
    """The same features give the same output after training, in training mode, too."""
    model, data = copy.deepcopy(trained[0]), trained[1]
    freeze(model, ["S1", "C1"])
    model.train()
    images = data[0]
    before = [block(images).detach() for block in (model.S1, model.C1)]
    with_package(model, data)
    for block, value in zip((model.S1, model.C1), before, strict=True):
        # By itself, among other images, and in evaluation mode: no batch is looked at.
        torch.testing.assert_close(block(images[:1]), value[:1], rtol=0, atol=1e-6)
        model.eval()
        torch.testing.assert_close(block(images), value, rtol=0, atol=1e-6)
        model.train()


def test_without_its_statistics_a_block_is_not_frozen(trained):
    """What `freeze` is for: requires_grad alone leaves the function of the block moving."""
    model, data = copy.deepcopy(trained[0]), trained[1]
    model.S1.requires_grad_(False)
    before = model.eval().S1(data[0])
    with_own_loop(model, data)
    assert not torch.allclose(model.eval().S1(data[0]), before, atol=1e-3)


def test_gradients_still_pass_through_a_frozen_block(trained):
    """S9 is the last but one: if it cut the gradient off, nothing before it would learn."""
    model, data = copy.deepcopy(trained[0]), trained[1]
    freeze(model, ["S9"])
    multitask_loss(model.train()(data[0]), *data[1:]).backward()
    assert all(p.grad is None for p in model.S9.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.S1.parameters())


@pytest.mark.parametrize("setting", [{}, {"combine": False}, {"regularisation": "none"}])
def test_the_number_is_that_of_the_parameters(setting):
    model = DetectionGuidedNet(**SLIM, **setting)
    for block in BLOCKS:
        own = [p for name, p in model.named_parameters() if name.split(".")[0] == block]
        assert freeze(copy.deepcopy(model), [block]) == sum(p.numel() for p in own) > 0
    # A name that comes twice counts once, and so does a block that was frozen before.
    one = freeze(copy.deepcopy(model), ["S1"])
    assert freeze(model, ["S1", "S1"]) == one == freeze(model, ["S1"])


def test_freezing_can_be_done_in_two_calls(trained):
    model, data = copy.deepcopy(trained[0]), trained[1]
    counted = freeze(model, ["S1"]) + freeze(model, ["C1"])
    assert counted == freeze(copy.deepcopy(trained[0]), ["C1", "S1"])
    before = everything(model)
    with_own_loop(model, data)
    for name, value in everything(model).items():
        assert torch.equal(value, before[name]) == belongs(name, ("S1", "C1")), name


def test_nothing_frozen_is_nothing_changed(trained):
    model = copy.deepcopy(trained[0])
    assert freeze(model, []) == 0
    assert all(p.requires_grad for p in model.parameters())
    assert all(part.training for part in model.train().modules())


def test_a_copy_is_as_frozen(trained):
    model, data = copy.deepcopy(trained[0]), trained[1]
    freeze(model, ["S5"])
    copied = copy.deepcopy(model)
    before = everything(model)
    with_own_loop(copied, data)
    for name, value in everything(copied).items():
        assert torch.equal(value, before[name]) == belongs(name, ["S5"]), name
    for name, value in everything(model).items():
        assert torch.equal(value, before[name]), "the copy and its model share something"


def test_state_dicts_pass_both_ways(trained):
    """Freezing adds nothing to what is saved, and what is loaded into a frozen block stays."""
    model, data = copy.deepcopy(trained[0]), trained[1]
    freeze(model, ["S1"])
    assert list(model.state_dict()) == list(trained[0].state_dict())
    torch.manual_seed(1)
    other = DetectionGuidedNet(**SLIM)
    other.load_state_dict(model.state_dict())
    assert all(p.requires_grad for p in other.parameters()), "a state carries no freeze"
    freeze(other, ["S1"])
    torch.manual_seed(2)
    other.load_state_dict(DetectionGuidedNet(**SLIM).state_dict())
    before = everything(other)
    with_own_loop(other, data)
    for name, value in everything(other).items():
        assert torch.equal(value, before[name]) == belongs(name, ["S1"]), name


WANTED = "S1, S2, S3, S4, S5, S6, S7, S8, S9, C1, C2, C3, C4, C5, FC"


@pytest.mark.parametrize(
    "names, found", [(["S10"], "'S10'"), (["S1", "s2"], "'s2'"), (["std"], "'std'")]
)
def test_a_block_that_nobody_has(names, found):
    model = DetectionGuidedNet(**SLIM)
    message = f"names must be among {WANTED}; found {found}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        freeze(model, names)
    assert all(p.requires_grad for p in model.parameters()), "half of it is frozen"


def test_a_network_without_these_blocks():
    with pytest.raises(ValueError, match="no block of the paper is here; found 'S1'"):
        freeze(build_model("unet", width=8), ["S1"])
    shared = DetectionGuidedNet(**SLIM, combine="shared")
    with pytest.raises(ValueError, match="^names must be among S1, .*, S9, FC; found 'C1'.$"):
        freeze(shared, ["C1"])
    assert freeze(shared, ["FC"]) > 0


def test_a_text_is_no_list():
    with pytest.raises(ValueError, match="^names must be a list of blocks, found the text 'S1'.$"):
        freeze(DetectionGuidedNet(**SLIM), "S1")


def test_a_gradient_from_before_is_dropped(trained):
    """Adam moves whatever has a gradient, needed or not."""
    model, data = copy.deepcopy(trained[0]), trained[1]
    multitask_loss(model(data[0]), *data[1:]).backward()
    optimiser = torch.optim.Adam(model.parameters())
    freeze(model, ["S1"])
    before = everything(model)
    optimiser.step()
    for name, value in everything(model).items():
        if "running" not in name:
            assert torch.equal(value, before[name]) == belongs(name, ["S1"]), name
