"""The STD layer on 4,300 real slices: seconds, boundary length and Dice, before and after.

The logits come from the simplest model that knows the position of a pixel: a logistic regression
of the readers' consensus on a pixel's intensity and its squared distance to the centre of the
crop, fitted on all pixels of a random half of the patients. Its probabilities are calibrated, so
few reach 1/2 and many masks are empty. A second set of logits has another intercept, with which
the plain sigmoid's pooled Dice on the fitted half is largest. The effect of STD on both is
measured on both halves, reported separately. There is no classifier: lambda2 = 0.

lambda1 is 1, as in the paper, or 8. The latter is above 2 epsilon: the energy is no longer convex,
so x depends on the start x_0 = Sig(u), and ten steps need not reach a fixed point
(`largest_last_step` is the change in one more step). The energy still decreases at every step.

Needs the file lidc_pretrain.npz and its .csv, in --data or in the folder NODULE_REAL_DATA.

    python studies/std_on_real_slices.py --out book/results/std_on_real_slices.json
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from crops import SOURCES, load_real, parse_with_data

from nodule_lesson.provenance import provenance, seconds, sha256
from nodule_lesson.std import iterates, soft_threshold_dynamics

SIGMAS, LAMBDA1S, EPSILON, ITERATIONS, BATCH, SEED = (1.0, 3.0, 5.0), (1.0, 8.0), 1.0, 10, 10, 0


def load(folder, count=None):
    """images (N, H, W) uint8, consensus (N, H, W) bool, patients (N,) of the real slices.

    count: how many slices, evenly distributed; None for all.
    """
    slices = load_real(folder)
    if count is not None:
        slices = slices[np.linspace(0, len(slices) - 1, count).round().astype(int)]
    return torch.from_numpy(slices.images), torch.from_numpy(slices.masks), slices.patients


def split(patients):
    """Whether each slice is of the half of the patients on whom the model is fitted, bool (N,)."""
    names = np.unique(patients)
    half = np.random.default_rng(SEED).permutation(names)[: len(names) // 2]
    return torch.from_numpy(np.isin(patients, half))


def features(images):
    """(N, H, W, 3): 1, intensity in [0, 1], squared distance to the centre in half widths."""
    height, width = images.shape[-2:]
    row = (torch.arange(height) - (height - 1) / 2) / (height / 2)
    column = (torch.arange(width) - (width - 1) / 2) / (width / 2)
    distance = (row[:, None] ** 2 + column**2).expand(images.shape)
    return torch.stack([torch.ones(images.shape), images / 255, distance], dim=-1)


def fit(images, consensus, iterations=25, batch=100):
    """The three weights of a logistic regression over all pixels, by Newton's method, float64."""
    weights = torch.zeros(3, dtype=torch.float64)
    for _ in range(iterations):
        gradient = torch.zeros(3, dtype=torch.float64)
        hessian = torch.zeros(3, 3, dtype=torch.float64)
        for image, mask in zip(images.split(batch), consensus.split(batch), strict=True):
            x = features(image).flatten(0, 2)
            p = torch.sigmoid(x @ weights.float())
            gradient += (x.T @ (mask.flatten().float() - p)).double()
            hessian += (x.T @ (x * (p * (1 - p))[:, None])).double()
        step = torch.linalg.solve(hessian, gradient)
        weights += step
        if step.abs().max() < 1e-4:
            return weights
    raise RuntimeError(f"the logistic regression did not converge in {iterations} steps.")


def best_intercept(u, consensus):
    """The number, 0 to 4, to add to the logits for the largest pooled Dice of the sigmoid."""
    shifts = [step / 4 for step in range(17)]
    return max(shifts, key=lambda shift: pooled_dice(u + shift >= 0, consensus))


def pooled_dice(mask, consensus):
    both = (mask & consensus).sum().item()
    return 2 * both / (mask.sum().item() + consensus.sum().item())


def boundary_length(mask):
    """Length of the boundary of each mask in pixels, shape (N,).

    The number of edges between unlike 4-neighbours, times pi / 4: an edge path is longer than a
    smooth curve by 4 / pi, averaged over directions. The image's border is no boundary.
    """
    rows = (mask[:, 1:] != mask[:, :-1]).sum((1, 2))
    columns = (mask[:, :, 1:] != mask[:, :, :-1]).sum((1, 2))
    return math.pi / 4 * (rows + columns)


def measures(mask, consensus):
    """The numbers that are reported for one group of slices."""
    both = (mask & consensus).sum((1, 2)).double()
    sizes = mask.sum((1, 2)).double() + consensus.sum((1, 2)).double()
    drawn = consensus.any(2).any(1)
    return {
        "slices": len(mask),
        "slices_with_consensus": int(drawn.sum()),
        "mean_dice": (2 * both / sizes)[drawn].mean().item(),
        "pooled_dice": pooled_dice(mask, consensus),
        "mean_boundary_length": boundary_length(mask).mean().item(),
        "mean_area": mask.sum((1, 2)).double().mean().item(),
        "empty_masks": int((~mask.any(2).any(1)).sum()),
    }


def run(u, sigma, lambda1):
    """Masks, seconds, and the largest change in one more step."""
    arguments = {"sigma": sigma, "lambda1": lambda1, "epsilon": EPSILON}
    masks, duration, last_step = [], 0.0, 0.0
    for batch in u.split(BATCH):
        start = seconds()
        x = soft_threshold_dynamics(batch, iterations=ITERATIONS, **arguments)
        duration += seconds() - start
        after = iterates(batch, start=x, iterations=1, **arguments)[-1]
        last_step = max(last_step, (after - x).abs().max().item())
        masks.append(x >= 0.5)
    return torch.cat(masks), duration, last_step


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slices", type=int, help="number of slices, evenly distributed (all)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parse_with_data(parser, arguments)
    torch.set_num_threads(options.threads)

    images, consensus, patients = load(options.data, options.slices)
    fitted = split(patients)
    groups = {"held_out": ~fitted, "fitted": fitted}
    weights = fit(images[fitted], consensus[fitted])
    u = torch.cat([features(chunk) @ weights.float() for chunk in images.split(100)])

    shift = best_intercept(u[fitted], consensus[fitted])

    def row(logits, lambda1, sigma, mask, duration, last_step):
        result = {"logits": logits, "lambda1": lambda1, "sigma": sigma}
        result["seconds"] = round(duration, 3)
        result["largest_last_step"] = last_step
        result |= {name: measures(mask[group], consensus[group]) for name, group in groups.items()}
        for name in groups:
            group = result[name]
            print(
                f"{logits:9}  lambda1 {lambda1:g}  sigma {sigma}  {name:8}  {duration:7.2f} s  "
                f"length {group['mean_boundary_length']:7.2f}  "
                f"mean Dice {group['mean_dice']:.4f}  pooled {group['pooled_dice']:.4f}",
                flush=True,
            )
        return result

    rows = []
    for logits, field in (("as fitted", u), ("shifted", u + shift)):
        start = seconds()
        before = torch.cat([torch.sigmoid(batch) >= 0.5 for batch in field.split(BATCH)])
        rows.append(row(logits, 0.0, None, before, seconds() - start, 0.0))
        for lambda1 in LAMBDA1S:
            for sigma in SIGMAS:
                rows.append(row(logits, lambda1, sigma, *run(field, sigma, lambda1)))

    result = {
        "what": "Soft threshold dynamics over real CT slices, logits from a logistic regression. "
        "The row with lambda1 = 0 is the plain sigmoid. For teaching, not for clinical use.",
        "setting": {
            "epsilon": EPSILON,
            "lambda2": 0.0,
            "iterations": ITERATIONS,
            "batch": BATCH,
            "seed": SEED,
            "dtype": "float32",
            "mask": "x >= 0.5",
            "consensus": "at least half of the nodule's readers",
            "dice": "mean over slices with a consensus pixel; pooled over all slices of the group",
            "boundary_length": "edges between unlike 4-neighbours times pi / 4, in pixels, "
            "mean over all slices of the group; the image border is no boundary",
            "largest_last_step": "largest change of a pixel that one more step would make",
            "not_convex": [lambda1 for lambda1 in LAMBDA1S if lambda1 > 2 * EPSILON],
        },
        "model": {
            "kind": "logistic regression of the consensus on every pixel of the fitted half",
            "features": ["1", "intensity / 255", "squared distance to the centre / 64^2"],
            "weights": [round(weight, 4) for weight in weights.tolist()],
            "shift": shift,
            "patients_fitted": len(np.unique(patients[fitted.numpy()])),
            "patients_held_out": len(np.unique(patients[~fitted.numpy()])),
        },
        "consensus": {
            name: {
                "mean_boundary_length": boundary_length(consensus[group]).mean().item(),
                "mean_area": consensus[group].sum((1, 2)).double().mean().item(),
            }
            for name, group in groups.items()
        },
        "rows": rows,
        "data": {
            "file": "lidc_pretrain.npz",
            "sha256": sha256(options.data / "lidc_pretrain.npz"),
            "slices": len(images),
            "sources": SOURCES,
        },
        "provenance": provenance(
            f"python studies/std_on_real_slices.py --threads {options.threads}"
            + (f" --slices {options.slices}" if options.slices else ""),
            packages=("numpy",),
        ),
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
