"""Make the two demo sets of the package (at most 2 MB) from simulated scans.

It takes about two minutes and downloads nothing; it is needed only after a change of the
simulator. Licence of the result: CC BY 4.0; shapes of LIDC-IDRI outlines: CC BY 3.0.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from nodule_lesson.data.demo import pack_demo
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.phantom import simulate_patches
from nodule_lesson.data.phantom.folder import CITATION
from nodule_lesson.data.sources import fetch

SLICES = {"luna_like": 144, "clinic_like": 72}  # in the demo set
SIMULATED_SLICES = {"luna_like": 1800, "clinic_like": 814}  # from which these are drawn


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=2024)
    seed = parser.parse_args().seed
    for domain, count in SLICES.items():
        images, masks, readers, slices = simulate_patches(domain, SIMULATED_SLICES[domain], seed)
        kept = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
        parameters = {"domain": domain, "seed": seed}
        with tempfile.TemporaryDirectory() as scratch:
            patch_set = PatchSet.write(
                Path(scratch) / domain,
                *(images[kept], masks[kept], {k: v[kept] for k, v in slices.items()}),
                readers=readers[kept],
                source="simulated by nodule_lesson.phantom",
                licence="CC BY 4.0",
                citation=CITATION,
                parameters=parameters,
            )
            size = pack_demo(domain, patch_set)
        print(f"{domain}: {count} slices, {size:,} bytes")


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
