"""The figures of the page on simulated scans. Each function draws one with pyplot."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.chapters.simulated_scans.computations import CONDITIONS, rows_by_condition


def real_and_simulated_densities(rows):
    """Draw four densities of simulated slices beside what is known of real ones.

    rows: "hounsfield" of results/simulated_realism.json.
    """
    figure, axes = plt.subplots(2, 2, figsize=(5.2, 4.4))
    for panel, row in zip(axes.flat, rows, strict=True):
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
    figure, axes = plt.subplots(figsize=(5.4, 5.4))
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
    axes.set_yticks(range(len(rows)), [row["number"] for row in rows], fontsize=9)
    axes.set_xlabel("0 and 1: 5 % and 95 % of the real slices")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2, fontsize=9)


def dice_by_training(result):
    """Draw the mean Dice on real slices of each training, with its seeds and its interval.

    result: what results/simulated_to_real.json holds.
    """
    trained, steps = rows_by_condition(result), result["setting"]["steps"]
    figure, axes = plt.subplots(2, figsize=(5.4, 6.4), sharey=True, sharex=True)
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
        panel.set_title(f"{title}: {test['test_patients']}")
        panel.set_ylim(-0.5, len(CONDITIONS) - 0.4)
        panel.grid(visible=False, axis="y")
    axes[-1].set_xlabel("mean Dice")
    axes[0].set_yticks(range(len(CONDITIONS)), list(CONDITIONS.values())[::-1])
    axes[0].legend(loc="lower left", fontsize=9)
