"""The untrained floor: the four classics on the very lesions that the experiments test on.

Per lesion as for the networks, and on the empty slices of the large test: is anything marked?

    python studies/classics.py --data simulated FOLDER \
        --out book/results/experiments/classics.json

FOLDER holds the real PatchSets (studies/real_patches.py). Numbers alone are kept, no images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nodule_lesson.evaluation import classics
from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments.results import write
from nodule_lesson.experiments.runner import lesion_scores, lesion_table
from nodule_lesson.provenance import provenance, sha256

SIDE = 64  # of the laptop profile


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", nargs="+", default=["simulated"], help="as the experiments take it"
    )
    parser.add_argument("--patients", type=int, help="simulated sets of so many, for a trial")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = {}
    for name in options.data:
        data, name = sets.load(name, SIDE, options.patients), Path(name).name
        found[name] = {"checksums": data.checksums, "sources": data.sources}
        for test in ("small", "large"):
            found[name][test] = measured(getattr(data, test), f"{name}, {test}")
            show(f"{name}, {test}", found[name][test])
    source = provenance("python studies/classics.py", ("numpy", "scipy", "scikit-image"))
    source["classics_py_sha256"] = sha256(classics.__file__)
    del source["std_py_sha256"]
    result = {
        "what": "Outlines without training on the test lesions of the experiments. "
        "For teaching, not for clinical use.",
        "data": found,
        "provenance": source,
    }
    if options.out:
        write(result, options.out)


def measured(slices, label):
    """Names of the lesions; by method the scores of each, and the pixels on each empty slice."""
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


def show(label, found):
    for method, scores in found["scores"].items():
        dice = np.array(scores["dice"], dtype=float)
        marked = np.mean(np.array(found["false_positive_pixels"][method]) > 0)
        print(
            f"{label:18} {method:14} Dice {dice.mean():.3f}, missed {(dice == 0).mean():.1%}, "
            f"marked of the empty {marked:.1%}"
        )


if __name__ == "__main__":
    main()
