"""The longer figure of the chapter on real scans, drawn with pyplot."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots


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
    figure, axes = plt.subplots(1, 5, figsize=(7.4, 1.8))
    for panel, k in zip(axes, (of_nodule[0], *middle, of_nodule[-1]), strict=True):
        panel.imshow(patch_set.images[k], cmap="gray", vmin=-1000, vmax=400)
        if patch_set.masks[k].any():
            panel.contour(patch_set.masks[k], [0.5], colors=plots.CONTOUR, linewidths=1)
        panel.set_title(f"slice {table['slice'][k]}", fontsize=8)
        panel.set_axis_off()
