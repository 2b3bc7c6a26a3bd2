"""What a trained network's masks are worth: measures lesion by lesion, thresholds, what if."""

import numpy as np
import torch
from scipy import optimize
from torch.nn import functional as F

from nodule_lesson.evaluation.measures import summarise
from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import variants
from nodule_lesson.std import soft_threshold_dynamics
from nodule_lesson.training.fitting import best_device

LAMBDA2 = (0, 1, 2, 4, 8)  # of the sweep
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
DIGITS = 4


def on_device(slices):
    """Images, masks and has_nodule of `Slices`, where the experiments compute."""
    return tuple(t.to(best_device()) for t in (slices.images, slices.masks, slices.has_nodule))


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
    """Each measure of `metrics` as a list, one value per lesion in the order of `lesions_of`.

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
