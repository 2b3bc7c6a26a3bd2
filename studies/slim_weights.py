"""Train the four slim networks that ship with the package, and score them.

Two data sets, simulated slices and real ones (LIDC-IDRI), and for each two networks: the paper's,
with STD and the detection prior, and its twin with a plain sigmoid. As in the paper, STD is off
while most is learned: both grow from one network trained without it, then each goes on for the
same number of steps, on the same batches, with and without STD. Batch normalisation has learned
from batches of one size, and averages over both: so in a last stage its averages are fixed, and
the weights get used to them (without it, Dice at 64x64 was half of what it is). Loss: Eq. (7).
Adam at 1e-3 falling to 0 as a cosine in each stage, weight decay 1e-8; sigma and lambda2 at 2e-2,
since at the network's rate they hardly move in so few steps. The last weights count; but steps and
batch were chosen after a look at what a shorter training (1000 and 400 steps, 10 and 6 crops)
reached.

Slices are 128x128, scaled by the paper's Eq. (6). The networks see 64x64 of them and whole ones, a
batch of these and a batch of those in turn, so that they work at both sizes. A batch of 64x64 has
12 crops around a nodule, moved by up to 4 pixels, and 4 without one (see crops.py); one of 128x128
has 3 and 1; flips and transpositions. Hardly a real slice is empty as a whole: the 128x128 of the
real networks are real and simulated slices with a nodule, and simulated ones without.
Scored, at both sizes: simulated patients that no training saw; real patients that no training
saw; and the 7 patients of lidc_clinic.npz, whose scans have thick or uneven slices.

Writes NAME.safetensors and NAME.json, the model card, in nodule_lesson/networks/weights, and the
crops of the live figure slim_network. Needs lidc_pretrain and lidc_clinic (.npz and .csv), in
--data or in the folder NODULE_REAL_DATA. Takes about an hour of one core.

    python studies/slim_weights.py
"""

import argparse
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import torch
from crops import cut, load_real, places, simulate
from safetensors.torch import save
from simulated_to_real import batches, dice, interval, split
from std_on_real_slices import SOURCES
from torch.optim.lr_scheduler import CosineAnnealingLR

import nodule_lesson
from nodule_lesson.chapters.multitask_model.live import pack
from nodule_lesson.experiments.data import simulator_sha256
from nodule_lesson.files import write_json, write_whole
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.provenance import provenance, sha256
from nodule_lesson.training.fitting import fit
from nodule_lesson.training.losses import multitask_loss

WEIGHTS = Path(nodule_lesson.__file__).parent / "networks" / "weights"
SEED = 0
STEPS = {"without STD": 2000, "with and without STD": 500, "at fixed statistics": 500}
CROPS = {64: (12, 4), 128: (3, 1)}  # side: crops with a nodule and without in a batch
STD_RATE = 2e-2
NAMES = {"simulated": ("slim", "slim-plain"), "real": ("slim-real", "slim-real-plain")}


def both_sizes(slices, seed):
    """Batches of one size and of the other in turn. slices: by the side of a crop."""
    by_side = [batches(slices[side], seed, *counts, side) for side, counts in CROPS.items()]
    return (next(of_side) for of_side in itertools.cycle(by_side))


def train(model, slices, steps, seed, label):
    """One stage: a cosine from 1e-3 to 0, the parameters of STD at their own rate."""
    of_std = [] if model.std is None else list(model.std.parameters())
    others = [p for name, p in model.named_parameters() if not name.startswith("std.")]
    fit(
        model,
        both_sizes(slices, seed),
        multitask_loss,
        steps=steps,
        schedule=lambda adam: CosineAnnealingLR(adam, steps),
        parameters=[{"params": others}, {"params": of_std, "lr": STD_RATE}],
        label=label,
    )


def fix_statistics(model):
    """Normalise with the running averages from now on, in training as in use."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(_evaluate)


def _evaluate(module, inputs):
    module.eval()


def train_pair(slices, label):
    """The network with STD and the prior, and its plain twin, from one that had no STD."""
    torch.manual_seed(SEED)
    first, second, last = STEPS.values()
    plain = DetectionGuidedNet(**SLIM, regularisation="none")
    plain = plain.to(memory_format=torch.channels_last)
    train(plain, slices, first, SEED, f"{label}, without STD")
    regularised = DetectionGuidedNet(**SLIM).to(memory_format=torch.channels_last)
    regularised.load_state_dict({**regularised.state_dict(), **plain.state_dict()})
    for model, name in ((regularised, "with STD"), (plain, "its plain twin")):
        train(model, slices, second, SEED + 1, f"{label}, {name}")
        fix_statistics(model)
        train(model, slices, last, SEED + 2, f"{label}, {name}, at fixed statistics")
    return regularised, plain


# --- scores --------------------------------------------------------------------------------------


def predict(model, slices, where, side):
    """Masks (N, side, side), and the classifier's answers (N,)."""
    masks, nodule = [], []
    with torch.no_grad():
        for part in np.array_split(where, -(-len(where) // 64)):
            output = model(cut(slices, part, side)[0])
            masks.append(output.mask[:, 0] >= 0.5)
            nodule.append(output.nodule)
    return torch.cat(masks).numpy(), torch.cat(nodule).double().numpy()


def score(model, slices, side=64):
    """Dice on crops with a nodule; where there are crops without one, false positives on them and
    the classifier's AUC."""
    positive, negative = places(slices, side)
    masks, yes = predict(model, slices, positive, side)
    scores = dice(masks, cut(slices, positive, side)[1][:, 0].numpy() > 0)
    names, patients = np.unique(slices.patients[positive[:, 0]], return_inverse=True)
    found = {
        "patients": len(names),
        "slices": len(positive),
        "mean_dice": round(float(scores.mean()), 4),
        "interval_by_patient": [round(end, 4) for end in interval(scores, patients)],
        "median_dice": round(float(np.median(scores)), 4),
        "missed_share": round(float((scores == 0).mean()), 4),
        "c_above_half_with_nodule": round(float((yes > 0.5).mean()), 4),
        "negatives": len(negative),
    }
    if not len(negative):
        return found
    false, no = predict(model, slices, negative, side)
    marked = false.sum((1, 2))
    return found | {
        "negatives_marked": round(float((marked > 0).mean()), 4),
        "false_positive_pixels": round(float(marked.mean()), 2),
        "auc_of_c": round(area_under_curve(yes, no), 4),
        "c_above_half_without": round(float((no > 0.5).mean()), 4),
    }


def area_under_curve(yes, no):
    """AUC: the share of pairs, one of each, in which that of `yes` is larger; ties count half."""
    below, up_to = (np.searchsorted(np.sort(no), yes, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(no)))


# --- files ---------------------------------------------------------------------------------------


def stored(model):
    """The bytes of a safetensors file: convolutions in half precision, what is small in single."""
    return save(
        {
            name: (value.half() if value.ndim > 1 else value).contiguous().clone()
            for name, value in model.state_dict().items()
        }
    )


def as_shipped(model):
    """The model with the numbers that a reader loads."""
    model.load_state_dict(
        {
            name: value.half().float() if value.ndim > 1 else value
            for name, value in model.state_dict().items()
        }
    )
    return model.eval()


def keep(name, model, card):
    """Weights, then the card that names their checksum; each whole or not at all."""
    data, file = stored(model), WEIGHTS / f"{name}.safetensors"
    write_whole(file, data)
    sums = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    write_json(WEIGHTS / f"{name}.json", {**card, **sums})


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("NODULE_REAL_DATA"),
        help="folder with lidc_pretrain and lidc_clinic, .npz and .csv ($NODULE_REAL_DATA)",
    )
    parser.add_argument("--only", choices=NAMES, help="one of the two pairs")
    parser.add_argument("--simulated", type=int, default=4000, help="slices to train on (4000)")
    parser.add_argument("--cache", type=Path, help="folder that keeps simulated slices")
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("no data: set NODULE_REAL_DATA or give --data.")
    torch.set_num_threads(1)

    real_test, real_train = split(load_real(options.data))
    tests = {
        "simulated patients": simulate(1000, 1000, cache=options.cache),
        "real patients": real_test,
        "patients of the second real set": load_real(options.data, "lidc_clinic"),
    }
    for kind in [options.only] if options.only else NAMES:
        simulated = simulate(options.simulated, SEED, cache=options.cache)
        if kind == "simulated":
            slices = {64: simulated, 128: simulated}
            data = {
                "source": "Simulated scans of nodule_lesson.phantom, domain luna_like.",
                "licence": "CC BY 4.0; shapes derived from LIDC-IDRI, CC BY 3.0",
                "simulator_sha256": simulator_sha256(),
            }
        else:
            slices = {64: real_train, 128: real_train + simulated}
            data = {
                "source": "Slices of LIDC-IDRI patients of LUNA16, as 8-bit crops; at 128x128 "
                "those of simulated scans as well, which include all without a nodule.",
                "licence": "CC BY 3.0 (LIDC-IDRI), CC BY 4.0 (LUNA16)",
                "sha256": sha256(options.data / "lidc_pretrain.npz"),
                "simulator_sha256": simulator_sha256(),
            }
        own = slices[64]
        data |= {"slices": len(own), "patients": len(np.unique(own.patients))}
        pair = train_pair(slices, kind)
        twins = dict(zip(NAMES[kind], pair, strict=True))
        for name, model in twins.items():
            as_shipped(model)
            options_of = dict(SLIM)
            learned = {}
            if model.std is None:
                options_of["regularisation"] = "none"
            else:
                learned = {
                    key: round(float(getattr(model.std, key).detach()), 4)
                    for key in ("sigma", "lambda1", "lambda2", "epsilon")
                } | {"iterations": model.std.iterations}
            card = {
                "name": name,
                "what": "A slim DetectionGuidedNet that outlines lung nodules in crops of CT, "
                "64x64 or 128x128. For teaching, not for clinical use.",
                "model": options_of,
                "parameters": sum(p.numel() for p in model.parameters()),
                "std": learned,
                "data": data | {"sources": SOURCES},
                "recipe": {
                    "seed": SEED,
                    "steps": STEPS,
                    "batches": {str(side): list(counts) for side, counts in CROPS.items()},
                    "loss": "the paper's Eq. (7), both weights 1",
                    "optimiser": "Adam, 1e-3 falling to 0 as a cosine in each stage, weight decay "
                    f"1e-8; sigma and lambda2 at {STD_RATE:g}",
                    "stored": "convolutions in half precision",
                },
                "scores": {key: score(model, test) for key, test in tests.items()},
                "scores at 128x128": {key: score(model, test, 128) for key, test in tests.items()},
                "scored": "mask on at 0.5; Dice one per slice with a consensus pixel in the "
                "centred crop; intervals 95 %, patients drawn with replacement; negatives: "
                "corners that no reader's outline touches, at 128x128 whole simulated slices. Not "
                "blind: steps and batch were chosen after a look at these scores of a shorter "
                "training, and the simulator was tuned on the first real test patients, too "
                "(studies/simulated_to_real.py)",
                "provenance": provenance(
                    f"OMP_NUM_THREADS=1 python studies/slim_weights.py "
                    f"--simulated {options.simulated}",
                    ("numpy", "safetensors"),
                ),
            }
            keep(name, model, card)
            print(name, learned)
            for size in ("scores", "scores at 128x128"):
                for key, found in card[size].items():
                    print(f"  {size}, {key}: {found}")
        if kind == "simulated":
            pack()  # the live figure carries what "slim" says of six crops


if __name__ == "__main__":
    main()
