"""A NRRD file, .nrrd, as 3D Slicer writes it: a header in text, an empty line, the voxels.

The format is described at https://teem.sourceforge.net/nrrd/format.html. SimpleITK turns RAS and
LAS into its own LPS, and takes any other space for LPS without a word; it makes axes that are not
at right angles so. So the important fields are also read here.
"""

import re

import numpy as np

from nodule_lesson.data.ct import itk

SPACES = {  # to LPS
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}


def read_header(path):
    """The fields of a `Scan`. Raises ValueError as `Scan.open`."""
    header = _fields(path)
    size = _size(path, header)
    for name in ("data file", "datafile", "old min", "old max"):
        if name in header:
            raise ValueError(f"{path} must hold its voxels as they are, found the field {name}.")
    if set(re.findall(r'"(.*?)"', header.get("space units", ""))) - {"mm"}:
        raise ValueError(f"{path} must have lengths in mm, found {header['space units']}.")
    if (space := header.get("space", "none").lower()) not in SPACES:
        raise ValueError(
            f"{path} must say in which space its axes are, LPS, RAS or LAS, found {space}."
        )
    steps = _vectors(path, header, "space directions", 3).T
    origin = _vectors(path, header, "space origin", 1)[0]
    to_lps = np.array(SPACES[space], float)
    return {
        "files": (path,),
        **itk.geometry(path, "NrrdImageIO", size, to_lps[:, None] * steps, to_lps * origin),
        "streamed": False,
        "image_io": "NrrdImageIO",
        "series": path.stem,
    }


def _fields(path):
    """The fields of the header, which ends with an empty line."""
    with open(path, "rb") as file:
        lines = iter(file.read(100_000).splitlines())
    if not next(lines, b"").startswith(b"NRRD000"):
        raise ValueError(f"{path} is no NRRD file: it does not begin with NRRD.")
    fields = {}
    for line in lines:
        if not line:
            return fields
        match = re.match("([^:#]+): (.*)", line.decode("utf-8", "replace").strip())
        if not match:  # a comment, or a key and its value, with := between
            continue
        key, value = match[1].strip().lower(), match[2].strip()
        if key in fields:
            raise ValueError(f"{path} has a header that says twice what its {key} is.")
        fields[key] = value
    raise ValueError(f"{path} has a header without an end: it is cut or damaged.")


def _size(path, header):
    """(columns, rows, slices)."""
    sizes = header.get("sizes", "").split()
    three = header.get("dimension") == "3" and len(sizes) == 3
    if not three or not all(n.isdecimal() and int(n) > 0 for n in sizes):
        raise ValueError(
            f"{path} must hold one volume of three dimensions, found "
            f"{header.get('dimension', 'none')} with {' x '.join(sizes) or 'no'} voxels."
        )
    sizes = [int(n) for n in sizes]
    itk.check_size(path, sizes)
    return sizes


def _vectors(path, header, name, count):
    """The vectors of a field, (count, 3): `(1,0,0) (0,1,0) (0,0,1)`."""
    text = header.get(name, "none")
    vectors = [itk.numbers(vector, ",") for vector in re.findall(r"\(([^)]*)\)", text)]
    if len(vectors) != count or any(len(vector) != 3 for vector in vectors):
        raise ValueError(
            f"{path} must have {count} times three finite numbers as its {name}, found {text}."
        )
    return np.array(vectors)
