"""What the exercises of the chapter *The combination block* say of the package's block."""

import numpy as np
import torch

from nodule_lesson.chapters.combination_block import exercises as checks
from nodule_lesson.networks.blocks import CombinationBlock


def test_the_exercises_speak_of_the_packages_block():
    """The dense kernel computes what the block does; the change cannot be seen behind it."""
    torch.manual_seed(0)
    block = CombinationBlock(5, 3).double().requires_grad_(False)
    w1, w2, P = (
        layer.weight[:, :, 0, 0].numpy()
        for layer in (block.translate, block.fuse, block.spread[1])
    )
    A = np.c_[w2[:, :5], w2[:, 5:] @ w1]
    s, f = torch.randn(2, 5, 9, 7).double(), torch.randn(2, 3, 9, 7).double()
    kernel = torch.from_numpy(
        checks.dense_kernel.right(A, block.spread[0].weight[:, 0].numpy(), P)
    )
    dense = torch.nn.functional.conv2d(torch.cat([s, f], 1), kernel, padding=1)
    torch.testing.assert_close(dense, block(s, f), rtol=0, atol=1e-12)

    d = torch.randn(3).double()
    step = torch.from_numpy(checks.hiding_change.right(A, 5, d.numpy()))
    amount = torch.randn(2, 1, 9, 7).double()  # as much as one likes, at each pixel
    changed = block(s + amount * step.view(5, 1, 1), f + amount * d.view(3, 1, 1))
    torch.testing.assert_close(changed, block(s, f), rtol=0, atol=1e-10)
    assert (block(s, f + amount * d.view(3, 1, 1)) - changed).abs().max() > 0.01
