"""What the chapter on learning through the loop computes for its figures."""

import numpy as np
import torch
from torch.nn import functional as F

from nodule_lesson import std
from nodule_lesson.training.losses import dice_loss


def kept_megabytes(counts):
    """Megabytes that both gradients keep for the way back of one field of 128 x 128 in float32.

    counts: numbers of iterations. Returns a list of numbers, one per count, for "unrolled" and
    for "implicit", as a dict.
    """
    return {
        gradient: [_saved_megabytes(iterations, gradient) for iterations in counts]
        for gradient in ("unrolled", "implicit")
    }


def _saved_megabytes(iterations, gradient):
    """Megabytes of the tensors saved for the way back; each storage counts once."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    field = torch.zeros(128, 128, requires_grad=True)
    sigma = torch.tensor(2.0, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = std.soft_threshold_dynamics(
            field, sigma=sigma, iterations=iterations, gradient=gradient
        )
    assert kept.requires_grad  # alive until counted, so that no storage is used twice
    return sum(storages.values()) / 1e6


# Where the loss of sigma and lambda2 is searched.
SIGMAS, LAMBDA2S = np.geomspace(0.4, 5, 30), np.linspace(0.5, 7, 20)


@torch.no_grad()
def landscape(logits, masks, c):
    """The cross-entropy of the layer over SIGMAS and LAMBDA2S: (lambda2s, sigmas).

    logits, masks: (N, H, W). c: (N,), the classifier's answers.
    """

    def loss(sigma, lambda2):
        fixed = {"learn_sigma": False, "learn_lambda2": False}
        layer = std.STDSigmoid(sigma=sigma, lambda2=lambda2, **fixed)
        return F.binary_cross_entropy_with_logits(layer.logits(logits, c), masks).item()

    return np.array([[loss(sigma, lambda2) for sigma in SIGMAS] for lambda2 in LAMBDA2S])


# --- a student that imitates a teacher ---------------------------------------------------------

# The teacher's parameters, and octaves of lambda1 and epsilon around them.
TEACHER = {"sigma": 1.5, "lambda1": 1.2, "epsilon": 1.0}
OCTAVES = torch.arange(-6, 7).double() / 4


def losses_of_students(u):
    """The mean square between a student's field and the teacher's, for u fixed and u free.

    u: (H, W), logits. Returns a dict of two lists of lists, a row per lambda1 and a column per
    epsilon: "fixed" with the teacher's u, "free" with the best of its multiples.
    """
    teacher = _teacher_field(u)
    scales = 2 ** (torch.arange(-8, 9).double() / 4)
    fields = scales[:, None, None] * u
    losses = {"fixed": [], "free": []}
    for lambda1 in TEACHER["lambda1"] * 2**OCTAVES:
        row = []
        for epsilon in 2**OCTAVES:
            weights = {"sigma": TEACHER["sigma"], "lambda1": lambda1, "epsilon": epsilon}
            x = std.soft_threshold_dynamics(fields, iterations=30, **weights)
            row.append(((x - teacher) ** 2).mean((-2, -1)))
        losses["fixed"].append([float(values[len(scales) // 2]) for values in row])
        losses["free"].append([float(values.min()) for values in row])
    return losses


def walk_of_a_student(u, epsilon, lambda1, steps=120):
    """Gradient descent on the logarithms of epsilon, lambda1 and the scale of u.

    u: (H, W), logits. Returns the three numbers before each step: (steps, 3).
    """
    teacher = _teacher_field(u)
    logarithms = torch.log(torch.tensor([epsilon, lambda1, 1.0]).double()).requires_grad_()
    optimiser = torch.optim.SGD([logarithms], lr=0.04)
    way = []
    for _ in range(steps):
        epsilon, lambda1, scale = torch.exp(logarithms)
        way.append(torch.exp(logarithms).tolist())
        weights = {"sigma": TEACHER["sigma"], "lambda1": lambda1, "epsilon": epsilon}
        x = std.soft_threshold_dynamics(scale * u, iterations=20, **weights)
        optimiser.zero_grad()
        ((x - teacher) ** 2).mean().mul(100).backward()
        optimiser.step()
    return np.array(way)


def _teacher_field(u):
    return std.soft_threshold_dynamics(u, iterations=60, **TEACHER)


# --- why sigma goes to its floor ----------------------------------------------------------------

# From the layer's floor upwards, in pixels.
SCANNED = np.geomspace(0.3, 6, 24)


@torch.no_grad()
def scan_of_sigma(logits, masks, loss=F.binary_cross_entropy_with_logits):
    """The loss of the layer without a prior for each sigma of SCANNED.

    logits, masks: (N, H, W). loss: of the layer's logits and the masks.
    """
    fixed = {"learn_sigma": False, "learn_lambda2": False}
    layers = [std.STDSigmoid(sigma=sigma, **fixed) for sigma in SCANNED]
    return np.array([loss(layer.logits(logits), masks).item() for layer in layers])


def scans_of_sigma(noisy, blobs, scales):
    """The cross-entropy over SCANNED for logits multiplied by each scale: (scales, sigmas).

    noisy: (N, H, W), logits with noise. blobs: what they show, 1 inside. Returns the scales, and
    the scans of the noisy logits and of logits without noise, as a dict.
    """
    without = 1.4 * blobs - 0.7
    return {"scale": scales} | {
        name: np.array([scan_of_sigma(scale * u, blobs) for scale in scales])
        for name, u in (("noisy", noisy), ("without noise", without))
    }


def best_sigma_for_dice(radius, number=32, size=32):
    """The sigma of SCANNED with the lowest soft Dice loss for noisy discs of one radius."""
    noise = torch.randn(number, size, size, generator=torch.Generator().manual_seed(0))
    place = torch.arange(size) + 0.5 - size / 2
    discs = (torch.hypot(place[:, None], place) < radius).float().expand_as(noise)

    def loss(z, masks):
        return dice_loss(torch.sigmoid(z), masks)

    return SCANNED[scan_of_sigma(1.4 * discs - 0.7 + 0.9 * noise, discs, loss).argmin()]
