"""The figures of the chapter on reading the tables. Each function draws one, with pyplot."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.chapters.reading_the_tables import computations
from nodule_lesson.evaluation import statistics


def lesions_in_pairs(a, b):
    """Draw each lesion's Dice by two methods, a over b, and the diagonal."""
    _, axes = plt.subplots(figsize=(4.6, 4.2))
    axes.plot(b, a, ".", markersize=4, color=plots.BLUE, alpha=0.4, ls="none")
    axes.plot([0, 1], [0, 1], "-", color=plots.INK, linewidth=1)
    axes.set(xlabel="Dice of UNet", ylabel="Dice of the proposed model", aspect="equal")
    axes.set(xlim=(-0.03, 1), ylim=(-0.03, 1))


def two_intervals(results):
    """Draw comparisons with their interval by patients, the crossed one, and each seed's mean."""
    figure, axes = plt.subplots(figsize=(5.6, 4.4))
    names = {"transfer": "pre-trained", "backbone+combination": "combination", "std": "STD"}
    names |= {row: computations.NAMES[row] for row in computations.RIVALS}
    places = range(len(computations.COMPARED))[::-1]
    for y, pair in zip(places, computations.COMPARED, strict=True):
        patients, crossed, seeds = computations.two_intervals(results, *pair)
        axes.plot([crossed.low, crossed.high], [y, y], "-", color=plots.BLUE, linewidth=1.5)
        axes.plot([patients.low, patients.high], [y, y], "-", color=plots.ORANGE, linewidth=7,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot(seeds, [y] * len(seeds), "o", color=plots.INK, markersize=4, ls="none")
    axes.axvline(0, color=plots.MUTED, linewidth=1)
    axes.plot([], [], "-", color=plots.ORANGE, linewidth=7, label="by patients alone")
    axes.plot([], [], "-", color=plots.BLUE, linewidth=1.5, label="seeds and patients")
    axes.plot([], [], "o", color=plots.INK, markersize=4, ls="none", label="one seed")
    labels = ["\n− ".join(names.get(row, row) for row in pair) for pair in computations.COMPARED]
    axes.set_yticks(places, labels)
    axes.set(xlabel="difference of mean Dice")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, columnspacing=1.2)


def what_eleven_lesions_show(both):
    """Draw the paper's leads, and the differences that eleven lesions find with 1 and 3 seeds.

    both: results on simulated and on real slices; a bar leads from the lower to the higher of the
    two.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    leads = computations.leads()
    for y, (row, lead) in enumerate(leads.items()):
        for shift, seeds, colour in ((-0.14, 1, plots.BLUE), (0.14, 3, plots.GREEN)):
            ends = [computations.shown_by_eleven(results, row, seeds) for results in both]
            axes.plot(sorted(ends), [y + shift] * 2, "-", color=colour, linewidth=6,
                      solid_capstyle="butt")  # fmt: skip
        axes.plot(lead, y, "D", color=plots.ORANGE, markersize=7)
    kindest = statistics.detectable(0.05, computations.LESIONS)
    axes.axvline(kindest, color=plots.MUTED, linestyle=":", linewidth=1.5)
    axes.plot([], [], "D", color=plots.ORANGE, label="the paper's lead")
    axes.plot([], [], "-", color=plots.BLUE, linewidth=6, label="shown with one seed")
    axes.plot([], [], "-", color=plots.GREEN, linewidth=6, label="with three seeds")
    axes.plot([], [], ":", color=plots.MUTED, linewidth=1.5, label="at best")
    axes.set_yticks(range(len(leads)), [f"− {computations.NAMES[row]}" for row in leads])
    axes.invert_yaxis()
    axes.set(xlabel="difference of mean Dice from the proposed model", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)


def what_our_design_shows(design, printed):
    """Draw the power of our design over the true difference, and the paper's differences.

    design: as `computations.design` returns. printed: the paper's differences. Each band goes from
    no effect of the clinic, above, to one as large as that of a seed.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    clinics = sorted({row["clinic"] for row in design["power"]})
    rows = [[row for row in design["power"] if row["clinic"] == clinic] for clinic in clinics]
    differences = [row["difference"] for row in rows[0]]
    for key, label, colour in (
        ("alone", "a single comparison", plots.BLUE),
        ("first_of_eight", "the first of eight", plots.ORANGE),
    ):
        none, much = ([100 * row[key] for row in each] for each in rows)
        axes.fill_between(differences, much, none, color=colour, alpha=0.3, linewidth=0)
        axes.plot(differences, none, "-", color=colour, label=label)
        axes.plot(differences, much, "-", color=colour)
    axes.axhline(80, color=plots.MUTED, linestyle=":", linewidth=1.5)
    axes.plot(printed, np.zeros(len(printed)), "D", color=plots.INK, markersize=6, ls="none",
              clip_on=False, zorder=3, label="differences in the paper")  # fmt: skip
    axes.set(xlabel="true difference of mean Dice", ylabel="decided, % of experiments")
    axes.set(ylim=(0, 100), xlim=(0, max(max(printed), max(differences)) + 0.005))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
