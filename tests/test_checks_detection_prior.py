"""The checkers of the chapter *The detection prior*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
from scipy.optimize import brentq

from nodule_lesson.chapters.detection_prior import exercises as checks


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
