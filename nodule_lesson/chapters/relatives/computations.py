"""What the page on relatives of the layer computes: a random field, mean field, a minimum cut."""

import itertools

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from nodule_lesson import std
from nodule_lesson.live.scenes import pixel_centres, white_noise


def kernel(shape, sigma, radius=None):
    """The matrix of K for an image of this shape, row by row: (H W, H W), float64.

    sigma, radius: as in `nodule_lesson.std.gaussian_matrix`.
    """
    sigma = torch.tensor(sigma, dtype=torch.float64)
    rows, columns = (std.gaussian_matrix(size, sigma, radius) for size in shape)
    return torch.kron(rows, columns)


def without_diagonal(K):
    """K minus its diagonal: no pixel is its own neighbour."""
    return K - torch.diag(torch.diagonal(K))


def labellings(u, K, lambda1):
    """All hard masks y of an image, and what each costs in a Gaussian conditional random field.

    A pair of pixels with different labels pays lambda1 k_ij, once. u: (H, W), at most 16 pixels.
    Returns masks, (2^(H W), H W), and costs H(y), both float64.
    """
    masks = torch.tensor(list(itertools.product((0.0, 1.0), repeat=u.numel())), dtype=u.dtype)
    differ = masks[:, :, None] != masks[:, None, :]
    pairs = (differ * torch.triu(K, diagonal=1)).sum((1, 2))
    return masks, lambda1 * pairs - masks @ u.flatten()


def log_probability(masks, x):
    """The logarithm of the probability of each mask, if pixel i is 1 with probability x_i."""
    x = x.flatten()
    return torch.xlogy(masks, x).sum(1) + torch.xlogy(1 - masks, 1 - x).sum(1)


def parallel_updates(u, K, lambda1, epsilon, steps):
    """Fields and energies while all pixels are updated at once, from x = Sig(u).

    With K it is the layer; with `without_diagonal(K)` it is the mean-field update of a conditional
    random field, and its energy the free energy. Returns two lists, of steps + 1 entries.
    """

    def energy(x):
        entropy = torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
        return float((-v * x + epsilon * entropy + lambda1 * x * (K @ (1 - x))).sum())

    v = u.flatten()
    fields = [torch.sigmoid(v)]
    for _ in range(steps):
        fields.append(torch.sigmoid((v - lambda1 * K @ (1 - 2 * fields[-1])) / epsilon))
    return [x.reshape(u.shape) for x in fields], [energy(x) for x in fields]


def checkerboard(size, height):
    """Logits of plus and minus `height` in turn: (size, size), float64."""
    i = torch.arange(size)
    return height * (1 - 2.0 * ((i[:, None] + i[None, :]) % 2)).double()


def noisy_disc(size=32):
    """Logits of a disc in strong noise: (size, size), float64."""
    x, y = pixel_centres(size)
    disc = np.hypot(x - 64, y - 64) < 36
    return torch.as_tensor(np.where(disc, 0.8, -0.8) + 1.5 * white_noise(size, 5)).double()


def minimum_cut(u, sigma, lambda1, radius, unit=1e-6):
    """The hard mask of least energy -<u, x> + lambda1 <x, K(1 - x)>, by a minimum cut.

    An edge from the source to a pixel costs max(u, 0), from a pixel to the sink max(-u, 0), and
    between two pixels lambda1 k_ij. Capacities are rounded to multiples of `unit`, since scipy
    wants integers. u: (H, W). Returns the mask, (H, W), float64.
    """
    pixels = u.numel()
    source, sink = pixels, pixels + 1
    logits = u.flatten().numpy()
    capacity = np.zeros((pixels + 2, pixels + 2))
    capacity[:pixels, :pixels] = lambda1 * without_diagonal(kernel(u.shape, sigma, radius)).numpy()
    capacity[source, :pixels] = np.maximum(logits, 0)
    capacity[:pixels, sink] = np.maximum(-logits, 0)
    capacity = csr_matrix(np.rint(capacity / unit).astype(np.int32))
    left = capacity - maximum_flow(capacity, source, sink).flow
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    mask = np.zeros(pixels + 2)
    mask[reached] = 1
    return torch.as_tensor(mask[:pixels]).reshape(u.shape)


def hard_energy(mask, u, sigma, lambda1, radius):
    """The energy of a hard mask, a number; its entropy is 0."""
    weights = {"sigma": sigma, "lambda1": lambda1, "radius": radius}
    return float(std.std_energy(mask, u, **weights))


def masks_of_the_layer(u, epsilons, **weights):
    """Masks of the layer for falling epsilon: each run from Sig(u), and each from the last run.

    weights: sigma, lambda1 and radius. Returns two lists of masks, (H, W), float64.
    """
    fresh, annealed, x = [], [], torch.sigmoid(u)
    for epsilon in epsilons:
        settings = {"epsilon": epsilon, "iterations": 200, **weights}
        fresh.append((std.iterates(u, **settings)[-1] > 0.5).double())
        x = std.iterates(u, start=x, **settings)[-1]
        annealed.append((x > 0.5).double())
    return fresh, annealed
