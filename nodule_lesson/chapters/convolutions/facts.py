"""Numbers in the text of the chapter on convolutions. Each function returns texts by name."""

import math

import numpy as np
import torch
from torch import nn

from nodule_lesson.networks import blocks


def stage_five(whole):
    """The parameters of the whole network, in millions, and the share of S5.

    Holds the sentences below the table of the nine stages.
    whole: the network's `Summary`.
    """
    (s5,) = (row for row in whole.rows if row.name == "S5")
    return {
        "conv-all-parameters": f"{whole.parameters / 1e6:.1f}",
        "conv-s5-share": f"{s5.parameters / whole.parameters:.0%}",
    }


def rank_one(pair, closest_separable):
    """What the closest separable kernel keeps of the squares of a dense one.

    Holds the sentence on what a separable convolution cannot do.
    pair: the kernels of the two edges, (2, 1, 3, 3). closest_separable: the chapter's function of
    a kernel.
    """

    def kept(kernel):
        return f"{float(closest_separable(kernel).square().sum() / kernel.square().sum()):.0%}"

    random = torch.Generator().manual_seed(1)
    anything = torch.randn(64, 64, 3, 3, dtype=torch.float64, generator=random)
    return {
        "conv-pair-kept": kept(pair),
        "conv-random-kept": kept(anything),
    }


def exchanged_convolutions(net, whole, without):
    """How many 3x3 convolutions there are and are exchanged, and what that saves.

    Holds the sentences on what is saved.
    net: the network with separable convolutions. whole, without: the `Summary` of the network
    with them and without.
    """
    stages = [getattr(net, f"S{number}") for number in range(1, 10)]
    three = [part for stage in stages for part in stage.modules() if _is_3x3(part)]
    pyramids = [part for stage in stages for part in stage.modules() if _is_pyramid(part)]
    in_pyramids = [part for pyramid in pyramids for part in pyramid.modules() if _is_3x3(part)]
    pyramid = sum(p.numel() for p in net.S5[1].parameters())
    saved = without.parameters - whole.parameters
    return {
        "conv-three": f"{len(three):d}",
        "conv-exchanged": f"{sum(part.groups > 1 for part in three):d}",
        "conv-in-pyramids": f"{len(in_pyramids):d}",
        "conv-saved-parameters": f"{saved / without.parameters:.0%}",
        "conv-saved-products": f"{1 - whole.multiply_adds / without.multiply_adds:.0%}",
        "conv-pyramid-parameters": f"{pyramid / 1e6:.0f}",
        "conv-pyramid-ratio": f"{pyramid / saved:.1f}",
    }


def _is_3x3(part):
    return isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)


def _is_pyramid(part):
    return isinstance(part, blocks.ASPP)


def gradients_through_units(sizes):
    """The gradient that arrives at the first of 24 units, and how much it grows by each.

    Holds the paragraph on vanishing and exploding gradients, with its theory for wide networks.
    sizes: as `computations.gradients_through_units` returns them.
    """
    plain, unnormalised, then_relu, unit = (float(line[0]) for line in sizes.values())
    inside = sizes["no sum"][2] / sizes["no sum"][22]  # away from both ends of the pile
    per_unit, first = inside ** (1 / 20), sizes["no sum"][0] / sizes["no sum"][1]
    assert abs(sizes["no sum"][1] / per_unit**23 - 1) < 0.2, "change the text"
    assert 0.4 < first < 0.6, "change the text: the first unit no longer halves it"
    power = str(round(math.log10(unnormalised)))
    return {
        "conv-grad-plain": f"{round(plain, -2):,.0f}",
        "conv-grad-plain-unit": f"{per_unit:.2f}",
        "conv-grad-theory": f"{math.pi / (math.pi - 1):.2f}",
        "conv-grad-vanish": "10" + power.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")),
        "conv-grad-post": f"{then_relu:.0f}",
        "conv-grad-sum": f"{unit:.1f}",
    }


def identity_shortcuts(units):
    """How many shortcuts are the identity, in words where none is.

    Holds the answer to "how many of the nine stages add z as it is?".
    units: the residual units, by stage.
    """
    identities = sum(isinstance(unit.shortcut, nn.Identity) for unit in units.values())
    return {"conv-identities": f"{identities or 'None'}"}


def bottom_of_the_u(field, extent):
    """The extent of one pixel of S5, and the influence from outside the crop.

    Holds the sentences below the figure of what the bottom of the U sees.
    field: (656, 656), the influence of each pixel. extent: the chapter's function of a field.
    """
    outside = field.copy()
    outside[264:392, 264:392] = 0
    return {
        "conv-s5-extent": f"{extent(field):d}",
        "conv-s5-outside": f"{float(outside.sum() / field.sum()):.0%}",
    }


def holes(reached, answer):
    """The shares of pixels that three stacks reach, and the influence at the taps of S9 on u.

    Holds the sentences below the figure on rates that share a factor: how many times the other
    pixels of their square the 33 pixels of the taps weigh.
    reached: booleans within the extent for the rates of each stack. answer: (128, 128), the
    influence of each pixel on the answer u.
    """
    star = np.zeros((31, 31), bool)
    for rate in (1, 5, 10, 15):
        star[np.ix_((15 - rate, 15, 15 + rate), (15 - rate, 15, 15 + rate))] = True
    near = answer[49:80, 49:80]
    return {
        "conv-cover-three": f"{reached[5, 10, 15].mean():.0%}",
        "conv-cover-four": f"{reached[1, 5, 10, 15].mean():.0%}",
        "conv-cover-hybrid": f"{reached[1, 2, 5, 9].mean():.0%}",
        "conv-star": f"{float(near[star].mean() / near[~star].mean()):.1f}",
    }


def dead_taps(dead_weights, whole):
    """The weights that never learn, in millions and as a share, and what rate 5 has of its map.

    Holds the sentences on S5's pyramid on a map of 8 x 8.
    dead_weights: their number in the full network. whole: its `Summary`.
    """
    return {
        "conv-five-share": f"{((1 + 2 * (1 - 5 / 8)) / 3) ** 2:.0%}",
        "conv-dead-million": f"{dead_weights / 1e6:.1f}",
        "conv-dead-share": f"{dead_weights / whole.parameters:.0%}",
    }
