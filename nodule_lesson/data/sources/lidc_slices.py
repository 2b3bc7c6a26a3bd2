"""LIDC-IDRI as small pictures: the Kaggle set `zhangweiled/lidcidri`, or a folder like it.

    PATIENT/nodule-k/images/slice-j.png     128 x 128, 8-bit grey, each slice stretched to 0..255
    PATIENT/nodule-k/mask-r/slice-j.png     what reader r outlined: 0 and 255; empty if nothing

The lightest real data: no CT has to be opened. What it has lost on the way are Hounsfield units,
pixel sizes and the numbers of the scans; their cells in slices.csv are empty.

Converted from a folder of five patients. `download` was tried against a stand-in for kagglehub
(tests/test_download_lidc_slices.py): Kaggle was out of reach when this was written.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from nodule_lesson.data import contours
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.sources import fetch

HANDLE = "zhangweiled/lidcidri"
FOLDER = "LIDC-IDRI-slices"  # what the Kaggle set has at its top
# Counts as public users of the set report them; bytes by the mean of the 108 slices at hand.
PATIENTS, SLICES, BYTES = 875, 15_548, 150_000_000
LICENCE = "CC BY 3.0"
CITATION = (
    "S. G. Armato III et al., Data from LIDC-IDRI, The Cancer Imaging Archive (2015), "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX, as cropped in the Kaggle set zhangweiled/lidcidri"
)
TERMS = (
    "LIDC-IDRI itself is CC BY 3.0; what the page kaggle.com/datasets/zhangweiled/lidcidri adds "
    "was not seen when this was written: read it before you pass the pictures on"
)
MANY = 4096  # pixels along a side; a header that says more is not a crop


@dataclass
class Nodule:
    """The slices of one nodule: images (n, H, W), readers' bits (n, H, W), slice numbers (n,)."""

    patient: str
    name: str
    images: np.ndarray
    bits: np.ndarray
    slices: np.ndarray

    @property
    def readers(self):
        """How many readers outlined this nodule, in one slice at least."""
        return int(np.bitwise_or.reduce(self.bits, axis=None)).bit_count()


# --- getting it ----------------------------------------------------------------------------------


def download():
    """The Kaggle set through kagglehub, which keeps it in its own cache; returns the folder.

    Raises OSError where kagglehub is missing or Kaggle fails.
    """
    by_hand = f"or download {HANDLE} by hand, unpack it and give the folder with --from"
    try:
        import kagglehub
    except ImportError:
        raise OSError(
            f"kagglehub is not installed: run `pip install kagglehub`, {by_hand}."
        ) from None
    try:
        return Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # its own classes, those of requests, tarfile, zipfile, ...
        raise OSError(f"Kaggle did not give {HANDLE} ({error}): try again, {by_hand}.") from error


# --- reading it ----------------------------------------------------------------------------------


def find_nodules(folder):
    """The folders PATIENT/nodule-k in `folder`, or in LIDC-IDRI-slices in it, in their order.

    Raises ValueError where there are none, or some in both: patients could be there twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    tops = [folder, folder / FOLDER]
    found = [[path for path in top.glob("*/nodule-*") if path.is_dir()] for top in tops]
    if all(found):
        raise ValueError(
            f"{folder} holds nodules of its own ({found[0][0].relative_to(folder)}) and {FOLDER}: "
            "name one of the two folders."
        )
    found = [*found[0], *found[1]]
    if not found:
        raise ValueError(f"{folder} must hold folders PATIENT/nodule-k, found none.")
    return sorted(found, key=lambda path: (path.parent.name, _number(path), path.name))


def read_nodule(folder):
    """All slices of PATIENT/nodule-k, a `Nodule`.

    Raises ValueError with the reason for a nodule that cannot be used as a whole: a picture that
    is broken, not 8-bit grey or of another size, a mask without a picture or the other way round,
    a number that two files have, a folder with the name of a copy.
    """
    folder = Path(folder)
    # "LIDC-IDRI-0001 (1)" would be a patient of its own, and fall on both sides of a split.
    if not re.fullmatch(r"[\w.-]+", folder.parent.name):
        raise ValueError(
            "its patient has a name as copies have, with more than letters and digits"
        )
    if _number(folder) < 0:
        raise ValueError("its name must be nodule-k with a number k")
    pictures = _slices(folder / "images")
    if not pictures:
        raise ValueError("images is missing or has no slice-j.png")
    masks = _by_number(path for path in folder.glob("mask-*") if path.is_dir())
    masks = {reader: _slices(path) for reader, path in masks.items()}
    if not masks or not set(masks) <= set(range(8)):
        raise ValueError(f"mask-0 to mask-7 are possible, found {sorted(masks) or 'none'}")
    for reader, files in masks.items():
        uneven = sorted(set(files) ^ set(pictures))
        if uneven:
            where = f"mask-{reader}" if uneven[0] in pictures else "images"
            raise ValueError(f"{where} lacks slice-{uneven[0]}.png")
    images = [_read(path) for path in pictures.values()]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"its images must have one size, found {sorted(shapes)}")
    bits = np.zeros((len(images), *images[0].shape), np.uint8)
    for reader, files in masks.items():
        for row, number in enumerate(pictures):
            mask = _read(files[number], size=images[0].shape)
            if len(np.unique(mask[mask > 0])) > 1:
                raise ValueError(f"{_short(files[number])} has more values than 0 and one other")
            bits[row] |= (mask > 0).astype(np.uint8) << reader
    if not bits.any():
        raise ValueError("no reader outlined anything")
    return Nodule(folder.parent.name, folder.name, np.stack(images), bits, np.array([*pictures]))


def _slices(folder):
    """{number: path} of the slices in a folder, in their order."""
    return _by_number(path for path in folder.glob("slice-*.png") if _number(path) >= 0)


def _by_number(paths):
    """{number: path}, sorted; ValueError where slice-1 and slice-01 are two files."""
    result = {}
    for path in sorted(paths, key=lambda path: (_number(path), path.name)):
        if (number := _number(path)) in result:
            raise ValueError(f"{_short(result[number])} and {_short(path)} have one number")
        result[number] = path
    return result


def _number(path):
    """7 of slice-7.png, nodule-7 or mask-7; -1 where there is none."""
    found = re.fullmatch(r"[a-z]+-(\d+)", path.stem)
    return int(found[1]) if found else -1


def _short(path):
    return f"{path.parent.name}/{path.name}"


def _read(path, size=None):
    """One 8-bit grey picture as an array; `size` is what it must have, (H, W)."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode, shape = picture.mode, (picture.height, picture.width)
            if mode == "L" and max(shape) <= MANY:  # else nothing is unpacked
                picture.load()
                array = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{_short(path)} is not a whole PNG ({error})") from None
    if mode != "L":
        raise ValueError(f"{_short(path)} must be 8-bit grey, mode L, found mode {mode}")
    if max(shape) > MANY or (size is not None and shape != size):
        wanted = f"{size[0]} x {size[1]} as its image" if size else f"at most {MANY} a side"
        raise ValueError(f"{_short(path)} must be {wanted}, found {shape[0]} x {shape[1]}")
    return array


# --- making a PatchSet ---------------------------------------------------------------------------


def convert(folder, out):
    """Make a PatchSet in `out` of a folder of pictures; return it, and what was skipped and why.

    A nodule that cannot be used is skipped whole, as is one whose crops are not of the size that
    most have; so is a slice in which nobody outlined anything: it is in a nodule's folder, so it
    is no example of nothing. The reasons are in the list of (nodule or slice, reason), and in
    dataset.json.
    Raises ValueError where nothing is left, OSError where `out` exists or the disk is too small.
    """
    paths = find_nodules(folder)
    nodules, skipped = [], []
    for path in tqdm(paths, desc="reading", unit="nodule", delay=1):
        try:
            nodules.append(read_nodule(path))
        except ValueError as error:
            skipped.append((f"{path.parent.name}/{path.name}", str(error)))
    sizes = Counter(nodule.images.shape[1:] for nodule in nodules)
    size = max(sizes, key=sizes.get, default=None)
    for nodule in [nodule for nodule in nodules if nodule.images.shape[1:] != size]:
        nodules.remove(nodule)
        found, wanted = ("{} x {}".format(*shape) for shape in (nodule.images.shape[1:], size))
        reason = f"its crops are {found}, most are {wanted}"
        skipped.append((f"{nodule.patient}/{nodule.name}", reason))
    for nodule in nodules:
        for number in nodule.slices[~nodule.bits.any((1, 2))]:
            name = f"{nodule.patient}/{nodule.name}/slice-{number}"
            skipped.append((name, "nobody outlined anything in it"))
    nodules = [_outlined(nodule) for nodule in nodules]
    if not nodules:
        name, reason = skipped[0]
        raise ValueError(f"{folder} has no nodule that can be used; {name}: {reason}.")
    return _write(nodules, skipped, out), skipped


def _outlined(nodule):
    """The nodule without the slices in which nobody outlined anything."""
    seen = nodule.bits.any((1, 2))
    stacks = {name: getattr(nodule, name)[seen] for name in ("images", "bits", "slices")}
    return replace(nodule, **stacks)


def _write(nodules, skipped, out):
    images = np.concatenate([nodule.images for nodule in nodules])
    bits = np.concatenate([nodule.bits for nodule in nodules])
    masks = np.concatenate([contours.consensus(nodule.bits, nodule.readers) for nodule in nodules])
    unknown = [None] * len(images)

    def each(value):
        return [value(nodule) for nodule in nodules for _ in nodule.slices]

    return PatchSet.write(
        out,
        images,
        masks,
        {
            "patient": each(lambda nodule: nodule.patient),
            "scan": unknown,
            "nodule": each(lambda nodule: nodule.name),
            "slice": np.concatenate([nodule.slices for nodule in nodules]),
            "row_mm": unknown,
            "column_mm": unknown,
            "type": unknown,
            "diameter": unknown,
            # Where readers disagree the mask can be empty; it is no slice without a nodule.
            "has_nodule": np.ones(len(images), bool),
            "n_readers": each(lambda nodule: nodule.readers),
        },
        readers=bits,
        source=f"LIDC-IDRI, crops in the layout of the Kaggle set {HANDLE}",
        licence=f"{LICENCE} ({TERMS})",
        citation=CITATION,
        parameters={
            "consensus": "pixels that at least half of the nodule's readers outlined",
            "intensities": "8-bit, stretched in each slice before they came here",
            "skipped": [{"name": name, "reason": reason} for name, reason in skipped],
        },
    )


def check_target(out, slices, side=128):
    """OSError where `out` exists, or the disk is too small for `slices` crops."""
    out = Path(out).absolute()
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists, and a PatchSet is not written over anything.")
    parent = next(folder for folder in out.parents if folder.exists())
    fetch.check_space(parent, 3 * slices * side**2, "The PatchSet")
