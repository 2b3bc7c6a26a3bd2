"""What the page on conjugates proves, checked with scipy and with other formulas."""

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import xlogy

from nodule_lesson import std

SIZE, SIGMA, EPSILON = 8, 1.2, 0.9
G = std.gaussian_matrix(SIZE, torch.tensor(SIGMA, dtype=torch.float64)).numpy()
K = np.kron(G, G)


def boundary(x):
    return x @ K @ (1 - x)


def energy(x, u, lambda1):
    entropy = xlogy(x, x) + xlogy(1 - x, 1 - x)
    return -u @ x + EPSILON * entropy.sum() + lambda1 * boundary(x)


def minimiser(u, lambda1):
    """By scipy, from the middle of the cube, with x = (1 + sin a) / 2."""

    def value_and_slope(a):
        x = (1 + np.sin(a)) / 2
        slope = -u + EPSILON * (np.log(x) - np.log1p(-x)) + lambda1 * (K @ (1 - 2 * x))
        return energy(x, u, lambda1), slope * np.cos(a) / 2

    start = np.zeros(SIZE**2)
    tight = {"ftol": 1e-15, "gtol": 1e-11, "maxiter": 5000}
    found = optimize.minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options=tight)
    return (1 + np.sin(found.x)) / 2


def fields():
    random = np.random.default_rng(8)
    return random.normal(size=SIZE**2), (random.random(SIZE**2) < 0.4).astype(float)


def test_softmax_and_relu_are_minimisers_too():
    """Of -<u, x> with the entropy of shares, and with a square, by minimisers of scipy."""
    u, epsilon = np.array([1.3, -0.4, 0.6, 0.1]), 0.7
    shares = {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like}
    found = optimize.minimize(
        lambda x: -u @ x + epsilon * xlogy(x, x).sum(),
        np.full(4, 0.25),
        jac=lambda x: -u + epsilon * (np.log(x) + 1),
        bounds=[(1e-9, 1)] * 4,
        constraints=shares,
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(found.x, torch.softmax(torch.tensor(u) / epsilon, 0), atol=1e-5)
    for one in u:
        square = optimize.minimize_scalar(
            lambda x, one=one: -one * x + epsilon * x**2 / 2, bounds=(0, 9), method="bounded"
        )
        assert square.x == pytest.approx(max(one, 0) / epsilon, abs=1e-4)


def test_the_penalty_is_convex_exactly_up_to_the_ratio_two():
    largest = np.linalg.eigvalsh(K).max()
    assert largest <= K.sum(1).max() <= 1
    for factor, convex in ((0.999, True), (1.001, False)):
        lambda1 = factor * 2 * EPSILON / largest
        lowest = np.linalg.eigvalsh(4 * EPSILON * np.eye(SIZE**2) - 2 * lambda1 * K).min()
        assert (lowest >= 0) == convex


def test_the_slopes_of_the_loss_of_the_layer():
    """With respect to u and lambda1, by differences of minima that scipy finds."""
    (u, y), lambda1, h = fields(), 1.3, 1e-4
    x = minimiser(u, lambda1)

    def loss(u, lambda1):
        return energy(y, u, lambda1) - energy(minimiser(u, lambda1), u, lambda1)

    direction = np.random.default_rng(9).normal(size=SIZE**2)
    slope = (loss(u + h * direction, lambda1) - loss(u - h * direction, lambda1)) / (2 * h)
    assert slope == pytest.approx((x - y) @ direction, rel=1e-5)
    slope = (loss(u, lambda1 + h) - loss(u, lambda1 - h)) / (2 * h)
    assert slope == pytest.approx(boundary(y) - boundary(x), rel=1e-5)


def test_the_loss_of_the_layer_and_the_cross_entropy_of_its_logits():
    (u, y), lambda1 = fields(), 1.3
    x = minimiser(u, lambda1)
    z = (u - lambda1 * K @ (1 - 2 * x)) / EPSILON
    bce = (np.logaddexp(0, z) - z * y).sum()
    height = energy(y, u, lambda1) - energy(x, u, lambda1)
    extra = lambda1 * (y - x) @ K @ (y - x)
    assert height == pytest.approx(EPSILON * bce - extra, abs=1e-8) and extra > 0


def test_beyond_the_ratio_two_the_layer_may_stop_in_a_well_that_is_not_the_lowest():
    u = torch.full((48, 48), -0.1, dtype=torch.float64)
    u[:, :24] = 0.3
    p = {"sigma": 2.0, "lambda1": 6.0}
    x = std.iterates(u, iterations=300, **p)[-1]
    assert float(std.std_energy(torch.ones_like(u), u, **p) - std.std_energy(x, u, **p)) < 0
