"""Checkers of the chapter *Transfer learning*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict


def fine_tune(function):
    """function(features, wanted, start, rate, steps, moving) -> the weights, (K,).

    `steps` steps of gradient descent on half the mean squared error of features @ weights, from
    `start`. features: (n, K); wanted: (n,); moving: (K,) boolean, False for a frozen weight.
    """
    random = np.random.default_rng(20154)
    features, wanted = random.standard_normal((5, 7)), random.standard_normal(5)
    start, moving = random.standard_normal(7), np.arange(7) % 3 > 0
    rate, steps = 0.2, 6
    answer = function(features.copy(), wanted.copy(), start.copy(), rate, steps, moving.copy())

    def descend(w, moving=moving, rate=rate / 5, steps=steps, seen=True):
        for _ in range(steps):
            w = w - rate * np.where(moving, features.T @ (features @ (w * seen) - wanted), 0)
        return w

    right = descend(start)
    wrong = [
        ("this begins at zero; begin at `start`, that is what transfer is.", descend(0 * start)),
        ("the frozen weights have moved, too.", descend(start, moving=True)),
        ("the frozen weights were set to 0: they keep what they have at the start.",
         descend(start * moving)),
        ("it is the other way round: where `moving` is False, a weight is frozen.",
         descend(start, moving=~moving)),
        ("the sum over the points must be divided by their number: a mean is asked for.",
         descend(start, rate=rate)),
        ("there is a factor of 2: half of the mean squared error has the slope residual times "
         "feature.", descend(start, rate=2 * rate / 5)),
        ("this climbs: subtract the gradient.", descend(start, rate=-rate / 5)),
        ("this is one step.", descend(start, steps=1)),
        ("this is one step too few.", descend(start, steps=steps - 1)),
        ("this is one step too many.", descend(start, steps=steps + 1)),
        ("the frozen weights do not move, but they do count: leave them in the prediction.",
         descend(start, seen=moving)),
        ("this is the start: nothing has moved.", start),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def statistics_after(function):
    """function(mean, variance, batches, momentum) -> [mean, variance] as batch norm keeps them.

    What a layer's running statistics of one channel have become after training on `batches`,
    (steps, values), one after the other. momentum is PyTorch's: the weight of the new.
    """
    random = np.random.default_rng(20154)
    batches = 3 + 2 * random.standard_normal((4, 6))
    mean, variance, momentum = -1.0, 0.5, 0.1
    answer = function(mean, variance, batches.copy(), momentum)

    def follow(ddof=1, momentum=momentum, batches=batches, root=False):
        m, v = mean, variance
        for batch in batches:
            new = batch.std(ddof=ddof) if root else batch.var(ddof=ddof)
            m = (1 - momentum) * m + momentum * batch.mean()
            v = (1 - momentum) * v + momentum * new
        return np.array([m, v])

    last, right = batches[-1], follow()
    wrong = [
        ("for what it keeps, PyTorch divides the variance by one less than the number of values.",
         follow(ddof=0)),
        ("the weights are swapped: PyTorch's momentum is the weight of the new batch.",
         follow(momentum=1 - momentum)),
        ("this forgets all but the last batch.", [last.mean(), last.var(ddof=1)]),
        ("this is what all batches have in common, as if there had been nothing before.",
         [batches.mean(), batches.var(ddof=1)]),
        ("this stops after the first batch.", follow(batches=batches[:1])),
        ("this goes through the batches from the last to the first.",
         follow(batches=batches[::-1])),
        ("these are standard deviations; variances are kept.", follow(root=True)),
        ("this is what was there before: in training mode it moves.", [mean, variance]),
        ("variance first? The mean comes first.", right[::-1]),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def honest(function):
    """function(scores, patient) -> the mean score of a choice that never saw what it is scored on.

    scores: (methods, lesions). patient: (lesions,) names. For each patient the method with the
    best mean over all lesions of the *other* patients is chosen, and scored on this patient's
    lesions; the mean over all lesions is returned.
    """
    random = np.random.default_rng(13)
    patient = np.array(["a", "a", "b", "b", "b", "c", "d", "d", "e", "e", "e"])
    # Lesions of one patient are alike: who leaves out a lesion alone has seen its neighbours.
    names = np.unique(patient)
    taste = 0.15 * random.standard_normal((6, len(names)))
    scores = 0.7 + taste[:, np.searchsorted(names, patient)]
    scores += 0.15 * random.standard_normal(scores.shape)
    answer = function(scores.copy(), patient.copy())
    lesions = np.arange(len(patient))

    def chosen(own, best=np.argmax):
        """For each lesion the score of what is best on all lesions but those of own(lesion)."""
        picks = [best(scores[:, ~own(lesion)].mean(1)) for lesion in lesions]
        return scores[picks, lesions]

    def same_patient(lesion):
        return patient == patient[lesion]

    found = chosen(same_patient)
    elsewhere = [scores[:, ~same_patient(lesion)].mean(1).max() for lesion in lesions]
    wrong = [
        ("this is the best of the means: chosen and scored on the same lesions.",
         scores.mean(1).max()),
        ("this takes for each lesion the method that is best on it: nobody can know that before.",
         scores.max(0).mean()),
        ("one lesion is left out, but the others of the same patient have voted: leave the "
         "patient out.", chosen(lambda lesion: lesions == lesion).mean()),
        ("this chooses by the patient who is scored; let the others choose.",
         np.mean([scores[:, same_patient(lesion)].mean(1).max() for lesion in lesions])),
        ("this is the score on the patients who have voted; take the one who has not.",
         np.mean(elsewhere)),
        ("this chooses the worst.", chosen(same_patient, np.argmin).mean()),
        ("this is the mean over patients; every lesion counts once.",
         np.mean([found[patient == name].mean() for name in names])),
        ("this is the mean of all methods: none was chosen.", scores.mean()),
    ]  # fmt: skip
    return verdict(answer, found.mean(), wrong)
