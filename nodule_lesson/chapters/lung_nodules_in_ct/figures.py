"""The longer figures of the chapter on lung nodules in CT. Each function draws one with pyplot.

`window(hu, level, width)` is the chapter's function from HU to grey.
"""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.chapters.lung_nodules_in_ct.computations import CONDITIONS, rows_by_condition
from nodule_lesson.chapters.lung_nodules_in_ct.live import TYPES, example

LUNG_WINDOW, TISSUE_WINDOW = (-600, 1500), (40, 400)  # level and width, HU


def two_windows(window):
    """Draw one slice through the lung window and the soft-tissue window, and both as curves."""
    windows = {"lung window": LUNG_WINDOW, "soft-tissue window": TISSUE_WINDOW}
    crop, _, _ = example("juxtapleural")
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.7), width_ratios=(1, 1, 1.1))
    hu = np.linspace(-1000, 1000, 401)
    for panel, (name, ends) in zip(axes, windows.items(), strict=False):
        _show_crop(panel, window(crop, *ends), title=name)
        axes[2].plot(hu, window(hu[None], *ends)[0], label=name)
    axes[2].set(xlabel="HU", ylabel="grey", ylim=(-0.05, 1.45), yticks=(0, 0.5, 1))
    axes[2].set_xticks((-1000, 0, 1000))
    axes[2].legend(fontsize=8, loc="upper left")


def _show_crop(axes, grey, mask=None, title=""):
    """Show a crop with values in [0, 1], and the outline of its mask."""
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    if mask is not None:
        axes.contour(mask, [0.5], colors=plots.CONTOUR, linewidths=1)
    axes.set_title(title)
    axes.set_axis_off()


def partial_volume(profile, pixel, half_way):
    """Draw the brightest voxel of a ball over its diameter, and profiles through two balls.

    profile: the chapter's function of a diameter and a thickness in mm that returns the HU of 25
    voxels, the middle one in the centre of the ball. pixel: their width in mm. half_way: the HU
    between ball and lung.
    """
    diameters = np.linspace(1, 10, 46)
    figure, (left, right) = plt.subplots(1, 2)
    for thickness in (1.0, 2.5, 5.0):
        brightest = [profile(diameter, thickness).max() for diameter in diameters]
        left.plot(diameters, brightest, label=f"{thickness:g} mm slices")
    left.set(xlabel="diameter of the ball, mm", ylabel="brightest voxel, HU")
    left.legend(loc="lower right")
    places = np.arange(-12, 13) * pixel
    for diameter in (8, 3):
        right.step(places, profile(diameter, 2.5), where="mid", label=f"{diameter} mm ball")
    right.axhline(half_way, color=plots.MUTED, linestyle=":", linewidth=1.2)
    right.set(xlabel="place, mm", ylabel="HU", ylim=(-900, 380))
    right.legend(loc="upper right")


def five_types(window):
    """Draw one example of each type in the lung window, and below it in the soft-tissue window."""
    figure, axes = plt.subplots(2, 5, figsize=(7.4, 3.2))
    for column, name in zip(axes.T, TYPES, strict=True):
        hu, mask, _ = (array[20:108, 20:108] for array in example(name))
        short = name.replace("ground glass ", "").strip("()")
        _show_crop(column[0], window(hu, *LUNG_WINDOW), mask, title=short)
        _show_crop(column[1], window(hu, *TISSUE_WINDOW), mask)


def densities_after_eq6(densities, spread, lowest, highest):
    """Draw what the paper's Eq. (6) makes of densities: per slice, and per data set.

    densities: HU by name. spread: for each name the values in [0, 1], one per slice. lowest,
    highest: the extremes of the data set, HU.
    """
    figure, axes = plt.subplots(figsize=(7.4, 2.9))
    colours = (plots.MUTED, plots.GREEN, plots.BLUE)
    for (name, density), colour in zip(densities.items(), colours, strict=True):
        axes.hist(spread[name], np.linspace(0, 1, 51), color=colour, alpha=0.75, label=name)
        axes.axvline((density - lowest) / (highest - lowest), color=colour, ls=":", lw=2)
    axes.set_axisbelow(True)
    axes.set(xlabel="value after the paper's Eq. (6)", ylabel="slices", xlim=(0, 1))
    axes.legend()


def readers_and_votes(window):
    """Draw the outlines of four readers around three nodules, and how many drew each pixel."""
    figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.3))
    shown = ("isolated", "juxtapleural", "ground glass (GGO)")
    for (above, below), name in zip(axes.T, shown, strict=True):
        hu, mask, drawn = example(name)
        middles = [(v.min() + v.max()) // 2 for v in np.nonzero(drawn)]
        part = tuple(slice(middle - 20, middle + 20) for middle in middles)
        hu, mask, drawn = hu[part], mask[part], drawn[part]
        _show_crop(above, window(hu, *LUNG_WINDOW), title=name)
        votes = np.zeros(drawn.shape, int)
        for reader, colour in enumerate(("#ff8a5c", "#7db4f0", "#86cf9f", "#f2d45c")):
            own = (drawn >> reader) & 1
            votes += own
            if own.any():
                above.contour(own, [0.5], colors=colour, linewidths=1)
        image = below.imshow(votes, cmap="Blues", vmin=0, vmax=4)
        below.contour(mask, [0.5], colors=plots.CONTOUR, linewidths=1.2)
        below.set_axis_off()
    figure.colorbar(image, ax=axes[1], label="readers", ticks=range(5), shrink=0.9)


def real_and_simulated_densities(rows):
    """Draw four densities of simulated slices beside what is known of real ones.

    rows: "hounsfield" of results/simulated_realism.json.
    """
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.4))
    for panel, row in zip(axes, rows, strict=True):
        values, measured = np.array(row["values"]), row["measured"]
        known = [value for value in measured if value is not None]
        low, high = np.percentile(values, (0.5, 99.5))
        bins = np.linspace(min(low, *known), max(high, *known), 25)
        panel.hist(values, bins, color=plots.BLUE)
        if len(known) > 1:
            panel.axvspan(known[0], known[-1], color="#d5dae1", lw=0, zorder=0)
        panel.axvline(measured[2], color=plots.ORANGE, lw=2)
        title = row["number"].replace(" SD in soft tissue", ", SD")
        panel.set(title=f"{title}\n{len(values)} slices", xlabel="HU", yticks=[])
        panel.grid(visible=False)


def real_and_simulated_numbers(rows):
    """Draw percentiles of numbers of real and of simulated slices, and each number's AUC.

    rows: "numbers" of results/simulated_realism.json.
    """
    rows = sorted(rows, key=lambda row: abs(row["auc"] - 0.5))
    figure, axes = plt.subplots(figsize=(7.4, 4.4))
    for k, row in enumerate(rows):
        low, high = row["real"][0], row["real"][-1]
        pairs = (("real", 0.17, plots.BLUE), ("simulated", -0.17, plots.ORANGE))
        for kind, up, colour in pairs:
            p5, p25, p50, p75, p95 = (np.array(row[kind]) - low) / (high - low)
            axes.plot([p5, p95], [k + up] * 2, color=colour, lw=1.2, ls="-")
            thick = {"color": colour, "lw": 5, "ls": "-", "solid_capstyle": "butt"}
            axes.plot([p25, p75], [k + up] * 2, label=kind if k == 0 else None, **thick)
            axes.plot(p50, k + up, "o", color="white", mec=colour, ms=5)
        beside = {"transform": axes.get_yaxis_transform(), "fontsize": 8}
        axes.text(1.02, k, f"{row['auc']:.2f}", va="center", **beside)
    axes.text(1.02, len(rows) - 0.2, "AUC", **beside)
    axes.set_yticks(range(len(rows)), [row["number"] for row in rows], fontsize=8)
    axes.set_xlabel("0 and 1: 5 % and 95 % of the real slices")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", fontsize=8)


def dice_by_training(result):
    """Draw the mean Dice on real slices of each training, with its seeds and its interval.

    result: what results/simulated_to_real.json holds.
    """
    trained, steps = rows_by_condition(result), result["setting"]["steps"]
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 4), sharey=True, sharex=True)
    tests = ((result["data"], lambda row: row), (result["blind"], lambda row: row["blind"]))
    titles = ("patients tuned on", "patients never looked at")
    lengths = (("", 0.17, plots.BLUE, 1), (", 4 times", -0.17, plots.ORANGE, 4))
    for panel, (test, numbers), title in zip(axes, tests, titles, strict=True):
        for ending, up, colour, times in lengths:
            label = f"{times * steps:,} steps"
            for k, name in enumerate(reversed(CONDITIONS)):
                if name + ending not in trained:
                    continue
                row = numbers(trained[name + ending])
                once = len(row["by_seed"]) == 1  # a threshold is not trained
                y, shade = (k, plots.MUTED) if once else (k + up, colour)
                line = {"color": shade, "lw": 2, "ls": "-", "label": None if once else label}
                panel.plot(row["interval_by_patient"], [y, y], **line)
                panel.plot(row["mean_dice"], y, "|", color=shade, ms=11, mew=2)
                if not once:
                    panel.plot(row["by_seed"], [y] * 3, "o", color="white", mec=shade, ms=4)
                    label = None
        panel.axvline(test["readers_mutual_dice"], color=plots.MUTED, ls=":", lw=1.2)
        panel.set(title=f"{title}: {test['test_patients']}", xlabel="mean Dice")
        panel.set_ylim(-0.5, len(CONDITIONS) - 0.4)
        panel.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(CONDITIONS)), list(CONDITIONS.values())[::-1])
    axes[0].legend(loc="lower left", fontsize=8)
