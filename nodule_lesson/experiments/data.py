"""The data that the experiments are trained and scored on.

There are three PatchSets. `pretrain` has many patients, as LUNA16. `clinic` has the few patients
of one clinic; 45 of its lesions are for training, the others are the *small* test. `large` has
lesions of other patients, the *large* test. There may be more clinics, `clinic-2` and so on, and
`external`, patients who were scanned in another way than all these. `load` cuts the slices to the
size that a profile wants and scales each by the paper's Eq. (6), or by a window.

The split of the clinic is by lesion, as in the paper: both sides share patients, so the small test
leaks. The large test does not.
"""

import hashlib
import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from nodule_lesson.data import phantom
from nodule_lesson.data.demo import cache_folder
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.patches.normalisation import stretch
from nodule_lesson.data.phantom.crops import scan_crops
from nodule_lesson.jobs import cores

SETS = ("pretrain", "clinic", "large")
TRAIN_LESIONS = 45  # of the clinic's 56: the paper's number
SLICES_OF_A_LESION = 2  # in the large test, at equal steps through the lesion
KEPT_SLICES_OF_A_LESION = 3  # in the simulated large set
MAX_EMPTY_SLICES = 400  # in the large test
# Domain, seeds and patients per seed: no two sets share a patient.
SIMULATED = {
    "pretrain": ("luna_like", range(1), 80),
    "clinic": ("clinic_like", range(1), 7),
    "large": ("clinic_like", range(1, 19), 7),
    "clinic-2": ("clinic_like", range(19, 20), 7),
    "clinic-3": ("clinic_like", range(20, 21), 7),
}


@dataclass
class Slices:
    """Slices as a network sees them, with what is known of each.

    images, masks: (N, 1, H, W) float32, images in [0, 1]. has_nodule: (N,) float32. lesion,
    patient: (N,) text; lesion is "" where there is no nodule. slices: all columns of slices.csv.
    """

    images: torch.Tensor
    masks: torch.Tensor
    has_nodule: torch.Tensor
    lesion: np.ndarray
    patient: np.ndarray
    slices: dict

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        columns = {name: column[rows] for name, column in self.slices.items()}
        tensors = (t[torch.from_numpy(rows)] for t in (self.images, self.masks, self.has_nodule))
        return Slices(*tensors, self.lesion[rows], self.patient[rows], columns)

    @property
    def spacing(self):
        """Millimetres per row and per column, (N, 2); nan where unknown."""
        return np.stack([self.slices["row_mm"], self.slices["column_mm"]], axis=1)


@dataclass
class Data:
    """The sets of one experiment.

    pretrain: for pre-training. clinic: the training lesions of the clinic. small, large, external:
    the tests; external is None where there is none. checksums, sources: by set.
    """

    pretrain: Slices
    clinic: Slices
    small: Slices
    large: Slices
    external: Slices | None
    checksums: dict
    sources: dict

    @property
    def tests(self):
        """The tests of this experiment, by name."""
        tests = {"small": self.small, "large": self.large, "external": self.external}
        return {name: slices for name, slices in tests.items() if slices is not None}


def load(
    data="simulated",
    side=64,
    patients=None,
    workers=None,
    clinic=1,
    most=SLICES_OF_A_LESION,
    normalise="slice",
):
    """The sets named by `data`, cut to side x side pixels around the centre: a `Data`.

    data: "simulated", or a folder with the PatchSets pretrain, clinic and large, and optionally
    more clinics and external. Simulated sets are made at the first call, in about ten minutes on
    two cores, and kept in the user's cache. patients: for a trial, how many patients a simulated
    set has at most. workers: processes that simulate. clinic: its number, from 1. most: how many
    slices of a lesion the large and the external test have at most, None for all. normalise: as
    in `PatchSet.batch`; the experiments of the book have "slice", the paper's Eq. (6). Raises
    ValueError for a set that is missing, damaged or smaller than `side`, and for two sets that
    share a patient.
    """
    needed = set_names(clinic)
    if str(data) == "simulated":
        folder = simulated(patients, workers, needed)
    else:
        folder = Path(data)
        missing = [name for name in needed if not (folder / name).is_dir()]
        if missing:
            raise ValueError(
                f"data must be simulated or a folder with the PatchSets {', '.join(needed)}; "
                f"{folder} lacks {', '.join(missing)}."
            )
    folders = dict(zip(SETS, needed, strict=True))
    if (folder / "external").is_dir():
        folders["external"] = "external"
    patch_sets = {name: PatchSet.open(folder / subfolder) for name, subfolder in folders.items()}
    cut = {name: slices_of(patch_set, side, normalise) for name, patch_set in patch_sets.items()}
    for name, other in itertools.combinations(cut, 2):
        shared = set(cut[name].patient) & set(cut[other].patient)
        if shared:
            raise ValueError(
                f"{name} and {other} must share no patient, found {min(shared)} in both."
            )
    clinic, small = split_clinic(cut["clinic"])
    for name in cut.keys() & {"large", "external"}:
        if not len(lesions_of(cut[name])):
            raise ValueError(f"{name} must have lesions with a consensus, found none.")
        cut[name] = cut[name][thinned(cut[name], most)]
    return Data(
        cut["pretrain"],
        clinic,
        small,
        cut["large"],
        cut.get("external"),
        {name: checksum(patch_set) for name, patch_set in patch_sets.items()},
        {name: _origin(patch_set) for name, patch_set in patch_sets.items()},
    )


def set_names(clinic):
    """Names of the PatchSets that an experiment on this clinic needs, in the order of SETS."""
    return ("pretrain", "clinic" if clinic == 1 else f"clinic-{clinic}", "large")


def slices_of(patch_set, side, normalise="slice"):
    """All slices of a set, side x side pixels around the centre, scaled as `PatchSet.batch` does.

    By default that is min-max scaling of what is left of each slice.
    """
    height, width = patch_set.images.shape[1:]
    if side > min(height, width):
        raise ValueError(f"side must be at most {min(height, width)}, found {side}.")
    top, left = (height - side) // 2, (width - side) // 2
    window = (slice(None), slice(top, top + side), slice(left, left + side))
    images = stretch(np.asarray(patch_set.images[window]), *patch_set.limits(normalise))
    masks = np.asarray(patch_set.masks[window]).astype(np.float32)
    columns = patch_set.slices
    names = zip(columns["patient"], columns["scan"], columns["nodule"], strict=True)
    lesion = np.array([f"{a} {b} {c}" if c else "" for a, b, c in names])
    return Slices(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(masks)[:, None],
        torch.from_numpy(columns["has_nodule"].astype(np.float32)),
        np.where(columns["has_nodule"], lesion, ""),
        columns["patient"],
        columns,
    )


def split_clinic(clinic, seed=0):
    """Split a clinic by lesion: (train, test).

    train has four fifths of the lesions, at most 45, test the others; each side has its share of
    the empty slices.
    """
    random = np.random.default_rng(seed)
    names = random.permutation(lesions_of(clinic))
    if len(names) < 2:
        raise ValueError(f"the clinic must have at least 2 lesions, found {len(names)}.")
    lesions = min(TRAIN_LESIONS, -(-4 * len(names) // 5), len(names) - 1)
    train = with_share_of_empties(clinic, names[:lesions], lesions / len(names), random)
    return clinic[train], clinic[np.setdiff1d(np.arange(len(clinic)), train)]


def fewer_lesions(clinic, count, seed):
    """Slices of `count` lesions of the clinic, drawn at random, with their share of empty slices.

    Of a clinic with fewer lesions all are taken.
    """
    names = np.random.default_rng([2, seed]).permutation(lesions_of(clinic))
    count = min(count, len(names))
    random = np.random.default_rng([3, seed])
    return clinic[with_share_of_empties(clinic, names[:count], count / len(names), random)]


def fold(clinic, number, count=5, seed=0):
    """The training slices of fold `number` of `count`: all lesions but every count-th."""
    names = np.random.default_rng([4, seed]).permutation(lesions_of(clinic))
    kept = names[np.arange(len(names)) % count != number]
    random = np.random.default_rng([5, seed, number])
    return clinic[with_share_of_empties(clinic, kept, len(kept) / len(names), random)]


def with_share_of_empties(slices, names, share, random):
    """Rows of the named lesions, and of a random share of the slices without a lesion."""
    empty = np.flatnonzero(slices.lesion == "")
    drawn = random.permutation(empty)[: round(share * len(empty))]
    return np.sort(np.concatenate([np.flatnonzero(np.isin(slices.lesion, names)), drawn]))


def lesions_of(slices):
    """Names of the lesions that are scored: those on which the readers share a pixel."""
    drawn = slices.masks.flatten(1).any(1).numpy()
    return np.unique(slices.lesion[drawn & (slices.lesion != "")])


def thinned(slices, most=SLICES_OF_A_LESION):
    """Rows of `most` slices of each lesion, at equal steps through it, and of some empty slices.

    A thousand lesions need not be scored on every slice. most=None takes all slices. Slices of a
    lesion without a consensus are left out.
    """
    drawn = slices.masks.flatten(1).any(1).numpy()
    rows = []
    for name in lesions_of(slices):
        lesion = np.flatnonzero((slices.lesion == name) & drawn)
        lesion = lesion[np.argsort(slices.slices["slice"][lesion], kind="stable")]
        steps = (np.arange(most or len(lesion)) + 0.5) * len(lesion) / (most or len(lesion))
        rows.append(np.unique(lesion[steps.astype(int)]))
    empty = np.flatnonzero(slices.lesion == "")
    empty = np.random.default_rng(6).permutation(empty)[: min(len(rows), MAX_EMPTY_SLICES)]
    return np.sort(np.concatenate([*rows, empty]))


def checksum(patch_set):
    """One checksum of a set, computed from those of its arrays and its table."""
    arrays = {file: entry["sha256"] for file, entry in patch_set.info["arrays"].items()}
    text = json.dumps([arrays, patch_set.info["slices_sha256"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _origin(patch_set):
    return {name: patch_set.info[name] for name in ("source", "licence", "citation")}


# --- simulated sets ------------------------------------------------------------------------------


def simulated(patients=None, workers=None, names=SETS):
    """The folder in the user's cache with these simulated sets; those that are missing are made.

    patients: how many a set has at most, None for all. workers: processes, None for one per core.
    """
    simulator = simulator_sha256()
    suffix = "" if patients is None else f"-{patients}-patients"
    folder = cache_folder() / f"experiments-{simulator[:12]}{suffix}"
    for name in names:
        domain, seeds, count = SIMULATED[name]
        if (folder / name).is_dir():
            continue
        jobs = [(domain, seed, number + 1) for seed in seeds for number in range(count)]
        jobs = jobs[:patients]
        with ProcessPoolExecutor(workers or cores()) as pool:
            scans = pool.map(partial(_crops, thin=name == "large"), jobs)
            label = f"simulating {name}"
            crops = [crop for scan in tqdm(scans, label, len(jobs), unit="scan") for crop in scan]
        folder.mkdir(parents=True, exist_ok=True)
        stacks = [np.stack([crop.pop(array) for crop in crops]) for array in ("image", "mask")]
        columns = {column: np.array([crop[column] for crop in crops]) for column in crops[0]}
        try:
            PatchSet.write(
                folder / name,
                *stacks,
                columns,
                # Existing results contain these words and are compared with them.
                source=f"Simulated scans of nodule_lesson.phantom, domain {domain}.",
                licence="CC BY 4.0; shapes derived from LIDC-IDRI, CC BY 3.0",
                citation="nodule-lesson; Armato III et al., LIDC-IDRI, TCIA, 2015",
                parameters={"simulator_sha256": simulator, "scans": jobs},
            )
        except FileExistsError:
            pass  # another process was quicker, with the same bytes
    return folder


def _crops(job, thin):
    """The crops of one simulated scan; if thin, only KEPT_SLICES_OF_A_LESION of each lesion."""
    domain, seed, number = job
    crops = list(scan_crops(phantom.simulate_scan(domain, number, seed)))
    for crop in crops:
        del crop["readers"]
        crop["patient"] = f"{crop['patient']}-{seed}"  # each seed has its own patients
    if not thin:
        return crops
    kept, by_lesion = [crop for crop in crops if not crop["has_nodule"]], {}
    for crop in crops:
        if crop["has_nodule"] and crop["mask"].any():
            by_lesion.setdefault(crop["nodule"], []).append(crop)
    kept = kept[: len(by_lesion)]
    count = KEPT_SLICES_OF_A_LESION
    for of_lesion in by_lesion.values():
        of_lesion.sort(key=lambda crop: crop["slice"])
        steps = (np.arange(count) + 0.5) * len(of_lesion) / count
        kept += [of_lesion[k] for k in np.unique(steps.astype(int))]
    return kept


def simulator_sha256():
    """Checksum of the simulator's sources."""
    files = sorted(Path(phantom.__file__).parent.glob("*.[pn][yp]*"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
