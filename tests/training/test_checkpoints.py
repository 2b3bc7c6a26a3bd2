"""Checkpoints: killed at any moment and resumed, the same bits; what does not fit is refused."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter, OrderedDict, deque

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import lr_scheduler

from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.training import checkpoints
from nodule_lesson.training import fitting as training
from nodule_lesson.training.checkpoints import Checkpoint
from nodule_lesson.training.fitting import Batches, fit
from nodule_lesson.training.losses import multitask_loss

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


# --- networks, schedules and states of other kinds -----------------------------------------------


class Small(nn.Module):
    """Two convolutions, perhaps a buffer, perhaps a state that is no tensor."""

    def __init__(self, width=4, buffer=None):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 1, 1)
        self.register_buffer("kept", buffer)

    def forward(self, x):
        return self.last(self.first(x))


class Counting(Small):
    """It counts its batches outside its tensors."""

    seen = 0

    def forward(self, x):
        self.seen += 1
        return super().forward(x)

    def get_extra_state(self):
        return {"seen": self.seen}

    def set_extra_state(self, state):
        self.seen = state["seen"]


def squares(output, masks, has_nodule):
    return (output - masks).square().mean()


def train_small(path=None, make=Small, cut=None, every=2, **given):
    torch.manual_seed(0)
    model, steps = make(), given.pop("steps", 8)

    def stop(step, loss):
        if step == cut:
            raise Cut

    checkpoint = path and Checkpoint(path, every=every)
    given = {"watch": stop, "batches": batches(), **given}
    losses = fit(model, loss=squares, steps=steps, checkpoint=checkpoint, progress=False, **given)
    return model, losses


def assert_resumes(path, **given):
    """Cut off after step 3, and from the file of step 2 to the same bits."""
    expected = train_small(**given)
    with pytest.raises(Cut):
        train_small(path, cut=3, **given)
    found = train_small(path, **given)
    assert found[1] == expected[1]
    states = [model.state_dict() for model, _ in (found, expected)]
    for name, value in states[1].items():
        if torch.is_tensor(value):  # nan, too, must be the same
            one, other = value.float(), states[0][name].float()
            assert torch.equal(one.nan_to_num(), other.nan_to_num()), name
        else:
            assert states[0][name] == value
    return found[0]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda adam: lr_scheduler.SequentialLR(
            adam, [lr_scheduler.ConstantLR(adam, 0.5, 2), lr_scheduler.MultiStepLR(adam, [1, 2])],
            [4],
        ),
        lambda adam: lr_scheduler.OneCycleLR(adam, 0.1, total_steps=9),
        lambda adam: lr_scheduler.StepLR(adam, np.int64(2), np.float32(0.3)),
    ],
    ids=["a Counter in a list", "moments", "numbers of NumPy"],
)  # fmt: skip
def test_schedules_resume_with_the_same_bits(tmp_path, schedule):
    """SequentialLR hands its schedules their states as it got them: pytorch issue 33229."""
    assert_resumes(tmp_path / "one", schedule=schedule)


def test_a_schedule_that_must_be_told_the_loss_is_refused_before_the_first_step():
    steps = []
    with pytest.raises(ValueError, match="ReduceLROnPlateau is missing .*'metrics'"):
        train_small(schedule=lr_scheduler.ReduceLROnPlateau, watch=lambda *now: steps.append(now))
    assert not steps


def test_numbers_of_numpy_are_numbers(tmp_path):
    """In the data, too: what is resumed with Python's numbers is the same training."""
    one, two = (tmp_path / name for name in ("one", "two"))

    def of(kind, rate):
        data = batches()
        return {
            "steps": kind(6),
            "learning_rate": rate(2**-7),
            "weight_decay": rate(2**-20),
            "batches": Batches(*data.data, size=kind(2), seed=kind(3), flip=np.bool_(True)),
        }

    expected = train_small(one, **of(int, float))
    found = train_small(two, **of(np.int64, np.float32))
    assert found[1] == expected[1]
    assert train_small(two, **of(int, float))[1] == expected[1]
    state = {"rows": np.int64(3), "rates": [np.float32(0.1)]}
    assert Checkpoint(one, state).configuration == {"rows": 3, "rates": [float(np.float32(0.1))]}


class Holding:
    """A part that is its state."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_states_come_back_as_what_they_were(tmp_path):
    ordered = OrderedDict(b=1, a=(2.5, [None, True]))
    ordered.version = {"": {"version": 2}}  # as a network's state has it
    state = {
        "counter": Counter([3, 3, 5]),
        "ordered": ordered,
        "keys": {(1, 2): "a", 3: "b", None: "c", "pairs": "d"},
        "numbers": (math.inf, 1e-300, np.float32(0.1), np.int64(7), np.bool_(True)),
        "array": np.arange(6, dtype=np.uint8).reshape(2, 3)[:, ::2],
        "tensor": torch.tensor([1, -math.inf], dtype=torch.bfloat16),
        "empty": ((), [], {}, ""),
    }
    checkpoint = Checkpoint(tmp_path / "one")
    checkpoint.save({"part": Holding(state)}, [1.0])
    part = Holding({})
    assert checkpoint.load({"part": part}) == [1.0]
    assert_identical(part.state, state)
    assert list(part.state["counter"].elements()) == [3, 3, 5]
    assert part.state["ordered"].version == ordered.version


def assert_identical(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_identical(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_identical(*pair)
    elif isinstance(expected, (np.ndarray, torch.Tensor)):
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    else:
        assert found == expected


def test_layers_are_told_their_version_again(tmp_path):
    class Versioned(Small):
        _version = 2

        def _load_from_state_dict(self, state, prefix, metadata, *others):
            assert metadata["version"] == 2  # a layer of version 1 would be converted
            super()._load_from_state_dict(state, prefix, metadata, *others)

    assert_resumes(tmp_path / "one", make=Versioned)


@pytest.mark.parametrize(
    "state, place",
    [
        ({"last": deque([1.0], maxlen=5)}, "watch.last is of the type deque"),
        ({"sizes": [1, torch.Size([2])]}, r"watch.sizes\[1\] is of the type Size"),
        ({"names": {"a"}}, "watch.names is of the type set"),
        ({"names": np.array(["a"])}, "watch.names"),
        ({"of": {"sparse": torch.eye(3).to_sparse()}}, "watch.of.sparse is .*sparse_coo"),
        ({"wide": torch.zeros(2, dtype=torch.complex128)}, "watch.wide is torch.complex128"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_held_is_refused_before_the_first_step(tmp_path, state, place):
    class Watch(Holding):
        def __call__(self, step, loss):
            raise AssertionError("a step was taken")

    with pytest.raises(TypeError, match=place):
        train_small(tmp_path / "one", watch=Watch(state))
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_held_is_refused_before_the_first_step(tmp_path):
    steps = []
    with pytest.raises(TypeError, match="model.kept is .*sparse_coo"):
        train_small(
            tmp_path / "one",
            make=lambda: Small(buffer=torch.eye(3).to_sparse()),
            watch=lambda *now: steps.append(now),
        )
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train_small(tmp_path / "file" / "one", watch=lambda *now: steps.append(now))
    assert not steps


@pytest.mark.parametrize(
    "buffer",
    [
        torch.tensor([0, -math.inf]),
        torch.tensor([math.nan]),
        torch.ones(3).to(torch.float8_e4m3fn),
    ],
    ids=["-inf", "nan", "float8"],
)
def test_constants_that_are_no_numbers_are_no_fault(tmp_path, buffer):
    """A mask of attention holds -inf: after the last step, the losses must not be lost for it."""
    assert_resumes(tmp_path / "one", make=lambda: Small(buffer=buffer.clone()))


def test_an_average_that_becomes_infinite_is_a_fault(tmp_path):
    class Drifting(Small):
        def forward(self, x):
            self.kept /= 0
            return super().forward(x)

    with pytest.raises(ValueError, match="no number any more at step 2"):
        train_small(tmp_path / "one", make=lambda: Drifting(buffer=torch.ones(2)))


def test_a_sparse_buffer_is_trained_with_and_not_looked_at():
    assert len(train_small(make=lambda: Small(buffer=torch.eye(3).to_sparse()))[1]) == 8


def test_a_network_with_a_state_of_its_own_resumes(tmp_path):
    assert assert_resumes(tmp_path / "one", make=Counting).seen == 8


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Small(width=6), r"first.weight is \[4, 1, 3, 3\] in the file, \[6, 1, 3, 3\]"),
        (lambda: nn.DataParallel(Small()), "first.weight is .* not there in this network"),
        (lambda: torch.compile(Small()), "first.weight is .* not there in this network"),
        (lambda: Small(buffer=torch.ones(1)), "kept is not there in the file"),
        (lambda: Small().bfloat16(), "first.weight is torch.float32, wanted torch.bfloat16"),
    ],
    ids=["wider", "DataParallel", "compiled", "another buffer", "16 bits"],
)
def test_another_network_is_refused_whole_and_in_one_sentence(tmp_path, make, message):
    path = tmp_path / "one"
    with pytest.raises(Cut):
        train_small(path, cut=3)
    torch.manual_seed(5)
    model, data = make(), batches()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as told:
        fit(model, data, squares, steps=8, progress=False, checkpoint=Checkpoint(path, every=2))
    assert "\n" not in str(told.value) and str(told.value).startswith("one does not fit")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert data.taken == 0


def test_parts_are_as_they_were_where_the_last_one_fails(tmp_path):
    class Renamed(Holding):
        def load_state_dict(self, state):
            self.state = {}
            self.state["minutes"] = state["minutes"]

    def parts(seed, state):
        torch.manual_seed(seed)
        model, data = Small(), batches()
        adam = torch.optim.Adam(model.parameters())
        return {"batches": data, "model": model, "optimiser": adam, "watch": Renamed(state)}

    saved = parts(0, {"seconds": 3})
    saved["model"](next(saved["batches"])[0]).sum().backward()
    saved["optimiser"].step()
    checkpoint = Checkpoint(tmp_path / "one")
    checkpoint.save(saved, [1.0])
    found, untouched = (parts(5, {"minutes": 4}) for _ in range(2))
    place = torch.get_rng_state()
    with pytest.raises(ValueError, match="nothing of it was taken; watch: 'minutes'"):
        checkpoint.load(found)
    for name, part in untouched.items():
        state, expected = found[name].state_dict(), part.state_dict()
        if name == "model":
            state, expected = ([v.tolist() for v in one.values()] for one in (state, expected))
        assert state == expected, name
    assert torch.equal(torch.get_rng_state(), place)


def test_moments_of_weights_in_another_order_are_refused(tmp_path):
    """Their names are not in the file, their shapes are."""
    model = nn.Linear(3, 1, bias=False), nn.Linear(3, 5, bias=False)

    def adam(*layers):
        return torch.optim.Adam([layer.weight for layer in layers])

    first = adam(*model)
    sum(layer(torch.ones(3)).sum() for layer in model).backward()
    first.step()
    checkpoint = Checkpoint(tmp_path / "one")
    checkpoint.save({"optimiser": first}, [1.0])
    with pytest.raises(ValueError, match=r"exp_avg of shape \(1, 3\).*shape \(5, 3\).*order"):
        checkpoint.load({"optimiser": adam(*reversed(model))})


def test_a_file_of_the_first_releases_is_read(tmp_path):
    """Written by hand, as they wrote it: containers had no types yet."""
    path = tmp_path / "one"
    model = nn.Linear(2, 1)
    kind, keys, *rest = np.random.RandomState(3).get_state()
    tensors = {
        "0": torch.tensor([[1.5, -2.0]]),
        "1": torch.tensor([0.25]),
        "2": torch.Generator().manual_seed(3).get_state(),
        "3": torch.from_numpy(keys.astype(np.int64)),
    }
    weights = [["weight", {"tensor": "0"}], ["bias", {"tensor": "1"}]]
    random = [["torch", {"tensor": "2"}], ["numpy", [kind, {"tensor": "3"}, *rest]]]
    state = {
        "configuration": {"row": "unet", "fit": {"steps": 4}},
        "losses": [0.5, 0.25],
        "parts": {"model": {"pairs": weights}, "part": {"pairs": [["betas", [0.9, 0.999]]]}},
        "random": {"pairs": random},
    }
    text = json.dumps(state)
    told = {"state": text, "sha256": checkpoints._digest(text, tensors)}
    save_file(tensors, path, told)
    part = Holding({})
    parts = {"model": model, "part": part}
    assert Checkpoint(path, {"row": "unet"}).load(parts, {"steps": 4}) == [0.5, 0.25]
    assert model.weight.tolist() == [[1.5, -2.0]] and model.bias.tolist() == [0.25]
    assert part.state == {"betas": [0.9, 0.999]}
    assert np.random.rand() == np.random.RandomState(3).rand()
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
