"""The four classical methods on the test lesions of the experiments, as a lower bound.

They are scored per lesion, as the networks are, and on the empty slices of the large test.

    python studies/classics.py --data simulated FOLDER \
        --out book/results/experiments/classics.json

FOLDER holds the real PatchSets (studies/real_patches.py). Only numbers are kept, no images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nodule_lesson.evaluation import classics
from nodule_lesson.experiments.data import load
from nodule_lesson.experiments.grid import PROFILES
from nodule_lesson.experiments.results import write
from nodule_lesson.experiments.scoring import lesion_scores, lesion_table
from nodule_lesson.provenance import provenance, sha256


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", nargs="+", default=["simulated"], help="simulated, or folders of PatchSets"
    )
    parser.add_argument("--patients", type=int, help="of simulated sets, for a trial")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {}
    for source in options.data:
        data, name = load(source, PROFILES["laptop"].side, options.patients), Path(source).name
        results[name] = {"checksums": data.checksums, "sources": data.sources}
        for test in ("small", "large"):
            results[name][test] = scores_of(getattr(data, test), f"{name}, {test}")
            show(f"{name}, {test}", results[name][test])
    made_by = provenance("python studies/classics.py", ("numpy", "scipy", "scikit-image"))
    made_by["classics_py_sha256"] = sha256(classics.__file__)
    del made_by["std_py_sha256"]
    result = {
        "what": "Outlines without training on the test lesions of the experiments. "
        "For teaching, not for clinical use.",
        "data": results,
        "provenance": made_by,
    }
    if options.out:
        write(result, options.out)


def scores_of(slices, label):
    """Names of the lesions; for each method their scores and the pixels on each empty slice."""
    empty = (slices.lesion == "") & ~slices.masks.flatten(1).any(1).numpy()
    scores, on_empty = {}, {}
    for method, function in classics.METHODS.items():
        crops = tqdm(slices.images[:, 0].numpy(), f"{label}, {method}", unit="slice")
        mask = np.stack([function(crop) for crop in crops])
        scores[method] = lesion_scores({"mask": mask, "c": None}, slices)
        on_empty[method] = mask[empty].sum((1, 2)).tolist()
    return {
        "lesion": lesion_table(slices)["lesion"],
        "scores": scores,
        "false_positive_pixels": on_empty,
    }


def show(label, results):
    for method, scores in results["scores"].items():
        dice = np.array(scores["dice"], dtype=float)
        marked = np.mean(np.array(results["false_positive_pixels"][method]) > 0)
        print(
            f"{label:18} {method:14} Dice {dice.mean():.3f}, missed {(dice == 0).mean():.1%}, "
            f"marked of the empty {marked:.1%}"
        )


if __name__ == "__main__":
    main()
