"""Exercises of the chapter *The combination block*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise

# count(S, C) -> the weights of a combination block without biases, an integer. S and C are not
# always equal, so that swaps show.
block_parameters = Exercise(
    ask=[(128, 64), (256, 256), (7, 3)],
    right=lambda s, c: c * c + (s + c) * s + 9 * s + s * s,
    mistakes={
        "the first 1x1 is missing: it takes f from C to C channels.":
            lambda s, c: (s + c) * s + 9 * s + s * s,
        "the 3x3 is depthwise separable; a dense one would have 9 S S weights.":
            lambda s, c: c * c + (s + c) * s + 9 * s * s,
        "S S weights are missing: the second 1x1 has S + C inputs, and behind the 3x3 within "
        "each channel comes a 1x1 across channels, S to S.":
            lambda s, c: c * c + (s + c) * s + 9 * s,
        "the 3x3 within each channel is missing: 9 weights per channel.":
            lambda s, c: c * c + (s + c) * s + s * s,
        "the second 1x1 gives S channels, not S + C.":
            lambda s, c: c * c + (s + c) ** 2 + 9 * s + s * s,
        "the first 1x1 gives C channels, not S.": lambda s, c: c * s + 2 * s * s + 9 * s + s * s,
        "the 3x3 comes behind the second 1x1: it works on S channels, not on S + C.":
            lambda s, c: c * c + (s + c) * s + 9 * (s + c) + (s + c) * s,
        "these convolutions have no bias.":
            lambda s, c: c * c + c + (s + c) * s + s + 9 * s + s + s * s + s,
        "S and C are exchanged.": lambda s, c: s * s + (s + c) * c + 9 * c + c * c,
    },
)  # fmt: skip


def _normal(seed, *shapes):
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=shape) for shape in shapes)


def _kernel(A, k, P):
    return np.einsum("oj,jyx,ji->oiyx", P, k, A)


# build(A, k, P) -> the dense 3x3 kernel, (S, S + C, 3, 3), that the whole block amounts to.
# A is (S, S + C), both 1x1 convolutions in one; k is (S, 3, 3), the 3x3 within each channel; P is
# (S, S), the 1x1 behind it. S = 5, C = 3.
dense_kernel = Exercise(
    ask=_normal(20154, (5, 8), (5, 3, 3), (5, 5)),
    right=_kernel,
    mistakes={
        "P is missing: the 1x1 across channels, the last step.":
            lambda A, k, P: np.einsum("jyx,ji->jiyx", k, A),
        "P is transposed: its rows are outputs.": lambda A, k, P: _kernel(A, k, P.T),
        "here the 3x3 works behind P; it works on the channels before it.":
            lambda A, k, P: np.einsum("oj,oyx,ji->oiyx", P, k, A),
        "each kernel is turned round. PyTorch's convolution does not turn it; the answer to "
        "an impulse does.": lambda A, k, P: _kernel(A, k[:, ::-1, ::-1], P),
        "the axes of the kernels are transposed.": lambda A, k, P: _kernel(A, k.swapaxes(1, 2), P),
        "the nine taps are added up; each has its own matrix P D A.":
            lambda A, k, P: _kernel(A, k, P).sum((-2, -1)),
        "the taps stand first; the last two axes are theirs.":
            lambda A, k, P: _kernel(A, k, P).transpose(2, 3, 0, 1),
        "outputs come first, then inputs.": lambda A, k, P: _kernel(A, k, P).swapaxes(0, 1),
    },
)  # fmt: skip


def _hidden(A, S, d):
    return -np.linalg.solve(A[:, :S], A[:, S:] @ d)


def _change():
    A, d = _normal(64, (5, 8), 3)
    return A, 5, d


# hide(A, S, d) -> the change of s, (S,), which with d on f leaves A [s; f] as it is.
# A is (S, S + C), the matrix of both 1x1 convolutions; d is (C,). S = 5, C = 3.
hiding_change = Exercise(
    ask=_change(),
    right=_hidden,
    mistakes={
        "the sign is off: the change of s has to cancel that of f.":
            lambda A, S, d: -_hidden(A, S, d),
        "this cancels nothing: the columns of s have to be inverted.":
            lambda A, S, d: -A[:, S:] @ d,
        "multiplied by the columns of s where it should be solved.":
            lambda A, S, d: -A[:, :S] @ A[:, S:] @ d,
        "the transpose of the columns of s is not their inverse.":
            lambda A, S, d: -A[:, :S].T @ A[:, S:] @ d,
        "solved with the transpose.": lambda A, S, d: -np.linalg.solve(A[:, :S].T, A[:, S:] @ d),
        "s has the first S columns of A, f the last C.":
            lambda A, S, d: -np.linalg.solve(A[:, -S:], A[:, :-S] @ d),
        "no change hides no change: d is not 0.": lambda A, S, d: np.zeros(S),
        "the pseudo-inverse of all of A changes f as well, and f is to change by d exactly.":
            lambda A, S, d: -(np.linalg.pinv(A) @ A[:, S:] @ d)[:S],
        "the whole change is (S + C,); only the part of s is wanted.":
            lambda A, S, d: np.concatenate([_hidden(A, S, d), d]),
    },
)  # fmt: skip
