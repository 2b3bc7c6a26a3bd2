"""Real and simulated slices on one scale, and crops of them, for the scripts of this folder.

Real slices are 8-bit crops of 128x128, each scaled from its smallest to its largest value by
Eq. (6). Simulated slices are scaled in the same way before crops of 64x64 are cut out. A positive
crop is centred on the nodule. A negative crop is a corner that no reader's outline touches, or
comes from a simulated slice without a nodule. A slice whose readers share no pixel is neither.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nodule_lesson.data import phantom
from nodule_lesson.experiments.data import simulator_sha256

SIZE, MARGIN = 64, 32  # pixels: the side of a crop, and the first row and column of a centred one
SOURCES = [
    {
        "name": "LIDC-IDRI",
        "citation": "Armato III SG et al. Data From LIDC-IDRI. The Cancer Imaging Archive, 2015.",
        "doi": "10.7937/K9/TCIA.2015.LO9QL9SX",
        "licence": "CC BY 3.0",
    },
    {
        "name": "LUNA16",
        "citation": "Setio AAA et al. Validation, comparison, and combination of algorithms for "
        "automatic detection of pulmonary nodules in computed tomography images: the LUNA16 "
        "challenge. Medical Image Analysis 42, 1-13, 2017.",
        "doi": "10.1016/j.media.2017.06.015",
        "licence": "CC BY 4.0",
    },
]


def parse_with_data(parser, arguments):
    """The parsed arguments of a script, with --data, the folder of the real slices, among them."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("NODULE_REAL_DATA"),
        help="folder with lidc_pretrain and lidc_clinic, .npz and .csv ($NODULE_REAL_DATA)",
    )
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("no data: set NODULE_REAL_DATA or give --data.")
    return options


# --- slices -------------------------------------------------------------------------------------


@dataclass
class Slices:
    """images (N, 128, 128) uint8; masks, touched bool: the consensus, and any reader's pixels.

    readers: bits (N, 128, 128) uint8. patients, nodules: names (N,).
    """

    images: np.ndarray
    masks: np.ndarray
    touched: np.ndarray
    readers: np.ndarray
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
    """The real slices: 560 nodules of 287 patients, or "lidc_clinic", 58 nodules of 7 others.

    The consensus has the pixels that at least half of the nodule's readers drew.
    """
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
    """`count` simulated slices on the scale of the real ones. cache: a folder that keeps them."""
    name = f"{domain}-{count}-{seed}-{simulator_sha256()[:12]}.npz"
    file = cache / name if cache else None
    if file and file.exists():
        with np.load(file) as data:
            return Slices(**data)
    slices = from_phantom(*phantom.simulate_patches(domain, count, seed))
    if file:
        np.savez(file, **vars(slices))
    return slices


def from_phantom(hu, masks, readers, slices):
    """The result of `phantom.simulate_patches` as `Slices` on the scale of the real ones."""
    named = zip(slices["patient"], slices["nodule"], strict=True)
    nodules = np.array([f"{patient} {nodule}" for patient, nodule in named])
    patients = np.asarray(slices["patient"])
    return Slices(to_bytes(hu), masks > 0, readers > 0, readers, patients, nodules)


def to_bytes(hu):
    """Scale each slice from its smallest and largest value to 0 and 255, as the real ones."""
    low, high = hu.min((1, 2), keepdims=True), hu.max((1, 2), keepdims=True)
    scaled = (hu.astype(np.float32) - low) / np.maximum(high.astype(np.float32) - low, 1)
    return np.rint(255 * scaled).astype(np.uint8)


# --- crops --------------------------------------------------------------------------------------


def places(slices, side=SIZE):
    """The places (row, top, left) of centred crops with a nodule, and of crops without one.

    side: 64, or 128 for whole slices, among which no real one is without a nodule.
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
    empty = np.flatnonzero(~slices.touched[centre].any((1, 2)))  # simulated slices without one
    negative += [(row, MARGIN, MARGIN) for row in empty]
    return np.array(positive).reshape(-1, 3), np.array(negative).reshape(-1, 3)


def cut(slices, where, side=SIZE):
    """images (N, 1, side, side) in [0, 1], masks of the same shape: float32 tensors."""

    def stack(arrays):
        crops = [arrays[r, top : top + side, left : left + side] for r, top, left in where]
        return torch.from_numpy(np.stack(crops)[:, None].astype(np.float32))

    return stack(slices.images) / 255, stack(slices.masks)
