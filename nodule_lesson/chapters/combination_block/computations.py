"""What the chapter on the combination block computes for its figures and its text.

A is the matrix of a linear block that takes S channels s of the U-Net and C channels f of the
classifier at a pixel, one below the other, and gives S channels.
"""

import numpy as np
import torch


def matrix(block):
    """A of a linear block, both 1x1 convolutions in one: (S, S + C)."""
    first, second = (layer.weight.detach()[:, :, 0, 0] for layer in (block.translate, block.fuse))
    return torch.cat([second[:, : len(second)], second[:, len(second) :] @ first], 1)


# --- a picture that the block does not see -----------------------------------------------------


def unseen_direction(block):
    """A direction of (s, f) that a linear block does not see, and two channels that it moves.

    Returns a vector (S + C,) in the null space of A, and the numbers of one channel of s and of
    one of f: those in which the null space has most room.
    """
    S = block.out_channels
    _, _, right = torch.linalg.svd(matrix(block), full_matrices=True)
    null = right[S:]  # its rows span the null space
    room = null.norm(dim=0)
    s, f = int(room[:S].argmax()), int(room[S:].argmax())
    return null.T @ (null[:, s] / room[s] + null[:, S + f] / room[S + f]), s, f


def look(net, stage, image, extra=None):
    """s, f and the output of the block at a stage, and the mask, with `extra` added to s and f.

    image: (N, 1, H, W). extra: None, or (N, S + C, height, width), as s and f beside each other.
    Returns four tensors.
    """
    block, seen = net.combination[stage], []

    def add(_, inputs):
        if extra is not None:
            S = block.out_channels
            return inputs[0] + extra[:, :S], inputs[1] + extra[:, S:]

    def note(_, inputs, output):
        seen.extend((*inputs, output))

    handles = [block.register_forward_pre_hook(add), block.register_forward_hook(note)]
    with torch.no_grad():
        mask = net(image).mask
    for handle in handles:
        handle.remove()
    return *seen, mask


# --- what the blocks leave out -----------------------------------------------------------------


def left_out(net, images):
    """The shares of the variance that each block of a network leaves out: (stages, 3).

    images: (N, 1, H, W). A row holds the three numbers of `shares`.
    """
    found = features(net, images)
    return np.array([shares(matrix(net.combination[stage]), z) for stage, z in found.items()])


def features(net, images):
    """What each block of a network gets from all images, s and f as one: (S + C, pixels) each.

    images: (N, 1, H, W). Returns a dict by stage; the pixels come image by image.
    """
    seen = {}

    def note(stage):
        return lambda _, inputs: seen.update({stage: torch.cat(inputs, 1)})

    hooks = [part.register_forward_pre_hook(note(k)) for k, part in net.combination.items()]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    return {k: z.double().permute(1, 0, 2, 3).flatten(1) for k, z in seen.items()}


def shares(A, z):
    """Shares of the variance of (s, f): in the null space, unpredictable, least possible.

    The second is what remains of the first, in the later half of the pixels, after a linear
    prediction from what A keeps, fitted to the earlier half. The third is what principal
    components would leave out with as many channels.
    A: (S, S + C). z: (S + C, pixels), float64. Returns three numbers.
    """
    z = z - z.mean(1, keepdim=True)
    S, half = len(A), z.shape[1] // 2
    _, _, right = torch.linalg.svd(A.double())
    kept, lost = right[:S] @ z, right[S:] @ z
    fit = torch.linalg.lstsq(kept[:, :half].T, lost[:, :half].T).solution
    rest = lost[:, half:] - (kept[:, half:].T @ fit).T
    spectrum = torch.linalg.eigvalsh(z @ z.T)
    parts = (
        lost.square().sum() / z.square().sum(),
        rest.square().sum() / z[:, half:].square().sum(),
        spectrum[: len(z) - S].sum() / spectrum.sum(),
    )
    return [float(part) for part in parts]
