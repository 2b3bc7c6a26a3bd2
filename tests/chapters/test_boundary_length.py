"""<x, K(1 - x)> as a length: straight edges, discs, squares, soft maps, and the shapes drawn."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from nodule_lesson import std
from nodule_lesson.chapters.boundary_length import computations, facts
from nodule_lesson.chapters.boundary_length import exercises as checks
from nodule_lesson.chapters.boundary_length.live import SHAPES, compute, shape, true_length

ROOT = math.sqrt(2 * math.pi)


def estimate(x, sigma):
    x = torch.as_tensor(x)
    return float((x * std.gaussian_blur(1 - x, sigma)).sum()) * ROOT / sigma


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.0, 4.0])
def test_a_straight_edge_pays_its_length_up_to_the_pixels(sigma):
    """Per unit of length: half the mean |j| of a step along the axis, here by the tail's sum."""
    x = torch.zeros(101, 161, dtype=torch.float64)
    x[:, :80] = 1
    density = (x * std.gaussian_blur(1 - x, sigma))[50].sum() * ROOT / sigma
    # The grid misses the kink of |j| at 0: Euler and Maclaurin, next term in 1 / sigma^4.
    pixels = -1 / (12 * sigma**2)
    assert float(density) == pytest.approx(1 + pixels, abs=0.006 / sigma**4)


@pytest.mark.parametrize("p, q", [(1, 1), (2, 1)])
def test_a_sloping_edge_has_a_smaller_error_of_the_pixels(p, q):
    """Normal (p, q): the error is that of an axis with sigma sqrt(p^2 + q^2)."""
    n, sigma = 161, 2.0
    row, column = np.indices((n, n)) - n // 2
    x = torch.as_tensor((p * column + q * row < 0.5).astype(float))
    paid = x * std.gaussian_blur(1 - x, sigma)
    middle = paid[n // 2 - 20 : n // 2 + 20].sum() * ROOT / sigma
    length = 40 * math.hypot(p, q) / p
    assert float(middle) / length - 1 == pytest.approx(
        -1 / (12 * sigma**2 * (p**2 + q**2)), rel=0.05
    )


def lens(r, d):
    """Area of a disc of radius r that stays inside after a step of length d."""
    if d >= 2 * r:
        return 0.0
    return 2 * r**2 * math.acos(d / (2 * r)) - d / 2 * math.sqrt(4 * r**2 - d**2)


@pytest.mark.parametrize("r, sigma", [(16, 2.0), (16, 4.0), (24, 3.0), (32, 2.0), (32, 8.0)])
def test_a_disc_is_measured_within_two_percent_inside_the_window(r, sigma):
    length = estimate(shape("disc", r, 160), sigma)
    assert length == pytest.approx(2 * math.pi * r, rel=0.02)

    # Without pixels: the mean over Gaussian steps of the area that steps out.
    def integrand(d):
        step = d / sigma**2 * math.exp(-(d**2) / (2 * sigma**2))
        return step * (math.pi * r**2 - lens(r, d))

    exact = integrate.quad(integrand, 0, 12 * sigma, points=[min(2 * r, 11 * sigma)])[0]
    assert length == pytest.approx(exact * ROOT / sigma, rel=0.006)


# Diagonals of pixels lie at whole numbers: half way between two, the grid draws the true size.
@pytest.mark.parametrize("name, half", [("square", 24), ("tilted square", 28.5 / math.sqrt(2))])
def test_a_corner_hides_sigma_over_root_two_pi(name, half):
    sigma = 4.0
    expected = 8 * half - 4 * sigma / ROOT
    assert estimate(shape(name, half), sigma) == pytest.approx(expected, rel=0.006)


def test_the_border_of_the_image_is_free():
    """A square in the corner of the image has two sides to pay for."""
    x = np.zeros((96, 96))
    x[:40, :40] = 1
    sigma = 3.0
    # One corner of its own, two where an edge meets the border.
    assert estimate(x, sigma) == pytest.approx(80 - 3 * sigma / ROOT, rel=0.01)


def test_the_identity_for_soft_maps():
    """Periodic borders, by shifted copies and sums over pairs; and the layer's own border."""
    generator = np.random.default_rng(7)
    x = generator.random((11, 8))
    sigma, reach = 1.6, 5
    offsets = np.arange(-reach, reach + 1)
    taps = np.exp(-(offsets**2) / (2 * sigma**2))
    taps /= taps.sum()
    rough = 0.0
    for i, a in zip(offsets, taps, strict=True):
        for j, b in zip(offsets, taps, strict=True):
            rough += 0.5 * a * b * ((x - np.roll(x, (i, j), (0, 1))) ** 2).sum()
    wrapped = torch.as_tensor(np.pad(1 - x, reach, mode="wrap"))
    blurred = std.gaussian_blur(wrapped, sigma, radius=reach)[reach:-reach, reach:-reach].numpy()
    assert (x * blurred).sum() == pytest.approx((x * (1 - x)).sum() + rough, abs=1e-10)

    rows, columns = (
        std.gaussian_matrix(n, torch.tensor(sigma, dtype=torch.float64)).numpy() for n in x.shape
    )
    k = np.kron(rows, columns)
    v = x.ravel()
    pairs = 0.5 * (k * (v[:, None] - v[None, :]) ** 2).sum()
    term = torch.as_tensor(x) * std.gaussian_blur(torch.as_tensor(1 - x), sigma)
    assert float(term.sum()) == pytest.approx((k.sum(1) * v * (1 - v)).sum() + pairs, abs=1e-10)


def test_shapes_have_the_area_and_the_length_that_geometry_gives():
    areas = {
        "disc": lambda s: math.pi * s**2,
        "square": lambda s: 4 * s**2,
        "tilted square": lambda s: 4 * s**2,
        "half-plane": lambda s: 128 * s,
        "ring": lambda s: math.pi * s**2 * 3 / 4,
    }
    assert set(areas) == set(SHAPES)
    for name, area in areas.items():
        for size in (16, 24, 40):
            x = shape(name, size)
            assert set(np.unique(x)) == {0.0, 1.0}
            assert x.sum() == pytest.approx(area(size), rel=0.03), name
            # The length is how fast the area grows with the depth of the outline.
            if name != "ring":
                growth = (area(size + 1e-6) - area(size - 1e-6)) / 2e-6
                assert true_length(name, size) == pytest.approx(growth, rel=1e-6), name
    both = true_length("disc", 24) + true_length("disc", 12)
    assert true_length("ring", 24) == pytest.approx(both)
    with pytest.raises(ValueError, match="shape must be one of"):
        shape("blob", 9)


def test_the_live_figure_shows_what_it_sums():
    for name in SHAPES:
        result = compute({"shape": name, "size": 24, "sigma": 2.5})
        assert result["field"].sum() == pytest.approx(result["estimate"])
        assert result["field"][result["input"] == 0].max() == 0
        assert result["estimate"] == pytest.approx(result["length"], rel=0.05)


# --- the numbers of the text --------------------------------------------------------------------


def test_the_window_and_the_small_discs_take_the_worst_of_the_mean_errors():
    def made_up(r, sigma, places=2):
        return np.array([0.0, -2 * (sigma == r / 4) / r if places == 2 else -r * sigma / 50])

    assert facts.window_of_sigma(made_up) == {"length-window-worst": "12.5"}
    assert facts.small_discs(made_up) == {"length-small-low": "3", "length-small-high": "10"}


def test_a_wall_pays_no_more_than_its_thickness():
    """Drawn on the grid, between two columns far from the border."""
    for w, sigma in ((3, 2.0), (4, 4.0), (6, 2.0)):
        x = torch.zeros(81, 81, dtype=torch.float64)
        x[40 : 40 + w] = 1
        paid = (x * std.gaussian_blur(1 - x, sigma))[:, 40].sum() * ROOT / sigma
        assert float(paid) == pytest.approx(checks.wall.right(w, sigma), rel=0.03)


def test_the_answers_to_the_tasks_hold():
    texts = facts.answers()
    row = {(n, z, s): compute({"shape": n, "size": z, "sigma": s}) for n, z, s in
           (("disc", 24, 12.0), ("square", 24, 0.6), ("half-plane", 3, 6.0))}  # fmt: skip
    errors = [100 * (1 - each["estimate"] / each["length"]) for each in row.values()]
    assert texts["turn-wide"] == f"{errors[0]:.1f}"
    assert texts["turn-square"] == f"{errors[1]:.0f}"
    assert texts["turn-strip-wide"] == f"{errors[2]:.0f}"


# --- which discs survive ------------------------------------------------------------------------


def test_a_hard_disc_is_worth_what_its_energy_says():
    radii = [2, 4, 9]
    rule, exact = computations.heights_worth_keeping(radii, sigma=2.0, lambda1=0.7)
    for r, by_rule, height in zip(radii, rule, exact, strict=True):
        assert by_rule == pytest.approx(2 * 0.7 * 2.0 / ROOT / r)
        x = torch.as_tensor(shape("disc", r, 40))
        u = torch.where(x > 0, height, -3.0).double()
        energy = std.std_energy(x, u, sigma=2.0, lambda1=0.7)  # the entropy of a hard mask is 0
        assert float(energy) == pytest.approx(0, abs=1e-3)


def test_shares_grow_with_the_height_and_start_where_a_lone_run_says():
    shares = computations.shares_kept([2, 5], sigma=2.0, epsilon=1.0, iterations=10)
    assert shares.shape == (2, len(computations.HEIGHTS))
    assert (shares.diff(dim=1) >= 0).all() and (shares[:, -1] == 1).all()
    first, most = (computations.lowest_heights(shares, least)[1] for least in (0, 0.9))
    x = torch.as_tensor(shape("disc", 5, 30)) > 0
    for height, some, many in ((first - 0.02, 0, 0), (first + 0.01, 1, 0), (most + 0.01, 1, 1)):
        u = torch.where(x, height, -3.0).double()
        kept = std.soft_threshold_dynamics(u, sigma=2.0)[x] > 0.5
        assert bool(kept.any()) == some and (float(kept.double().mean()) >= 0.9) == many


def test_what_the_text_says_of_the_discs_is_held():
    radii = [2, 4, 10]
    rule, exact = [0.8, 0.4, 0.16], [0.68, 0.38, 0.157]
    soft, sharp = ([0.6, 0.2, 0.01], [0.67, 0.49, 0.38]), ([0.63, 0.29, 0.1],) * 2
    assert facts.smallest_discs(radii, rule, exact, soft, sharp)["disc-large-most"] == "0.38"
    with pytest.raises(AssertionError):  # no whole disc below
        facts.smallest_discs(radii, rule, exact, soft, ([0.63, 0.29, 0.1], [0.63, 0.4, 0.1]))
    with pytest.raises(AssertionError):
        facts.smallest_discs(radii, rule, exact, ([0.6, 0.37, 0.01], soft[1]), sharp)
