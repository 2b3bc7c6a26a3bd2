"""The scores of a trained network: measures lesion by lesion, thresholds, interventions."""

import numpy as np
import torch
from scipy import optimize
from torch.nn import functional as F

from nodule_lesson.evaluation.measures import summarise
from nodule_lesson.experiments import variants
from nodule_lesson.experiments.data import lesions_of
from nodule_lesson.std import soft_threshold_dynamics
from nodule_lesson.training.fitting import best_device

LAMBDA2_SWEEP = (0, 1, 2, 4, 8)
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
DIGITS = 4


def on_device(slices):
    """Images, masks and has_nodule of `Slices`, on the device that the experiments use."""
    return tuple(t.to(best_device()) for t in (slices.images, slices.masks, slices.has_nodule))


@torch.no_grad()
def predict(model, slices, batch=16):
    """Predictions for `Slices`, batch by batch: a dictionary.

    mask: (N, H, W) bool. x: (N, H, W). u: tensor (N, 1, H, W). c: (N,), None without a classifier.
    """
    model.eval()
    masks, x, u, c = [], [], [], []
    images, _, has_nodule = on_device(slices)
    for start in range(0, len(slices), batch):
        rows = slice(start, start + batch)
        variants.set_truth(model, has_nodule[rows])
        output = model(images[rows])
        masks.append((output.mask[:, 0] >= 0.5).cpu())
        x.append(output.mask[:, 0].cpu())
        u.append(output.u.cpu())
        if output.nodule is not None:
            c.append(output.nodule.cpu().double())
    return {
        "mask": torch.cat(masks).numpy(),
        "x": torch.cat(x).numpy(),
        "u": torch.cat(u),
        "c": torch.cat(c).numpy() if c else None,
    }


def at_best_threshold(predictions, tests):
    """The threshold with the highest mean Dice on training lesions, and each test's Dice there.

    Of equally good thresholds the one nearest to 0.5 is taken.
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
    """Dice of the `Chosen` weights on each test; the model has its last weights again then."""
    last = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(chosen.weights)
    dice = {
        name: lesion_dice(predict(model, slices)["mask"], slices) for name, slices in tests.items()
    }
    model.load_state_dict(last)
    return {"step": chosen.step, "looks": chosen.dice, "dice": dice}


def best_temperature(c, slices):
    """The temperature T for which sigmoid(logit(c) / T) has the lowest cross-entropy on `slices`.

    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logit = torch.logit(torch.from_numpy(c), eps=1e-12)

    def cross_entropy(log_temperature):
        scaled = logit / np.exp(log_temperature)
        return F.binary_cross_entropy_with_logits(scaled, slices.has_nodule.double()).item()

    minimum = optimize.minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded")
    return float(np.exp(minimum.x))


def lesion_scores(predicted, slices):
    """Each measure of `summarise` as a list, one value per lesion in the order of `lesions_of`.

    Overlaps are pooled over a lesion's slices; distances are means over them, in mm. A value is
    None where it is undefined, or where the size of a pixel is unknown. c is the mean over the
    slices.
    """
    rows = _scored_rows(slices)
    truth = slices.masks[:, 0].numpy()[rows] > 0
    spacing, unknown = slices.spacing[rows], np.isnan(slices.spacing[rows]).any(1)
    spacing = np.where(unknown[:, None], 1.0, spacing)
    summary = summarise(
        predicted["mask"][rows], truth, spacing, per="lesion", lesions=slices.lesion[rows]
    )
    names, lesion = np.unique(slices.lesion[rows], return_inverse=True)
    unmeasured = np.bincount(lesion, unknown, len(names)) > 0
    scores = {}
    for measure, values in summary.values.items():
        if measure in ("hausdorff_distance", "assd"):
            values = np.where(unmeasured, np.nan, values)
        scores[measure] = rounded(values)
    if predicted["c"] is not None:
        scores["c"] = rounded(np.bincount(lesion, predicted["c"][rows]) / np.bincount(lesion))
    return scores


def lesion_table(slices):
    """What is known of each scored lesion, in the order of the scores: a dict of lists."""
    rows = _scored_rows(slices)
    names, first, lesion = np.unique(slices.lesion[rows], return_index=True, return_inverse=True)
    area = slices.masks.flatten(1).sum(1).numpy()[rows]
    return {
        "lesion": names.tolist(),
        "patient": slices.patient[rows][first].tolist(),
        "type": slices.slices["type"][rows][first].tolist(),
        "diameter": rounded(slices.slices["diameter"][rows][first]),
        "slices": np.bincount(lesion).tolist(),
        "pixels": np.bincount(lesion, area).astype(int).tolist(),
    }


def _scored_rows(slices):
    """Rows of lesions that have a consensus."""
    return np.flatnonzero(np.isin(slices.lesion, lesions_of(slices)))


@torch.no_grad()
def interventions(model, predicted, slices, empty, temperature):
    """Scores of a trained network whose last layer is changed: {name: scores}.

    Scores: Dice by lesion, and on empty slices the mean number of marked pixels and the share of
    slices with any. Only the last layer is computed again, from the network's u and c. In a
    network with STD it becomes the plain sigmoid, or STD with another c, with c at another
    temperature, with logit(c) instead of -lambda2 (1 - c), or with another lambda2. A network with
    a plain sigmoid and a classifier gets STD after its training, with the layer's initial values.
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
            **{f"lambda2 = {value:g}": (float(value), c) for value in LAMBDA2_SWEEP},
        }
    masks = {} if std is None else {"plain sigmoid": u[:, 0].numpy() > 0}
    for name, (lambda2, other_c) in cases.items():
        x = soft_threshold_dynamics(u, lambda2=lambda2, c=other_c, iterations=10, **fixed)
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
    """The mean, or None for no values: a set may have no empty slices."""
    return round(float(values.mean()), DIGITS) if len(values) else None


def lesion_dice(mask, slices):
    """Dice by lesion, pooled over its slices."""
    rows = _scored_rows(slices)
    truth, marked = slices.masks[:, 0].numpy()[rows] > 0, mask[rows]
    lesion = np.unique(slices.lesion[rows], return_inverse=True)[1]
    overlap, *sizes = (
        np.bincount(lesion, pixels.sum((1, 2))) for pixels in (truth & marked, truth, marked)
    )
    return rounded(2 * overlap / sum(sizes))


def rounded(values):
    """A list for JSON: numbers with four digits, None for nan."""
    return [None if v != v else round(float(v), DIGITS) for v in values]
