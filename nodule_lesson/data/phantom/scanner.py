"""What the scanner does to the tissue: blur, coloured noise, the edge of the field of view."""

import numpy as np
from scipy import ndimage


def scan(random, hu, spacing, domain):
    """The volume as a scanner would give it, (slices, rows, columns) int16 HU.

    Noise is coloured: its power rises with frequency, as filtered back projection makes it, up to
    the cut of the kernel, stronger along one direction (streaks), and its level differs from slice
    to slice. Values are rounded last, so that the last bits of a float cannot show.
    """
    median, spread = domain["noise"]
    level = np.clip(median * np.exp(spread * random.standard_normal()), 10, 90)
    sharp = random.uniform(*domain["sharpness"])  # mm: the kernel's standard deviation
    hu = ndimage.gaussian_filter(
        hu, (0.45, sharp / spacing[1], sharp / spacing[2]), mode="nearest", truncate=3
    )
    fy, fx = np.meshgrid(
        np.fft.fftfreq(hu.shape[1], spacing[1]),
        np.fft.rfftfreq(hu.shape[2], spacing[2]),
        indexing="ij",
    )
    f = np.sqrt(fy**2 + fx**2)
    cut = random.uniform(*domain["cut"])  # per mm
    gain = np.sqrt(f + 0.02) * np.exp(-((f / cut) ** 2))
    angle = random.uniform(0, np.pi)
    aligned = (fy * np.sin(angle) + fx * np.cos(angle)) ** 2 / np.maximum(f, 1e-9) ** 2
    gain *= 1 + random.exponential(0.8) * aligned**2
    drift = np.cumsum(0.05 * random.standard_normal(len(hu)))
    levels = level * np.exp(drift - drift.mean())
    before = 0.0
    for k, strength in enumerate(levels):
        noise = np.fft.irfft2(
            np.fft.rfft2(random.standard_normal(hu.shape[1:])) * gain, hu.shape[1:]
        )
        noise /= noise.std()
        before = 0.4 * before + np.sqrt(1 - 0.4**2) * noise  # neighbours share some of it
        hu[k] += strength * before * (1.0 + 0.15 * (hu[k] > -300))
    return hu


def to_integers(hu, outside, value):
    """Rounded int16 HU in the scanner's range, with `value` where `outside`."""
    hu = np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)
    hu[outside] = value
    return hu
