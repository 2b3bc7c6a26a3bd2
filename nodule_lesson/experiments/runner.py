"""One run: train a row's network, score it, and record the provenance."""

import datetime
import hashlib
import json
import os
import platform
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from nodule_lesson.experiments import data as datasets
from nodule_lesson.experiments import variants
from nodule_lesson.experiments.scoring import (
    DIGITS,
    at_best_threshold,
    best_temperature,
    chosen_scores,
    interventions,
    lesion_dice,
    lesion_scores,
    on_device,
    predict,
    rounded,
)
from nodule_lesson.files import write_whole
from nodule_lesson.provenance import code_sha256, commit, made_by
from nodule_lesson.training.checkpoints import Checkpoint
from nodule_lesson.training.fitting import PRECISIONS, Batches, best_device, best_precision, fit
from nodule_lesson.training.losses import multitask_loss

ROWS_WITH_INTERVENTIONS = ("proposed", "transfer", "backbone+combination")


def execute(run, data, work, progress=True):
    """Train and score one `Run`; returns the dictionary of its results file.

    data: a `Data`. work: a folder for pre-trained weights, shared by the runs. A network whose
    pre-trained weights are not there yet is pre-trained first. The seed decides weights, order and
    flips: on the CPU with one thread, the same run gives the same numbers.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    code_sha256(), commit()  # they are cached: what counts is the code at the start of the run
    row, profile = run.row, run.profile
    model = prepared(run, data, work, progress)
    frozen = variants.freeze_part(model, row.frozen, row.frozen_part) if row.frozen else 0
    clinic = data.clinic
    if run.fold is not None:
        clinic = datasets.fold(clinic, run.fold, profile.folds)
    if row.lesions < datasets.TRAIN_LESIONS:
        clinic = datasets.fewer_lesions(clinic, row.lesions, run.seed)
    checkpoint = checkpoint_of(run, data, work)
    history, chosen = train(model, clinic, run, progress, checkpoint, data.small)
    keep_weights(model, run, work)
    torch.manual_seed(run.seed)  # the row "c shuffled" draws random numbers while it is scored
    result = {
        "what": "One run of the experiments of nodule-lesson. For teaching, not for clinical use.",
        "configuration": run.configuration,
        "training": {
            **history,
            "lesions": len(datasets.lesions_of(clinic)),
            "slices": len(clinic),
            "parameters": sum(p.numel() for p in model.parameters()),
            "frozen": frozen,
            "memory_kept_bytes": kept_for_backward(model, clinic, profile.batch),
        },
        "scores": {},
        "classifier": {},
        "false_positive_pixels": {},
    }
    seen = clinic[datasets.thinned(clinic, profile.slices_of_a_lesion)]
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
        with_nodule = data.large.lesion != ""
        result["classifier"] = {
            "with_nodule": rounded(predicted["c"][with_nodule]),
            "without": rounded(predicted["c"][empty]),
        }
    result["interventions"] = {}
    if row.name in ROWS_WITH_INTERVENTIONS:
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
    """The checkpoint from which an interrupted run resumes, beside the pre-trained weights."""
    path = Path(work) / f"{run.data}-{run.profile.name}" / f"{run.name}.checkpoint.safetensors"
    # Bind checkpoints to the code, so that one result never mixes two versions.
    settings = {**run.configuration, "checksums": data.checksums, "code": code_sha256()}
    return Checkpoint(path, settings, run.profile.checkpoint_every)


# --- training ------------------------------------------------------------------------------------


def prepared(run, data, work, progress=True):
    """The network before it is trained on the clinic, with random or pre-trained weights."""
    torch.manual_seed(run.seed)
    model = variants.build(run.row, run.profile).to(best_device())
    if run.row.pretrained:
        weights = load_file(pretrain(run, data, work, progress), device=str(best_device()))
        weights = {
            name: value.to(model.state_dict()[name].dtype) for name, value in weights.items()
        }
        model.load_state_dict({**model.state_dict(), **weights})
    return model.to(memory_format=torch.channels_last)


def pretrain_path(run, data, work):
    """The file of pre-trained weights that a run starts from.

    Its name has a checksum of all settings that decide the weights. The code is not among them, or
    an edited comment would cost hours of training: its checksum is stored in the file and in the
    provenance of each run that starts from it.
    """
    row, profile = run.row, dict(run.configuration["profile"])
    for of_fine_tuning in ("steps", "epochs", "std_learning_rate"):
        profile.pop(of_fine_tuning, None)
    settings = {
        "model": row.model,
        "options": run.configuration["row"]["options"],
        "profile": profile,
        "seed": run.seed,
        "data": data.checksums["pretrain"],
        "precision": best_precision(best_device()),
        "dice_over": run.dice_over,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    return Path(work) / f"pretrained-{row.model}-seed{run.seed}-{key}.safetensors"


def pretrain(run, data, work, progress=True):
    """Pre-train a row's network on `pretrain` without STD, if its weights are not there yet.

    Returns the path of the weights.
    """
    row, profile = run.row, run.profile
    path = pretrain_path(run, data, work)
    if path.exists():
        return path
    torch.manual_seed(run.seed)
    model = variants.build_plain(row, profile).to(best_device(), memory_format=torch.channels_last)
    slices = on_device(data.pretrain)
    settings = {"weights": path.name, "code": code_sha256()}
    checkpoint = Checkpoint(f"{path}.checkpoint", settings, profile.checkpoint_every)
    fit(
        model,
        Batches(*slices, size=profile.batch, seed=run.seed),
        partial(multitask_loss, dice_over=run.dice_over),
        steps=profile.pretrain_steps,
        learning_rate=profile.learning_rate,
        weight_decay=profile.weight_decay,
        precision=best_precision(best_device()),
        checkpoint=checkpoint,
        label=f"pre-training {row.model}, seed {run.seed}",
        progress=progress,
    )
    # Matrices are kept in 16 bits: one file per network and seed stays on the disk.
    weights = {
        name: (value.half() if value.ndim > 1 else value).contiguous()
        for name, value in model.state_dict().items()
    }
    write_whole(path, serialised(weights, {k: str(v) for k, v in made_by().items()}))
    checkpoint.remove()
    return path


class Trace:
    """A `watch` for `fit` that records sigma, lambda2 and the seconds of each step.

    On a CPU it counts the processor time of all threads of this process, which other work on the
    machine hardly changes; on a GPU it counts wall time.
    """

    def __init__(self, std):
        self.std, self.sigma, self.lambda2, self.seconds, self.last = std, [], [], [], None
        self.chosen = None
        self.clock = time.process_time if best_device().type == "cpu" else time.perf_counter

    def __call__(self, step, loss):
        now = self.clock()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now
        if self.std is not None and (step % 10 == 0 or step == 1):
            self.sigma.append([step, round(self.std.sigma.item(), DIGITS)])
            self.lambda2.append([step, round(self.std.lambda2.item(), DIGITS)])
        if self.chosen is not None:
            self.chosen.evaluate(step)
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
    """The weights with the highest mean Dice on left-out lesions.

    They are evaluated ten times during the training; of equal values the earliest counts. An
    evaluation changes neither weights nor running averages nor random numbers, so that the
    training is the same as without it.
    """

    def __init__(self, model, slices, steps):
        self.model, self.slices, self.every = model, slices, max(steps // 10, 1)
        self.dice, self.step, self.weights = [], None, None

    def evaluate(self, step):
        if step % self.every:
            return
        with torch.random.fork_rng(
            devices=[best_device()] if best_device().type == "cuda" else []
        ):
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
    """The code and device that made a run's pre-trained weights; None for random weights."""
    if not run.row.pretrained:
        return None
    with safe_open(pretrain_path(run, data, work), "pt") as file:
        return file.metadata()


def _groups(model, run):
    """The trainable parameters as Adam's parameter groups, one per learning rate."""
    rates, profile, groups = dict(run.row.rates), run.profile, {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            in_std = run.row.own_rate and name.startswith("std.")
            default = profile.std_learning_rate if in_std else profile.learning_rate
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
    """Train a network in place; returns the history for the results file, and `Chosen` weights.

    left_out: slices of the lesions on which weights are chosen, in a profile with epochs. Without
    epochs no weights are chosen: None is returned.
    """
    profile, steps = run.profile, run.steps(len(clinic))
    std = getattr(model, "std", None)
    groups = _groups(model, run)
    trace, precision = Trace(std), best_precision(best_device())
    if profile.epochs is not None:
        trace.chosen = Chosen(model, left_out, steps)
    batches = Batches(*on_device(clinic), size=profile.batch, seed=run.seed)
    if run.row.augmented:
        batches = variants.Augmented(batches, run.seed)
    losses = fit(
        model,
        BatchesWithTruth(model, batches),
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
    # On a GPU, fit calls its watch ten times in a row, so that nine of ten differences are near
    # zero: there the mean is right and the median is not.
    typical = np.median if best_device().type == "cpu" else np.mean
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
    """The path of a run's trained weights."""
    return Path(work) / f"{run.data}-{run.profile.name}" / f"{run.name}.safetensors"


def keep_weights(model, run, work):
    """Write the trained weights of a network of width 32 or less, in 16 bits: a few MB each.

    The metadata of the file have what `variants.build` needs: the run's configuration.
    """
    if run.profile.width > 32:
        return
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    metadata = {"configuration": json.dumps(run.configuration)}
    write_whole(weights_path(run, work), serialised(halves, metadata))


class BatchesWithTruth:
    """The same batches; the truth of each is given to the prior first, see `set_truth`."""

    def __init__(self, model, batches):
        self.model, self.batches = model, batches
        self.state_dict, self.load_state_dict = batches.state_dict, batches.load_state_dict

    def __iter__(self):
        return self

    def __next__(self):
        batch = next(self.batches)
        variants.set_truth(self.model, batch[2])
        return batch


def kept_for_backward(model, slices, batch):
    """Bytes that autograd keeps of one batch of a training step for the backward pass."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    images, masks, has_nodule = (tensor[:batch] for tensor in on_device(slices))
    training, state = model.training, {k: v.clone() for k, v in model.state_dict().items()}
    variants.set_truth(model, has_nodule)
    model.train()
    half = PRECISIONS[best_precision(best_device())]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast(best_device().type, half, enabled=half is not None):
            output = model(images)
        loss = multitask_loss(output, masks, has_nodule)
    del loss
    model.load_state_dict(state)  # the forward pass changed the batch statistics
    model.train(training)
    return int(sum(size for pointer, size in kept.items() if pointer not in own))


def command(run):
    """The command that carries out all runs of this row; FOLDER stands for the folder of data."""
    arguments = f'--rows "{run.row.name}" --profile {run.profile.name}'
    arguments += "" if run.data == "simulated" else " --data FOLDER"
    return f"python -m nodule_lesson.experiments {arguments}"
