"""Exercises of the chapter *Transfer learning*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _points():
    """features, wanted, start, rate, steps, moving."""
    random = np.random.default_rng(20154)
    features, wanted = random.standard_normal((5, 7)), random.standard_normal(5)
    return features, wanted, random.standard_normal(7), 0.2, 6, np.arange(7) % 3 > 0


def _descended(features, wanted, w, rate, steps, moving, seen=True):
    for _ in range(steps):
        gradient = features.T @ (features @ (w * seen) - wanted) / len(wanted)
        w = w - rate * np.where(moving, gradient, 0)
    return w


# function(features, wanted, start, rate, steps, moving) -> the weights, (K,): `steps` steps of
# gradient descent on half the mean squared error of features @ weights, from `start`. features:
# (n, K); wanted: (n,); moving: (K,) boolean, False for a frozen weight.
fine_tune = Exercise(
    ask=_points(),
    right=_descended,
    mistakes={
        "this begins at zero; begin at `start`, that is what transfer is.":
            lambda x, y, w, r, s, m: _descended(x, y, 0 * w, r, s, m),
        "the frozen weights have moved, too.":
            lambda x, y, w, r, s, m: _descended(x, y, w, r, s, True),
        "the frozen weights were set to 0: they keep what they have at the start.":
            lambda x, y, w, r, s, m: _descended(x, y, w * m, r, s, m),
        "it is the other way round: where `moving` is False, a weight is frozen.":
            lambda x, y, w, r, s, m: _descended(x, y, w, r, s, ~m),
        "the sum over the points must be divided by their number: a mean is asked for.":
            lambda x, y, w, r, s, m: _descended(x, y, w, r * len(y), s, m),
        "there is a factor of 2: half of the mean squared error has the slope residual times "
        "feature.": lambda x, y, w, r, s, m: _descended(x, y, w, 2 * r, s, m),
        "this climbs: subtract the gradient.":
            lambda x, y, w, r, s, m: _descended(x, y, w, -r, s, m),
        "this is one step.": lambda x, y, w, r, s, m: _descended(x, y, w, r, 1, m),
        "this is one step too few.": lambda x, y, w, r, s, m: _descended(x, y, w, r, s - 1, m),
        "this is one step too many.": lambda x, y, w, r, s, m: _descended(x, y, w, r, s + 1, m),
        "the frozen weights do not move, but they do count: leave them in the prediction.":
            lambda x, y, w, r, s, m: _descended(x, y, w, r, s, m, seen=m),
        "this is the start: nothing has moved.": lambda x, y, w, r, s, m: w,
    },
)  # fmt: skip


def _kept(mean, variance, batches, momentum, spread=lambda batch: batch.var(ddof=1)):
    kept = np.array([mean, variance])
    for batch in batches:
        kept = (1 - momentum) * kept + momentum * np.array([batch.mean(), spread(batch)])
    return kept


# function(mean, variance, batches, momentum) -> [mean, variance] as batch norm keeps them: what a
# layer's running statistics of one channel have become after training on `batches`,
# (steps, values), one after the other. momentum is PyTorch's: the weight of the new.
statistics_after = Exercise(
    ask=(-1.0, 0.5, 3 + 2 * np.random.default_rng(20154).standard_normal((4, 6)), 0.1),
    right=_kept,
    mistakes={
        "for what it keeps, PyTorch divides the variance by one less than the number of values.":
            lambda m, v, b, a: _kept(m, v, b, a, np.var),
        "the weights are swapped: PyTorch's momentum is the weight of the new batch.":
            lambda m, v, b, a: _kept(m, v, b, 1 - a),
        "this forgets all but the last batch.": lambda m, v, b, a: _kept(m, v, b[-1:], 1),
        "this is what all batches have in common, as if there had been nothing before.":
            lambda m, v, b, a: [b.mean(), b.var(ddof=1)],
        "this stops after the first batch.": lambda m, v, b, a: _kept(m, v, b[:1], a),
        "this goes through the batches from the last to the first.":
            lambda m, v, b, a: _kept(m, v, b[::-1], a),
        "these are standard deviations; variances are kept.":
            lambda m, v, b, a: _kept(m, v, b, a, lambda batch: batch.std(ddof=1)),
        "this is what was there before: in training mode it moves.": lambda m, v, b, a: [m, v],
        "variance first? The mean comes first.": lambda m, v, b, a: _kept(m, v, b, a)[::-1],
    },
)  # fmt: skip


def _patients():
    """Scores of six methods, and the patient of each lesion.

    Lesions of one patient are alike: who leaves out a lesion alone has seen its neighbours.
    """
    random = np.random.default_rng(13)
    patient = np.array(["a", "a", "b", "b", "b", "c", "d", "d", "e", "e", "e"])
    names = np.unique(patient)
    taste = 0.15 * random.standard_normal((6, len(names)))
    scores = 0.7 + taste[:, np.searchsorted(names, patient)]
    scores += 0.15 * random.standard_normal(scores.shape)
    return scores, patient


def _chosen(scores, groups, best=np.argmax):
    """For each lesion the score of the method that is best on all lesions of other groups."""
    picks = [best(scores[:, groups != group].mean(1)) for group in groups]
    return scores[picks, np.arange(len(groups))]


# function(scores, patient) -> the mean score of a choice that never saw what it is scored on.
# scores: (methods, lesions). patient: (lesions,) names. For each patient the method with the best
# mean over all lesions of the *other* patients is chosen, and scored on this patient's lesions;
# the mean over all lesions is returned.
honest = Exercise(
    ask=_patients(),
    right=lambda scores, patient: _chosen(scores, patient).mean(),
    mistakes={
        "this is the best of the means: chosen and scored on the same lesions.":
            lambda scores, patient: scores.mean(1).max(),
        "this takes for each lesion the method that is best on it: nobody can know that before.":
            lambda scores, patient: scores.max(0).mean(),
        "one lesion is left out, but the others of the same patient have voted: leave the "
        "patient out.": lambda scores, patient: _chosen(scores, np.arange(len(patient))).mean(),
        "this chooses by the patient who is scored; let the others choose.":
            lambda scores, patient: np.mean(
                [scores[:, patient == name].mean(1).max() for name in patient]),
        "this is the score on the patients who have voted; take the one who has not.":
            lambda scores, patient: np.mean(
                [scores[:, patient != name].mean(1).max() for name in patient]),
        "this chooses the worst.":
            lambda scores, patient: _chosen(scores, patient, np.argmin).mean(),
        "this is the mean over patients; every lesion counts once.":
            lambda scores, patient: np.mean(
                [_chosen(scores, patient)[patient == name].mean() for name in np.unique(patient)]),
        "this is the mean of all methods: none was chosen.": lambda scores, patient: scores.mean(),
    },
)  # fmt: skip
