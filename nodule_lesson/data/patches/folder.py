"""The folder of a PatchSet: write arrays and dataset.json, read and check them."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version

import numpy as np

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
CHUNK = 2**24  # bytes per piece, wherever a whole array is processed
UNFINISHED = ".partial"  # ending of the name of a folder that is still being written

# --- writing -------------------------------------------------------------------------------------


@contextlib.contextmanager
def new_folder(path):
    """A folder beside `path` to write into; it is renamed to `path` when the block has succeeded.

    After an error it is removed. If the process is killed it stays under its own name, which
    `PatchSet.open` refuses. Raises FileExistsError if `path` exists.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists, and a PatchSet is not written over anything.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    partial.mkdir()
    try:
        yield partial
        _sync_folder(partial)
        _rename(partial, path)
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _rename(partial, path):
    try:
        os.rename(partial, path)
    except OSError:
        if not path.exists():
            raise
        raise FileExistsError(
            f"{path} appeared while it was being written, and is left alone."
        ) from None


def _sync_folder(folder):
    if os.name == "posix":  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def durable_file(path):
    """A new binary file that is on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_array(path, dtype, shape, chunks):
    """Write an array that comes in chunks; return its entry for dataset.json."""
    digest = hashlib.sha256()
    with durable_file(path) as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            data = np.ascontiguousarray(chunk, dtype).data
            digest.update(data)
            file.write(data)
    return {"dtype": dtype.name, "shape": list(shape), "sha256": digest.hexdigest()}


def write_info(folder, info):
    """Write dataset.json, the last file of a folder to be written and the first to be read."""
    with durable_file(folder / "dataset.json") as file:
        file.write((json.dumps(info, indent=1) + "\n").encode())


def origin(source, licence, citation, parameters):
    """The head of dataset.json: the source of the data, and how they were made."""
    texts = {"source": source, "licence": licence, "citation": citation}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} must be a text that is not empty, found {text!r}.")
    try:
        parameters = json.loads(json.dumps(parameters, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"parameters must be what JSON can hold: {error}.") from None
    try:
        made_by = f"nodule-lesson {version('nodule-lesson')}"
    except PackageNotFoundError:  # a source tree that is not installed
        made_by = "nodule-lesson"
    return {**texts, "parameters": parameters, "made_by": made_by}


# --- arrays to be written ------------------------------------------------------------------------


def check_stacks(arrays):
    """Check the types and shapes of the arrays of a set, {file: array}; return them."""
    arrays = {file: np.asanyarray(array) for file, array in arrays.items()}
    for file, array in arrays.items():
        name = file.removesuffix(".npy")
        if array.dtype.kind not in ("biu" if file == "masks.npy" else "iu"):
            raise TypeError(f"{name} must hold integers, found {array.dtype}.")
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"{name} must have a shape (N, H, W) without a 0, found {array.shape}."
            )
    shapes = {file: array.shape for file, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"arrays must have one shape, found {shapes}.")
    return arrays


def stored_type(file, array):
    """The type in the file: images keep their integer type, masks and bits become bytes."""
    return array.dtype.newbyteorder("<") if file == "images.npy" else np.dtype(np.uint8)


def stored_chunks(file, array):
    """The chunks of an array. Raises ValueError for masks and bits that do not fit a byte."""
    highest = {"masks.npy": 1, "readers.npy": 255}.get(file)
    for chunk in chunks(array):
        if highest is not None and (chunk.min() < 0 or chunk.max() > highest):
            raise ValueError(
                f"{file.removesuffix('.npy')} must lie in 0..{highest}, found "
                f"{chunk.min()} to {chunk.max()}."
            )
        yield chunk


def chunks(array):
    """An array in pieces of a few megabytes."""
    step = max(1, CHUNK // array[:1].nbytes)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def check_masks(masks, has_nodule):
    """Raise ValueError unless masks are 0 or 1 and each slice with an outline has a nodule."""
    start = 0
    for chunk in chunks(masks):
        if chunk.max() > 1:
            raise ValueError(f"masks must be 0 or 1, found {chunk.max()}.")
        wrong = np.flatnonzero(chunk.any((1, 2)) & ~has_nodule[start : start + len(chunk)])
        if len(wrong):
            raise ValueError(
                f"row {start + wrong[0]} has an outline, and its has_nodule says 0: it must be 1."
            )
        start += len(chunk)


# --- reading -------------------------------------------------------------------------------------


def read_info(folder):
    """The dictionary of dataset.json. Raises ValueError unless it has all required entries."""
    path = folder / "dataset.json"
    if folder.name.startswith(".") and folder.name.endswith(UNFINISHED):
        raise ValueError(f"{folder} was never finished: delete it.")
    try:
        info = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} is not a PatchSet: it has no dataset.json.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from None
    keys = {"source", "licence", "citation", "parameters", "made_by", "arrays", "slices_sha256"}
    missing = keys - set(info) if isinstance(info, dict) else keys
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}.")
    if not isinstance(info.setdefault("columns", {}), dict):
        raise ValueError(f"{path} must give columns as names and kinds, found {info['columns']}.")
    _check_entries(path, info["arrays"])
    return info


def _check_entries(path, arrays):
    """Raise ValueError unless dataset.json has the right arrays, of one shape, of integers."""
    files = sorted(arrays) if isinstance(arrays, dict) else []
    if set(files) - {"readers.npy"} != {"images.npy", "masks.npy"}:
        raise ValueError(
            f"{path} must name images.npy, masks.npy and perhaps readers.npy, found "
            f"{', '.join(files) or 'none'}."
        )
    for file, entry in arrays.items():
        if not isinstance(entry, dict) or not {"dtype", "shape", "sha256"} <= set(entry):
            raise ValueError(f"{path} lacks the dtype, shape or sha256 of {file}.")
        shape = entry["shape"]
        if not (isinstance(shape, list) and len(shape) == 3) or not all(
            type(number) is int and number > 0 for number in shape
        ):
            raise ValueError(f"{path} must give {file} a shape [N, H, W], found {shape}.")
        kinds = INTEGERS if file == "images.npy" else ("uint8",)
        if entry["dtype"] not in kinds:
            raise ValueError(
                f"{path} must say that {file} holds {' or '.join(kinds)}, found {entry['dtype']}."
            )
    shapes = [entry["shape"] for entry in arrays.values()]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"{path} must give its arrays one shape, found {shapes}.")


def map_array(folder, file, entry):
    """One array of a set, memory-mapped, its header checked; nothing is unpickled."""
    path = folder / file
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise ValueError(f"{path} is missing, and dataset.json names it.") from None
    except (EOFError, OSError, OverflowError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole .npy file: {error}.") from None
    dtype, shape = array.dtype.name, list(array.shape)
    if (dtype, shape) != (entry["dtype"], entry["shape"]):
        raise ValueError(
            f"{path} holds {dtype} {shape}, and dataset.json says {entry['dtype']} "
            f"{entry['shape']}."
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"{path} must be in C order, found Fortran order.")
    if path.stat().st_size != array.offset + array.nbytes:
        raise ValueError(f"{path} has bytes beyond its array.")
    return array


def check_array(folder, file, entry):
    """Compare every byte of an array with its checksum; return the array."""
    array = map_array(folder, file, entry)
    digest = hashlib.sha256()
    for chunk in chunks(array):
        digest.update(chunk.data)
    if digest.hexdigest() != entry["sha256"]:
        raise ValueError(
            f"{folder / file} is damaged: its checksum is not the one in dataset.json."
        )
    return array
