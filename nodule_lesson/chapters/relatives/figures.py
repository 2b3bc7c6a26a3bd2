"""The figures of the page on relatives of the layer. Each function draws one with pyplot."""

import matplotlib.pyplot as plt

from nodule_lesson import plots


def two_updates(crf, layer):
    """Draw the energies of the two parallel updates, and where they are after some steps.

    crf, layer: fields and energies, as `computations.parallel_updates` returns them.
    """
    figure = plt.figure(figsize=(7.4, 4.4))
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
    axes = upper.subplots()
    fields, energies = crf
    axes.plot(energies, "s--", color=plots.ORANGE, label="mean field of the CRF: F")
    axes.plot(layer[1], "o-", color=plots.BLUE, label="STD: E")
    axes.set(xlabel="step", ylabel="F, and E")
    axes.set_xticks(range(0, len(energies), 5))
    axes.legend(loc="lower right")
    shown = (
        (fields[-2], f"CRF, step {len(fields) - 2}"),
        (fields[-1], f"CRF, step {len(fields) - 1}"),
        (layer[0][-1], f"STD, step {len(layer[0]) - 1}"),
    )
    for one, (field, title) in zip(lower.subplots(1, 3), shown, strict=True):
        middle = len(field) // 2
        around = slice(middle - 3, middle + 3)
        plots.show_field(one, field[around, around], title, outline=None)


def cut_beside_the_layer(u, cut, fresh, annealed, epsilon):
    """Draw the sign of the logits, the minimum cut, and two masks of the layer.

    Pixels of the layer's masks that differ from the cut have an orange dot.

    u: (H, W). cut, fresh, annealed: masks, (H, W). epsilon: that of the two masks.
    """
    figure, panels = plt.subplots(2, 2, figsize=(6.0, 6.4))
    shown = (
        ((u > 0).double(), "u > 0"),
        (cut, "minimum cut"),
        (fresh, f"STD, ε = {epsilon:g}, fresh"),
        (annealed, f"STD, ε lowered to {epsilon:g}"),
    )
    for axes, (mask, title) in zip(panels.flat, shown, strict=True):
        plots.show_field(axes, mask, title, outline=None)
        if mask is fresh or mask is annealed:
            row, column = (mask != cut).nonzero().T
            axes.plot(column, row, "o", markersize=4, color="#f08a24", linestyle="none")
