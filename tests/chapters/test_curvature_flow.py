"""The relatives of the boundary term: the half-way line of a blur, and the numbers of the page."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter

from nodule_lesson import std
from nodule_lesson.chapters.curvature_flow import facts
from nodule_lesson.chapters.curvature_flow.computations import half_way_line


@pytest.mark.parametrize("r, sigma", [(8, 2.0), (32, 2.0), (20, 4.0), (6, 3.0)])
def test_half_of_the_steps_from_the_half_way_line_end_in_the_disc(r, sigma):
    """The square of the distance from the centre is a non-central chi-squared variable."""
    radius = half_way_line(r, sigma)
    inside = stats.ncx2.cdf((r / sigma) ** 2, 2, (radius / sigma) ** 2)
    assert inside == pytest.approx(0.5, abs=1e-4)
    assert r - radius == pytest.approx(sigma**2 / (2 * r), rel=0.75 * (sigma / r) ** 2 + 0.01)


def test_masks_are_ranked_as_by_total_variation():
    """Thirty masks of one area, ragged to smooth: noise that was blurred more and more."""
    random = np.random.default_rng(0)
    term, variation = [], []
    for width in np.geomspace(2, 12, 30):
        noise = gaussian_filter(random.standard_normal((96, 96)), width, mode="constant")
        x = (noise > np.quantile(noise, 0.8)).astype(float)
        term.append(float((torch.tensor(x) * std.gaussian_blur(torch.tensor(1 - x), 2.0)).sum()))
        down, right = np.diff(x, axis=0)[:, :-1], np.diff(x, axis=1)[:-1]
        variation.append(np.hypot(down, right).sum())
    assert stats.spearmanr(term, variation).statistic > 0.95


def test_a_comparison_that_turns_round_is_noticed():
    u = torch.tensor([[-1.0, 2.0]])
    plain = torch.sigmoid(u)
    clear, pale = torch.tensor([[0.1, 0.95]]), torch.tensor([[0.45, 0.6]])
    by_std, by_tv = [plain] + [clear] * 20, [plain] * 101 + [pale]
    texts = facts.two_regularisers(u, by_std, by_tv)
    assert texts["flow-range-tv"] == "0.60" and texts["flow-tv-error"] == "0.28"
    speck = math.sqrt(2 * math.pi) / 2 * (1 - 1 / (8 * math.pi))  # a tap is 1 / (2 pi sigma^2)
    assert texts["flow-speck-std"] == f"{speck:.2f}"
    with pytest.raises(AssertionError):
        facts.two_regularisers(u, by_tv, by_std)


def test_the_overlap_is_a_harmonic_mean():
    truth = np.zeros((4, 4), bool)
    truth[0] = True
    u = torch.full((4, 4), -1.0)
    u[:, 0] = 1.0  # one pixel of four in common
    x = torch.zeros(4, 4)
    x[0, :3] = 1.0  # precision 1, sensitivity 3/4
    texts = facts.overlap_with_truth(u, x, truth)
    assert texts == {"flow-dice-alone": "0.25", "flow-dice-chan-vese": "0.86"}
