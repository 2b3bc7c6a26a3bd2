"""Numbers in the text on the network in the page. Each function returns texts by name."""

import functools
from pathlib import Path

import numpy as np

from nodule_lesson.chapters.network_in_the_page.live import (
    NETWORK,
    PATIENTS,
    SIDES,
    answers,
    network_in_the_page,
)
from nodule_lesson.data.patches import normalise
from nodule_lesson.live import kernel
from nodule_lesson.live.arrays import middle
from nodule_lesson.live.scenes import white_noise
from nodule_lesson.networks.registry import model_card


@functools.cache
def noise_answers(count=20, side=128):
    """c by side, (count,) each, for crops of pure noise that are scaled as a slice would be."""
    noise = normalise(np.stack([white_noise(side, seed) for seed in range(count)]))
    logits = {s: answers(np.ascontiguousarray(middle(noise, s)))[1] for s in SIDES.values()}
    return {s: 1 / (1 + np.exp(-values.astype(float))) for s, values in logits.items()}


def noise():
    """What c is where there is nothing but noise; holds the sentence that calls it far from 0."""
    c = noise_answers()
    small, large = (c[side] for side in SIDES.values())
    assert min(small.min(), large.min()) > 0.2, "c is near 0 in some crop of pure noise"
    return {
        "noise-count": f"{len(small)}",
        "noise-small": f"{small.min():.2f} to {small.max():.2f}",
        "noise-large": f"{large.min():.2f} to {large.max():.2f}",
    }


def examples():
    """Dice on the slices where the figure starts; holds the sentence on the small nodule."""
    scores = {}
    for name, (_, nodule) in PATIENTS.items():
        if nodule is not None:
            figure = network_in_the_page(slice=name)
            scores[name] = figure.compute(figure.parameters)["dice"]
    small = scores.pop("small nodule")
    assert small < 0.5 < 0.8 < min(scores.values()), "the small nodule is not the bad example"
    return {"dice-small": f"{small:.2f}", "dice-others": f"{min(scores.values()):.2f}"}


def sizes():
    """Of the network and of what runs it in a page."""
    card = model_card(NETWORK)
    engine = Path(kernel.__file__).with_name("network.js").read_text(encoding="utf-8")
    return {
        "parameters": f"{card['parameters'] / 1e6:.1f}",
        "training-slices": f"{card['data']['slices']:,}",
        "engine-lines": f"{len(engine.splitlines())}",
        "kernel-bytes": f"{len(kernel.BYTES)}",
    }
