"""The live figure of fine-tuning: gradient descent step by step, quadrature, its face in node."""

import importlib
import itertools

import numpy as np
import pytest
from live_figures import page_states, parameters_of
from scipy import integrate, stats

figure = importlib.import_module("nodule_lesson.chapters.transfer_learning.live")
BASE = parameters_of("fine_tuning")


def step_by_step(features, wanted, start, steps, moving):
    """What the closed form stands for: w <- w - rate times the mean of residual times feature."""
    w = np.array(start, dtype=float)
    for _ in range(steps):
        residual = features @ w - wanted
        w = w - figure.RATE * np.where(moving, features.T @ residual / len(wanted), 0)
    return w


@pytest.mark.parametrize("count", [2, 7, 40])
@pytest.mark.parametrize("frozen", figure.FROZEN)
def test_the_closed_form_is_gradient_descent(count, frozen):
    random = np.random.default_rng(count)
    features = figure.waves(random.random(count))
    wanted, start = random.standard_normal(count), random.standard_normal(figure.WAVES)
    moving = figure.free(frozen)
    after = figure.descend(features, wanted, start, [0, 1, 17, 300], moving)
    for weights, steps in zip(after, (0, 1, 17, 300), strict=True):
        expected = step_by_step(features, wanted, start, steps, moving)
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(weights[~moving], start[~moving])


def test_the_rate_is_never_too_large():
    """No curvature exceeds the mean squared length of a point's features, 2 * 16 - 1 at most."""
    for draw, count in itertools.product(range(1, 21), (1, 2, 5)):
        x = figure.waves(figure.points(draw, count)[0])
        assert figure.RATE * np.linalg.eigvalsh(x.T @ x / count).max() < 1


def test_errors_are_distances_of_curves():
    random = np.random.default_rng(1)
    weights, b = random.standard_normal((2, figure.WAVES))

    def apart(s):
        return ((figure.waves(np.atleast_1d(s)) @ (weights - b)) ** 2)[0]

    total, _ = integrate.quad(apart, 0, 1, limit=200)
    assert figure.errors(weights, b) == pytest.approx(np.sqrt(total), rel=1e-8)


def test_a_bump_is_a_bump():
    s = np.linspace(0.05, 0.95, 91)
    wanted = np.exp(-((s - 0.55) ** 2) / 0.02)
    np.testing.assert_allclose(figure.waves(s) @ figure.bump(0.55), wanted, atol=2e-3)


def test_what_differs_is_where_it_is_said():
    coarse = figure.free(figure.FINE_WAVES)
    for change, same in ((figure.COARSE_WAVES, ~coarse), (figure.FINE_WAVES, coarse)):
        a, b = figure.answers(change, 1.0)
        np.testing.assert_array_equal(a[same], b[same])
        assert np.linalg.norm(a - b) == pytest.approx(np.linalg.norm(a))  # as far as zero is
    for change in (figure.PLACE, *figure.CHANGES):
        np.testing.assert_allclose(*figure.answers(change, 0.0))
    a, b = figure.answers(figure.PLACE, 1.0)
    assert figure.GRID[(figure.waves(figure.GRID) @ b).argmax()] == pytest.approx(0.25, abs=0.01)


def test_points_are_uniform_and_their_noise_is_normal():
    s, noise = figure.points(1, 4000)
    assert stats.kstest(s, "uniform").pvalue > 0.01
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert abs(np.corrcoef(s, noise)[0, 1]) < 0.05
    # More points of a draw are these and further ones; another draw has others.
    for few, many in zip(figure.points(4, 5), figure.points(4, 64), strict=True):
        np.testing.assert_array_equal(few, many[:5])
    assert not np.intersect1d(figure.points(4, 64)[0], figure.points(5, 64)[0]).size


def test_the_figure_shows_what_its_chapter_says():
    """Little is needed where A is near; far away it misleads; a wrong freeze cannot be mended."""
    near = figure.over_counts({**BASE, "shift": 0.2})
    gain = np.subtract(near["scratch"], near["warm"])
    assert (gain > 0).all() and gain[0] > 4 * gain[-1]
    far = figure.over_counts({**BASE, "change": figure.PLACE, "shift": 1.5})
    assert far["warm"][0] > far["scratch"][0]
    stuck = figure.over_counts({**BASE, "shift": 0.6, "frozen": figure.COARSE_WAVES})
    loose = figure.over_counts({**BASE, "shift": 0.6})
    right = figure.over_counts({**BASE, "shift": 0.6, "frozen": figure.FINE_WAVES})
    assert stuck["warm"][-1] > 2 * loose["warm"][-1] > 2 * right["warm"][-1]


def test_the_page_computes_the_same(node):
    changes = [{}, {"count": 2}, {"count": 64, "steps": 300}, {"steps": 0}, {"draw": 20}]
    settings = [
        {**BASE, "change": change, "frozen": frozen, "shift": shift, **more}
        for change, frozen in itertools.product((figure.PLACE, *figure.CHANGES), figure.FROZEN)
        for shift, more in zip((0.4, 0.0, 1.5, 1.0, 0.65), changes, strict=True)
    ]
    averaged = [1, 13, 29, 40]  # of the settings: these take Python a while
    curves = """data.settings.map((p) => {
  const { b, scratch, warm } = learned(p), truth = curveOfWeights(b);
  return [scratch, warm].map(curveOfWeights).map(
    (curve) => ({ curve, dice: diceOf(curve, truth) }));
})"""
    page = page_states(node, "fine_tuning", settings, f"{{ states, curves: {curves} }}")
    for i, (p, state, curves) in enumerate(
        zip(settings, page["states"], page["curves"], strict=True)
    ):
        result = figure.compute(p)
        np.testing.assert_allclose(state["input"], result["input"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(state["field"], result["field"], rtol=0, atol=1e-6)
        over_steps = state["plots"]["Error over steps"]["curves"]
        over_points = state["plots"]["Error over points, 20 draws"]["curves"]
        means = figure.over_counts(p) if i in averaged else None
        for k, (name, values) in enumerate(
            (("scratch", result["scratch"]), ("warm", result["field"]))
        ):
            curve, dice = curves[k]["curve"], float(curves[k]["dice"])
            np.testing.assert_allclose(curve, values, rtol=0, atol=1e-6, err_msg=str(p))
            np.testing.assert_allclose(dice, result["dice"][name], atol=1e-9)
            assert over_steps[k]["x"] == result["steps"].tolist()
            wanted = result["errors"][name]
            np.testing.assert_allclose(over_steps[k]["y"], wanted, rtol=0, atol=1e-9)
            if means:
                np.testing.assert_allclose(over_points[k]["x"], np.log2(figure.COUNTS))
                np.testing.assert_allclose(over_points[k]["y"], means[name], rtol=0, atol=1e-9)
