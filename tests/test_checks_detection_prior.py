"""The chapter *The detection prior*: its checkers, what it computes, and numbers of its text."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from nodule_lesson.chapters.detection_prior import computations, facts
from nodule_lesson.chapters.detection_prior import exercises as checks
from nodule_lesson.chapters.detection_prior.live import CROP_NAMES, crop


def sig(z):
    return 1 / (1 + np.exp(-z))


def right_step(x, u, blur, lambda1, lambda2, c, epsilon):
    return sig((u - lambda1 * blur(1 - 2 * x) - lambda2 * (1 - c)) / epsilon)


# Written out one by one, as a reader would write them: the checker's own code is not used.
WRONG_STEPS = {
    "sign of lambda2": lambda x, u, K, a, b, c, e: sig((u - a * K(1 - 2 * x) + b * (1 - c)) / e),
    "lambda2 c": lambda x, u, K, a, b, c, e: sig((u - a * K(1 - 2 * x) - b * c) / e),
    "outside the division": lambda x, u, K, a, b, c, e: sig(
        (u - a * K(1 - 2 * x)) / e - b * (1 - c)
    ),
    "factor 2": lambda x, u, K, a, b, c, e: sig((u - a * K(1 - x) - b * (1 - c)) / e),
    "sign of lambda1": lambda x, u, K, a, b, c, e: sig((u + a * K(1 - 2 * x) - b * (1 - c)) / e),
    "x where the derivation has u": lambda x, u, K, a, b, c, e: sig(
        (x - a * K(1 - 2 * x) - b * (1 - c)) / e
    ),
    "multiplied by x": lambda x, u, K, a, b, c, e: sig(
        (u - a * K(1 - 2 * x) - b * (1 - c) * x) / e
    ),
    "prior is missing": lambda x, u, K, a, b, c, e: sig((u - a * K(1 - 2 * x)) / e),
    "weight lambda2": lambda x, u, K, a, b, c, e: sig((u - a * K(1 - 2 * x) - (1 - c)) / e),
    "epsilon is missing": lambda x, u, K, a, b, c, e: sig(u - a * K(1 - 2 * x) - b * (1 - c)),
    "sigmoid is missing": lambda x, u, K, a, b, c, e: (u - a * K(1 - 2 * x) - b * (1 - c)) / e,
    "transposed": lambda x, u, K, a, b, c, e: right_step(x, u, K, a, b, c, e).T,
}
WRONG_THRESHOLDS = {
    "threshold on u;": lambda c, b, e: b * (1 - c),
    "threshold on u / epsilon": lambda c, b, e: b * (1 - c) / e,
    "epsilon is missing": lambda c, b, e: sig(b * (1 - c)),
    "the threshold rises": lambda c, b, e: sig(-b * (1 - c) / e),
    "takes c for the doubt": lambda c, b, e: sig(b * c / e),
    "multiplied by epsilon": lambda c, b, e: sig(b * (1 - c) * e),
}
WRONG_BREAK_EVENS = {
    "holding itself up": lambda r, a, s, k, b: 1 - (a - k * s / np.sqrt(2 * np.pi) / r) / b,
    "that is 1 - c": lambda r, a, s, k, b: (a - k * s * np.sqrt(2 / np.pi) / r) / b,
    "boundary is missing": lambda r, a, s, k, b: 1 - a / b,
    "a boundary costs": lambda r, a, s, k, b: 1 - (a + k * s * np.sqrt(2 / np.pi) / r) / b,
    "not the perimeter": lambda r, a, s, k, b: 1 - (a - 2 * k / r) / b,
    "sigma is missing": lambda r, a, s, k, b: 1 - (a - k * np.sqrt(2 / np.pi) / r) / b,
    "lambda1 is missing": lambda r, a, s, k, b: 1 - (a - s * np.sqrt(2 / np.pi) / r) / b,
    "lambda2 is missing": lambda r, a, s, k, b: 1 - (a - k * s * np.sqrt(2 / np.pi) / r),
    "multiplied by lambda2": lambda r, a, s, k, b: 1 - (a - k * s * np.sqrt(2 / np.pi) / r) * b,
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.prior_step, WRONG_STEPS),
        (checks.equivalent_threshold, WRONG_THRESHOLDS),
        (checks.break_even_c, WRONG_BREAK_EVENS),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def numerical_break_even(radius, logit, sigma, lambda1, lambda2):
    """The root of the disc's energy itself, not of a formula solved for c."""

    def energy(c):
        gain = np.pi * radius**2 * (logit - lambda2 * (1 - c))
        return lambda1 * 2 * np.pi * radius * sigma / np.sqrt(2 * np.pi) - gain

    return brentq(energy, -10, 10)


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.prior_step, right_step),
        # Sig(u / e) > p exactly where u > lambda2 (1 - c): invert the sigmoid numerically.
        (
            checks.equivalent_threshold,
            lambda c, b, e: np.array(
                [
                    brentq(lambda p, t=t: e * np.log(p / (1 - p)) - b * (1 - t), 0.01, 0.999)
                    for t in c
                ]
            ),
        ),
        (checks.break_even_c, numerical_break_even),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize(
    "checker", [checks.prior_step, checks.equivalent_threshold, checks.break_even_c]
)
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


# --- what the chapter computes, and the numbers of its text -------------------------------------


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
