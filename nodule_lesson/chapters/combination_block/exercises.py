"""Checkers of the chapter *The combination block*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict

_PAIRS = ((128, 64), (256, 256), (7, 3))  # channels of s and of f; not equal, so that swaps show


def block_parameters(count):
    """count(S, C) -> the weights of a combination block without biases, an integer."""
    answers = [count(s, c) for s, c in _PAIRS]
    if any(answer is None for answer in answers):
        answers = None

    def of_pairs(formula):
        return [formula(s, c) for s, c in _PAIRS]

    right = of_pairs(lambda s, c: c * c + (s + c) * s + 9 * s + s * s)
    wrong = [
        (
            "the first 1x1 is missing: it takes f from C to C channels.",
            of_pairs(lambda s, c: (s + c) * s + 9 * s + s * s),
        ),
        (
            "the 3x3 is depthwise separable; a dense one would have 9 S S weights.",
            of_pairs(lambda s, c: c * c + (s + c) * s + 9 * s * s),
        ),
        (
            "S S weights are missing: the second 1x1 has S + C inputs, and behind the 3x3 within "
            "each channel comes a 1x1 across channels, S to S.",
            of_pairs(lambda s, c: c * c + (s + c) * s + 9 * s),
        ),
        (
            "the 3x3 within each channel is missing: 9 weights per channel.",
            of_pairs(lambda s, c: c * c + (s + c) * s + s * s),
        ),
        (
            "the second 1x1 gives S channels, not S + C.",
            of_pairs(lambda s, c: c * c + (s + c) ** 2 + 9 * s + s * s),
        ),
        (
            "the first 1x1 gives C channels, not S.",
            of_pairs(lambda s, c: c * s + 2 * s * s + 9 * s + s * s),
        ),
        (
            "the 3x3 comes behind the second 1x1: it works on S channels, not on S + C.",
            of_pairs(lambda s, c: c * c + (s + c) * s + 9 * (s + c) + (s + c) * s),
        ),
        (
            "these convolutions have no bias.",
            of_pairs(lambda s, c: c * c + c + (s + c) * s + s + 9 * s + s + s * s + s),
        ),
        (
            "S and C are exchanged.",
            of_pairs(lambda s, c: s * s + (s + c) * c + 9 * c + c * c),
        ),
    ]
    return verdict(answers, right, wrong)


def dense_kernel(build):
    """build(A, k, P) -> the dense 3x3 kernel, (S, S + C, 3, 3), that the whole block amounts to.

    A is (S, S + C), both 1x1 convolutions in one; k is (S, 3, 3), the 3x3 within each channel; P
    is (S, S), the 1x1 behind it. S = 5, C = 3.
    """
    generator = np.random.default_rng(20154)
    a, k, p = (generator.normal(size=shape) for shape in ((5, 8), (5, 3, 3), (5, 5)))
    answer = build(a.copy(), k.copy(), p.copy())
    right = np.einsum("oj,jyx,ji->oiyx", p, k, a)
    wrong = [
        ("P is missing: the 1x1 across channels, the last step.", np.einsum("jyx,ji->jiyx", k, a)),
        ("P is transposed: its rows are outputs.", np.einsum("jo,jyx,ji->oiyx", p, k, a)),
        (
            "here the 3x3 works behind P; it works on the channels before it.",
            np.einsum("oj,oyx,ji->oiyx", p, k, a),
        ),
        (
            "each kernel is turned round. PyTorch's convolution does not turn it; the answer to "
            "an impulse does.",
            right[..., ::-1, ::-1],
        ),
        ("the axes of the kernels are transposed.", right.swapaxes(-1, -2)),
        ("the nine taps are added up; each has its own matrix P D A.", right.sum((-2, -1))),
        ("the taps stand first; the last two axes are theirs.", right.transpose(2, 3, 0, 1)),
        ("outputs come first, then inputs.", right.swapaxes(0, 1)),
    ]
    return verdict(answer, right, wrong)


def hiding_change(hide):
    """hide(A, S, d) -> the change of s, (S,), which with d on f leaves A [s; f] as it is.

    A is (S, S + C), the matrix of both 1x1 convolutions; d is (C,). S = 5, C = 3.
    """
    generator = np.random.default_rng(64)
    a, d, size = generator.normal(size=(5, 8)), generator.normal(size=3), 5
    answer = hide(a.copy(), size, d.copy())
    for_s, for_f = a[:, :size], a[:, size:]
    right = -np.linalg.solve(for_s, for_f @ d)
    wrong = [
        ("the sign is off: the change of s has to cancel that of f.", -right),
        ("this cancels nothing: the columns of s have to be inverted.", -for_f @ d),
        ("multiplied by the columns of s where it should be solved.", -for_s @ (for_f @ d)),
        ("the transpose of the columns of s is not their inverse.", -for_s.T @ (for_f @ d)),
        ("solved with the transpose.", -np.linalg.solve(for_s.T, for_f @ d)),
        (
            "s has the first S columns of A, f the last C.",
            -np.linalg.solve(a[:, 3:], a[:, :3] @ d),
        ),
        ("no change hides no change: d is not 0.", np.zeros(size)),
        (
            "the pseudo-inverse of all of A changes f as well, and f is to change by d exactly.",
            -(np.linalg.pinv(a) @ (for_f @ d))[:size],
        ),
        (
            "the whole change is (S + C,); only the part of s is wanted.",
            np.concatenate([right, d]),
        ),
    ]
    return verdict(answer, right, wrong)
