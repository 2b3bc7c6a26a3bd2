"""The checkers of chapter 3, with a hint for typical wrong answers, and numbers of its text."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from nodule_lesson.chapters.boundary_length import exercises as checks
from nodule_lesson.chapters.boundary_length import facts

CHAPTER = Path(__file__).resolve().parents[1] / "book" / "boundary_length.md"
ROOT = np.sqrt(2 * np.pi)


def length(x, blur, sigma):
    return (x * blur(1 - x)).sum() * np.sqrt(2 * np.pi) / sigma


def parts(x, blur):
    return (x * (1 - x)).sum(), (x * (x - blur(x))).sum()


def weight(price, sigma):
    return price * np.sqrt(2 * np.pi) / sigma


@pytest.mark.parametrize(
    "check, answer",
    [
        (checks.estimated_length, length),
        (checks.two_parts, parts),
        (checks.weight_for_price, weight),
    ],
)
def test_the_right_answer_passes(check, answer, capsys):
    assert check(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


def test_parts_may_be_an_array_and_blur_knows_the_periodic_border():
    def rolled(x, blur):
        one = blur(np.ones_like(x))
        assert np.allclose(one, 1)
        moved = np.roll(x, (2, 3), (0, 1))
        assert np.allclose(blur(moved), np.roll(blur(x), (2, 3), (0, 1)))
        return np.array(parts(x, blur))

    assert checks.two_parts(rolled)


WRONG = [
    (checks.estimated_length, lambda x, K, s: (x * K(1 - x)).sum(), "the term itself"),
    (checks.estimated_length, lambda x, K, s: (x * K(1 - x)).sum() * ROOT, "sigma is missing"),
    (checks.estimated_length, lambda x, K, s: (x * K(1 - x)).sum() / s, "root of 2 pi is missing"),
    (checks.estimated_length, lambda x, K, s: (x * K(1 - x)).sum() * s / ROOT, "upside down"),
    (
        checks.estimated_length,
        lambda x, K, s: (x * K(1 - x)).sum() * 2 * np.pi / s,
        "without its root",
    ),
    (checks.estimated_length, lambda x, K, s: 2 * length(x, K, s), "twice too much"),
    (checks.estimated_length, lambda x, K, s: length(x, K, s) / 2, "half of it"),
    (checks.estimated_length, lambda x, K, s: (x * K(1 - x)).mean() * ROOT / s, "the mean"),
    (checks.estimated_length, lambda x, K, s: (x * K(x)).sum() * ROOT / s, "<x, Kx>"),
    (
        checks.estimated_length,
        lambda x, K, s: (x * (1 - K(x))).sum() * ROOT / s,
        "do not subtract from 1",
    ),
    (checks.estimated_length, lambda x, K, s: x * K(1 - x) * ROOT / s, "sum it"),
    (
        checks.two_parts,
        lambda x, K: (parts(x, K)[0], 2 * parts(x, K)[1]),
        "one half of the roughness",
    ),
    (checks.two_parts, lambda x, K: (parts(x, K)[0], -parts(x, K)[1]), "sign of the roughness"),
    (checks.two_parts, lambda x, K: parts(x, K)[::-1], "changed places"),
    (
        checks.two_parts,
        lambda x, K: ((x * (1 - x)).mean(), (x * (x - K(x))).mean()),
        "means over the pixels",
    ),
    (checks.two_parts, lambda x, K: (parts(x, K)[0], (x * K(1 - x)).sum()), "the whole term"),
    (checks.two_parts, lambda x, K: (parts(x, K)[0], (x * K(x)).sum()), "this is <x, Kx>"),
    (checks.two_parts, lambda x, K: (x * (1 - x), x * (x - K(x))), "two numbers are wanted"),
    (checks.weight_for_price, lambda p, s: p * s / ROOT, "the price of a weight"),
    (checks.weight_for_price, lambda p, s: p * ROOT, "sigma is missing"),
    (checks.weight_for_price, lambda p, s: p / s, "root of 2 pi is missing"),
    (checks.weight_for_price, lambda p, s: p * ROOT * s, "upside down"),
    (checks.weight_for_price, lambda p, s: p * 2 * np.pi / s, "without its root"),
    (checks.weight_for_price, lambda p, s: p * ROOT / s / 2, "the factor 2"),
    (checks.weight_for_price, lambda p, s: 2 * p * ROOT / s, "twice too much"),
]


@pytest.mark.parametrize("check, answer, hint", WRONG, ids=[hint for _, _, hint in WRONG])
def test_a_typical_mistake_gets_its_hint(check, answer, hint, capsys):
    assert check(answer) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet:") and hint in said


@pytest.mark.parametrize(
    "check", [checks.estimated_length, checks.two_parts, checks.weight_for_price]
)
def test_an_empty_answer_is_not_yet_one(check, capsys):
    assert check(lambda *_: None) is False
    assert capsys.readouterr().out.startswith("Not yet")


def test_the_solutions_of_the_chapter_pass(capsys):
    solutions = re.findall(
        r"^````\{solution\}.*?^```python\n(.*?)^```$.*?^````$",
        CHAPTER.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert len(solutions) == 3
    for code in solutions:
        exec(code, {"np": np, "checks": checks})
        assert capsys.readouterr().out == "Correct.\n", code


# --- the numbers of the text --------------------------------------------------------------------


def test_the_window_and_the_small_discs_take_the_worst_of_the_mean_errors():
    def made_up(r, sigma, places=2):
        return np.array([0.0, -2 * (sigma == r / 4) / r if places == 2 else -r * sigma / 50])

    assert facts.window_of_sigma(made_up) == {"length-window-worst": "12.5"}
    assert facts.small_discs(made_up) == {"length-small-low": "3", "length-small-high": "10"}


def test_what_the_square_lacks_has_two_causes():
    """By numpy alone: the sum over pairs of pixels, with the taps of a Gaussian of sigma 2."""
    i = np.arange(96)
    taps = np.exp(-((i[:, None] - i) ** 2) / 8) / np.exp(-(np.arange(-95, 96) ** 2) / 8).sum()
    line = ((i >= 28) & (i < 68)).astype(float)
    inside = line @ taps @ line
    estimate = ROOT / 2 * (40 * 40 - inside**2)
    edge = ROOT / 2 * (40 - inside) / 2 - 1
    texts = facts.missing_pixels(estimate, edge)
    assert texts["border-missing"] == f"{160 - estimate:.1f}"
    assert texts["border-corners"] == f"{8 / ROOT:.1f}"
    with pytest.raises(AssertionError):
        facts.missing_pixels(estimate - 1, edge)


def test_the_overlap_is_a_harmonic_mean():
    truth = np.zeros((4, 4), bool)
    truth[0] = True
    u = torch.full((4, 4), -1.0)
    u[:, 0] = 1.0  # one pixel of four in common
    x = torch.zeros(4, 4)
    x[0, :3] = 1.0  # precision 1, sensitivity 3/4
    texts = facts.overlap_with_truth(u, x, truth)
    assert texts == {"length-dice-alone": "0.25", "length-dice-chan-vese": "0.86"}
