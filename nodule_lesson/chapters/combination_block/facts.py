"""Numbers in the text and the tables of the chapter on the combination block.

A function for the text returns texts by name, one for a table its head and its rows. `sizes`
holds, for each stage where the networks meet, the channels n_S of the U-Net and n_C of the
classifier and the side of the map in pixels.
"""

import numpy as np
import torch
from torch.nn import functional as F

from nodule_lesson.networks import blocks


def costs_of_ways(totals):
    """The table of what the ways to combine two networks cost.

    totals: the `Summary` of a network for each way, first that of networks that are not connected.
    """
    alone = next(iter(totals.values()))
    rows = [
        [
            way,
            f"{total.parameters / 1e6:.1f} M",
            f"{(total.parameters - alone.parameters) / 1e6:+.3f} M".replace("-", "−"),
            f"{total.multiply_adds / 1e9:.2f} G",
        ]
        for way, total in totals.items()
    ]
    return ["way", "parameters", "more than alone", "multiply-adds"], rows


def weights_of_blocks(net, sizes):
    """The table of the blocks' weights, in thousands, with those of one dense 3x3 convolution."""
    rows = []
    for number, (stage, (n_S, n_C, side)) in enumerate(sizes.items(), 1):
        block = net.combination[stage]
        parts = (block.translate, block.fuse, block.spread, block)
        counts = [sum(p.numel() for p in part.parameters()) for part in parts]
        dense = 9 * (n_S + n_C) * n_S
        rows.append(
            [f"{stage},\u00a0C{number}", f"{n_S}\u00a0+\u00a0{n_C}", f"{side}×{side}"]
            + [f"{count / 1000:,.1f}" for count in (*counts, dense)]
        )
    return ["pair", "channels", "size", "1st 1×1", "2nd 1×1", "3×3", "block", "dense 3×3"], rows


def first_convolutions(net):
    """The weights of the first 1x1 convolutions of all blocks, in millions, and their share.

    Holds the paragraph on what the first 1x1 adds.
    """
    weights = {
        part: sum(
            p.numel()
            for block in net.combination.values()
            for p in getattr(block, part).parameters()
        )
        for part in ("translate", "fuse", "spread")
    }
    return {
        "first-share": f"{weights['translate'] / sum(weights.values()):.0%}",
        "first-million": f"{weights['translate'] / 1e6:.1f}",
    }


def norm_at_the_start():
    """The norm of W_f W_1 in that of W_f, as PyTorch draws both, for 256 channels on each side.

    Holds the sentence that the product is the smaller one at first.
    """
    torch.manual_seed(0)
    block = blocks.CombinationBlock(256, 256)
    first, second = (layer.weight.detach()[:, :, 0, 0] for layer in (block.translate, block.fuse))
    ratio = float((second[:, 256:] @ first).norm() / second[:, 256:].norm())
    assert ratio < 1
    return {"start-norm": f"{ratio:.2f}"}


def numbers_at_s2(sizes, pixels=128**2):
    """How many numbers enter the block at S2, and how many leave it.

    Holds the sentences on an image of that many pixels, and that more than twice as many numbers
    leave each block.
    """
    assert all(n_S * side**2 > 2 * pixels for n_S, _, side in sizes.values())
    n_S, n_C, side = sizes["S2"]
    return {"s2-in": f"{(n_S + n_C) * side**2:,d}", "s2-out": f"{n_S * side**2:,d}"}


def variance_left_out(shares):
    """The smallest and the largest share of the variance over the stages, in per cent.

    Holds the sentences below the figure of what the blocks leave out, that little of what is in
    the null space cannot be told from the rest.
    shares: (stages, 3) for each of "untrained" and "trained".
    """
    texts = {}
    for name, values in shares.items():
        assert (values[:, 0] > values[:, 1]).all() and (values[:, 0] > values[:, 2]).all()
        for what, column in zip(("null", "rest"), values.T[:2], strict=True):
            texts[f"{what}-{name}-low"] = f"{100 * column.min():.0f}"
            texts[f"{what}-{name}-high"] = f"{100 * column.max():.0f}"
    return texts


def who_hears(norms):
    """Hold the answer to "who hears the segmentation loss?"; nothing is returned.

    norms: for each place of the blocks, the norms of the gradient in C1, ..., C5 and FC.
    """
    counts = {"none": 0, "S2": 1, "S3": 2, "S4": 3, "S5": 4, "all four": 4, "enlarged": 5}
    for place, count in counts.items():
        heard = np.asarray(norms[place]) > 0
        assert heard.tolist() == [number < count for number in range(6)], place


def gradient_ratios(norms):
    """The outline's gradient in C1 to C4, in the norm of the classifier's own: lowest and highest.

    Holds the sentence that the outline is one of the classifier's teachers.
    norms: for each of "untrained" and "trained" the norms for the outline and for the answer in
    C1, C2, ..., an array of two rows.
    """
    texts = {}
    for name, (outline, answer) in norms.items():
        ratio = outline[:4] / answer[:4]
        texts[f"ratio-{name}-low"] = f"{ratio.min():.2f}"
        texts[f"ratio-{name}-high"] = f"{ratio.max():.2f}"
    return texts


def one_answer_decides(logits, truths):
    """Hold the sentence that one wrong answer makes up most of the classifier's loss.

    logits, truths: (N,), the classifier's for a batch.
    """
    losses = F.binary_cross_entropy_with_logits(logits, truths, reduction="none")
    assert losses.max() > losses.sum() / 2, "change the text"
    assert (logits > 0)[losses.argmax()] != truths[losses.argmax()], "change the text"
