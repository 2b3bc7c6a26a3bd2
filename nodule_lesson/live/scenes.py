"""Made-up logits and their noise; scenes.js makes the same ones in the browser."""

import numpy as np


def uniform(counter):
    """Numbers in [0, 1) from uint32 counters, of any shape: mulberry32 without a state."""
    a = counter * np.uint32(0x6D2B79F5)
    a = (a ^ (a >> 15)) * (a | 1)
    a = a ^ (a + (a ^ (a >> 7)) * (a | 61))
    return (a ^ (a >> 14)) / 4294967296


def normal(first, second):
    """Standard normal numbers from two arrays of uint32 counters, by Box and Muller."""
    return np.sqrt(-2 * np.log(1 - uniform(first))) * np.cos(2 * np.pi * uniform(second))


def white_noise(n, seed):
    """(n, n) standard normal numbers from a counter.

    A counter, not a generator with a state, so that JavaScript and numpy give the same numbers.
    """
    counter = np.arange(n * n, dtype=np.uint32) * np.uint32(2) + np.uint32(seed * 65536 + 1)
    return normal(counter, counter + np.uint32(1)).reshape(n, n)


def pixel_centres(n, side=128):
    """x and y of the pixels' centres, (n, n) each, in units of 1/side of the field."""
    y, x = (np.indices((n, n)) + 0.5) * (side / n)
    return x, y


def _edge(distance):
    return np.tanh(distance / 1.5)


def _blob(dx, dy, width):
    return np.exp(-(dx**2 + dy**2) / (2 * width**2))


def _pleura(x, y):
    wall = x - 92 - 10 * ((y - 64) / 64) ** 2
    bump = 18 - np.hypot(x - 84, y - 58)
    return np.maximum(1.2 * _edge(bump), -0.9 + 0.6 * _edge(wall))


# Each scene: the standard deviation of its noise, and logits by place in 1/128 of the side.
_SCENES = {
    "noisy disc": (0.7, lambda x, y: 0.6 * _edge(30 - np.hypot(x - 64, y - 64))),
    "strong and weak blob": (
        0.5,
        lambda x, y: -1.2 + 4 * _blob(x - 44, y - 60, 12) + 1.7 * _blob(x - 92, y - 72, 9),
    ),
    "bump on the pleura": (0.7, _pleura),
    "ring": (0.8, lambda x, y: 0.7 * _edge(8 - np.abs(np.hypot(x - 64, y - 64) - 24))),
    "ground-glass haze": (
        0.7,
        lambda x, y: (
            -0.8 + 1.5 * _blob((x - 60) * 0.8, y - 66, 20) + 0.5 * _blob(x - 82, y - 50, 9)
        ),
    ),
}
SCENE_NAMES = tuple(_SCENES)


def scene(name, n=128):
    """The logits of one of SCENE_NAMES, an (n, n) float32 array. ValueError for another name."""
    if name not in _SCENES:
        raise ValueError(f"scene must be one of {', '.join(SCENE_NAMES)}; found {name!r}.")
    spread, logit = _SCENES[name]
    noise = white_noise(n, SCENE_NAMES.index(name) + 1)
    return (logit(*pixel_centres(n)) + spread * noise).astype(np.float32)
