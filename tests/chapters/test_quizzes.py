"""Each chapter's quiz: its form, and that the marked answer is what a computation gives.

Keys that are numbers stand in quiz.yml once. `computed` there names the function of this file that
computes the number anew: with the package, numpy or an integral, and not by the chapter's formula
where there is another way.
"""

import itertools
import math
import re

import chapters
import numpy as np
import pytest
import torch
import yaml
from scipy import integrate, optimize

from nodule_lesson import std
from nodule_lesson.networks import SLIM, build_model, trace
from nodule_lesson.training.losses import dice_loss

# These report results whose last runs are still to come.
WITHOUT_QUIZ = ("against_the_classics", "transfer_learning", "taking_apart")
WITH_QUIZ = [name for name in chapters.names() if name not in WITHOUT_QUIZ]
QUESTIONS = [
    pytest.param(question, id=f"{name}-{number}")
    for name in WITH_QUIZ
    for number, question in enumerate(chapters.quiz(name), 1)
]
DIGITS = re.compile(r"[-−]?\d+(?:\.\d+)?")


def text(choice):
    return choice.get("right") or choice["wrong"]


def seen(choice):
    """The text of a choice without the marks of its formulas."""
    return re.sub(r"\{math\}`(.+?)`", r"\1", text(choice))


def right_place(question):
    return next(i for i, choice in enumerate(question["choices"]) if "right" in choice)


# --- the form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_QUIZ)
def test_a_chapter_asks_five_questions_behind_what_one_takes_away(name):
    questions = chapters.quiz(name)
    assert len(questions) == 5
    source = (chapters.ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    assert source.partition("\n## Take away\n")[2].count("\n```{quiz}\n```\n") == 1
    assert len({right_place(question) for question in questions}) >= 3
    assert any("computed" in question for question in questions)


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_choice_is_another_one_and_says_why(question):
    assert question["question"].rstrip().endswith(("?", "."))
    choices = question["choices"]
    assert len({seen(choice) for choice in choices}) == len(choices)
    for choice in choices:
        assert len(choice["because"].split()) >= 2


def test_the_length_of_an_answer_does_not_give_it_away():
    sentences = [q.values[0] for q in QUESTIONS if "computed" not in q.values[0]]
    places = {"shortest": 0, "longest": 0}
    for question in sentences:
        lengths = [len(seen(choice)) for choice in question["choices"]]
        right = lengths[right_place(question)]
        places["shortest"] += right == min(lengths)
        places["longest"] += right == max(lengths)
    assert max(places.values()) <= 0.45 * len(sentences), places


RIGHT, WRONG = {"right": "a", "because": "b"}, {"wrong": "c", "because": "d"}


@pytest.mark.parametrize(
    "choices, problem",
    [
        ([RIGHT, RIGHT, WRONG], "2 of them right"),
        ([RIGHT, WRONG], "has 2 choices"),
        ([RIGHT, WRONG, {"wrong": "e"}], "and `because`"),
    ],
)
def test_a_quiz_of_another_form_is_refused(tmp_path, choices, problem):
    folder = tmp_path / "nodule_lesson" / "chapters" / "one"
    folder.mkdir(parents=True)
    questions = [{"question": "Why?", "choices": choices}]
    (folder / "quiz.yml").write_text(yaml.safe_dump(questions), encoding="utf-8")
    with pytest.raises(ValueError, match=f"question 1.*{problem}"):
        chapters.quiz("one", tmp_path)


# --- the keys that are numbers ----------------------------------------------------------------


def lowest_point_of_a_pixel():
    """By trying a million values."""
    x = np.linspace(0, 1, 1_000_001)[1:-1]
    energy = -1.0 * x + 0.5 * (x * np.log(x) + (1 - x) * np.log(1 - x))
    return x[energy.argmin()]


def argument_of_the_next_step():
    """The slope of the boundary term, by automatic differentiation, taken from the logit."""
    x = torch.full((61, 61), 0.9, dtype=torch.float64, requires_grad=True)
    (x * std.gaussian_blur(1 - x, 2.0)).sum().backward()
    return 0.5 - float(x.grad[30, 30])


def price_of_a_pixel_of_outline():
    """The mean length of a step out of a half-plane, by quadrature, times lambda1."""

    def outwards(s):
        return s * math.exp(-(s**2) / 18) / (3 * math.sqrt(2 * math.pi))

    return 2 * integrate.quad(outwards, 0, np.inf)[0]


def loss_of_an_edge_along_the_rows():
    """In per cent: what the term reports of an edge across a long image, away from its ends."""
    x = torch.zeros(101, 101, dtype=torch.float64)
    x[50:] = 1
    contributions = (x * std.gaussian_blur(1 - x, 2.0))[40:70, 50].sum()
    return 100 * (1 - math.sqrt(2 * math.pi) / 2 * float(contributions))


def threshold_of_the_prior():
    """The least sigmoid among pixels that the layer marks."""
    u = torch.linspace(-6, 6, 1201, dtype=torch.float64)[None]
    x = std.soft_threshold_dynamics(u, sigma=1.0, lambda1=0.0, lambda2=3.0, c=0.5)
    return float(torch.sigmoid(u[x > 0.5]).min())


def slope_of_the_cross_entropy():
    z = torch.logit(torch.tensor(0.9, dtype=torch.float64)).requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(z, torch.zeros_like(z)).backward()
    return z.grad.item()


def gain_of_a_wide_wave():
    """Of a constant, far from the border, after enough steps."""
    u = torch.full((61, 61), 1e-4, dtype=torch.float64)
    x = std.soft_threshold_dynamics(u, sigma=2.0, lambda1=1.0, epsilon=2.0, iterations=60)
    return float(2 * torch.logit(x[30, 30]) / 1e-4)


def brightest_voxel():
    """The mean over points along the depth of the voxel."""
    depth = (np.arange(10_000) + 0.5) / 10_000 * 5 - 2.5
    return np.where(abs(depth) < 1, 40, -860).mean()


def column_of_a_turned_scan():
    """The column from which the given point is reached in steps of 0.7 mm to the right."""
    columns = np.arange(512)
    places = -0.7 * columns  # x of each column, in mm from the first
    return columns[abs(places - -35).argmin()]


def share_of_products():
    """In per cent: a convolution of ones counts the taps that meet a map of ones."""
    ones = torch.ones(1, 1, 12, 12)
    counted = torch.nn.functional.conv2d(ones, torch.ones(1, 1, 3, 3), padding=8, dilation=8)
    return 100 * float(counted.sum()) / (9 * 144)


def times_as_many_layers():
    """Widths of stacks of uniform steps over three taps, whose distributions are convolved."""

    def width(layers):
        steps = np.ones(1)
        for _ in range(layers):
            steps = np.convolve(steps, [1 / 3] * 3)
        place = np.arange(len(steps)) - layers
        return math.sqrt((steps * place**2).sum())

    return min(range(1, 10), key=lambda times: abs(width(16 * times) - 2 * width(16)))


def unheard_directions():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(64, 64)), generator.normal(size=(128, 192))
    both = np.hstack([second[:, :128], second[:, 128:] @ first])
    return 192 - np.linalg.matrix_rank(both)


def side_of_s5():
    return trace(build_model("proposed", **SLIM), 192)["S5"].shape[-1]


def iou_of_a_pair():
    """Two masks of ten pixels that share eight."""
    marked, true = set(range(10)), set(range(2, 12))
    assert 2 * len(marked & true) / 20 == 0.8
    return len(marked & true) / len(marked | true)


def largest_share_missed():
    """In per cent: the largest share at Dice 0 with these means, by linear programming."""
    dice = np.linspace(0, 1, 2001)
    iou = dice / (2 - dice)
    means = optimize.linprog(
        -(dice == 0).astype(float), A_eq=[np.ones_like(dice), dice, iou], b_eq=[1, 0.7, 0.6]
    )
    return -100 * means.fun


def second_of_eight():
    """By closed testing: the largest of Bonferroni's p over all sets that hold the second one."""
    p = [0.002, 0.006, 0.020, 0.2, 0.3, 0.4, 0.5, 0.6]
    sets = [kept for kept in itertools.product((False, True), repeat=8) if kept[1]]
    return max(sum(kept) * min(itertools.compress(p, kept)) for kept in sets)


def logit_at_half_the_loss():
    """Where an empty slice of 32x32 costs one half, by search with the package's loss."""

    def loss(u):
        chance = torch.full((1, 32 * 32), u, dtype=torch.float64).sigmoid()
        return dice_loss(chance, torch.zeros_like(chance)).item() - 0.5

    return optimize.brentq(loss, -20, 0)


@pytest.mark.parametrize("question", [q for q in QUESTIONS if "computed" in q.values[0]])
def test_the_marked_number_is_the_computed_one(question):
    value = globals()[question["computed"]]()
    for choice in question["choices"]:
        number = text(choice)
        assert DIGITS.fullmatch(number), number
        decimals = len(number.partition(".")[2])
        agrees = round(float(value), decimals) == float(number.replace("−", "-"))
        assert agrees == ("right" in choice), f"{number} beside {value}"


@pytest.mark.parametrize("question", [q for q in QUESTIONS if "computed" not in q.values[0]])
def test_a_number_has_a_computed_key(question):
    assert not any(DIGITS.fullmatch(text(choice)) for choice in question["choices"])
