"""The longer figures of the chapter on the combination block. Each function draws one."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.networks.detection_guided import STAGES


def pairs(calls):
    """Draw which stage of the classifier feeds which stage of the U-Net, a panel for each network.

    calls: what `networks.trace` finds in each network, by the name of the panel. Stages of the
    classifier from which a path leads to a combination are shaded.
    """
    figure, panels = plt.subplots(1, 2, figsize=(5.4, 3.4), sharey=True)
    columns = {"C": (0, plots.ORANGE, "#fbe6d8"), "S": (1.6, plots.BLUE, "#dde9f6")}
    for panel, (title, found) in zip(panels, calls.items(), strict=True):
        met = dict(call.sources for name, call in found.items() if name.startswith("combination."))
        deepest = max(met.values())
        sizes = sorted({found[stage].shape[-1] for stage in (*met, "S1", "C5")}, reverse=True)
        level = {size: -number for number, size in enumerate(sizes)}
        for kind, (x, colour, shade) in columns.items():
            for stage in (f"{kind}{number}" for number in range(1, 6)):
                face = shade if kind == "S" or stage <= deepest else "white"
                box = {"boxstyle": "round,pad=0.35", "fc": face, "ec": colour}
                y = level[found[stage].shape[-1]]
                panel.text(x, y, stage, ha="center", va="center", fontsize=11, bbox=box)
        chains = [(f"{kind}{n}", f"{kind}{n + 1}", 13) for kind in "CS" for n in range(1, 5)]
        for start, end, gap in [*chains, *((source, to, 18) for to, source in met.items())]:
            ends = [(columns[k[0]][0], level[found[k].shape[-1]]) for k in (end, start)]
            colour = plots.GREEN if start[0] != end[0] else plots.MUTED
            arrow = {"arrowstyle": "-|>", "color": colour, "lw": 1.4, "shrinkA": gap}
            panel.annotate("", *ends, arrowprops={**arrow, "shrinkB": gap})
        panel.set(xlim=(-0.7, 2.2), ylim=(-len(sizes) + 0.5, 0.5), title=title, xticks=[])
        panel.set_yticks(list(level.values()), [f"{size}×{size}" for size in level], fontsize=10)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
        panel.grid(False)
    panels[0].set_ylabel("size of the map")


def singular_values(values, n_S):
    """Draw singular values against their number, as shares of the first.

    values: an array for each name of a layer, in falling order. n_S: the channels that the block
    gives, marked.
    """
    figure, axes = plt.subplots()
    for name, sigma in values.items():
        axes.plot(np.arange(1, len(sigma) + 1), sigma / sigma[0], label=name)
    axes.axvline(n_S, color=plots.MUTED, linewidth=1, linestyle=":")
    axes.annotate("$n_S$", (n_S, 0.93), xytext=(6, 0), textcoords="offset points")
    axes.set(xlabel="number of the singular value", ylabel="singular value, share of the first")
    axes.set(xlim=(0, len(sigma) + 4), ylim=(0, 1.02))
    axes.legend()


def two_inputs_one_output(before, after, channels):
    """Draw one channel of s, f and the block's output, and the mask, before and after a change.

    before, after: four tensors each, (1, channels, height, width). channels: the number of the
    channel that is shown of each of them; the grey levels are those of `before`.
    """
    titles = ["s, from the U-Net", "f, from the classifier", "output of the block", "mask"]
    figure, axes = plt.subplots(2, 4, figsize=(7.4, 4.0))
    rows = zip(axes, (before, after), ("as it was", "with a secret"), strict=True)
    for row, fields, name in rows:
        panels = zip(row, fields, before, channels, titles, strict=True)
        for panel, field, old, channel, title in panels:
            low, high = (float(old[0, channel].quantile(share)) for share in (0.01, 0.99))
            colours = {"cmap": "gray", "vmin": low, "vmax": high}
            if title == "mask":
                colours = {"cmap": "Blues", "vmin": 0, "vmax": 1}
            panel.imshow(field[0, channel], **colours)
            panel.set(xticks=[], yticks=[], title=title if name == "as it was" else "")
            panel.grid(False)
        row[0].set_ylabel(name)


def left_out(shares):
    """Draw what the blocks leave out of the variance, as grouped bars for each stage.

    shares: for each name of a network the three shares of every stage, (stages, 3), as
    `computations.left_out` returns them.
    """
    labels = ("in the null space", "not predictable", "least possible")
    colours = (plots.BLUE, "#7da7d9", "#c9d3df")
    place = np.arange(len(STAGES))
    figure, axes = plt.subplots(1, 2, sharey=True)
    for panel, (name, values) in zip(axes, shares.items(), strict=True):
        for k, (label, colour) in enumerate(zip(labels, colours, strict=True)):
            panel.bar(place + 0.27 * (k - 1), values[:, k], 0.25, label=label, color=colour)
        panel.set(xticks=place, xticklabels=STAGES, title=name, axisbelow=True)
        panel.grid(False, axis="x")
    axes[0].set(ylabel="share of the variance", ylim=(0, 0.8))
    axes[1].legend()


def gradient_by_part(norms, choices, parts):
    """Draw norms of gradients as a shaded table, with zeros that are exact as "0".

    norms: (choices, parts). choices: names of where the blocks are. parts: names of the parts of
    the classifier.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.5))
    axes.imshow(norms, cmap="Blues", vmin=0, vmax=1.3 * norms.max(), aspect="auto")
    for (row, column), value in np.ndenumerate(norms):
        colour = "white" if value > 0.75 * norms.max() else plots.INK
        number = f"{value:.2f}" if value else "0"
        axes.text(column, row, number, ha="center", va="center", color=colour)
    axes.set(xticks=range(len(parts)), xticklabels=parts, xlabel="part of the classifier")
    axes.set(yticks=range(len(choices)), yticklabels=choices, ylabel="blocks at")
    axes.grid(False)
