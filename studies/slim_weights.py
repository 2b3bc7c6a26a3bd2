"""Train and score the four slim networks that ship with the package.

For each of two data sets, simulated slices and real ones (LIDC-IDRI), there are two networks: the
paper's, with STD and the detection prior, and the same with a plain sigmoid. As in the paper, most
is learned without STD: one network is trained without it, then two copies are trained further,
with and without STD, for the same number of steps on the same batches. In training, batch
normalisation uses the statistics of batches of one size, but its running averages are over both.
So in a last stage the averages are fixed, and the weights adapt to them (without this stage, Dice
at 64x64 was half as large). The loss is Eq. (7). The rate of Adam falls from 1e-3 to 0 as a cosine
in each stage, with weight decay 1e-8; that of sigma and lambda2 begins at 2e-2, since with the
network's rate they hardly move in so few steps. The last weights are kept. Steps and batch sizes
were chosen after a look at the scores of a shorter training (1000 and 400 steps, 10 and 6 crops).

Slices are 128x128, scaled by the paper's Eq. (6). Batches of 64x64 crops and of whole slices
alternate, so that the networks work at both sizes. A batch of 64x64 has 12 crops around a nodule,
shifted by up to 4 pixels, and 4 without one (see crops.py); one of 128x128 has 3 and 1. All are
flipped and transposed at random. Hardly any real slice is without a nodule: at 128x128 the real
networks see real and simulated slices with a nodule, and simulated ones without.
They are scored, at both sizes, on simulated patients and on real patients that no training saw,
and on the 7 patients of lidc_clinic.npz, whose scans have thick or uneven slices.

Writes NAME.safetensors and NAME.json, the model card, in nodule_lesson/networks/weights, and the
crops of the live figure slim_network. Needs lidc_pretrain and lidc_clinic (.npz and .csv), in
--data or in the folder NODULE_REAL_DATA. Takes about an hour of one core.

    python studies/slim_weights.py
"""

import argparse
import hashlib
import itertools
from pathlib import Path

import numpy as np
import torch
from crops import SOURCES, cut, load_real, parse_with_data, places, simulate
from safetensors.torch import save
from simulated_to_real import batches, dice, interval, split
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
CROPS = {64: (12, 4), 128: (3, 1)}  # in a batch, {side: (with a nodule, without)}
STD_RATE = 2e-2
NAMES = {"simulated": ("slim", "slim-plain"), "real": ("slim-real", "slim-real-plain")}


def both_sizes(slices, seed):
    """Batches of the two sizes in turn. slices: {side of a crop: slices}."""
    by_side = [batches(slices[side], seed, *counts, side) for side, counts in CROPS.items()]
    return (next(of_side) for of_side in itertools.cycle(by_side))


def train(model, slices, steps, seed, label):
    """One stage: the rate falls from 1e-3 to 0 as a cosine; STD's parameters have their own."""
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
    """Let batch normalisation use and keep its running averages, also in training."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(_evaluate)


def _evaluate(module, inputs):
    module.eval()


def train_pair(slices, label):
    """The network with STD and the prior, and the one with a plain sigmoid."""
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
    """Masks (N, side, side) and the classifier's c (N,)."""
    masks, nodule = [], []
    with torch.no_grad():
        for batch in np.array_split(where, -(-len(where) // 64)):
            output = model(cut(slices, batch, side)[0])
            masks.append(output.mask[:, 0] >= 0.5)
            nodule.append(output.nodule)
    return torch.cat(masks).numpy(), torch.cat(nodule).double().numpy()


def score(model, slices, side=64):
    """Dice on crops with a nodule, and false positives and AUC if there are crops without one."""
    positive, negative = places(slices, side)
    masks, c_positive = predict(model, slices, positive, side)
    scores = dice(masks, cut(slices, positive, side)[1][:, 0].numpy() > 0)
    names, patients = np.unique(slices.patients[positive[:, 0]], return_inverse=True)
    with_nodule = {
        "patients": len(names),
        "slices": len(positive),
        "mean_dice": round(float(scores.mean()), 4),
        "interval_by_patient": [round(end, 4) for end in interval(scores, patients)],
        "median_dice": round(float(np.median(scores)), 4),
        "missed_share": round(float((scores == 0).mean()), 4),
        "c_above_half_with_nodule": round(float((c_positive > 0.5).mean()), 4),
        "negatives": len(negative),
    }
    if not len(negative):
        return with_nodule
    masks, c_negative = predict(model, slices, negative, side)
    marked = masks.sum((1, 2))
    return with_nodule | {
        "negatives_marked": round(float((marked > 0).mean()), 4),
        "false_positive_pixels": round(float(marked.mean()), 2),
        "auc_of_c": round(area_under_curve(c_positive, c_negative), 4),
        "c_above_half_without": round(float((c_negative > 0.5).mean()), 4),
    }


def area_under_curve(positive, negative):
    """AUC: the share of pairs in which the positive one is larger; ties count half."""
    ordered = np.sort(negative)
    below, up_to = (np.searchsorted(ordered, positive, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(negative)))


# --- files ---------------------------------------------------------------------------------------


def stored(model):
    """The bytes of a safetensors file: convolutions in half precision, vectors in single."""
    return save(
        {
            name: (value.half() if value.ndim > 1 else value).contiguous().clone()
            for name, value in model.state_dict().items()
        }
    )


def as_shipped(model):
    """The model with the weights that a reader loads, rounded to half precision."""
    model.load_state_dict(
        {
            name: value.half().float() if value.ndim > 1 else value
            for name, value in model.state_dict().items()
        }
    )
    return model.eval()


def write_network(name, model, card):
    """Write the weights, and the card with their checksum."""
    data, file = stored(model), WEIGHTS / f"{name}.safetensors"
    write_whole(file, data)
    checksum = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    write_json(WEIGHTS / f"{name}.json", {**card, **checksum})


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=NAMES, help="one of the two pairs")
    parser.add_argument("--simulated", type=int, default=4000, help="training slices (4000)")
    parser.add_argument("--cache", type=Path, help="folder that keeps simulated slices")
    options = parse_with_data(parser, arguments)
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
        for name, model in zip(NAMES[kind], pair, strict=True):
            as_shipped(model)
            model_options = dict(SLIM)
            learned = {}
            if model.std is None:
                model_options["regularisation"] = "none"
            else:
                learned = {
                    key: round(float(getattr(model.std, key).detach()), 4)
                    for key in ("sigma", "lambda1", "lambda2", "epsilon")
                } | {"iterations": model.std.iterations}
            card = {
                "name": name,
                "what": "A slim DetectionGuidedNet that outlines lung nodules in crops of CT, "
                "64x64 or 128x128. For teaching, not for clinical use.",
                "model": model_options,
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
            write_network(name, model, card)
            print(name, learned)
            for size in ("scores", "scores at 128x128"):
                for test, scores in card[size].items():
                    print(f"  {size}, {test}: {scores}")
        if kind == "simulated":
            pack()  # the live figure has the output of "slim" for six crops


if __name__ == "__main__":
    main()
