"""The chapter *The detection prior*: what it computes, and the numbers of its text."""

import numpy as np
import pytest
import torch

from nodule_lesson import std
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
        "gap-all": f"{100 * (section - nodule) + 2:.0f}",
        "gap-rims": f"{100 * (section - nodule):.0f}",
        "gap-boundary": "2",
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


def test_answers_to_the_tasks_are_those_of_a_threshold_without_neighbours():
    """With lambda1 = 0 only pixels count: c = 1/2 and lambda2 = 2 keep the logits above 1."""
    faint = CROP_NAMES[-1]
    u, _, part = crop(faint)
    texts = facts.tasks({"sigma": 2.0, "lambda1": 1.0, "lambda2": 2.0})
    for name, where in (("nodule", part), ("section", ~part)):
        lost = 1 - (u[where] > 1).sum() / (u[where] > 0).sum()
        assert texts[f"task-{name}-off"] == f"{lost:.0%}"


def test_evidence_counts_once_per_blob_or_once_per_pixel():
    assert facts.counted(pixels=3, c=0.25) == {"odds-once": "3", "odds-often": "27"}


def test_table_3_is_the_papers():
    assert facts.table_3() == {
        "paper-sensitivity-off": "0.847",
        "paper-sensitivity-on": "0.827",
        "paper-precision-off": "0.846",
        "paper-precision-on": "0.870",
    }


def test_a_layer_that_leaves_the_bounds_of_the_proposition_is_noticed():
    settings = {"sigma": 2.0, "lambda1": 1.0, "lambda2": 2.0}
    radii, soft = [4, 16], [0.36, 0.25]
    texts = facts.soft_discs(radii, soft, 1.5, settings)
    # mu = 2 / sqrt(2 pi) = 0.798: 1 - (1.5 - 2 mu / 4) / 2
    assert texts["hard-four"] == "0.45" and texts["soft-four"] == "0.36"
    with pytest.raises(AssertionError):
        facts.soft_discs(radii, [0.36, 0.2], 1.5, settings)


def test_the_layer_keeps_what_the_proposition_says_and_drops_it_at_the_fixed_point():
    settings = {"sigma": 2.0, "lambda1": 1.0, "lambda2": 2.0, "epsilon": 1.0}
    for radius in (1, 3, 8):
        u = computations.disc_logits(radius, 1.5)
        kept = std.soft_threshold_dynamics(u, c=0.76, **settings)  # h - s > lambda1
        assert ((kept > 0.5) == (u > 0)).all()
        gone = std.soft_threshold_dynamics(u, c=0.25, iterations=200, **settings)  # h = s
        assert not (gone > 0.5).any()


def test_the_droplet_has_the_fates_that_its_figure_names():
    """The full disc of radius 6 and height 1.5, at lambda2 = 2 and the price 2 / sqrt(2 pi)."""
    mu, r = 2 / np.sqrt(2 * np.pi), 6.0
    for c, fate in ((0.5, "kept"), (0.35, "holds itself up"), (0.3, "evaporates")):
        gain = 1.5 - 2.0 * (1 - c)
        energy, slope = -np.pi * r**2 * gain + 2 * np.pi * r * mu, mu - r * gain
        found = "kept" if energy < 0 else "holds itself up" if slope < 0 else "evaporates"
        assert found == fate
