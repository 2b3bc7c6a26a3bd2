"""The figure of the page of results."""

import matplotlib.pyplot as plt

from nodule_lesson import plots
from nodule_lesson.chapters.results import tables
from nodule_lesson.experiments import evidence, grid


def comparisons(decisions):
    """Draw the protocol's comparisons with their 95 % intervals, and the paper's differences."""
    dice = {row: value for number in grid.TABLES for row, value in tables.printed(number).items()}
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    axes.axvline(0, color=plots.MUTED, linewidth=1)
    for y, one in enumerate(reversed(decisions)):
        if {one.row, one.other} <= dice.keys():
            axes.plot(dice[one.row] - dice[one.other], y, "D", color=plots.ORANGE, markersize=6)
        if one.difference is not None:
            decided = one.verdict == evidence.DECIDED
            axes.plot([one.difference.low, one.difference.high], [y, y], "-", color=plots.BLUE)
            axes.plot(one.difference.mean, y, "o", color=plots.BLUE, markersize=7,
                      markerfacecolor=plots.BLUE if decided else axes.get_facecolor())  # fmt: skip
    axes.plot([], [], "o-", color=plots.BLUE, label="ours, decided")
    axes.plot([], [], "o-", color=plots.BLUE, markerfacecolor=axes.get_facecolor(),
              label="ours, open")  # fmt: skip
    axes.plot([], [], "D", color=plots.ORANGE, label="the paper")
    names = [f"{one.row} −\n{one.other}" for one in reversed(decisions)]
    axes.set_yticks(range(len(decisions)), names)
    axes.set(xlabel="difference of mean Dice", ylim=(-0.6, len(decisions) - 0.4))
    axes.locator_params(axis="x", nbins=6)
    figure.legend(loc="outside lower center", ncols=3)
