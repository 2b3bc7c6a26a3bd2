"""The figures of the chapter on regimes. Each function draws one, with pyplot."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from nodule_lesson import plots
from nodule_lesson.chapters.regimes.live import flat_limits, fold


def price_by_ratio(ratios, prices):
    """Draw the price of an edge, hard edge = 1, over epsilon / lambda1, with the regimes."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    axes.axvspan(0, 0.1, color=plots.BLUE, alpha=0.16, linewidth=0)
    axes.axvspan(0.1, 0.5, color=plots.BLUE, alpha=0.07, linewidth=0)
    axes.plot(ratios, prices, clip_on=False)
    axes.plot(1, 0, "D", color=plots.ORANGE, clip_on=False, zorder=3)
    axes.annotate("the paper's λ₁\nwith ε = 1", (1, 0.03), (1, 0.2), ha="center",
                  arrowprops={"arrowstyle": "-", "color": plots.MUTED})  # fmt: skip
    for place, name in ((0.05, "hard"), (0.3, "soft"), (0.85, "no price of an outline")):
        axes.text(place, 1.06, name, ha="center", color=plots.INK)
    axes.set(xlabel="ε / λ₁", ylabel="price of an outline, hard = 1")
    axes.set(xlim=(0, 1.2), ylim=(0, 1.15))


def gain_by_wavelength(wavelengths, measured, sigma):
    """Draw the gain of small waves over their length: the formula, and dots by the layer.

    measured: epsilon / lambda1 -> the gains of waves of these lengths, in pixels.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    length = np.geomspace(2, 100, 200)
    k = np.exp(-2 * (np.pi * sigma / length) ** 2)
    colours = plots.BLUE, plots.ORANGE, plots.GREEN
    for (ratio, gains), colour in zip(measured.items(), colours, strict=True):
        q = 1 / (2 * ratio)
        axes.plot(length, 1 / (1 - q * k), "-", color=colour, label=f"ε/λ₁ = {ratio:g}")
        axes.plot(wavelengths, gains, "o", color=colour, markersize=4)
    axes.set(xscale="log", xlabel="wavelength (pixels)", ylabel="gain", ylim=(0.9, 3.6))
    axes.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.legend(loc="upper left")


def answers_of_flat_fields():
    """Draw all answers of a flat field: over epsilon / lambda1 for u = 0, and over u.

    Lines: where the slope of the energy is 0, dashed where that is no lowest point. Dots: where
    the layer ends from x = 0 and from x = 1.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.3), sharey=True)
    m = np.linspace(1e-3, 1 - 1e-9, 1500)
    ratio = m / (2 * np.arctanh(m))
    for sign in (-1, 1):
        left.plot(ratio, (1 + sign * m) / 2, "-", color=plots.BLUE)
    left.plot([0, 0.5], [0.5, 0.5], "--", color=plots.MUTED)
    left.plot([0.5, 1], [0.5, 0.5], "-", color=plots.BLUE)
    zero = torch.zeros(1, dtype=torch.float64)
    places = [0.05, 0.12, 0.2, 0.28, 0.35, 0.41, 0.46, 0.48, 0.55, 0.65, 0.8, 0.95]
    ends = np.array([flat_limits(zero, place).numpy()[:, 0] for place in places])
    left.plot(places, ends, "o", color=plots.ORANGE, markersize=4)
    left.set(xlabel="ε / λ₁", ylabel="x", xlim=(0, 1), title="u = 0")

    epsilon = 0.25
    m = np.tanh(np.linspace(-4, 4, 1501))
    u = 2 * epsilon * np.arctanh(m) - m
    low = 2 * epsilon < 1 - m**2  # no lowest point of the energy
    for part, style, colour in ((low, "--", plots.MUTED), (~low, "-", plots.BLUE)):
        for one in (-1, 1) if style == "-" else (0,):
            chosen = part & (m * one >= 0)
            right.plot(u[chosen], (1 + m[chosen]) / 2, style, color=colour)
    places = torch.linspace(-0.57, 0.57, 20, dtype=torch.float64)
    right.plot(places, flat_limits(places, epsilon).T, "o", color=plots.ORANGE, markersize=4)
    for place in (-fold(epsilon), fold(epsilon)):
        right.axvline(place, color=plots.MUTED, linewidth=1, linestyle=":")
    right.set(xlabel="u / λ₁", xlim=(-0.6, 0.6), title="ε / λ₁ = 1/4")
