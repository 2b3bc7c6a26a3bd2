"""LIDC-IDRI as small pictures: the Kaggle set `zhangweiled/lidcidri`, or a folder like it.

    PATIENT/nodule-k/images/slice-j.png     128 x 128, 8-bit grey, each slice scaled to 0..255
    PATIENT/nodule-k/mask-r/slice-j.png     outline of reader r, filled: 0 and 255; may be empty

These are the smallest real data: no CT has to be opened. They lack Hounsfield units, pixel sizes
and the numbers of the scans; these cells of slices.csv are empty.

`convert` was tried with a folder of five patients, `download` with a substitute for kagglehub
(tests/data/test_download_lidc_slices.py): Kaggle could not be reached when this was written.
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
TOP_FOLDER = "LIDC-IDRI-slices"  # of the Kaggle set
# Counts as reported by public users of the set; bytes estimated from 108 slices.
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
MAX_SIDE = 4096  # pixels; a picture with a longer side is not a crop


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
        """The number of readers who outlined this nodule in at least one slice."""
        return int(np.bitwise_or.reduce(self.bits, axis=None)).bit_count()


# --- download ------------------------------------------------------------------------------------


def download():
    """Download the Kaggle set with kagglehub, which keeps it in its cache; returns the folder.

    Raises OSError if kagglehub is missing or Kaggle fails.
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
    except Exception as error:  # of kagglehub, requests, tarfile, zipfile, ...
        raise OSError(f"Kaggle did not give {HANDLE} ({error}): try again, {by_hand}.") from error


# --- read ----------------------------------------------------------------------------------------


def find_nodules(folder):
    """The folders PATIENT/nodule-k in `folder` or in its subfolder LIDC-IDRI-slices, sorted.

    Raises ValueError if there are none, or some in both, since a patient could be there twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    own, in_top = (
        [path for path in top.glob("*/nodule-*") if path.is_dir()]
        for top in (folder, folder / TOP_FOLDER)
    )
    if own and in_top:
        raise ValueError(
            f"{folder} holds nodules of its own ({own[0].relative_to(folder)}) and {TOP_FOLDER}: "
            "name one of the two folders."
        )
    if not own + in_top:
        raise ValueError(f"{folder} must hold folders PATIENT/nodule-k, found none.")
    return sorted(own + in_top, key=lambda path: (path.parent.name, _number(path), path.name))


def read_nodule(folder):
    """All slices of PATIENT/nodule-k, a `Nodule`.

    Raises ValueError with the reason if the nodule cannot be used: a picture is damaged, not 8-bit
    grey or of another size, a mask lacks its picture or a picture its mask, two files have the
    same number, or the folder has the name of a copy.
    """
    folder = Path(folder)
    # "LIDC-IDRI-0001 (1)" would count as another patient, who could be on both sides of a split.
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
    """{number: path} of the slices in a folder, sorted."""
    return _by_number(path for path in folder.glob("slice-*.png") if _number(path) >= 0)


def _by_number(paths):
    """{number: path}, sorted. Raises ValueError for two files as slice-1 and slice-01."""
    result = {}
    for path in sorted(paths, key=lambda path: (_number(path), path.name)):
        if (number := _number(path)) in result:
            raise ValueError(f"{_short(result[number])} and {_short(path)} have one number")
        result[number] = path
    return result


def _number(path):
    """7 for slice-7.png, nodule-7 or mask-7; -1 for a name without a number."""
    match = re.fullmatch(r"[a-z]+-(\d+)", path.stem)
    return int(match[1]) if match else -1


def _short(path):
    return f"{path.parent.name}/{path.name}"


def _read(path, size=None):
    """One 8-bit grey picture as an array. size: the (H, W) that it must have, or None."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode, shape = picture.mode, (picture.height, picture.width)
            if mode == "L" and max(shape) <= MAX_SIDE:  # decompress no other picture
                picture.load()
                array = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{_short(path)} is not a whole PNG ({error})") from None
    if mode != "L":
        raise ValueError(f"{_short(path)} must be 8-bit grey, mode L, found mode {mode}")
    if max(shape) > MAX_SIDE or (size is not None and shape != size):
        wanted = f"{size[0]} x {size[1]} as its image" if size else f"at most {MAX_SIDE} a side"
        raise ValueError(f"{_short(path)} must be {wanted}, found {shape[0]} x {shape[1]}")
    return array


# --- convert to a PatchSet -----------------------------------------------------------------------


def convert(folder, out):
    """Make a PatchSet in `out` from a folder of pictures; returns it and what was skipped.

    Skipped are nodules that cannot be used, nodules whose crops do not have the most frequent
    size, and slices without any outline: they are in the folder of a nodule, so they are no
    examples of slices without one. The list of (nodule or slice, reason) is also in dataset.json.
    Raises ValueError if nothing is left, OSError if `out` exists or the disk is too small.
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
        own, usual = ("{} x {}".format(*shape) for shape in (nodule.images.shape[1:], size))
        reason = f"its crops are {own}, most are {usual}"
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
    outlined = nodule.bits.any((1, 2))
    stacks = {name: getattr(nodule, name)[outlined] for name in ("images", "bits", "slices")}
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
            # The mask may be empty where readers disagree, but the slice has a nodule.
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
    """Raise OSError if `out` exists, or if the disk is too small for `slices` crops."""
    out = Path(out).absolute()
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists, and a PatchSet is not written over anything.")
    parent = next(folder for folder in out.parents if folder.exists())
    fetch.check_space(parent, 3 * slices * side**2, "The PatchSet")
