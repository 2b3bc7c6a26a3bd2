"""Exercises of the chapter *The combination block*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise

# count(n_S, n_C) -> the weights of a combination block without biases, an integer. They are not
# always equal, so that swaps show.
block_parameters = Exercise(
    ask=[(128, 64), (256, 256), (7, 3)],
    right=lambda s, c: c * c + (s + c) * s + 9 * s + s * s,
    mistakes={
        "the first 1x1 is missing: it takes f from n_C to n_C channels.":
            lambda s, c: (s + c) * s + 9 * s + s * s,
        "the 3x3 is depthwise separable; a dense one would have 9 n_S n_S weights.":
            lambda s, c: c * c + (s + c) * s + 9 * s * s,
        "n_S n_S weights are missing: the second 1x1 has n_S + n_C inputs, and behind the 3x3 "
        "within each channel comes a 1x1 across channels, n_S to n_S.":
            lambda s, c: c * c + (s + c) * s + 9 * s,
        "the 3x3 within each channel is missing: 9 weights per channel.":
            lambda s, c: c * c + (s + c) * s + s * s,
        "the third step is missing: a 3x3 within each channel, and a 1x1 across channels behind "
        "it.": (
            lambda s, c: c * c + (s + c) * s,
            lambda s, c: (s + c) * s,
            lambda s, c: c * c + s * c,
        ),
        "the second 1x1 gives n_S channels, not n_S + n_C.":
            lambda s, c: c * c + (s + c) ** 2 + 9 * s + s * s,
        "the first 1x1 gives n_C channels, not n_S.":
            lambda s, c: c * s + 2 * s * s + 9 * s + s * s,
        "the 3x3 comes behind the second 1x1: it works on n_S channels, not on n_S + n_C.":
            lambda s, c: c * c + (s + c) * s + 9 * (s + c) + (s + c) * s,
        "these convolutions have no bias.":
            lambda s, c: c * c + c + (s + c) * s + s + 9 * s + s + s * s + s,
        "n_S and n_C are exchanged.": lambda s, c: s * s + (s + c) * c + 9 * c + c * c,
    },
)  # fmt: skip


def _normal(seed, *shapes):
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=shape) for shape in shapes)


def _hearing(pairs, attached, numbers=lambda pairs: [int(c[1]) for _, c in pairs], deepest=max):
    """Which of C1 to C5 and FC hear the loss; numbers: of the stages that are taken in."""
    taken = numbers(pairs) + [6] * bool(attached)
    last = deepest(taken) if taken else 0
    return [int(number <= last) for number in range(1, 7)]


def _only(pairs, attached, more=()):
    taken = {int(c[1]) for _, c in pairs} | set(more if attached else ())
    return [int(number in taken) for number in range(1, 7)]


def _papers(pairs):
    return [int(s[1]) - 1 for s, _ in pairs]


# hears(pairs, attached) -> whether C1, C2, C3, C4, C5 and FC get a gradient from the segmentation
# loss, six numbers, 1 or 0. pairs: (stage of the U-Net, stage of the classifier) for each block.
# attached: whether c enters the last layer without being detached.
hears = Exercise(
    ask=[
        ([("S3", "C2"), ("S2", "C1")], False),
        ([("S4", "C2"), ("S2", "C3")], False),
        ([("S2", "C2"), ("S3", "C3"), ("S4", "C4"), ("S5", "C5")], False),
        ([("S5", "C1")], False),
        ([], False),
        ([("S3", "C2")], True),
        ([], True),
    ],
    right=_hearing,
    mistakes={
        "the gradient does not stop at the stage that is taken in: it runs on to those that feed "
        "it.": (
            _only,
            lambda pairs, attached: _only(pairs, attached, more=(6,)),
            lambda pairs, attached: _only(pairs, attached, more=range(1, 7)),
        ),
        "if c is attached, FC hears the loss, and with it all that feeds it.": (
            lambda pairs, attached: _hearing(pairs, False),
            lambda pairs, attached: [*_hearing(pairs, False)[:5], int(attached)],
        ),
        "FC hears the loss only if c is attached.":
            lambda pairs, attached: [*_hearing(pairs, attached)[:5], 1],
        "the stage of the U-Net does not matter: read which stage of the classifier is taken "
        "in.": (
            lambda pairs, attached: _hearing(pairs, attached, _papers),
            lambda pairs, attached:
                _hearing(pairs, attached, lambda pairs: [int(s[1]) for s, _ in pairs]),
        ),
        "what comes behind the stage does not hear the loss; what comes before it does.":
            lambda pairs, attached: [
                int(bool(attached) or any(int(c[1]) <= number for _, c in pairs))
                for number in range(1, 7)
            ],
        "the deepest stage decides, whichever pair comes last or first.": (
            lambda pairs, attached: _hearing(pairs, attached, deepest=min),
            lambda pairs, attached: _hearing(pairs, attached, deepest=lambda taken: taken[-1]),
            lambda pairs, attached: _hearing(pairs, attached, deepest=lambda taken: taken[0]),
        ),
        "without c attached, a classifier that no block takes from hears nothing.":
            lambda pairs, attached: _hearing(pairs, attached or not pairs),
    },
)  # fmt: skip


def _hidden(M, S, d):
    return -np.linalg.solve(M[:, :S], M[:, S:] @ d)


def _change():
    M, d = _normal(64, (5, 8), 3)
    return M, 5, d


# hide(M, n_S, d) -> the change of s, (n_S,), which with d on f leaves M [s; f] as it is.
# M is (n_S, n_S + n_C), the matrix of both 1x1 convolutions; d is (n_C,). n_S = 5, n_C = 3.
hiding_change = Exercise(
    ask=_change(),
    right=_hidden,
    mistakes={
        "the sign is off: the change of s has to cancel that of f.":
            lambda M, S, d: -_hidden(M, S, d),
        "this cancels nothing: the columns of s have to be inverted.":
            lambda M, S, d: -M[:, S:] @ d,
        "multiplied by the columns of s where it should be solved.":
            lambda M, S, d: -M[:, :S] @ M[:, S:] @ d,
        "the transpose of the columns of s is not their inverse.":
            lambda M, S, d: -M[:, :S].T @ M[:, S:] @ d,
        "solved with the transpose.": lambda M, S, d: -np.linalg.solve(M[:, :S].T, M[:, S:] @ d),
        "s has the first n_S columns of M, f the last n_C.":
            lambda M, S, d: -np.linalg.solve(M[:, -S:], M[:, :-S] @ d),
        "no change hides no change: d is not 0.": lambda M, S, d: np.zeros(S),
        "the pseudo-inverse of all of M changes f as well, and f is to change by d exactly.":
            lambda M, S, d: -(np.linalg.pinv(M) @ M[:, S:] @ d)[:S],
        "that is the whole change, of s and f; only that of s is wanted.":
            lambda M, S, d: np.concatenate([_hidden(M, S, d), d]),
    },
)  # fmt: skip
