"""The longer figures of the chapter on soft threshold dynamics, drawn with pyplot."""

import matplotlib.pyplot as plt
import torch

from nodule_lesson import plots, std


def one_step(u=1.0, lambda1=1.8, start=0.25):
    """Draw the tangent of the boundary term, and the step that it gives, for constant fields.

    All is per pixel and far from the border, where K of a constant is that constant; epsilon is 1.
    """
    x = torch.linspace(0, 1, 401, dtype=torch.float64)
    tangent = start * (1 - start) + (1 - 2 * start) * (x - start)
    rest = -u * x + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    energy, majorant = rest + lambda1 * x * (1 - x), rest + lambda1 * tangent
    after = torch.sigmoid(torch.tensor(u - lambda1 * (1 - 2 * start), dtype=torch.float64))

    def height(curve, place):
        return float(curve[int((x - place).abs().argmin())])

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.6))
    left.plot(x, tangent, color=plots.ORANGE, linestyle="--", label="tangent")
    left.plot(x, x * (1 - x), color=plots.BLUE, linestyle="-", label="R")
    left.plot(start, start * (1 - start), "o", color=plots.INK)
    left.set(xlabel="x", title="boundary term per pixel", ylim=(-0.05, 0.65))
    left.legend(loc="upper left")
    right.plot(x, majorant, color=plots.ORANGE, linestyle="--", label="majorant F")
    right.plot(x, energy, color=plots.BLUE, linestyle="-", label="energy E")
    right.plot(start, height(energy, start), "o", color=plots.INK)
    right.plot(after, height(majorant, after), "o", color=plots.ORANGE)
    right.plot(after, height(energy, after), "o", color=plots.BLUE)
    right.vlines(after, -2, height(majorant, after), color=plots.MUTED, linewidth=1)
    right.vlines(start, -2, height(energy, start), color=plots.MUTED, linewidth=1)
    right.set(xlabel="x", title="energy per pixel", ylim=(-1.25, 0.3))
    right.set_xticks((0, start, float(after), 1), ("0", "$x_t$", "$x_{t+1}$", "1"))
    right.legend(loc="upper right")


def two_energies(u):
    """Draw the energy at each of ten steps, of the derived and of the printed iteration.

    u: (H, W), float64 logits. sigma is 2 pixels, lambda1 and epsilon are 1.
    """
    steps = range(11)
    derived = [float(std.std_energy(x, u, sigma=2.0)) for x in std.iterates(u, sigma=2.0)]
    printed = [
        float(std.std_energy(std.printed_iteration(u, sigma=2.0, iterations=t), u, sigma=2.0))
        for t in steps
    ]
    figure, (left, right) = plt.subplots(1, 2)
    left.plot(steps, derived, marker="o", color=plots.BLUE)
    left.set(xlabel="step t", ylabel="energy", title="derived: u stays")
    right.plot(steps, printed, marker="s", linestyle="--", color=plots.ORANGE)
    right.set(xlabel="step t", title="printed: $x_t$ in the place of u")


def errors_and_bounds(u):
    """Draw the largest error after each step with its bound, for three weights of the boundary.

    u: (H, W), float64 logits. sigma is 2 pixels and epsilon is 1.
    """
    figure, axes = plt.subplots()
    for lambda1 in (0.5, 1.0, 1.5):
        limit = std.iterates(u, sigma=2.0, lambda1=lambda1, iterations=200)[-1]
        fields = std.iterates(u, sigma=2.0, lambda1=lambda1, iterations=10)
        errors = [float((x - limit).abs().max()) for x in fields]
        q = lambda1 / 2
        first = float((fields[1] - fields[0]).abs().max())
        line = axes.semilogy(errors, linestyle="-", label=f"λ₁ = {lambda1}")[0]
        axes.semilogy([q**t / (1 - q) * first for t in range(11)], ":", color=line.get_color())
    axes.set(xlabel="step t", ylabel="largest error")
    axes.legend()


def wells():
    """Draw the energy of constant fields, with what the layer's steps end at from x = 0 and 1.

    epsilon is 1 and sigma 2 pixels. Left without evidence, for three weights of the boundary;
    right for a weight beyond 2 epsilon and three logits. The energy is per pixel, far from the
    border, where K of a constant is that constant; the dots are in the middle of 48 x 48 pixels.
    """
    figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.6))
    settings = [
        ("u = 0", [(0.0, weight, f"λ₁ = {weight:g}") for weight in (1.0, 2.0, 3.0)]),
        ("λ₁ = 3", [(logit, 3.0, f"u = {logit:g}") for logit in (0.0, 0.2, 0.6)]),
    ]
    x = torch.linspace(0, 1, 401, dtype=torch.float64)
    for axes, (title, curves) in zip(panels, settings, strict=True):
        for u, lambda1, label in curves:
            line = axes.plot(x, _per_pixel(x, u, lambda1), label=label)[0]
            if lambda1 != 2:  # at the ratio 2 itself the steps arrive too slowly for a dot
                ends = _ends(u, lambda1)
                axes.plot(ends, _per_pixel(ends, u, lambda1), "o", color=line.get_color())
        axes.set(xlabel="x", title=title)
    panels[0].set(ylabel="energy per pixel", ylim=(-0.48, 0.35))
    panels[0].legend(loc="upper center")
    panels[1].legend(loc="lower left")


def _per_pixel(x, u, lambda1):
    """The energy per pixel of constant fields x, far from the border, with epsilon = 1."""
    return -u * x + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x) + lambda1 * x * (1 - x)


def _ends(u, lambda1):
    """In the middle of a constant field of logits u, the limits from x = 0 and from x = 1."""
    logits = torch.full((48, 48), u, dtype=torch.float64)
    runs = [
        std.iterates(logits, start=start, sigma=2.0, lambda1=lambda1, iterations=100)[-1]
        for start in (0, 1)
    ]
    return torch.stack([x[24, 24] for x in runs])
