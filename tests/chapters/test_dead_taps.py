"""The page on dead taps: the numbers of its text."""

import math

import pytest

from nodule_lesson.chapters.dead_taps import facts
from nodule_lesson.networks import SLIM, build_model


def test_the_dead_weights_of_the_slim_network():
    slim = build_model("backbone+combination", **SLIM)
    parameters = sum(p.numel() for p in slim.parameters())
    # Two rates, 1024 / 8 channels, eight taps.
    assert facts.dead_in_slim(slim) == {"dead-slim": f"{2 * 8 * 128 / parameters:.1%}"}


def test_what_adam_leaves():
    left = {"SGD": 1.0, "Adam": 0.375, "AdamW": 1.0}
    assert facts.decayed_weights(left) == {"dead-adam-left": "38%"}
    with pytest.raises(AssertionError):
        facts.decayed_weights(left | {"AdamW": 0.5})


def test_which_crops_wake_the_taps():
    facts.woken({128: True, 160: True, 256: False})
    with pytest.raises(AssertionError):
        facts.woken({128: True, 160: False, 256: False})


def test_the_growth_of_the_gradient():
    theory = math.pi / (math.pi - 1)
    assert facts.growth([1.4, 1.5], theory) == {"dead-growth": "1.45", "dead-theory": "1.467"}
    with pytest.raises(AssertionError):
        facts.growth([1.2, 1.3], theory)
