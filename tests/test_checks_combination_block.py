"""The checkers of the chapter *The combination block*: right, typically wrong, empty answers."""

import numpy as np
import pytest
import torch

from nodule_lesson.chapters.combination_block import exercises as checks
from nodule_lesson.networks.blocks import CombinationBlock


def counted(S, C):
    """What the package's block has."""
    return sum(p.numel() for p in CombinationBlock(S, C).parameters())


def tap_by_tap(A, k, P):
    """One matrix for each place of the 3x3 window."""
    kernel = np.zeros((len(P), A.shape[1], 3, 3))
    for row in range(3):
        for column in range(3):
            kernel[:, :, row, column] = P @ np.diag(k[:, row, column]) @ A
    return kernel


def hidden_by_least_squares(A, S, d):
    step, *_ = np.linalg.lstsq(A[:, :S], A @ np.concatenate([np.zeros(S), -d]), rcond=None)
    return step


# Written out one by one, as a reader would write them: the checker's own code is not used.
WRONG_COUNTS = {
    "first 1x1 is missing": lambda S, C: S * (S + C) + 9 * S + S**2,
    "depthwise separable": lambda S, C: C**2 + S * (S + C) + 9 * S**2,
    "S S weights are missing": lambda S, C: C**2 + S * C + 9 * S + S**2,
    "9 weights per channel": lambda S, C: C**2 + S * (S + C) + S**2,
    "gives S channels, not S + C": lambda S, C: C**2 + (S + C) ** 2 + 9 * S + S**2,
    "gives C channels, not S": lambda S, C: S * C + S * 2 * S + 9 * S + S**2,
    "works on S channels": lambda S, C: C**2 + S * (S + C) + (S + C) * (9 + S),
    "no bias": lambda S, C: counted(S, C) + C + 3 * S,
    "S and C are exchanged": lambda S, C: counted(C, S),
}
WRONG_KERNELS = {
    "P is missing": lambda A, k, P: tap_by_tap(A, k, np.eye(len(P))),
    "P is transposed": lambda A, k, P: tap_by_tap(A, k, P.T),
    "works behind P": lambda A, k, P: tap_by_tap(P @ A, k, np.eye(len(P))),
    "turned round": lambda A, k, P: tap_by_tap(A, k[:, ::-1, ::-1], P),
    "kernels are transposed": lambda A, k, P: tap_by_tap(A, k.transpose(0, 2, 1), P),
    "added up": lambda A, k, P: P @ np.diag(k.sum((1, 2))) @ A,
    "taps stand first": lambda A, k, P: np.moveaxis(tap_by_tap(A, k, P), (2, 3), (0, 1)),
    "outputs come first": lambda A, k, P: np.moveaxis(tap_by_tap(A, k, P), 0, 1),
}
WRONG_CHANGES = {
    "sign is off": lambda A, S, d: np.linalg.inv(A[:, :S]) @ A[:, S:] @ d,
    "have to be inverted": lambda A, S, d: -A[:, S:] @ d,
    "multiplied by the columns": lambda A, S, d: -A[:, :S] @ A[:, S:] @ d,
    "is not their inverse": lambda A, S, d: -A[:, :S].T @ A[:, S:] @ d,
    "solved with the transpose": lambda A, S, d: -np.linalg.inv(A[:, :S].T) @ A[:, S:] @ d,
    "f the last C": lambda A, S, d: -np.linalg.inv(A[:, -S:]) @ A[:, : len(d)] @ d,
    "hides no change": lambda A, S, d: np.zeros(S),
    "pseudo-inverse of all of A": lambda A, S, d: -np.linalg.pinv(A)[:S] @ A[:, S:] @ d,
    "only the part of s": lambda A, S, d: np.r_[hidden_by_least_squares(A, S, d), d],
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.block_parameters, WRONG_COUNTS),
        (checks.dense_kernel, WRONG_KERNELS),
        (checks.hiding_change, WRONG_CHANGES),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.block_parameters, counted),
        (checks.dense_kernel, tap_by_tap),
        (checks.hiding_change, hidden_by_least_squares),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize(
    "checker", [checks.block_parameters, checks.dense_kernel, checks.hiding_change]
)
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


def test_the_exercises_speak_of_the_packages_block():
    """The dense kernel computes what the block does; the change cannot be seen behind it."""
    torch.manual_seed(0)
    block = CombinationBlock(5, 3).double().requires_grad_(False)
    w1, w2, P = (
        layer.weight[:, :, 0, 0].numpy()
        for layer in (block.translate, block.fuse, block.spread[1])
    )
    A = np.c_[w2[:, :5], w2[:, 5:] @ w1]
    s, f = torch.randn(2, 5, 9, 7).double(), torch.randn(2, 3, 9, 7).double()
    kernel = torch.from_numpy(tap_by_tap(A, block.spread[0].weight[:, 0].numpy(), P))
    dense = torch.nn.functional.conv2d(torch.cat([s, f], 1), kernel, padding=1)
    torch.testing.assert_close(dense, block(s, f), rtol=0, atol=1e-12)

    d = torch.randn(3).double()
    step = torch.from_numpy(hidden_by_least_squares(A, 5, d.numpy()))
    amount = torch.randn(2, 1, 9, 7).double()  # as much as one likes, at each pixel
    changed = block(s + amount * step.view(5, 1, 1), f + amount * d.view(3, 1, 1))
    torch.testing.assert_close(changed, block(s, f), rtol=0, atol=1e-10)
    assert (block(s, f + amount * d.view(3, 1, 1)) - changed).abs().max() > 0.01
