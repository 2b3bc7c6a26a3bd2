"""The checkers of *Transfer learning*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
import torch
from torch import nn

from nodule_lesson.chapters.transfer_learning import exercises as checks

# Written out as a reader would write them: the checkers' own code is not used.


def tuned(x, y, w, rate, steps, moving, *, scale=1.0, seen=None):
    """Gradient descent number by number."""
    w = [float(value) for value in w]
    for _ in range(steps):
        counted = w if seen is None else [a * bool(b) for a, b in zip(w, seen, strict=True)]
        residual = [sum(a * b for a, b in zip(row, counted, strict=True)) - t
                    for row, t in zip(x, y, strict=True)]  # fmt: skip
        slope = [sum(r * row[k] for r, row in zip(residual, x, strict=True)) / len(y)
                 for k in range(len(w))]  # fmt: skip
        w = [a - scale * rate * s * bool(m) for a, s, m in zip(w, slope, moving, strict=True)]
    return np.array(w)


WRONG_TUNED = {
    "begins at zero": lambda x, y, w, r, s, m: tuned(x, y, 0 * w, r, s, m),
    "have moved, too": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, m | True),
    "were set to 0": lambda x, y, w, r, s, m: tuned(x, y, w * m, r, s, m),
    "other way round": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, ~m),
    "divided by their number": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, m, scale=len(y)),
    "a factor of 2": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, m, scale=2),
    "this climbs": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, m, scale=-1),
    "this is one step.": lambda x, y, w, r, s, m: tuned(x, y, w, r, 1, m),
    "too few": lambda x, y, w, r, s, m: tuned(x, y, w, r, s - 1, m),
    "too many": lambda x, y, w, r, s, m: tuned(x, y, w, r, s + 1, m),
    "leave them in the prediction": lambda x, y, w, r, s, m: tuned(x, y, w, r, s, m, seen=m),
    "nothing has moved": lambda x, y, w, r, s, m: w,
}


def kept(mean, variance, batches, momentum, spread=lambda b: b.var(ddof=1)):
    """As a weighted sum over the past, newest last."""
    weights = [momentum * (1 - momentum) ** k for k in range(len(batches))][::-1]
    first = (1 - momentum) ** len(batches)
    return np.array([
        first * mean + sum(w * b.mean() for w, b in zip(weights, batches, strict=True)),
        first * variance + sum(w * spread(b) for w, b in zip(weights, batches, strict=True)),
    ])  # fmt: skip


WRONG_STATISTICS = {
    "one less than the number": lambda m, v, b, a: kept(m, v, b, a, np.var),
    "weights are swapped": lambda m, v, b, a: kept(m, v, b, 1 - a),
    "all but the last": lambda m, v, b, a: kept(m, v, b[-1:], 1.0),
    "nothing before": lambda m, v, b, a: np.array([b.mean(), b.var(ddof=1)]),
    "after the first batch": lambda m, v, b, a: kept(m, v, b[:1], a),
    "from the last to the first": lambda m, v, b, a: kept(m, v, b[::-1], a),
    "standard deviations": lambda m, v, b, a: kept(m, v, b, a, lambda x: x.std(ddof=1)),
    "what was there before": lambda m, v, b, a: np.array([m, v]),
    "mean comes first": lambda m, v, b, a: kept(m, v, b, a)[::-1],
}


def by_patient(scores, patient, choose=max):
    """One score a lesion: what was chosen by the other patients' lesions."""
    found = []
    for lesion, mine in enumerate(patient):
        others = [k for k, name in enumerate(patient) if name != mine]
        means = [sum(row[k] for k in others) / len(others) for row in scores]
        found.append(scores[means.index(choose(means))][lesion])
    return np.array(found)


def by_lesion(scores, patient):
    others = [np.delete(np.arange(len(patient)), k) for k in range(len(patient))]
    picks = [np.argmax([np.mean(row[o]) for row in scores]) for o in others]
    return np.mean([scores[pick, k] for k, pick in enumerate(picks)])


def of_voters(scores, patient):
    return np.mean([max(np.mean(row[patient != name]) for row in scores) for name in patient])


WRONG_HONEST = {
    "best of the means": lambda s, p: max(np.mean(row) for row in s),
    "nobody can know": lambda s, p: np.mean([max(column) for column in s.T]),
    "leave the patient out": by_lesion,
    "let the others choose": lambda s, p: np.mean(
        [max(np.mean(row[p == name]) for row in s) for name in p]
    ),
    "patients who have voted": of_voters,
    "chooses the worst": lambda s, p: by_patient(s, p, min).mean(),
    "every lesion counts once": lambda s, p: np.mean(
        [by_patient(s, p)[p == name].mean() for name in set(p)]
    ),
    "none was chosen": lambda s, p: s.mean(),
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.fine_tune, WRONG_TUNED),
        (checks.statistics_after, WRONG_STATISTICS),
        (checks.honest, WRONG_HONEST),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def by_autograd(features, wanted, start, rate, steps, moving):
    """torch's own gradient and optimiser; frozen weights in a tensor of their own."""
    x, y, w, moving = map(torch.from_numpy, (features, wanted, start, moving))
    own = nn.Parameter(w[moving])
    optimiser = torch.optim.SGD([own], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        ((x[:, moving] @ own + x[:, ~moving] @ w[~moving] - y) ** 2).mean().div(2).backward()
        optimiser.step()
    w = w.clone()
    w[moving] = own.detach()
    return w.numpy()


def by_batch_norm(mean, variance, batches, momentum):
    """What torch's own layer keeps."""
    layer = nn.BatchNorm1d(1, momentum=momentum, dtype=torch.float64)
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    for batch in batches:
        layer(torch.from_numpy(batch)[:, None])
    return np.array([layer.running_mean.item(), layer.running_var.item()])


RIGHT = [
    (checks.fine_tune, by_autograd),
    (checks.statistics_after, by_batch_norm),
    (checks.honest, lambda scores, patient: by_patient(scores, patient).mean()),
]


@pytest.mark.parametrize("checker, answer", RIGHT)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checker for checker, _ in RIGHT])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")
