"""On what a step computes: 16 bits, a scaler, a compiled network, a GPU's pace, two processes.

No GPU is needed: what belongs to one is tried with parts that do the same on the CPU. What that
leaves open is whether CUDA's own kernels do it, too.
"""

import json
import math
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.networks.registry import build_model
from nodule_lesson.training import fitting as training
from nodule_lesson.training.checkpoints import Checkpoint
from nodule_lesson.training.fitting import Batches, best_precision, fit
from nodule_lesson.training.losses import multitask_loss

# No dilated depthwise convolution: PyTorch's bfloat16 one crashes on some CPUs.
SMALL = {**SLIM, "rates": (1,), "separable_aspp": False}


def batches(size=4, side=16):
    random = torch.Generator().manual_seed(1)
    images = torch.rand(12, 1, side, side, generator=random)
    masks = (images > 0.8).float()
    return Batches(images, masks, (torch.arange(12) % 2).float(), size=size, seed=3)


def train(model=None, steps=8, side=16, **arguments):
    torch.manual_seed(0)
    model = DetectionGuidedNet(**SMALL) if model is None else model
    found = fit(
        model, batches(side=side), multitask_loss, steps=steps, progress=False, **arguments
    )
    return model, found


def same(model, other):
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


class Plain(nn.Module):
    """Without batch norm, whose statistics are those of a process's own share."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 1, 1)
        )

    def forward(self, images):
        return self.layers(images)


def by_pixel(logits, masks, has_nodule):
    return F.binary_cross_entropy_with_logits(logits, masks)


def train_plain(steps=6, **arguments):
    torch.manual_seed(0)
    model = Plain()
    return model, fit(model, batches(), by_pixel, steps=steps, progress=False, **arguments)


# --- 16 bits -------------------------------------------------------------------------------------


def test_in_16_bits_convolutions_are_coarse_and_weights_std_and_loss_are_not():
    seen = {}

    def loss(output, masks, has_nodule):
        seen["output"] = {part.dtype for part in output}
        value = multitask_loss(output, masks, has_nodule)
        seen["loss"] = value.dtype
        return value

    torch.manual_seed(0)
    model = DetectionGuidedNet(**SMALL)
    model.S3.register_forward_hook(lambda *given: seen.update(features=given[-1].dtype))
    # From 2x2 to 1x1, the bfloat16 gradient of a convolution with stride is nonsense on some CPUs.
    found = fit(model, batches(side=32), loss, steps=8, precision="bf16", progress=False)
    assert seen["features"] == torch.bfloat16
    assert seen["output"] == {torch.float32} and seen["loss"] == torch.float32
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    exact = train(side=32)[1]
    assert found[0] != exact[0] and found[0] == pytest.approx(exact[0], rel=0.02)
    assert found[1:] != exact[1:] and all(map(math.isfinite, found))


@pytest.mark.parametrize("name", ["unet", "resunet"])
def test_every_network_answers_in_32_bits(name):
    with torch.autocast("cpu", torch.bfloat16):
        output = build_model(name, width=4)(torch.rand(2, 1, 16, 16))
    assert output.logits.dtype == output.mask.dtype == torch.float32


def test_the_best_precision_is_what_the_hardware_has(monkeypatch):
    assert best_precision("cpu") == best_precision("mps") == "float32"
    for has, expected in ((True, "bf16"), (False, "fp16")):

        def supported(including_emulation=True, has=has):
            return has or including_emulation  # a T4 says yes, and emulates

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        assert best_precision(torch.device("cuda", 0)) == expected


@pytest.mark.parametrize(
    "given, message",
    [
        ({"precision": "fp8"}, "precision must be one of float32, bf16, fp16; found 'fp8'"),
        ({"precision": "fp16"}, "fp16 is for CUDA; on cpu take float32"),
        ({"precision": "bf16", "fabric": True}, "the precision is the Fabric's"),
    ],
)
def test_precisions_that_cannot_be(given, message):
    if "fabric" in given:
        from lightning_fabric import Fabric

        given = {**given, "fabric": Fabric(accelerator="cpu", devices=1)}
    with pytest.raises(ValueError, match=message):
        train_plain(**given)


# --- what a GPU's path does, on the CPU ----------------------------------------------------------


class Scaled(training._Backend):
    """With a scaler, as fp16 has it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)


def test_a_scaler_that_doubles_and_halves_changes_no_bit(monkeypatch, tmp_path):
    """Powers of two scale floats exactly. Its state is in the checkpoint, and comes back."""
    model, losses = train()
    monkeypatch.setattr(training, "_Backend", Scaled)
    scaled, again = train()
    assert same(scaled, model) and again == losses

    class Cut(Exception):
        pass

    def cut(step, loss):
        if step == 5:
            raise Cut

    with pytest.raises(Cut):
        train(watch=cut, checkpoint=Checkpoint(tmp_path / "one", every=1))
    state = Checkpoint(tmp_path / "one")._read()[0]["parts"]["scaler"]["pairs"]
    assert dict(state)["scale"] == 2.0**11 and dict(state)["_growth_tracker"] == 1
    resumed, again = train(checkpoint=Checkpoint(tmp_path / "one", every=1))
    assert same(resumed, model) and again == losses


def test_a_step_that_overflows_is_left_out(monkeypatch):
    """The scaler sees an infinite gradient: the weights stay, the next step is taken."""
    monkeypatch.setattr(training, "_Backend", Scaled)
    model, weights = nn.Linear(1, 1, bias=False), []

    def loss(output, masks, has_nodule):
        weights.append(model.weight.item())
        return output.sum() * 1e37 ** (len(weights) == 2)

    given = [(torch.ones(1, 1), None, None)] * 4
    fit(model, given, loss, steps=4, progress=False)
    assert weights[0] != weights[1] == weights[2] != weights[3]


class Patient(training._Backend):
    """A CPU whose losses are read as rarely as a GPU's."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.device = torch.device("cuda")


@pytest.mark.parametrize("steps", [1, 9, 10, 23])
def test_losses_read_in_handfuls_are_the_same_losses(monkeypatch, steps, tmp_path):
    model, losses = train(steps=steps)
    monkeypatch.setattr(training, "_Backend", Patient)
    seen, reads = [], []
    monkeypatch.setattr(
        torch, "stack", lambda parts, *a, stack=torch.stack: reads.append(0) or stack(parts, *a)
    )
    given = {"watch": lambda *now: seen.append(now), "checkpoint": Checkpoint(tmp_path / "one")}
    patient, again = train(steps=steps, **given)
    assert same(patient, model) and again == losses
    assert seen == list(enumerate(losses, start=1))
    expected = len({1, *range(10, steps + 1, 10), steps})
    assert expected <= len(reads) <= expected + 1


def test_a_nan_read_late_stops_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_Backend", Patient)
    path, calls = tmp_path / "one.safetensors", []

    def loss(*given):
        calls.append(0)
        return multitask_loss(*given) * (math.nan if len(calls) == 13 else 1)

    torch.manual_seed(0)
    with pytest.raises(ValueError, match="nan at step 13 of 30.*one.safetensors holds step 10"):
        fit(
            DetectionGuidedNet(**SMALL),
            batches(),
            loss,
            steps=30,
            checkpoint=Checkpoint(path, every=5),
            progress=False,
        )
    assert len(calls) == 20  # it looked after the twentieth step
    state, tensors = Checkpoint(path)._read()
    assert len(state["losses"]) == 10 and all(t.isfinite().all() for t in tensors.values())


# --- compiled ------------------------------------------------------------------------------------


def test_the_network_is_one_graph():
    """Where Python has to look at a value, a compiled network falls into pieces."""
    found = torch._dynamo.explain(DetectionGuidedNet(**SLIM))(torch.rand(2, 1, 16, 16))
    torch._dynamo.reset()
    assert found.graph_count == 1 and found.graph_break_count == 0


def test_compiled_it_learns_the_same(monkeypatch):
    """Traced and differentiated ahead of time; only the making of kernels is left out."""
    asked = []

    def compile_(model, mode, make=torch.compile):
        asked.append(mode)
        return make(model, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", compile_)
    compiled, again = train_plain(compiled=True)
    torch._dynamo.reset()
    assert asked == [None]  # on CUDA: reduce-overhead, which captures a graph
    model, losses = train_plain()
    assert again == pytest.approx(losses, rel=1e-4)
    assert list(compiled.state_dict()) == list(model.state_dict())


def test_where_compiling_fails_a_warning_says_so_and_training_goes_on(monkeypatch):
    def no_compiler(graph, inputs):
        raise RuntimeError("there is no C++ compiler here")

    monkeypatch.setattr(
        torch, "compile", lambda model, mode, make=torch.compile: make(model, backend=no_compiler)
    )
    with pytest.warns(UserWarning, match="failed, training goes on without.*no C") as w:
        compiled, again = train_plain(compiled=True)
    torch._dynamo.reset()
    assert len([one for one in w if "torch.compile failed" in str(one.message)]) == 1
    model, losses = train_plain()
    assert same(compiled, model) and again == losses


# --- several processes ---------------------------------------------------------------------------

TOGETHER = """
import json, sys
sys.path.insert(0, {tests!r})
import test_fitting_machines as here
from lightning_fabric import Fabric

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
here.write(fabric, {folder!r})
"""


def write(fabric, folder):
    """What a process of two ends with: losses, weights, who watched."""
    torch.set_num_threads(1)
    found, watched = {}, []
    for name, network in (("plain", Plain), ("slim", lambda: DetectionGuidedNet(**SMALL))):
        torch.manual_seed(0)
        model = network()
        found[name] = {
            "losses": fit(
                model,
                batches(),
                by_pixel if name == "plain" else multitask_loss,
                steps=6,
                fabric=fabric,
                checkpoint=Checkpoint(f"{folder}/{name}.safetensors", every=2),
                log=f"{folder}/{name}-{fabric.global_rank}",
                watch=lambda step, loss: watched.append(step),
                label=f"process {fabric.global_rank}",
            ),
            "weights": [p.flatten().tolist() for p in model.parameters()],
        }
    odd = batches(size=5)
    try:
        fit(Plain(), odd, by_pixel, steps=1, fabric=fabric, progress=False)
    except ValueError as error:
        found["odd"] = str(error)
    found["watched"] = watched
    with open(f"{folder}/{fabric.global_rank}.json", "w", encoding="utf-8") as file:
        json.dump(found, file)


def test_two_processes_with_half_a_batch_each_are_one_with_the_whole(tmp_path):
    """Started by torchrun; gradients are averaged by gloo."""
    script = tmp_path / "together.py"
    script.write_text(
        TOGETHER.format(tests=os.path.dirname(__file__), folder=str(tmp_path)), encoding="utf-8"
    )
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
    )
    for name in ("plain", "slim"):
        assert first[name] == second[name]  # both have the same network, and the whole loss
    model, losses = train_plain()
    assert first["plain"]["losses"] == pytest.approx(losses, rel=1e-5)
    for value, p in zip(first["plain"]["weights"], model.parameters(), strict=True):
        # Adam's step is its rate long, whatever the gradient: a last bit's error stays small.
        torch.testing.assert_close(torch.tensor(value), p.detach().flatten(), atol=2e-5, rtol=0)
    # With batch norm it is another training, and nearly the same one.
    losses = train(steps=6)[1]
    assert first["slim"]["losses"] != losses
    assert first["slim"]["losses"] == pytest.approx(losses, rel=0.2)
    # The first process alone watches, logs and shows a bar.
    assert first["watched"] == [*range(1, 7)] * 2 and second["watched"] == []
    assert (tmp_path / "plain-0").exists() and not (tmp_path / "plain-1").exists()
    assert "process 0: 100%" in done.stderr and "process 1:" not in done.stderr
    assert first["odd"] == "5 slices do not divide among 2 processes."
    # What they have written, one process does not go on with: it is another training.
    with pytest.raises(ValueError, match="fit.processes: 2, wanted 1"):
        train_plain(checkpoint=Checkpoint(tmp_path / "plain.safetensors"))


def test_one_process_of_a_fabric_is_no_other_loop():
    from lightning_fabric import Fabric

    model, losses = train()
    same_model, again = train(fabric=Fabric(accelerator="cpu", devices=1))
    assert same(same_model, model) and again == losses
