"""The longer figure of the chapter on soft threshold dynamics, drawn with pyplot."""

import matplotlib.pyplot as plt
import torch

from nodule_lesson import plots, std


def convergence_and_gap(u):
    """Draw how fast the steps converge, and how far apart the limits of two starts are.

    u: (H, W), float64 logits. Left, the largest error after each step with its bound, for three
    weights of the boundary. Right, for logits of 0, the gap at the middle pixel between the limit
    from x = 1 and the limit from x = 0.
    """
    figure, (left, right) = plt.subplots(1, 2)
    for lambda1 in (0.5, 1.0, 1.5):
        limit = std.iterates(u, sigma=2.0, lambda1=lambda1, iterations=200)[-1]
        fields = std.iterates(u, sigma=2.0, lambda1=lambda1, iterations=10)
        errors = [float((x - limit).abs().max()) for x in fields]
        q = lambda1 / 2
        first = float((fields[1] - fields[0]).abs().max())
        line = left.semilogy(errors, linestyle="-", label=f"λ₁ = {lambda1}")[0]
        left.semilogy([q**t / (1 - q) * first for t in range(11)], ":", color=line.get_color())
    left.set(xlabel="step t", ylabel="largest error", title="ε = 1")
    left.legend()

    ratios = torch.linspace(0, 4, 25)
    right.plot(ratios, [_gap_without_evidence(float(ratio)) for ratio in ratios])
    right.axvline(2, color=plots.MUTED, linewidth=1, linestyle=":")
    right.set(xlabel="λ₁ / ε", ylabel="gap at the middle pixel", title="from x = 1 and from x = 0")


def _gap_without_evidence(lambda1):
    """The gap in the middle of a field without evidence, between the limits of two starts."""
    zero = torch.zeros(48, 48, dtype=torch.float64)
    ends = [
        std.iterates(zero, start=start, sigma=2.0, lambda1=lambda1, iterations=600)[-1]
        for start in (0, 1)  # 600 steps: at the ratio 2 itself the two meet very slowly
    ]
    return float((ends[1] - ends[0])[24, 24])
