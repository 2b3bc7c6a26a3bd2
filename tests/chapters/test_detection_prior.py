"""The chapter *The detection prior*: what it computes, and the numbers of its text."""

import numpy as np
import pytest
import torch

from nodule_lesson.chapters.detection_prior import computations, facts
from nodule_lesson.chapters.detection_prior.live import CROP_NAMES, crop


def test_without_a_boundary_all_discs_share_the_fate_of_their_pixels():
    """Pixels alone keep x > 1/2 as long as the logit exceeds lambda2 (1 - c)."""
    settings = {"sigma": 2.0, "lambda1": 0.0, "lambda2": 2.0}
    lowest = computations.lowest_c_in_the_layer([3, 8], 1.5, settings, epsilon=1.0, iterations=2)
    assert lowest == pytest.approx([1 - 1.5 / 2.0] * 2, abs=2**-8)


def test_a_disc_pays_from_where_its_votes_outweigh_its_perimeter():
    """Per pixel logit - lambda2 (1 - c), against lambda1 sigma / sqrt(2 pi) of its outline."""
    settings = {"sigma": 2.0, "lambda1": 1.0, "lambda2": 2.0}
    r, logit = 12, 1.5
    price = 2 * np.pi * r * 2.0 / np.sqrt(2 * np.pi)
    c = 1 - (logit - price / (np.pi * r**2)) / 2.0
    assert computations.lowest_c_by_energies([r], logit, settings) == pytest.approx([c], abs=0.02)


def test_a_sweep_without_a_boundary_is_the_same_there_and_back():
    u = computations.disc_logits(10, 2.0)
    row, column = np.mgrid[:48, :48] - 23.5
    pixels = int((row**2 + column**2 < 100).sum())
    values = np.linspace(0, 1, 5)
    down, up = computations.areas_down_and_up(u, values, lambda1=0.0)
    assert down == up == [0, 0, 0, pixels, pixels]  # 4 (1 - c) is 2 at c = 1/2


def test_shares_are_of_the_area_without_doubt():
    strong, empty, faint = CROP_NAMES
    table = {(name, c): (100, 50, 0.9) for name in CROP_NAMES for c in (1.0, 0.5, 0.0)}
    table[strong, 0.5] = 75, 10, 0.8
    table[faint, 0.0] = 0, 0, 0.0
    table[empty, 0.0] = 0, 3, np.nan
    texts = facts.lost_areas(table)
    assert texts["lost-strong-half"] == "25%" and texts["lost-vessel-half"] == "80%"
    assert texts["lost-faint-none"] == "100%" and texts["lost-twin-half"] == "0%"
    assert texts["left-empty-none"] == "3" and texts["left-empty-one"] == "50"
    assert texts["dice-strong-one"] == "0.900" and texts["dice-faint-none"] == "0.000"


def test_rims_lose_what_a_threshold_takes():
    """Without neighbours c = 1/2 keeps the pixels with a logit above lambda2 / 2."""
    settings = {"sigma": 2.0, "lambda1": 1.0, "lambda2": 2.0}
    faint = CROP_NAMES[-1]
    u, truth, part = crop(faint)
    nodule, section = (1 - (u[where] > 1).sum() / (u[where] > 0).sum() for where in (part, ~part))
    table = {
        (faint, 1.0): (1000, 1000, 1.0),
        (faint, 0.5): (1000 * (1 - nodule), 1000 * (1 - section) - 20, 1.0),
    }
    crops = {faint: (torch.as_tensor(u).double(), truth, part)}
    assert facts.rims(table, crops, settings) == {
        "rim-faint-half": f"{nodule:.0%}",
        "rim-twin-half": f"{section:.0%}",
        "rim-added": "2",
    }
    with pytest.raises(AssertionError):  # the section has to lose more with neighbours
        facts.rims({**table, (faint, 0.5): table[faint, 1.0]}, crops, settings)


def test_jumps_are_where_the_disc_goes_and_returns():
    values = np.linspace(0, 1, 11)
    down = [0, 0, 0, 0, 40, 50, 60, 70, 80, 90, 99]
    up = [0, 0, 0, 0, 0, 0, 0, 70, 80, 90, 99]
    texts = facts.jumps(values, down, up)
    assert texts == {"jump-size": "40", "jump-down": "0.40", "jump-up": "0.70"}


def test_the_veto_is_a_threshold_below_one():
    assert float(facts.veto(2.0)["veto"]) == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.005)
