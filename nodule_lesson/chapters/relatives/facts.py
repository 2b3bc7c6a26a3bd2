"""Numbers in the text on relatives of the layer. Each function returns texts by name."""

import math

import torch

from nodule_lesson import std
from nodule_lesson.glue import signed


def updates(u, crf, layer, K, K0):
    """How strong the example is, and how strong it would have to be at sigma = 2.

    Holds what is said of the two updates: the one ends in a cycle of two fields and its energy is
    higher than at the start, the other's falls at each step, though F does not, and it stops far
    above a flat field; and the eigenvalues.
    u: logits. crf, layer: fields and energies. K, K0: the matrices of the example.
    """
    fields, energies = crf
    assert (fields[-1] - fields[-2]).abs().max() > 0.5
    assert (fields[-1] - fields[-3]).abs().max() < 1e-4
    assert (fields[-1] + fields[-2] - 1).abs().max() < 0.2
    assert min(energies[1:]) > energies[0] and energies[-2] > energies[-1] + 1
    assert all(b <= a + 1e-9 for a, b in zip(layer[1], layer[1][1:], strict=False))
    diagonal = float(K[0, 0])
    flat = float(std.std_energy(torch.full_like(u, 0.001), u, sigma=0.5, lambda1=12.0))
    stopped = layer[1][-1]
    assert 100 * flat < stopped
    bills = [12 * diagonal * float((x * (1 - x)).sum()) for x in layer[0]]
    free = [energy - bill for energy, bill in zip(layer[1], bills, strict=True)]
    assert all(b > a - 1e-6 for a, b in zip(free, free[1:], strict=False))
    assert torch.linalg.eigvalsh(K).min() > 0
    assert -diagonal < torch.linalg.eigvalsh(K0).min() < 0
    wide = float(std.gaussian_matrix(64, torch.tensor(2.0, dtype=torch.float64))[0, 0]) ** 2
    return {
        "relatives-stopped": f"{stopped:.1f}",
        "relatives-flat": f"{flat:.1f}",
        "relatives-safe": f"{math.floor(2 / wide)}",
        "relatives-diagonal": f"{diagonal:.2f}",
        "relatives-product": f"{12 * diagonal:.1f}",
    }


def cuts(table):
    """How far above the minimum cut the layer's masks are.

    Holds the paragraph below the masks: no mask is below the cut, the best fresh run has neither
    the largest nor the smallest epsilon, and lowering epsilon beats it.
    table: for each epsilon the energy above the best and the pixels that differ, fresh, lowered.
    """
    epsilons = list(table)
    assert min(above for row in table.values() for above, _ in row) > -1e-6
    best = min(epsilons, key=lambda epsilon: table[epsilon][0][0])
    assert best not in (epsilons[0], epsilons[-1])
    above, pixels = table[epsilons[-1]][1]
    assert above < table[best][0][0]
    return {
        "cut-best-epsilon": f"{best:g}",
        "cut-best-above": f"{table[best][0][0]:.2f}",
        "cut-last-above": f"{table[epsilons[-1]][0][0]:.0f}",
        "cut-lowered-above": f"{above:.2f}",
        "cut-lowered-pixels": f"{pixels:d}",
    }


def ancestor():
    """What a Gaussian of sigma = 10 becomes in a window of radius 3.

    Holds that K has a negative eigenvalue there, and that the window is nearly a box.
    """
    G = std.gaussian_matrix(64, torch.tensor(10.0, dtype=torch.float64), 3)
    eigenvalues = torch.linalg.eigvalsh(G)
    lowest = float(eigenvalues.min() * eigenvalues.max())
    tap = float(G[32, 35] / G[32, 32])
    assert lowest < 0 and tap > 0.95
    return {"ancestor-tap": f"{tap:.0%}", "ancestor-eigenvalue": signed(lowest, ".2f")}
