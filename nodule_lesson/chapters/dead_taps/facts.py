"""Numbers in the text of the page on dead taps. Each function returns texts by name."""


def dead_in_slim(slim):
    """The share of the slim network's weights that are dead on a map of 8 x 8.

    Holds the sentence on the slim network, whose pyramid is depthwise separable.
    """
    dead = sum(
        8 * branch[0][0].weight.shape[0]  # all but the middle
        for branch in slim.S5[1].branches
        if branch[0][0].dilation[0] >= 8
    )
    return {"dead-slim": f"{dead / sum(p.numel() for p in slim.parameters()):.1%}"}


def decayed_weights(left):
    """What Adam leaves of weights without a gradient.

    Holds the section on weight decay: that SGD and AdamW leave (nearly) all of them.
    left: the share that is left after 1000 steps, by the optimiser's name.
    """
    assert min(left["SGD"], left["AdamW"]) > 0.99 > left["Adam"]
    return {"dead-adam-left": f"{left['Adam']:.0%}"}


def woken(same):
    """Hold the sentences on crops of 128, 160 and 256; nothing is returned.

    same: whether u is the same with nonsense in the dead taps, by the side of the crop.
    """
    assert same == {128: True, 160: True, 256: False}


def growth(factors, theory):
    """The mean factor of the squared gradient per layer, measured, and that of the theory.

    Holds the sentence that the measured factor agrees with the theory.
    factors: one number per layer.
    """
    mean = sum(factors) / len(factors)
    assert abs(mean / theory - 1) < 0.05
    return {"dead-growth": f"{mean:.2f}", "dead-theory": f"{theory:.3f}"}
