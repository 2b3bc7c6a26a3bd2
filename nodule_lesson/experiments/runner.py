"""One run: train a row's network, score it lesion by lesion, and say where it all came from."""

import datetime
import hashlib
import json
import os
import platform
import subprocess
import time
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from scipy import optimize
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

import nodule_lesson
from nodule_lesson.evaluation.measures import summarise
from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import variants
from nodule_lesson.files import write_whole
from nodule_lesson.std import soft_threshold_dynamics
from nodule_lesson.training.checkpoints import Checkpoint
from nodule_lesson.training.fitting import PRECISIONS, Batches, best_device, best_precision, fit
from nodule_lesson.training.losses import multitask_loss

LAMBDA2 = (0, 1, 2, 4, 8)  # of the sweep
INTERVENED = ("proposed", "transfer", "backbone+combination")  # rows asked what if
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
DIGITS = 4


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
    frozen = variants.freeze_part(model, row.frozen, row.frozen_part) if row.frozen else 0
    clinic = data.clinic
    if run.fold is not None:
        clinic = sets.fold(clinic, run.fold, profile.folds)
    if row.lesions < sets.TRAIN_LESIONS:
        clinic = sets.fewer_lesions(clinic, row.lesions, run.seed)
    checkpoint = checkpoint_of(run, data, work)
    history, chosen = train(model, clinic, run, progress, checkpoint, data.small)
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
    seen = clinic[sets.thinned(clinic, profile.slices_of_a_lesion)]
    tests = {"train": seen, **data.tests}
    predictions = {name: predict(model, slices) for name, slices in tests.items()}
    for name, slices in tests.items():
        result["scores"][name] = lesion_scores(predictions[name], slices)
    result["best_threshold"] = at_best_threshold(predictions, tests)
    if chosen is not None:
        result["chosen"] = chosen_scores(model, chosen, data.tests)
    predicted = predictions["large"]
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
        temperature = best_temperature(predictions["small"]["c"], data.small)
        result["classifier"]["temperature"] = round(temperature, DIGITS)
        result["interventions"] = interventions(model, predicted, data.large, empty, temperature)
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
    return Checkpoint(path, told, run.profile.checkpoint_every)


# --- training ------------------------------------------------------------------------------------


def prepared(run, data, work, progress=True):
    """The network before it sees the clinic: random, or with pre-trained weights."""
    torch.manual_seed(run.seed)
    model = variants.build(run.row, run.profile).to(device())
    if run.row.pretrained:
        weights = load_file(pretrain(run, data, work, progress), device=str(device()))
        weights = {
            name: value.to(model.state_dict()[name].dtype) for name, value in weights.items()
        }
        model.load_state_dict({**model.state_dict(), **weights})
    return model.to(memory_format=torch.channels_last)


def pretrain_path(run, data, work):
    """The file of pre-trained weights that a run starts from: named after all that decides it.

    Not after the code, which would throw hours away for a comment: that stands in the file, and
    in the provenance of each run that begins with it.
    """
    row, profile = run.row, dict(run.configuration["profile"])
    for after in ("steps", "epochs", "std_learning_rate"):  # of what comes after
        profile.pop(after, None)
    decides = {
        "model": row.model,
        "options": run.configuration["row"]["options"],
        "profile": profile,
        "seed": run.seed,
        "data": data.checksums["pretrain"],
        "precision": best_precision(device()),
        "dice_over": run.dice_over,
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
    model = variants.build_plain(row, profile).to(device(), memory_format=torch.channels_last)
    slices = on_device(data.pretrain)
    told = {"weights": path.name, "code": code_sha256()}
    checkpoint = Checkpoint(f"{path}.checkpoint", told, profile.checkpoint_every)
    fit(
        model,
        Batches(*slices, size=profile.batch, seed=run.seed),
        partial(multitask_loss, dice_over=run.dice_over),
        steps=profile.pretrain_steps,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        precision=best_precision(device()),
        checkpoint=checkpoint,
        label=f"pre-training {row.model}, seed {run.seed}",
        progress=progress,
    )
    # Matrices in 16 bits: small enough to be kept with the results while a grid lasts.
    weights = {
        name: (value.half() if value.ndim > 1 else value).contiguous()
        for name, value in model.state_dict().items()
    }
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
        self.chosen = None
        self.clock = time.process_time if device().type == "cpu" else time.perf_counter

    def __call__(self, step, loss):
        now = self.clock()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now
        if self.std is not None and (step % 10 == 0 or step == 1):
            self.sigma.append([step, round(self.std.sigma.item(), DIGITS)])
            self.lambda2.append([step, round(self.std.lambda2.item(), DIGITS)])
        if self.chosen is not None:
            self.chosen.look(step)
            self.last = self.clock()

    def state_dict(self):
        own = {"sigma": self.sigma, "lambda2": self.lambda2, "seconds": self.seconds}
        return own if self.chosen is None else own | {"chosen": self.chosen.state_dict()}

    def load_state_dict(self, state):
        self.sigma, self.lambda2, self.seconds = (
            state[name] for name in ("sigma", "lambda2", "seconds")
        )
        if self.chosen is not None:
            self.chosen.load_state_dict(state["chosen"])


class Chosen:
    """The weights that had the highest mean Dice on left-out lesions, of ten looks on the way.

    Where two looks are equal, the earlier one counts. A look changes neither weights nor running
    averages nor random numbers: the training goes on as without it.
    """

    def __init__(self, model, slices, steps):
        self.model, self.slices, self.every = model, slices, max(steps // 10, 1)
        self.dice, self.step, self.weights = [], None, None

    def look(self, step):
        if step % self.every:
            return
        with torch.random.fork_rng(devices=[device()] if device().type == "cuda" else []):
            predicted = predict(self.model, self.slices)
        self.model.train()
        dice = float(np.mean(lesion_dice(predicted["mask"], self.slices)))
        if self.step is None or dice > max(value for _, value in self.dice):
            self.step = step
            self.weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.dice.append([step, round(dice, DIGITS)])

    def state_dict(self):
        return {"dice": self.dice, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state):
        self.dice, self.step, self.weights = (state[k] for k in ("dice", "step", "weights"))


def pretrained_by(run, data, work):
    """Which code on which device made the weights that a run began with; None for random ones."""
    if not run.row.pretrained:
        return None
    with safe_open(pretrain_path(run, data, work), "pt") as file:
        return file.metadata()


def _groups(model, run):
    """The parameters that learn, as Adam takes them: by learning rate."""
    rates, profile, groups = dict(run.row.rates), run.profile, {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            of_std = run.row.own_rate and name.startswith("std.")
            default = profile.std_learning_rate if of_std else profile.learning_rate
            groups.setdefault(rates.pop(name, default), []).append(value)
    if rates:
        raise ValueError(
            f"{run.row.name} has a rate for {', '.join(rates)}, which does not learn."
        )
    return [{"params": values, "lr": rate} for rate, values in groups.items()]


def _schedule(run, steps, adam):
    if run.row.schedule == "cosine":
        return CosineAnnealingLR(adam, steps)
    if run.row.schedule != "step":
        raise ValueError(f"schedule must be step or cosine, found {run.row.schedule!r}.")
    return StepLR(adam, max(steps // 10, 1), run.profile.decay)


def train(model, clinic, run, progress=True, checkpoint=None, left_out=None):
    """Train in place: what is worth keeping of the history, and the `Chosen` weights.

    left_out: slices of the lesions on which weights are chosen, in a profile that has epochs; in
    others None is returned in the place of weights.
    """
    profile, steps = run.profile, run.steps(len(clinic))
    std = getattr(model, "std", None)
    groups = _groups(model, run)
    trace, precision = Trace(std), best_precision(device())
    if profile.epochs is not None:
        trace.chosen = Chosen(model, left_out, steps)
    batches = Batches(*on_device(clinic), size=profile.batch, seed=run.seed)
    if run.row.augmented:
        batches = variants.Augmented(batches, run.seed)
    losses = fit(
        model,
        Telling(model, batches),
        partial(multitask_loss, dice_over=run.dice_over),
        steps=steps,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        schedule=partial(_schedule, run, steps),
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
    history = {
        "steps": steps,
        "losses": rounded([np.mean(ten) for ten in tens]),  # means of ten steps
        "sigma": trace.sigma,
        "lambda2": trace.lambda2,
        "precision": precision,
        "clock": trace.clock.__name__,
        "cpu_seconds_a_step": round(float(typical(trace.seconds)), DIGITS),
    }
    return history, trace.chosen


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
def predict(model, slices, batch=16):
    """mask (N, H, W) bool, x (N, H, W), u (N, 1, H, W) and c (N,), None without a classifier."""
    model.eval()
    masks, fields, answers, probabilities = [], [], [], []
    images, _, has_nodule = on_device(slices)
    for start in range(0, len(slices), batch):
        part = slice(start, start + batch)
        variants.tell_truth(model, has_nodule[part])
        output = model(images[part])
        masks.append((output.mask[:, 0] >= 0.5).cpu())
        probabilities.append(output.mask[:, 0].cpu())
        fields.append(output.u.cpu())
        if output.nodule is not None:
            answers.append(output.nodule.cpu().double())
    c = torch.cat(answers).numpy() if answers else None
    x = torch.cat(probabilities).numpy()
    return {"mask": torch.cat(masks).numpy(), "x": x, "u": torch.cat(fields), "c": c}


def at_best_threshold(predictions, tests):
    """The threshold with the highest mean Dice on training lesions, and each test's Dice there.

    Of equal ones, that nearest to 0.5.
    """
    by_threshold = {
        t: float(np.mean(lesion_dice(predictions["train"]["x"] >= t, tests["train"])))
        for t in sorted(THRESHOLDS, key=lambda t: abs(t - 0.5))
    }
    best = max(by_threshold, key=by_threshold.get)
    dice = {
        name: lesion_dice(predictions[name]["x"] >= best, slices) for name, slices in tests.items()
    }
    return {"threshold": best, "dice": dice}


def chosen_scores(model, chosen, tests):
    """Dice of the chosen weights on each test; the model has its last weights again afterwards."""
    last = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(chosen.weights)
    dice = {
        name: lesion_dice(predict(model, slices)["mask"], slices) for name, slices in tests.items()
    }
    model.load_state_dict(last)
    return {"step": chosen.step, "looks": chosen.dice, "dice": dice}


def best_temperature(c, slices):
    """The number that logit(c) is divided by to predict left-out slices best (Guo et al. 2017)."""
    logit = torch.logit(torch.from_numpy(c), eps=1e-12)

    def cross_entropy(log_temperature):
        scaled = logit / np.exp(log_temperature)
        return F.binary_cross_entropy_with_logits(scaled, slices.has_nodule.double()).item()

    found = optimize.minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


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
def interventions(model, predicted, slices, empty, temperature):
    """What the trained network would have said otherwise: Dice by lesion, pixels on empty slices.

    Only the last layer is computed again, on the network's own u and c. With STD: the plain
    sigmoid, another c, c at another temperature, logit(c) as the prior in the place of
    lambda2 (1 - c), other lambda2. With a plain sigmoid and a classifier: STD put on after
    training, with the layer's first values.
    """
    u, c = predicted["u"], torch.from_numpy(predicted["c"]).float()
    logit = torch.logit(torch.from_numpy(predicted["c"]), eps=1e-12).float()
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
            "c at its temperature": (own, torch.sigmoid(logit / temperature)),
            **{f"lambda2 = {value:g}": (float(value), c) for value in LAMBDA2},
        }
    masks = {} if std is None else {"plain sigmoid": u[:, 0].numpy() > 0}
    for name, (lambda2, answer) in cases.items():
        x = soft_threshold_dynamics(u, lambda2=lambda2, c=answer, iterations=10, **fixed)
        masks[name] = x[:, 0].numpy() >= 0.5
    if std is not None:
        for name, shift in (
            ("logit(c) as the prior", logit),
            ("logit(c) as the prior, at its temperature", logit / temperature),
        ):
            x = soft_threshold_dynamics(u + shift[:, None, None, None], iterations=10, **fixed)
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
