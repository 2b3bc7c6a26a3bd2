"""Training and test rows of a set: splits and folds by patient."""

import warnings
from numbers import Integral

import numpy as np


def split(patch_set, parts=(0.8, 0.2), by="patient", seed=0):
    """Split the rows of a set into disjoint parts: a list of sorted row arrays, one per part.

    parts: the wanted fractions of the rows, which sum to 1. They are met approximately, both for
    slices with a nodule and for slices without, since no patient is in two parts. by="lesion"
    keeps only the slices of one lesion together, as the paper does, and warns: its parts share
    patients. seed: decides the split. Raises ValueError for fewer patients than parts.
    """
    parts = np.asarray(parts, float)
    if parts.ndim != 1 or not (parts > 0).all() or abs(parts.sum() - 1) > 1e-6:
        raise ValueError(f"parts must be positive and sum to 1, found {parts.tolist()}.")
    return _deal(patch_set.slices, parts, by, seed)


def folds(patch_set, count=5, by="patient", seed=0):
    """The rows of each of `count` folds for cross-validation: a list of sorted row arrays.

    Test on fold k, train on the others: `np.concatenate(rows[:k] + rows[k + 1:])`. by, seed and
    errors are those of `split`.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 2:
        raise ValueError(f"count must be an integer of at least 2, found {count!r}.")
    return _deal(patch_set.slices, np.full(count, 1 / count), by, seed)


def _deal(slices, parts, by, seed):
    """Give each group, in random order, to the part that it brings nearest to its wanted size."""
    group_of_row = _groups(slices, by)
    groups = group_of_row.max() + 1
    if groups < len(parts):
        raise ValueError(f"{len(parts)} parts need as many {by}s, found {groups}.")
    kinds = (slices["has_nodule"], ~slices["has_nodule"])
    sizes = np.stack([np.bincount(group_of_row, kind, groups) for kind in kinds], axis=1)
    wanted = parts[:, None] * sizes.sum(0)
    held = np.zeros_like(wanted)
    part_of_group = np.empty(groups, int)
    for dealt, group in enumerate(np.random.default_rng(seed).permutation(groups)):
        far, near = (_distance(held + more, wanted) for more in (0, sizes[group]))
        change = near - far
        empty = held.sum(1) == 0
        if groups - dealt == empty.sum():  # no part stays empty
            change[~empty] = np.inf
        part_of_group[group] = part = change.argmin()
        held[part] += sizes[group]
    return [np.flatnonzero(part_of_group[group_of_row] == part) for part in range(len(parts))]


def _distance(held, wanted):
    """The squared relative difference between each part and its wanted size, over both kinds."""
    return (((held - wanted) / np.maximum(wanted, 1)) ** 2).sum(1)


def _groups(slices, by):
    """The number of each row's group."""
    keys = {"patient": ["patient"], "lesion": ["patient", "scan", "nodule"]}.get(by)
    if keys is None:
        raise ValueError(f'by must be "patient" or "lesion", found {by!r}.')
    if by == "lesion":
        warnings.warn(
            'by="lesion" leaks: lesions of one patient fall on both sides, so the network is '
            "tested on a chest, a scanner and readers that it has seen, and scores better than it "
            'will on a new patient; by="patient" does not leak.',
            stacklevel=4,
        )
    # Each column's values numbered; a row of these numbers is one group.
    numbers = np.stack([np.unique(slices[key], return_inverse=True)[1] for key in keys], axis=1)
    return np.unique(numbers, axis=0, return_inverse=True)[1].reshape(-1)
