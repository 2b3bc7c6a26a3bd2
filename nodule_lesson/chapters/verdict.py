"""How a checker judges: against the right answer first, then against well-known wrong ones."""

import numpy as np


def verdict(answer, right, wrong=(), *, tolerance=1e-6):
    """Print what is right or wrong about `answer`; return True only for the right one.

    answer: what the reader's function returned. right: the expected array or number. wrong: pairs
    (hint, array): an answer that equals the array gets that hint.
    """
    if answer is None:
        return _say("Not yet: the function returns nothing so far.", False)
    try:
        answer = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return _say(f"Not yet: wanted numbers, found {type(answer).__name__}.", False)
    right = np.asarray(right, dtype=float)
    if answer.shape != right.shape:
        for hint, value in wrong:
            if np.shape(value) == answer.shape and _close(answer, value, tolerance):
                return _say(f"Not yet: {hint}", False)
        return _say(f"Not yet: wanted the shape {right.shape}, found {answer.shape}.", False)
    if _close(answer, right, tolerance):
        return _say("Correct.", True)
    for hint, value in wrong:
        if np.shape(value) == answer.shape and _close(answer, value, tolerance):
            return _say(f"Not yet: {hint}", False)
    if not np.isfinite(answer).all():
        return _say("Not yet: the answer holds NaN or infinity.", False)
    gap = np.abs(answer - right).max()
    return _say(f"Not yet: the answer is off by up to {gap:.3g}.", False)


def _close(answer, value, tolerance):
    return np.allclose(answer, np.asarray(value, dtype=float), rtol=tolerance, atol=tolerance)


def _say(text, result):
    print(text)
    return result
