"""The figures of the chapter on real scans, drawn with pyplot."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots


def outline_and_mask(points, enclosed, mask):
    """Draw one reader's outline over what it encloses, and over what is meant.

    points: (n, 2) of (column, row). enclosed, mask: boolean, with the outline and without.
    """
    titles = f"enclosed: {enclosed.sum()} pixels", f"meant: {mask.sum()} pixels"
    closed = np.vstack([points, points[:1]])
    figure, axes = plt.subplots(1, 2, figsize=(5.4, 2.7))
    for panel, field, title in zip(axes, (enclosed, mask), titles, strict=True):
        panel.imshow(field, cmap="Blues", vmin=0, vmax=1.4)
        panel.plot(*closed.T, color=plots.ORANGE, lw=1, ls="-", marker=".", markersize=4)
        panel.set_title(title)
        panel.set_axis_off()


def one_nodule(patch_set):
    """Draw five slices of one nodule, from its first empty slice to its last.

    The nodule has empty slices on both sides, and of those that have it is the largest in one
    slice. It is not of ground glass: at this size that would hardly be seen.
    """
    table = patch_set.slices
    names = np.char.add(table["patient"].astype(str), table["nodule"].astype(str))
    areas = {name: patch_set.masks[names == name].sum((1, 2)) for name in np.unique(names)}
    solid = np.unique(names[table["type"] != "ggo"])
    best = max(solid, key=lambda name: (areas[name][[0, -1]].max() == 0, areas[name].max()))
    of_nodule = np.flatnonzero(names == best)
    inside = of_nodule[areas[best] > 0]
    middle = inside[np.quantile(range(len(inside)), (0.2, 0.5, 0.8)).round().astype(int)]
    figure, axes = plt.subplots(1, 5, figsize=(5.6, 1.5))
    for panel, k in zip(axes, (of_nodule[0], *middle, of_nodule[-1]), strict=True):
        panel.imshow(patch_set.images[k], cmap="gray", vmin=-1000, vmax=400)
        if patch_set.masks[k].any():
            panel.contour(patch_set.masks[k], [0.5], colors=plots.CONTOUR, linewidths=1)
        panel.set_title(f"slice {table['slice'][k]}", fontsize=9)
        panel.set_axis_off()
