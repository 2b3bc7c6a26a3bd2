"""Checkpoints: killed at any moment and resumed, the same bits; what does not fit is refused."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from nodule_lesson import checkpoints, training
from nodule_lesson.checkpoints import Checkpoint
from nodule_lesson.losses import multitask_loss
from nodule_lesson.multitask import SLIM, DetectionGuidedNet
from nodule_lesson.training import Batches, fit

STEPS = 24


class Trace:
    """A watch with a memory."""

    def __init__(self):
        self.seen = []

    def __call__(self, step, loss):
        self.seen.append([step, loss])

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Noisy(nn.Module):
    """A slim network that asks torch for random numbers, as dropout does, and NumPy for more."""

    def __init__(self):
        super().__init__()
        self.network = DetectionGuidedNet(**SLIM)

    def forward(self, x):
        return self.network(x + 0.1 * np.random.rand() * torch.randn_like(x))


def batches(size=2, flip=True, images=1):
    random = torch.Generator().manual_seed(images)
    images = torch.rand(7, 1, 16, 16, generator=random)
    masks = (images > 0.8).float()
    has_nodule = torch.tensor([1.0, 0, 1, 1, 0, 1, 0])
    return Batches(images, masks, has_nodule, size=size, seed=3, flip=flip)


def train(
    path, steps=STEPS, every=5, watch=None, configuration=None, given=None, gamma=0.75,
    std_rate=0.02, **arguments,
):  # fmt: skip
    torch.manual_seed(0)
    np.random.seed(0)
    model = Noisy()
    checkpoint = path and Checkpoint(path, configuration, every)
    losses = fit(
        model,
        batches(**given or {}),
        multitask_loss,
        steps=steps,
        schedule=lambda adam: torch.optim.lr_scheduler.StepLR(adam, 4, gamma),
        parameters=[
            {"params": model.network.std.parameters(), "lr": std_rate},
            {"params": [p for n, p in model.named_parameters() if ".std." not in n]},
        ],
        watch=watch,
        checkpoint=checkpoint,
        progress=False,
        **arguments,
    )
    return model, losses


@pytest.fixture(scope="module")
def uninterrupted():
    torch.set_num_threads(1)
    trace = Trace()
    model, losses = train(None, watch=trace)
    return model.state_dict(), losses, trace.seen


def assert_same(model, losses, uninterrupted):
    weights, expected = uninterrupted[:2]
    assert losses == expected
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_writing_checkpoints_changes_nothing(tmp_path, uninterrupted):
    assert_same(*train(tmp_path / "one.safetensors"), uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


class Cut(Exception):
    pass


@pytest.mark.parametrize("last", [1, 5, 7, 20, 23])
def test_stopped_after_any_step_it_goes_on_with_the_same_bits(tmp_path, last, uninterrupted):
    class Cutting(Trace):
        def __call__(self, step, loss):
            super().__call__(step, loss)
            if step == last:
                raise Cut

    path = tmp_path / "one.safetensors"
    with pytest.raises(Cut):
        train(path, watch=Cutting())
    torch.randn(5), np.random.rand(5)  # other work in between
    trace = Trace()
    assert_same(*train(path, watch=trace), uninterrupted)
    assert trace.seen == uninterrupted[2]


def test_a_finished_training_is_only_read(tmp_path, uninterrupted):
    path = tmp_path / "one.safetensors"
    train(path)
    before = path.read_bytes()
    seen = []
    assert_same(*train(path, watch=lambda *now: seen.append(now)), uninterrupted)
    assert path.read_bytes() == before and not seen


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import test_checkpoints
import torch
torch.set_num_threads(1)
print("ready", flush=True)
test_checkpoints.train({path!r}, every=1)
"""


def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path, uninterrupted):
    """SIGKILL, at moments that nobody has chosen: also while the file is being written."""
    path = tmp_path / "one.safetensors"
    code = KILLED.format(tests=os.path.dirname(__file__), path=str(path))
    for wait in (0.05, 0.21, 0.4):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        before = path.stat().st_mtime_ns if path.exists() else 0
        while child.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
            time.sleep(0.01)  # at least one step more
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
    with safe_open(path, "pt") as file:
        done = len(json.loads(file.metadata()["state"])["losses"])
    assert 3 <= done <= STEPS
    assert_same(*train(path, every=1), uninterrupted)
    Checkpoint(path).remove()  # and what a process had begun to write when it was killed
    assert not list(tmp_path.iterdir())


def test_removing_leaves_what_is_not_its_own(tmp_path):
    names = ["one", "one.12.part", "one.345.part", "another.12.part", "one.part.txt"]
    for name in names:
        (tmp_path / name).touch()
    Checkpoint(tmp_path / "one").remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another.12.part", "one.part.txt"]
    Checkpoint(tmp_path / "one").remove()  # nothing there is no error


def test_the_file_holds_no_pickle_and_all_that_is_needed(tmp_path):
    path = tmp_path / "one.safetensors"
    train(path, steps=3)
    with safe_open(path, "pt") as file:  # reads a header in JSON and raw numbers, nothing else
        state = json.loads(file.metadata()["state"])
    assert set(state) == {"configuration", "losses", "parts", "random"}
    assert set(state["parts"]) == {"batches", "model", "optimiser", "scheduler"}
    assert len(state["losses"]) == 3


@pytest.mark.parametrize(
    "other, message",
    [
        ({"configuration": {"row": "unet"}}, r"row: 'proposed', wanted 'unet'"),
        ({"steps": 30}, "fit.steps: 6, wanted 30"),
        ({"learning_rate": 0.5}, "fit.learning_rate: 0.001, wanted 0.5"),
        ({"std_rate": 0.5}, r"fit.rates: \[0.02, 0.001\], wanted \[0.5, 0.001\]"),
        ({"gamma": 0.5}, "fit.schedule.gamma: 0.75, wanted 0.5"),
        ({"given": {"size": 3}}, "batches"),
        ({"given": {"flip": False}}, "'flip': False"),
        ({"given": {"images": 2}}, "sha256"),
    ],
)
def test_another_configuration_is_refused_and_the_difference_named(tmp_path, other, message):
    path = tmp_path / "one.safetensors"
    given = {"steps": 6, "configuration": {"row": "proposed"}}
    train(path, **given)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        train(path, **{**given, **other})
    assert path.read_bytes() == before


def test_a_watch_that_is_kept_must_be_there_again(tmp_path):
    path = tmp_path / "one.safetensors"
    train(path, steps=6, watch=Trace())
    with pytest.raises(ValueError, match="watch"):
        train(path, steps=6)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "one.safetensors"
    train(path, steps=6)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:100], whole[:-1], flipped, b"\x80\x04N."):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"one.safetensors is damaged, or no checkpoint"):
            train(path, steps=6)
        assert path.read_bytes() == damaged


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    train(path, steps=2)

    def locked(*given):
        raise PermissionError(f"Permission denied: {path}")

    monkeypatch.setattr(checkpoints, "safe_open", locked)
    with pytest.raises(PermissionError, match=str(path)):
        train(path, steps=2)


def test_slices_in_16_bits_can_be_told_apart():
    images = torch.rand(4, 1, 8, 8).bfloat16()
    has = torch.ones(4, dtype=torch.bool)
    sums = [Batches(data, images, has).state_dict()["sha256"] for data in (images, -images)]
    assert sums[0] != sums[1]


def test_batches_without_a_state_cannot_be_checkpointed(tmp_path):
    given = {"steps": 2, "progress": False, "checkpoint": Checkpoint(tmp_path / "one")}
    with pytest.raises(ValueError, match="batches must have state_dict"):
        fit(Noisy(), (batch for batch in batches()), multitask_loss, **given)


def test_what_is_no_number_names_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "one.safetensors"
    calls = []

    def loss(output, masks, has_nodule):
        calls.append(1)
        return multitask_loss(output, masks, has_nodule) * (math.nan if len(calls) == 8 else 1)

    model = Noisy()
    given = {"steps": 12, "progress": False, "checkpoint": Checkpoint(path, every=3)}
    with pytest.raises(ValueError, match=r"nan at step 8 of 12.* one.safetensors holds step 6"):
        fit(model, batches(), loss, **given)
    assert len(fit(model, batches(), loss, **given)) == 12  # it was that batch's, once


def test_a_gradient_that_is_no_number_does_not_reach_the_file(tmp_path):
    """A finite loss, and weights that are lost after its step."""
    path, calls = tmp_path / "one.safetensors", []

    class Spoil(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            calls.append(1)
            return gradient * (math.nan if len(calls) == 6 else 1)

    def loss(*given):
        return Spoil.apply(multitask_loss(*given))

    model = Noisy()
    given = {"steps": 12, "progress": False, "checkpoint": Checkpoint(path, every=3)}
    with pytest.raises(ValueError, match=r"a weight is no number.* step 6 of 12.*holds step 3"):
        fit(model, batches(), loss, **given)
    tensors = Checkpoint(path)._read()[1].values()
    assert all(tensor.isfinite().all() for tensor in tensors)
    assert len(fit(model, batches(), loss, **given)) == 12
    calls.clear()
    with pytest.raises(ValueError, match="a weight is no number any more at step 6 of 6"):
        fit(Noisy(), batches(), loss, steps=6, progress=False)  # and not without a file, either


def test_resumed_the_moments_lie_in_memory_as_their_weights_do(tmp_path):
    """A file keeps no strides. Fused, as on a GPU: CUDA refuses others, a CPU errs."""
    torch.manual_seed(0)
    image = torch.rand(2, 3, 8, 8)

    def fresh():
        torch.manual_seed(1)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.Adam(model.parameters(), lr=0.1, fused=True)

    def go(model, adam, steps):
        for _ in range(steps):
            adam.zero_grad()
            model(image).square().mean().backward()
            adam.step()

    straight, adam = fresh()
    go(straight, adam, 6)
    model, adam = fresh()
    go(model, adam, 3)
    checkpoint = Checkpoint(tmp_path / "one")
    checkpoint.save({"model": model, "adam": adam}, [1.0])
    model, adam = fresh()
    checkpoint.load({"model": model, "adam": adam})
    training._match_layout(adam)
    state = adam.state[model.weight]
    assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == model.weight.stride()
    assert not model.weight.is_contiguous()
    go(model, adam, 3)
    assert torch.equal(model.weight, straight.weight)


def test_fit_resumes_a_network_in_channels_last(tmp_path):
    class Cut(Exception):
        pass

    def cut(step, loss):
        if step == 3:
            raise Cut

    def go(path=None, **given):
        torch.manual_seed(0)
        model = DetectionGuidedNet(**SLIM).to(memory_format=torch.channels_last)
        checkpoint = path and Checkpoint(path, every=1)
        given |= {"steps": 5, "progress": False, "checkpoint": checkpoint}
        return model, fit(model, batches(), multitask_loss, **given)

    model, losses = go()
    with pytest.raises(Cut):
        go(tmp_path / "one", watch=cut)
    again, found = go(tmp_path / "one")
    assert found == losses
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("every", [0, -1])
def test_every_must_be_positive(tmp_path, every):
    with pytest.raises(ValueError, match="every must be at least 1"):
        Checkpoint(tmp_path / "one", every=every)
