"""The class PatchSet, and its view as a torch Dataset."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from nodule_lesson.data.patches import folder
from nodule_lesson.data.patches.normalisation import limits, stretch
from nodule_lesson.data.patches.table import check_slices, kind_of, read_slices, write_slices


class PatchSet:
    """Crops with their outlines, memory-mapped.

        patch_set = PatchSet.open("patches")
        patch_set = PatchSet.from_arrays(images, masks, patient=names, path="patches")

    `PatchSet.write` takes all that is known of each slice. path: the folder. images: (N, H, W)
    integers. masks: (N, H, W) uint8, 0 or 1. readers: (N, H, W) uint8 bits, or None. slices:
    {column name: array of N values} with the columns of `write`; an unknown text is "", an
    unknown number nan. info: the content of dataset.json. len() is N.

    has_nodule is True where a reader saw a nodule in the slice. Its mask may still be empty, since
    readers disagree, and half of them may share no pixel.
    """

    def __init__(self, path, slices, info):
        self.path, self.slices, self.info = path, slices, info

    def __len__(self):
        return self.info["arrays"]["images.npy"]["shape"][0]

    def __repr__(self):
        shape = " x ".join(map(str, self.info["arrays"]["images.npy"]["shape"]))
        return f"<PatchSet {self.path}: {shape}, {self.info['source']}>"

    # Mapped at the first use: to join a thousand sets, not all their files need to be open.
    @functools.cached_property
    def images(self):
        return self._map("images.npy")

    @functools.cached_property
    def masks(self):
        return self._map("masks.npy")

    @functools.cached_property
    def readers(self):
        return self._map("readers.npy") if "readers.npy" in self.info["arrays"] else None

    def _map(self, file):
        return folder.map_array(self.path, file, self.info["arrays"][file])

    @functools.cached_property
    def _intensity_range(self):
        pairs = [(int(chunk.min()), int(chunk.max())) for chunk in folder.chunks(self.images)]
        return min(low for low, _ in pairs), max(high for _, high in pairs)

    def __getstate__(self):
        # A worker of a DataLoader gets the path and maps the files itself: no pixels are copied.
        mapped = ("images", "masks", "readers", "_temporary")
        return {name: value for name, value in self.__dict__.items() if name not in mapped}

    # --- reading and writing ---------------------------------------------------------------------

    @classmethod
    def open(cls, path, *, verify=True):
        """The set in the folder `path`, memory-mapped.

        verify=True reads everything once and compares it with the checksums; False checks only
        headers, shapes and columns. Raises ValueError for missing, damaged or wrong files.
        """
        path = Path(path).absolute()
        info = folder.read_info(path)
        count = info["arrays"]["images.npy"]["shape"][0]
        checksum = info["slices_sha256"] if verify else None
        slices = read_slices(path / "slices.csv", count, info["columns"], checksum)
        for file, entry in info["arrays"].items():
            if not verify:
                folder.map_array(path, file, entry)
                continue
            array = folder.check_array(path, file, entry)
            if file == "masks.npy":
                folder.check_masks(array, slices["has_nodule"])
        return cls(path, slices, info)

    @classmethod
    def write(
        cls,
        path,
        images,
        masks,
        slices,
        *,
        source,
        licence,
        citation,
        parameters=None,
        readers=None,
    ):
        """Write a new set into the folder `path`, completely or not at all, and return it opened.

        images: (N, H, W) of any integer type. masks: (N, H, W), 0 or 1. readers: (N, H, W) bits
        in 0..255, or None. source, licence, citation: text. parameters: how the set was made,
        anything that JSON can hold. slices: a dict of these columns, N values each:

        - "patient": text, never unknown: splits rest on it.
        - "scan", "nodule", "type" (of the nodule): text. None, nan and "" mean unknown: "".
        - "slice": a whole number, the slice's place in its scan or folder; never unknown.
        - "row_mm", "column_mm" (pixel size), "diameter" (of the nodule): positive millimetres.
          None, nan and "" mean unknown: nan.
        - "has_nodule": True or False, 1 or 0; never unknown.

        More columns are kept. They hold text or numbers, unknown as above, or whole numbers or
        truth values, never unknown. Raises FileExistsError if `path` exists, ValueError or
        TypeError for other input.
        """
        arrays = {"images.npy": images, "masks.npy": masks}
        if readers is not None:
            arrays["readers.npy"] = readers
        arrays = folder.check_stacks(arrays)
        streams = {
            file: (folder.stored_type(file, array), array.shape, folder.stored_chunks(file, array))
            for file, array in arrays.items()
        }
        slices = check_slices(slices, len(arrays["images.npy"]))
        origin = folder.origin(source, licence, citation, parameters)
        return cls._write(path, streams, slices, origin)

    @classmethod
    def from_arrays(
        cls,
        images,
        masks,
        *,
        patient,
        path=None,
        readers=None,
        scan=None,
        nodule=None,
        slice=None,
        row_mm=None,
        column_mm=None,
        type=None,
        diameter=None,
        has_nodule=None,
        source="unknown",
        licence="unknown",
        citation="unknown",
    ):
        """Write arrays of your own as a new set, and return it opened.

            patch_set = PatchSet.from_arrays(images, masks, patient=names)
            images, masks, has_nodule = patch_set.batch([0, 1, 2], normalise=(-1000, 400))

        images, masks, readers: (N, H, W), as in `write`; floats are taken if they are whole. path:
        the folder; None for a temporary one, which is removed with the set. patient: the patient
        of each slice, N texts, or one for all; splits rest on it. The columns of `write` that
        follow are N values each, or one for all; what is unknown may be left out. Left out, slice
        counts from 0, and has_nodule is true where the mask is not empty. More columns need
        `write`. Raises the errors of `write`.
        """
        images, masks = _as_integers("images", images), _as_integers("masks", masks)
        count = len(images) if images.ndim else 0
        if has_nodule is None:
            has_nodule = masks.reshape(len(masks), -1).any(1) if masks.ndim else False
        columns = {
            "patient": patient,
            "scan": scan,
            "nodule": nodule,
            "slice": range(count) if slice is None else slice,
            "row_mm": row_mm,
            "column_mm": column_mm,
            "type": type,
            "diameter": diameter,
            "has_nodule": has_nodule,
        }
        slices = {
            name: [values] * count if np.ndim(values) == 0 else values
            for name, values in columns.items()
        }
        temporary = (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) if path is None else None
        )
        patch_set = cls.write(
            Path(temporary.name) / "set" if temporary else path,
            images,
            masks,
            slices,
            source=source,
            licence=licence,
            citation=citation,
            readers=readers,
        )
        patch_set._temporary = temporary  # it is removed when nothing refers to it
        return patch_set

    @classmethod
    def join(cls, path, parts, *, source, licence, citation, parameters=None):
        """Join several sets in their order into a new one, read and written piece by piece.

        parts: PatchSets of one size, one integer type and the same columns, all with readers or
        all without. The other arguments are those of `write`.
        """
        parts = list(parts)
        kinds = sorted({part._kind() for part in parts})
        if len(kinds) != 1:
            raise ValueError(
                "parts to join must agree in size, type, columns and readers, found "
                f"{' and '.join(kinds[:2]) or 'none'}."
            )
        count = sum(map(len, parts))
        streams = {
            file: (np.dtype(entry["dtype"]), (count, *entry["shape"][1:]), _joined(file, parts))
            for file, entry in parts[0].info["arrays"].items()
        }
        slices = {
            name: np.concatenate([part.slices[name] for part in parts]) for name in parts[0].slices
        }
        origin = folder.origin(source, licence, citation, parameters)
        return cls._write(path, streams, slices, origin)

    def _kind(self):
        """The properties that parts to join must share, as text."""
        arrays = self.info["arrays"]
        height, width = arrays["images.npy"]["shape"][1:]
        columns = ", ".join(f"{name} ({kind_of(name, v)})" for name, v in self.slices.items())
        files = ", ".join(sorted(arrays))
        return f"{height} x {width} {arrays['images.npy']['dtype']} in {files} with {columns}"

    @classmethod
    def _write(cls, path, streams, slices, origin):
        path = Path(path).absolute()
        with folder.new_folder(path) as partial:
            arrays = {
                file: folder.write_array(partial / file, *stream)
                for file, stream in streams.items()
            }
            masks = folder.map_array(partial, "masks.npy", arrays["masks.npy"])
            folder.check_masks(masks, slices["has_nodule"])
            del masks  # Windows does not rename a folder with a mapped file in it
            info = {
                **origin,
                "columns": {name: kind_of(name, values) for name, values in slices.items()},
                "arrays": arrays,
                "slices_sha256": write_slices(partial / "slices.csv", slices),
            }
            folder.write_info(partial, info)
        return cls(path, slices, info)

    # --- for a training loop ---------------------------------------------------------------------

    def batch(self, rows, *, normalise="slice", flip=None):
        """images (B, 1, H, W), masks (B, 1, H, W), has_nodule (B,): float32 tensors.

        rows: B row numbers. normalise: "slice" scales each slice by its own lowest and highest
        intensity, "dataset" by those of the whole set; a pair such as (-1000, 400) is a window,
        outside which all becomes 0 or 1. flip: None, or a numpy or torch generator; with it each
        slice and its mask are flipped left to right and top to bottom, each with probability one
        half.
        """
        rows = _check_rows(rows, len(self))
        # Indexing a plain array is faster than indexing np.memmap, with the same result.
        images = stretch(self.images.view(np.ndarray)[rows], *self.limits(normalise))
        masks = self.masks.view(np.ndarray)[rows].astype(np.float32)
        if flip is not None:
            for axis, flipped in zip((-1, -2), _coin_flips(flip, len(rows)), strict=True):
                images[flipped] = np.flip(images[flipped], axis)
                masks[flipped] = np.flip(masks[flipped], axis)
        has_nodule = self.slices["has_nodule"][rows].astype(np.float32)
        images, masks, has_nodule = map(torch.from_numpy, (images, masks, has_nodule))
        return images[:, None], masks[:, None], has_nodule

    def limits(self, normalise):
        """The intensities that become 0 and 1, or (None, None) for those of each slice.

        normalise: as in `batch`. Raises ValueError for anything else.
        """
        if isinstance(normalise, str) and normalise == "dataset":
            return self._intensity_range
        return limits(normalise)

    def dataset(self, rows=None, *, normalise="slice", flip=False, seed=0):
        """A `torch.utils.data.Dataset` of (image (1, H, W), mask (1, H, W), has_nodule ()).

        rows: which rows, in this order; None means all. normalise: as in `batch`. flip=True
        flips slices at random. In the workers of a DataLoader the flips depend on `seed` and on
        the worker's own seed, which is new in every epoch; to repeat them, use
        `torch.manual_seed` or the loader's `generator`.
        """
        rows = np.arange(len(self)) if rows is None else _check_rows(rows, len(self))
        return _View(self, rows, normalise, flip, seed)


def _as_integers(name, array):
    """Whole numbers in floats as integers; any other array as it is, for `write` to check."""
    array = np.asarray(array)
    if array.dtype.kind != "f":
        return array
    if not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise ValueError(
            f"{name} must hold whole numbers, such as HU, found others: PatchSet keeps the "
            "intensities of the source, and scales them in `batch`."
        )
    small = np.iinfo(np.int16)
    fits = array.size and small.min <= array.min() and array.max() <= small.max
    return array.astype(np.int16 if fits else np.int64)


def _joined(file, parts):
    for part in parts:
        yield from folder.chunks(part._map(file))  # unmapped before the next part is mapped


def _check_rows(rows, count):
    rows = rows.cpu().numpy() if torch.is_tensor(rows) else np.asarray(rows)
    if rows.ndim != 1:
        raise ValueError(f"rows must have the shape (B,), found {rows.shape}.")
    if not len(rows):
        return np.empty(0, np.int64)
    if rows.dtype.kind not in "iu":
        raise TypeError(f"rows must be row numbers, integers, found {rows.dtype}.")
    if rows.min() < 0 or rows.max() >= count:
        raise ValueError(f"rows must lie in 0..{count - 1}, found {rows.min()} to {rows.max()}.")
    return rows


def _coin_flips(generator, count):
    """Random truth values, (2, count)."""
    if isinstance(generator, torch.Generator):
        return torch.rand(2, count, generator=generator).numpy() < 0.5
    return generator.random((2, count)) < 0.5


class _View(Dataset):
    def __init__(self, patch_set, rows, normalise, flip, seed):
        patch_set.limits(normalise)  # computed once here, inherited by the workers
        self.patch_set, self.rows, self.normalise = patch_set, rows, normalise
        self.flip, self.seed = flip, seed
        self._worker_seed, self._generator = None, np.random.default_rng(seed)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):
        """A DataLoader calls this for a whole batch: it needs one read instead of many."""
        generator = self._flip_generator() if self.flip else None
        rows = self.rows[np.asarray(indices, np.intp)]
        batch = self.patch_set.batch(rows, normalise=self.normalise, flip=generator)
        return list(zip(*batch, strict=True))

    def _flip_generator(self):
        # Each worker starts each epoch with a copy of this object. With the copied generator they
        # would all flip the same slices, and flip them again in every epoch.
        worker = get_worker_info()
        if worker is not None and self._worker_seed != worker.seed:
            self._worker_seed = worker.seed
            self._generator = np.random.default_rng([self.seed, worker.seed])
        return self._generator
