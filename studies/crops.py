"""Real and simulated slices on one scale, and crops of them: shared by the scripts here.

Real slices come as 8-bit crops, each scaled from its own smallest to its largest value, Eq. (6);
simulated ones are brought to the same scale over the same 128x128 before 64x64 are cut out.
Positives are cut around the nodule; negatives are the corners that no reader's outline touches,
and simulated slices without a nodule. Where a slice's readers share no pixel it is neither.
"""

import csv
from dataclasses import dataclass

import numpy as np
import torch

from nodule_lesson.data import phantom
from nodule_lesson.experiments.data import simulator_sha256

SIZE, MARGIN = 64, 32  # a crop's side, and where a centred one begins


# --- slices -------------------------------------------------------------------------------------


@dataclass
class Slices:
    """images (N, 128, 128) uint8; masks, touched bool: the consensus, and any reader's pixels."""

    images: np.ndarray
    masks: np.ndarray
    touched: np.ndarray
    readers: np.ndarray  # bits, (N, 128, 128) uint8
    patients: np.ndarray
    nodules: np.ndarray

    def __getitem__(self, rows):
        return Slices(*(array[rows] for array in vars(self).values()))

    def __len__(self):
        return len(self.images)

    def __add__(self, other):
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Slices(*(np.concatenate(pair) for pair in pairs))


def load_real(folder, name="lidc_pretrain"):
    """The real slices: of 560 nodules of 287 patients, or "lidc_clinic": of 58 of 7 others."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / f"{name}.npz") as data:
        images, bits = data["images"], data["masks_bits"]
    readers = np.array([int(row["n_readers"]) for row in rows])
    consensus = 2 * np.bitwise_count(bits) >= readers[:, None, None]
    patients = np.array([row["patient"] for row in rows])
    nodules = np.array([f"{row['patient']} {row['nodule']}" for row in rows])
    return Slices(images, consensus, bits > 0, bits, patients, nodules)


def simulate(count, seed, domain="luna_like", cache=None):
    """`count` simulated slices on the scale of the real ones; kept in the folder `cache`."""
    name = (
        f"{domain}-{count}-{seed}-{simulator_sha256()[:12]}.npz"  # another simulator, another file
    )
    file = cache / name if cache else None
    if file and file.exists():
        with np.load(file) as data:
            return Slices(**data)
    found = from_phantom(*phantom.simulate_patches(domain, count, seed))
    if file:
        np.savez(file, **vars(found))
    return found


def from_phantom(hu, masks, readers, slices):
    """What `phantom.simulate_patches` gives, on the scale of the real slices."""
    named = zip(slices["patient"], slices["nodule"], strict=True)
    nodules = np.array([f"{patient} {nodule}" for patient, nodule in named])
    patients = np.asarray(slices["patient"])
    return Slices(to_bytes(hu), masks > 0, readers > 0, readers, patients, nodules)


def to_bytes(hu):
    """Each slice scaled from its smallest and largest value to 0 and 255, as the real ones are."""
    low, high = hu.min((1, 2), keepdims=True), hu.max((1, 2), keepdims=True)
    scaled = (hu.astype(np.float32) - low) / np.maximum(high.astype(np.float32) - low, 1)
    return np.rint(255 * scaled).astype(np.uint8)


# --- crops --------------------------------------------------------------------------------------


def places(slices, side=SIZE):
    """Where to cut: (row, top, left) of centred crops with a nodule, and of crops without one.

    side: 64, or 128 for whole slices. Of real slices none is empty as a whole.
    """
    if side == 2 * SIZE:
        whole = (slices.masks.any((1, 2)), ~slices.touched.any((1, 2)))
        return tuple(np.flatnonzero(rows)[:, None] * (1, 0, 0) for rows in whole)
    centre = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    positive = [(row, MARGIN, MARGIN) for row in np.flatnonzero(slices.masks[centre].any((1, 2)))]
    negative = []
    for top in (0, SIZE):
        for left in (0, SIZE):
            corner = slices.touched[:, top : top + SIZE, left : left + SIZE]
            negative += [(row, top, left) for row in np.flatnonzero(~corner.any((1, 2)))]
    empty = np.flatnonzero(~slices.touched[centre].any((1, 2)))  # neighbours of simulated nodules
    negative += [(row, MARGIN, MARGIN) for row in empty]
    return np.array(positive).reshape(-1, 3), np.array(negative).reshape(-1, 3)


def cut(slices, where, side=SIZE):
    """images (N, 1, side, side) in [0, 1], masks of the same shape: float32 tensors."""

    def stack(arrays):
        crops = [arrays[r, top : top + side, left : left + side] for r, top, left in where]
        return torch.from_numpy(np.stack(crops)[:, None].astype(np.float32))

    return stack(slices.images) / 255, stack(slices.masks)
