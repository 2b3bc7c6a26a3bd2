"""The checkers of the chapter *The multitask model*: right, typically wrong, and empty answers."""

import functools

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from nodule_lesson.chapters.multitask_model import exercises as checks
from nodule_lesson.networks.blocks import ResidualUnit
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet, Output
from nodule_lesson.training.losses import multitask_loss


# Written out as a reader would write them: the checkers' own code is not used.
def bce(z, y):
    return np.logaddexp(0, z) - y * z


def soft_dice(p, y, s=1.0):
    values = [
        1 - (2 * (a * b).sum() + s) / (a.sum() + b.sum() + s) for a, b in zip(p, y, strict=True)
    ]
    return sum(values) / len(values)


def rest(z, y, v, w, a, b):
    return a * bce(z, y).mean() + b * bce(v, w).mean()


def naive(z, y, v, w, a, b):
    def bce(z, y):
        p = 1 / (1 + np.exp(-z))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    return soft_dice(expit(z), y) + a * bce(z, y) + b * bce(v, w)


def clipped(z, y, v, w, a, b):
    def bce(z, y):
        p = np.clip(expit(z), 1e-12, 1 - 1e-12)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    return soft_dice(expit(z), y) + a * bce(z, y) + b * bce(v, w)


WRONG_LOSSES = {
    "swapped": lambda z, y, v, w, a, b: soft_dice(expit(z), y) + rest(z, y, v, w, b, a),
    "lambda2 are missing": lambda z, y, v, w, a, b: (
        soft_dice(expit(z), y) + rest(z, y, v, w, 1, 1)
    ),
    "of the pixels is a mean": lambda z, y, v, w, a, b: (
        soft_dice(expit(z), y) + a * bce(z, y).sum() + b * bce(v, w).mean()
    ),
    "of the classifier is a mean": lambda z, y, v, w, a, b: (
        soft_dice(expit(z), y) + a * bce(z, y).mean() + b * bce(v, w).sum()
    ),
    "one minus it": lambda z, y, v, w, a, b: 1 - soft_dice(expit(z), y) + rest(z, y, v, w, a, b),
    "pools the pixels": lambda z, y, v, w, a, b: (
        soft_dice(expit(z)[None], y[None]) + rest(z, y, v, w, a, b)
    ),
    "smooth 1": lambda z, y, v, w, a, b: soft_dice(expit(z), y, 0.0) + rest(z, y, v, w, a, b),
    "squares": lambda z, y, v, w, a, b: (
        np.mean(
            1
            - (2 * (expit(z) * y).sum((1, 2)) + 1)
            / ((expit(z) ** 2).sum((1, 2)) + y.sum((1, 2)) + 1)
        )
        + rest(z, y, v, w, a, b)
    ),
    "cut at 0.5": lambda z, y, v, w, a, b: soft_dice(expit(z) > 0.5, y) + rest(z, y, v, w, a, b),
    "of logits": lambda z, y, v, w, a, b: soft_dice(z, y) + rest(z, y, v, w, a, b),
    "Dice term is missing": rest,
    "term of the classifier is missing": lambda z, y, v, w, a, b: (
        soft_dice(expit(z), y) + a * bce(z, y).mean()
    ),
    "term of the pixels is missing": lambda z, y, v, w, a, b: (
        soft_dice(expit(z), y) + b * bce(v, w).mean()
    ),
    "wrong sign": lambda z, y, v, w, a, b: soft_dice(expit(z), y) - rest(z, y, v, w, a, b),
    "exchanged": lambda z, y, v, w, a, b: soft_dice(expit(z), y) + rest(z, 1 - y, v, 1 - w, a, b),
    "wrong for large ones": naive,
    "(or was clipped)": clipped,
}


def dense(i, o):
    return 9 * i * o


def separable(i, o):
    return 9 * i + i * o


def shortcut(i, o, s):
    return 0 if i == o and s == 1 else i * o


WRONG_COUNTS = {
    "both normalisations": lambda i, o, s: separable(i, o) + dense(o, o) + shortcut(i, o, s),
    "not one": lambda i, o, s: i + separable(i, o) + o + dense(o, o) + shortcut(i, o, s),
    "acts on the inputs": lambda i, o, s: (
        separable(i, o) + 2 * o + dense(o, o) + 2 * o + shortcut(i, o, s)
    ),
    "shortcut is missing": lambda i, o, s: 2 * i + separable(i, o) + 2 * o + dense(o, o),
    "is the identity": lambda i, o, s: 2 * i + separable(i, o) + 2 * o + dense(o, o) + i * o,
    "a bare 1x1": lambda i, o, s: (
        2 * i + separable(i, o) + 2 * o + dense(o, o)
        + (shortcut(i, o, s) + 2 * o if shortcut(i, o, s) else 0)
    ),
    "is depthwise separable": lambda i, o, s: (
        2 * i + dense(i, o) + 2 * o + dense(o, o) + shortcut(i, o, s)
    ),
    "second is dense": lambda i, o, s: (
        2 * i + separable(i, o) + 2 * o + separable(o, o) + shortcut(i, o, s)
    ),
    "no biases": lambda i, o, s: sum(
        parameter.numel() for parameter in biased_unit(i, o, s).parameters()
    ),
    "has a 1x1 behind": lambda i, o, s: 2 * i + 9 * i + 2 * o + dense(o, o) + shortcut(i, o, s),
}  # fmt: skip


def biased_unit(i, o, s):
    parts = [nn.BatchNorm2d(i), nn.Conv2d(i, i, 3, s, groups=i), nn.Conv2d(i, o, 1)]
    parts += [nn.BatchNorm2d(o), nn.Conv2d(o, o, 3)]
    return nn.Sequential(*parts, *([nn.Conv2d(i, o, 1, s)] if shortcut(i, o, s) else []))


def size(name, width, side, least=16):
    """Written as a table, as a reader might."""
    table = {"C1": (64, 2), "C2": (256, 4), "C3": (512, 8), "C4": (1024, 16), "C5": (2048, 32)}
    table |= {"S1": (64, 1), "S2": (128, 2), "S3": (256, 4), "S4": (512, 8), "S5": (1024, 16)}
    table |= {"S6": table["S4"], "S7": table["S3"], "S8": table["S2"], "S9": table["S1"]}
    channels, smaller = table[name]
    return max(least, channels * width // 64), side // smaller


def with_change(where, channels=1, smaller=1):
    """The right answer, but for the named blocks, whose channels and sides are off by factors."""

    def answer(name, width, side):
        full, divided = size(name, 64, side)
        if name in where:
            full, divided = int(full * channels), int(divided * smaller)
        return max(16, full * width // 64), divided

    return answer


def size_downwards(number, width, side):
    return 64 * 2 ** (number - 1) * width // 64, side // 2 ** (number - 1)


LATER = ("C2", "C3", "C4", "C5")
WRONG_SHAPES = {
    "channels come first": lambda *a: size(*a)[::-1],
    "width is missing": lambda name, width, side: size(name, 64, side),
    "do not go on downwards": lambda name, width, side: (
        size(name, width, side) if name < "S6" else size_downwards(int(name[1]), width, side)
    ),
    "fewer than 16": lambda *a: size(*a, least=1),
    "the first to halve": with_change([f"S{k}" for k in range(1, 10)], smaller=0.5),
    "begins one up": lambda name, *a: size(f"S{int(name[1]) - 1}" if name > "S5" else name, *a),
    "not a quarter": with_change(["C1"], smaller=0.5),
    "256, not 64": with_change(LATER, channels=0.25),
    "quadruple": with_change(["C1"], channels=4),
    "stands between them": with_change(LATER, smaller=2),
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.eq7, WRONG_LOSSES),
        (checks.unit_parameters, WRONG_COUNTS),
        (checks.shapes, WRONG_SHAPES),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def of_the_package(z, y, v, w, a, b):
    z, y, v, w = (torch.as_tensor(part) for part in (z, y, v, w))
    output = Output(torch.sigmoid(z)[:, None], z[:, None], z[:, None], torch.sigmoid(v), v)
    return multitask_loss(output, y[:, None], w, a, b).item()


def measured(name, width, side):
    """What a network of that width really puts out."""
    _, shape = trace_of(width, side)[name]
    return shape[0], shape[-1]


@functools.cache
def trace_of(width, side):
    net, shapes = DetectionGuidedNet(**{**SLIM, "width": width}).eval(), {}
    for name, part in net.named_children():
        part.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update(
                {name: (name, output.shape[1:])}
            )
        )
    with torch.no_grad():
        net(torch.zeros(1, 1, side, side))
    return shapes


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.eq7, of_the_package),
        (
            checks.unit_parameters,
            lambda i, o, s: sum(p.numel() for p in ResidualUnit(i, o, s).parameters()),
        ),
        (
            checks.unit_parameters,
            lambda i, o, s: 2 * i + separable(i, o) + 2 * o + dense(o, o) + shortcut(i, o, s),
        ),
        (checks.shapes, measured),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checks.eq7, checks.unit_parameters, checks.shapes])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


def test_what_is_no_number_is_said(capsys):
    assert checks.eq7(lambda *arguments: "a loss") is False
    assert "wanted numbers, found str" in capsys.readouterr().out
