"""What the chapter on the combination block computes for its figures and its text.

M is the matrix of a linear block that takes n_S channels s of the U-Net and n_C channels f of the
classifier at a pixel, one below the other, and gives n_S channels.
"""

import numpy as np
import torch


def matrix(block):
    """M of a linear block, both 1x1 convolutions in one: (n_S, n_S + n_C)."""
    first, second = (layer.weight.detach()[:, :, 0, 0] for layer in (block.translate, block.fuse))
    return torch.cat([second[:, : len(second)], second[:, len(second) :] @ first], 1)


# --- a picture that the block does not see -----------------------------------------------------


def unseen_direction(block):
    """A direction of (s, f) that a linear block does not see, and two channels that it moves.

    Returns a vector (n_S + n_C,) in the null space of M, and the numbers of one channel of s and
    of one of f: those in which the null space has most room.
    """
    n_S = block.out_channels
    _, _, right = torch.linalg.svd(matrix(block), full_matrices=True)
    null = right[n_S:]  # its rows span the null space
    room = null.norm(dim=0)
    s, f = int(room[:n_S].argmax()), int(room[n_S:].argmax())
    return null.T @ (null[:, s] / room[s] + null[:, n_S + f] / room[n_S + f]), s, f


def look(net, stage, image, extra=None):
    """s, f and the output of the block at a stage, and the mask, with `extra` added to s and f.

    image: (N, 1, H, W). extra: None, or (N, n_S + n_C, height, width), as s and f beside each
    other. Returns four tensors.
    """
    block, seen = net.combination[stage], []

    def add(_, inputs):
        if extra is not None:
            n_S = block.out_channels
            return inputs[0] + extra[:, :n_S], inputs[1] + extra[:, n_S:]

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
    """What each block of a network gets from all images, s and f as one: (n_S + n_C, pixels) each.

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


def shares(M, z):
    """Shares of the variance of (s, f): in the null space, unpredictable, least possible.

    The second is what remains of the first, in the later half of the pixels, after a linear
    prediction from what M keeps, fitted to the earlier half. The third is what principal
    components would leave out with as many channels.
    M: (n_S, n_S + n_C). z: (n_S + n_C, pixels), float64. Returns three numbers.
    """
    z = z - z.mean(1, keepdim=True)
    n_S, half = len(M), z.shape[1] // 2
    _, _, right = torch.linalg.svd(M.double())
    kept, lost = right[:n_S] @ z, right[n_S:] @ z
    fit = torch.linalg.lstsq(kept[:, :half].T, lost[:, :half].T).solution
    rest = lost[:, half:] - (kept[:, half:].T @ fit).T
    spectrum = torch.linalg.eigvalsh(z @ z.T)
    parts = (
        lost.square().sum() / z.square().sum(),
        rest.square().sum() / z[:, half:].square().sum(),
        spectrum[: len(z) - n_S].sum() / spectrum.sum(),
    )
    return [float(part) for part in parts]
