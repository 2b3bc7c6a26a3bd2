"""The crops of the sheet: which slices of the demo set they are, and what its readers drew."""

import itertools

import numpy as np

from nodule_lesson.data import open_demo
from nodule_lesson.evaluation import dice

SIDE = 32  # pixels
NAMES = {
    "isolated": "isolated",
    "juxtapleural": "juxtapleural",
    "cavitary": "cavitary",
    "calcific": "calcific",
    "ggo": "ground glass",
}


def crops():
    """One slice per type, and a small one: a list of dicts with letter, name, hu, drawn, mm.

    Chosen by rule, among the slices in which all four readers drew: of each type the one with the
    largest consensus that leaves a rim of four pixels, and the isolated one with the smallest.
    drawn: (4, SIDE, SIDE), a reader's mask in each. mm: the width of a pixel.
    """
    demo = open_demo("luna_like")
    bits = np.asarray(demo.readers)
    drawn = (bits[:, None] >> np.arange(4)[:, None, None]) & 1
    all_drew = drawn.any((2, 3)).all(1)
    areas = np.asarray(demo.masks).astype(bool).sum((1, 2))
    types = np.asarray(demo.slices["type"])
    places = [_window(masks) for masks in drawn]
    chosen = []
    for kind, name in NAMES.items():
        fits = [i for i in np.flatnonzero(all_drew & (types == kind)) if places[i]]
        fits.sort(key=lambda i: areas[i])
        chosen.append((name, fits[-1]))
        if kind == "isolated":
            chosen.append(("isolated, small", fits[0]))
    return [
        {
            "letter": letter,
            "name": name,
            "hu": np.asarray(demo.images[i])[places[i]],
            "drawn": drawn[i][:, *places[i]].astype(bool),
            "mm": float(demo.slices["row_mm"][i]),
        }
        for letter, (name, i) in zip("ABCDEF", chosen, strict=True)
    ]


def _window(masks):
    """The square of SIDE pixels around all outlines, as two slices; None if they do not fit."""
    place = []
    for used in np.nonzero(masks.any(0)):
        if not len(used) or used.max() - used.min() + 9 > SIDE:
            return None
        start = (used.min() + used.max() + 1 - SIDE) // 2
        place.append(slice(start := min(max(start, 0), masks.shape[1] - SIDE), start + SIDE))
    return tuple(place)


def agreements(drawn):
    """The Dice of each pair of readers."""
    return [float(dice(a[None], b[None])[0]) for a, b in itertools.combinations(drawn, 2)]
