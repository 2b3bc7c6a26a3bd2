"""One run: train a row's network, score it lesion by lesion, and say where it all came from."""

import datetime
import hashlib
import json
import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch.optim.lr_scheduler import StepLR

import nodule_lesson
from nodule_lesson.checkpoints import Checkpoint
from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import variants
from nodule_lesson.files import write_whole
from nodule_lesson.losses import multitask_loss
from nodule_lesson.metrics import summarise
from nodule_lesson.std import soft_threshold_dynamics
from nodule_lesson.training import PRECISIONS, Batches, best_device, best_precision, fit
from nodule_lesson.transfer import freeze

LAMBDA2 = (0, 1, 2, 4, 8)  # of the sweep
INTERVENED = ("proposed", "transfer", "backbone+combination")  # rows asked what if
DIGITS = 4
EVERY = 500  # steps between two checkpoints: some minutes on a T4, longer than a laptop's run


def execute(run, data, work, progress=True):
    """Train and score one `Run`: the dictionary of its results file.

    data: a `Data`. work: a folder for pre-trained weights, shared by the runs. Pre-training is
    done here where its weights are not there yet. The seed decides weights, order and flips: on
    the CPU with one thread, the same run gives the same numbers.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    code_sha256(), commit()  # as they are now, not when the run has ended
    row, profile = run.row, run.profile
    model = prepared(run, data, work, progress)
    frozen = freeze(model, row.frozen) if row.frozen else 0
    clinic = data.clinic
    if run.fold is not None:
        clinic = sets.fold(clinic, run.fold, profile.folds)
    if row.lesions < sets.TRAIN_LESIONS:
        clinic = sets.fewer_lesions(clinic, row.lesions, run.seed)
    checkpoint = checkpoint_of(run, data, work)
    history = train(model, clinic, run, progress, checkpoint)
    keep_weights(model, run, work)
    torch.manual_seed(run.seed)  # a shuffled c is drawn while scoring, too
    result = {
        "what": "One run of the experiments of nodule-lesson. For teaching, not for clinical use.",
        "configuration": run.configuration,
        "training": {
            **history,
            "lesions": len(sets.lesions_of(clinic)),
            "slices": len(clinic),
            "parameters": sum(p.numel() for p in model.parameters()),
            "frozen": frozen,
            "memory_kept_bytes": kept_for_backward(model, clinic, profile.batch),
        },
        "scores": {},
        "classifier": {},
        "false_positive_pixels": {},
    }
    for name, slices in (("train", clinic[sets.thinned(clinic)]), ("small", data.small)):
        predicted = predict(model, slices)
        result["scores"][name] = lesion_scores(predicted, slices)
    predicted = predict(model, data.large)
    result["scores"]["large"] = lesion_scores(predicted, data.large)
    empty = (data.large.lesion == "") & ~data.large.masks.flatten(1).any(1).numpy()
    result["false_positive_pixels"] = predicted["mask"][empty].sum((1, 2)).tolist()
    if predicted["c"] is not None:
        drawn = data.large.lesion != ""
        result["classifier"] = {
            "with_nodule": rounded(predicted["c"][drawn]),
            "without": rounded(predicted["c"][empty]),
        }
    result["interventions"] = {}
    if row.name in INTERVENED:
        result["interventions"] = interventions(model, predicted, data.large, empty)
    result["data"] = {"checksums": data.checksums, "sources": data.sources}
    result["provenance"] = {
        "command": command(run),
        **made_by(),
        "pretrained": pretrained_by(run, data, work),
        "versions": {name: version(name) for name in ("nodule-lesson", "torch", "numpy", "scipy")},
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 1),
    }
    return result


def checkpoint_of(run, data, work):
    """Where a run that is cut off goes on: beside the pre-trained weights."""
    path = Path(work) / f"{run.data}-{run.profile.name}" / f"{run.name}.checkpoint.safetensors"
    # A result names one commit: what one code began, another does not end.
    told = {**run.configuration, "checksums": data.checksums, "code": code_sha256()}
    return Checkpoint(path, told, EVERY)


# --- training ------------------------------------------------------------------------------------


def prepared(run, data, work, progress=True):
    """The network before it sees the clinic: random, or with pre-trained weights."""
    torch.manual_seed(run.seed)
    model = variants.build(run.row, run.profile).to(device())
    if run.row.pretrained:
        weights = pretrain(run, data, work, progress)
        model.load_state_dict({**model.state_dict(), **load_file(weights, device=str(device()))})
    return model


def pretrain_path(run, data, work):
    """The file of pre-trained weights that a run starts from: named after all that decides it.

    Not after the code, which would throw hours away for a comment: that stands in the file, and
    in the provenance of each run that begins with it.
    """
    row, profile = run.row, dict(run.configuration["profile"])
    del profile["steps"]  # of what comes after
    decides = {
        "model": row.model,
        "options": run.configuration["row"]["options"],
        "profile": profile,
        "seed": run.seed,
        "data": data.checksums["pretrain"],
        "precision": best_precision(device()),
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return Path(work) / f"pretrained-{row.model}-seed{run.seed}-{key}.safetensors"


def pretrain(run, data, work, progress=True):
    """The file with what a row's network learns on `pretrain` without STD; made where missing."""
    row, profile = run.row, run.profile
    path = pretrain_path(run, data, work)
    if path.exists():
        return path
    torch.manual_seed(run.seed)
    model = variants.build_plain(row, profile).to(device())
    slices = on_device(data.pretrain)
    told = {"weights": path.name, "code": code_sha256()}
    checkpoint = Checkpoint(f"{path}.checkpoint", told, EVERY)
    fit(
        model,
        Batches(*slices, size=profile.batch, seed=run.seed),
        multitask_loss,
        steps=profile.pretrain_steps,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        precision=best_precision(device()),
        checkpoint=checkpoint,
        label=f"pre-training {row.model}, seed {run.seed}",
        progress=progress,
    )
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_whole(path, serialised(weights, {k: str(v) for k, v in made_by().items()}))
    checkpoint.remove()
    return path


class Trace:
    """A watch: what sigma and lambda2 are on the way, and how long a step takes.

    On a CPU its own time, of all threads, is counted, which other work hardly changes; else the
    time on the wall.
    """

    def __init__(self, std):
        self.std, self.sigma, self.lambda2, self.seconds, self.last = std, [], [], [], None
        self.clock = time.process_time if device().type == "cpu" else time.perf_counter

    def __call__(self, step, loss):
        now = self.clock()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now
        if self.std is not None and (step % 10 == 0 or step == 1):
            self.sigma.append([step, round(self.std.sigma.item(), DIGITS)])
            self.lambda2.append([step, round(self.std.lambda2.item(), DIGITS)])

    def state_dict(self):
        return {"sigma": self.sigma, "lambda2": self.lambda2, "seconds": self.seconds}

    def load_state_dict(self, state):
        self.sigma, self.lambda2, self.seconds = (
            state[name] for name in ("sigma", "lambda2", "seconds")
        )


def pretrained_by(run, data, work):
    """Which code on which device made the weights that a run began with; None for random ones."""
    if not run.row.pretrained:
        return None
    with safe_open(pretrain_path(run, data, work), "pt") as file:
        return file.metadata()


def train(model, clinic, run, progress=True, checkpoint=None):
    """Train in place; what is worth keeping of its history, as a dictionary."""
    row, profile = run.row, run.profile
    std = getattr(model, "std", None)
    of_std = [] if std is None or not row.own_rate else [p for p in std.parameters()]
    known = {id(p) for p in of_std}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in known and p.requires_grad]}
    ]
    if of_std:
        groups.append({"params": of_std, "lr": profile.std_learning_rate})
    trace, precision = Trace(std), best_precision(device())
    losses = fit(
        model,
        Telling(model, Batches(*on_device(clinic), size=profile.batch, seed=run.seed)),
        multitask_loss,
        steps=run.steps,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        schedule=lambda adam: StepLR(adam, max(run.steps // 10, 1), profile.decay),
        parameters=groups,
        watch=trace,
        precision=precision,
        checkpoint=checkpoint,
        label=run.name,
        progress=progress,
    )
    # A GPU's steps are watched ten at once: nine of ten differences are nothing.
    typical = np.median if device().type == "cpu" else np.mean
    tens = [losses[k : k + 10] for k in range(0, len(losses), 10)]
    return {
        "losses": rounded([np.mean(ten) for ten in tens]),  # means of ten steps
        "sigma": trace.sigma,
        "lambda2": trace.lambda2,
        "precision": precision,
        "clock": trace.clock.__name__,
        "cpu_seconds_a_step": round(float(typical(trace.seconds)), DIGITS),
    }


def weights_path(run, work):
    """The file of a run's trained weights."""
    return Path(work) / f"{run.data}-{run.profile.name}" / f"{run.name}.safetensors"


def keep_weights(model, run, work):
    """Keep trained weights of a network of width 32 or less, in 16 bits: a few MB each.

    Its metadata say what `variants.build` needs: the run's configuration.
    """
    if run.profile.width > 32:
        return
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    told = {"configuration": json.dumps(run.configuration)}
    write_whole(weights_path(run, work), serialised(halves, told))


class Telling:
    """The same batches; a prior that is given the truth hears of it first."""

    def __init__(self, model, batches):
        self.model, self.batches = model, batches
        self.state_dict, self.load_state_dict = batches.state_dict, batches.load_state_dict

    def __iter__(self):
        return self

    def __next__(self):
        batch = next(self.batches)
        variants.tell_truth(self.model, batch[2])
        return batch


def device():
    """Where the experiments compute."""
    return best_device()


def on_device(slices):
    return tuple(t.to(device()) for t in (slices.images, slices.masks, slices.has_nodule))


def kept_for_backward(model, slices, batch):
    """Bytes that autograd keeps of one batch from the forward to the backward pass, as trained."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    images, masks, has_nodule = (part[:batch] for part in on_device(slices))
    was, state = model.training, {k: v.clone() for k, v in model.state_dict().items()}
    variants.tell_truth(model, has_nodule)
    model.train()
    half = PRECISIONS[best_precision(device())]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast(device().type, half, enabled=half is not None):
            output = model(images)
        loss = multitask_loss(output, masks, has_nodule)
    del loss
    model.load_state_dict(state)  # its batch statistics have moved
    model.train(was)
    return int(sum(size for place, size in kept.items() if place not in own))


# --- scores --------------------------------------------------------------------------------------


@torch.no_grad()
def predict(model, slices, batch=64):
    """mask (N, H, W) bool, u (N, 1, H, W) and c (N,), None without a classifier."""
    model.eval()
    masks, fields, answers = [], [], []
    images, _, has_nodule = on_device(slices)
    for start in range(0, len(slices), batch):
        part = slice(start, start + batch)
        variants.tell_truth(model, has_nodule[part])
        output = model(images[part])
        masks.append((output.mask[:, 0] >= 0.5).cpu())
        fields.append(output.u.cpu())
        if output.nodule is not None:
            answers.append(output.nodule.cpu().double())
    c = torch.cat(answers).numpy() if answers else None
    return {"mask": torch.cat(masks).numpy(), "u": torch.cat(fields), "c": c}


def lesion_scores(predicted, slices):
    """Each measure of `metrics` as a list, one value a lesion in the order of `lesions_of`.

    Overlap is pooled over a lesion's slices, distances are means over them, in mm; None where
    undefined, or where the size of a pixel is unknown. c: the mean over the slices.
    """
    rows = _scored(slices)
    truth = slices.masks[:, 0].numpy()[rows] > 0
    spacing, unknown = slices.spacing[rows], np.isnan(slices.spacing[rows]).any(1)
    spacing = np.where(unknown[:, None], 1.0, spacing)
    found = summarise(
        predicted["mask"][rows], truth, spacing, per="lesion", lesions=slices.lesion[rows]
    )
    names, of = np.unique(slices.lesion[rows], return_inverse=True)
    unmeasured = np.bincount(of, unknown, len(names)) > 0
    scores = {}
    for measure, values in found.values.items():
        if measure in ("hausdorff_distance", "assd"):
            values = np.where(unmeasured, np.nan, values)
        scores[measure] = rounded(values)
    if predicted["c"] is not None:
        scores["c"] = rounded(np.bincount(of, predicted["c"][rows]) / np.bincount(of))
    return scores


def lesion_table(slices):
    """What is known of each scored lesion, in the order of the scores: a dict of lists."""
    rows = _scored(slices)
    names, first, of = np.unique(slices.lesion[rows], return_index=True, return_inverse=True)
    area = slices.masks.flatten(1).sum(1).numpy()[rows]
    return {
        "lesion": names.tolist(),
        "patient": slices.patient[rows][first].tolist(),
        "type": slices.slices["type"][rows][first].tolist(),
        "diameter": rounded(slices.slices["diameter"][rows][first]),
        "slices": np.bincount(of).tolist(),
        "pixels": np.bincount(of, area).astype(int).tolist(),
    }


def _scored(slices):
    """Rows of lesions that have a consensus."""
    return np.flatnonzero(np.isin(slices.lesion, sets.lesions_of(slices)))


@torch.no_grad()
def interventions(model, predicted, slices, empty):
    """What the trained network would have said otherwise: Dice by lesion, pixels on empty slices.

    Only the last layer is computed again, on the network's own u and c. With STD: the plain
    sigmoid, another c, other lambda2. With a plain sigmoid and a classifier: STD put on after
    training, with the layer's first values.
    """
    u, c = predicted["u"], torch.from_numpy(predicted["c"]).float()
    std = getattr(model, "std", None)
    if std is None:
        fixed = {"sigma": 1.0, "lambda1": 1.0, "epsilon": 1.0}
        cases = {"std after": (1.0, c), "std after, lambda2 = 0": (0.0, c)}
    else:
        fixed = {name: getattr(std, name).cpu() for name in ("sigma", "lambda1", "epsilon")}
        own, random = std.lambda2.item(), torch.Generator().manual_seed(0)
        cases = {
            "c = truth": (own, slices.has_nodule),
            "c = 1": (own, torch.ones_like(c)),
            "c shuffled": (own, c[torch.randperm(len(c), generator=random)]),
            **{f"lambda2 = {value:g}": (float(value), c) for value in LAMBDA2},
        }
    masks = {} if std is None else {"plain sigmoid": u[:, 0].numpy() > 0}
    for name, (lambda2, answer) in cases.items():
        x = soft_threshold_dynamics(u, lambda2=lambda2, c=answer, iterations=10, **fixed)
        masks[name] = x[:, 0].numpy() >= 0.5
    return {
        name: {
            "dice": lesion_dice(mask, slices),
            "false_positive_pixels": _mean(mask[empty].sum((1, 2))),
            "marked": _mean(mask[empty].any((1, 2))),
        }
        for name, mask in masks.items()
    }


def _mean(values):
    """None where there is nothing: a set may have no empty slices."""
    return round(float(values.mean()), DIGITS) if len(values) else None


def lesion_dice(mask, slices):
    """Dice by lesion, pooled over its slices."""
    rows = _scored(slices)
    truth = slices.masks[:, 0].numpy()[rows] > 0
    of = np.unique(slices.lesion[rows], return_inverse=True)[1]
    both, one, other = (
        np.bincount(of, m.sum((1, 2))) for m in (truth & mask[rows], truth, mask[rows])
    )
    return rounded(2 * both / (one + other))


def rounded(values):
    """A list that JSON can hold: four digits, None for nan."""
    return [None if v != v else round(float(v), DIGITS) for v in values]


# --- provenance ----------------------------------------------------------------------------------


def command(run):
    """What carries out this run, with others of its row. No path: FOLDER stands for data."""
    given = f'--rows "{run.row.name}" --profile {run.profile.name}'
    given += "" if run.data == "simulated" else " --data FOLDER"
    return f"python -m nodule_lesson.experiments {given}"


def made_by():
    """Code and device; no machine's name and no path."""
    place = device().type
    name = torch.cuda.get_device_name() if place == "cuda" else None
    return {
        "commit": commit(),
        "code_sha256": code_sha256(),
        "device": name or f"{platform.machine()} {place.upper()}",
    }


@cache
def commit():
    """The commit of the sources, with "+" where they have changed since; None without git."""
    here = Path(nodule_lesson.__file__).parent
    ask = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True)
        # Installed into another project's folder, the package is not part of its commits.
        known = subprocess.run(
            [*ask, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True
        )
        changed = subprocess.run(
            [*ask, "status", "--porcelain", "--", str(here)], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    if head.returncode or known.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@cache
def code_sha256():
    """Checksum of the package's Python files."""
    here = Path(nodule_lesson.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        digest.update(path.relative_to(here).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
