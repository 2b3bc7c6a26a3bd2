"""What the chapter on regimes computes with the layer."""

import math

import numpy as np
import torch

from nodule_lesson import std


def disc(radius, n=65):
    """(n, n), float64: 1 where a pixel's centre lies in the disc in the middle, else 0."""
    row, column = np.indices((n, n)) - n // 2
    return torch.as_tensor(np.hypot(row, column) < radius).double()


def measured_gains(wavelengths, ratio, sigma, amplitude=1e-3, steps=400):
    """By how much the layer multiplies small waves: epsilon times its logit over u, at a crest.

    wavelengths: in pixels. ratio: epsilon / lambda1.
    """
    i = torch.arange(601, dtype=torch.float64) - 300
    waves = [amplitude * torch.cos(2 * math.pi * i / length) for length in wavelengths]
    u = torch.stack(waves)[:, None, :]
    x = std.soft_threshold_dynamics(u, sigma=sigma, epsilon=ratio, iterations=steps)
    return (ratio * torch.logit(x) / u)[:, 0, 300].numpy()


def gain_of_noise(sigma, q=0.5, n=256):
    """By how much small white noise grows in its standard deviation, far from the border."""
    frequency = np.fft.fftfreq(n)
    line = np.exp(-2 * (math.pi * sigma * frequency) ** 2)
    gain = 1 / (1 - q * line[:, None] * line[None, :])
    return float(np.sqrt((gain**2).mean()))
