"""Checkers of the chapter *The sigmoid is the answer to a question*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict

_EPSILON = 0.7


def _softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _sigmoid(z):
    return np.exp(-_softplus(-z))


def _softmax(z, axis=-1):
    weights = np.exp(z - z.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


def _entropy(x):
    """x ln x summed over both outcomes of each coin, with 0 ln 0 = 0."""
    return _xlogx(x) + _xlogx(1 - x)


def _xlogx(x):
    return x * np.log(np.where(x > 0, x, 1))


def energy(function):
    """function(x, u, epsilon) -> what the paper's Eq. (1) minimises, for arrays x and u.

    The checker's x is a 9 x 14 field that holds an exact 0 and an exact 1.
    """
    generator = np.random.default_rng(1)
    u, x = generator.normal(size=(9, 14)), generator.random((9, 14))
    x[0, :2] = 0, 1
    answer = function(x.copy(), u.copy(), _EPSILON)
    if _is_nan(answer):
        return _not_yet("0 ln 0 came out as NaN; it counts as 0, its limit.")
    vote, entropy = -u * x, _entropy(x)
    density = vote + _EPSILON * entropy
    wrong = [
        ("this is the mean over the pixels; <a, b> is the sum.", density.mean()),
        ("sum over all pixels: one number is wanted.", density),
        ("the entropy's sign is off: this rewards certainty.", (vote - _EPSILON * entropy).sum()),
        ("the sign of <u, x> is off: this wants x small where u is large.",
         (-vote + _EPSILON * entropy).sum()),
        ("every sign is off: this is what one would maximise.", -density.sum()),
        ("epsilon is missing: it is the weight of the entropy.", (vote + entropy).sum()),
        ("epsilon weighs the entropy only, not <u, x>.", _EPSILON * (vote + entropy).sum()),
        ("half the entropy is missing: (1 - x) ln(1 - x).",
         (vote + _EPSILON * _xlogx(x)).sum()),
        ("the logarithm is the natural one, not that to the base 2.",
         (vote + _EPSILON * entropy / np.log(2)).sum()),
    ]  # fmt: skip
    return verdict(answer, density.sum(), wrong)


def minimum(function):
    """function(u, epsilon) -> the lowest value of the paper's Eq. (1), for an array u.

    The checker's u is a 9 x 14 field that holds the logits 800 and -800.
    """
    u = np.random.default_rng(2).normal(size=(9, 14))
    u[0, :2] = 800, -800
    with np.errstate(over="ignore"):  # the hint says it better than numpy's warning
        answer = function(u.copy(), _EPSILON)
    if _is_infinite(answer):
        return _not_yet("e^u overflows at u = 800; softplus is max(z, 0) + ln(1 + e^-|z|), too.")
    pixels = -_EPSILON * _softplus(u / _EPSILON)
    wrong = [
        ("the sign is off: at the minimum, the energy is negative.", -pixels.sum()),
        ("this is the mean over the pixels; the energy is a sum.", pixels.mean()),
        ("sum over all pixels: one number is wanted.", pixels),
        ("epsilon is missing in front of the softplus.", pixels.sum() / _EPSILON),
        ("epsilon is missing inside the softplus: its argument is u / epsilon.",
         -_EPSILON * _softplus(u).sum()),
        ("epsilon is missing, both inside and in front of the softplus.", -_softplus(u).sum()),
        ("this is the limit for epsilon to 0.", np.minimum(-u, 0).sum()),
        ("softplus(-u) is the minimum without its linear part: put x = Sig(u / epsilon) into E.",
         -_EPSILON * _softplus(-u / _EPSILON).sum()),
    ]  # fmt: skip
    return verdict(answer, pixels.sum(), wrong)


def softmax_minimiser(function):
    """function(u, epsilon) -> the minimiser over the simplex, one for each row of u.

    u has the shape (pixels, classes). The checker calls it with a 6 x 4 array, then with one that
    holds the logits 800 and -800.
    """
    u = 2 * np.random.default_rng(3).normal(size=(6, 4))
    answer = function(u.copy(), _EPSILON)
    right = _softmax(u / _EPSILON)
    if _equal(answer, right):
        with np.errstate(over="ignore", invalid="ignore"):
            steep = function(np.array([[800.0, 0, -800, 799]]), _EPSILON)
        if _is_nan(steep):
            return _not_yet(
                "right, but e^800 overflows. Subtract the largest logit of the row first: "
                "the minimiser does not change."
            )
        return verdict(steep, _softmax(np.array([[800.0, 0, -800, 799]]) / _EPSILON))
    hard = (u == u.max(1, keepdims=True)).astype(float)
    wrong = [
        ("epsilon is missing: it divides the logits.", _softmax(u)),
        ("epsilon divides the logits; here it multiplies them.", _softmax(u * _EPSILON)),
        ("the sign of u is off.", _softmax(-u / _EPSILON)),
        ("the sum runs over the pixels; over the classes of one pixel it has to be 1.",
         _softmax(u / _EPSILON, axis=0)),
        ("the sum runs over all pixels and classes; each row for itself has to sum to 1.",
         np.exp(u / _EPSILON) / np.exp(u / _EPSILON).sum()),
        ("the multiplier is missing: the rows do not sum to 1.", np.exp(u / _EPSILON)),
        ("the multiplier is missing: the rows do not sum to 1.", np.exp(u / _EPSILON - 1)),
        ("this is a sigmoid for each class: the rows do not sum to 1.", _sigmoid(u / _EPSILON)),
        ("this is the limit for epsilon to 0.", hard),
        ("this is the logarithm of the minimiser.", np.log(right)),
        ("the axes are transposed.", right.T),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def relu_minimiser(function):
    """function(u, epsilon) -> the x >= 0 that minimises -u x + epsilon x^2 / 2, for an array u."""
    u = np.random.default_rng(4).normal(size=(5, 7))
    answer = function(u.copy(), _EPSILON)
    right = np.maximum(u, 0) / _EPSILON
    wrong = [
        ("the constraint is missing: x may not be negative.", u / _EPSILON),
        ("epsilon is missing: it divides.", np.maximum(u, 0)),
        ("epsilon divides; here it multiplies.", np.maximum(u, 0) * _EPSILON),
        ("the factor 2 is too much: the derivative of x^2 / 2 is x.", right / 2),
        ("the factor 2 is too much: the derivative of x^2 / 2 is x.", right * 2),
        ("the sign of u is off.", np.maximum(-u, 0) / _EPSILON),
        ("where u < 0 the lowest point is the border x = 0, not its mirror image.",
         np.abs(u) / _EPSILON),
        ("nothing asks for x <= 1 here.", np.clip(u / _EPSILON, 0, 1)),
        ("this is softplus: its penalty is another one.", _EPSILON * _softplus(u / _EPSILON)),
        ("this is the lowest energy; wanted is the x at which it is reached.",
         -np.maximum(u, 0) ** 2 / (2 * _EPSILON)),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def _floats(answer):
    """The answer as numbers; nothing where it is none, so that `verdict` says so."""
    try:
        return np.asarray([] if answer is None else answer, dtype=float)
    except (TypeError, ValueError):
        return np.asarray([])


def _is_nan(answer):
    return bool(np.isnan(_floats(answer)).any())


def _is_infinite(answer):
    return bool(np.isinf(_floats(answer)).any())


def _equal(answer, right):
    answer = _floats(answer)
    return answer.shape == right.shape and np.allclose(answer, right, rtol=1e-6, atol=1e-6)


def _not_yet(hint):
    print(f"Not yet: {hint}")
    return False
