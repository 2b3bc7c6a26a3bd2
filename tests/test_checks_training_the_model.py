"""The checkers of *Training the model*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from torch import nn
from torch.optim.lr_scheduler import StepLR

from nodule_lesson.chapters.training_the_model import exercises as checks
from nodule_lesson.training.losses import dice_loss

# Written out as a reader would write them: the checkers' own code is not used.


def no_zero_grad(model, optimiser, loss, images, masks):
    model.train()
    value = loss(model(images), masks)
    value.backward()
    optimiser.step()
    return value.item()


def zero_too_late(model, optimiser, loss, images, masks):
    model.train()
    value = loss(model(images), masks)
    value.backward()
    optimiser.zero_grad()
    optimiser.step()
    return value.item()


def no_backward(model, optimiser, loss, images, masks):
    model.train()
    value = loss(model(images), masks)
    optimiser.zero_grad()
    optimiser.step()
    return value.item()


def no_step(model, optimiser, loss, images, masks):
    model.train()
    value = loss(model(images), masks)
    optimiser.zero_grad()
    value.backward()
    return value.item()


def only_the_loss(model, optimiser, loss, images, masks):
    return loss(model(images), masks).item()


def step_first(model, optimiser, loss, images, masks):
    model.train()
    optimiser.step()
    value = loss(model(images), masks)
    optimiser.zero_grad()
    value.backward()
    return value.item()


def step_before_backward(model, optimiser, loss, images, masks):
    model.train()
    value = loss(model(images), masks)
    optimiser.step()
    value.backward()
    return value.item()


def never_trains(model, optimiser, loss, images, masks):
    optimiser.zero_grad()
    value = loss(model(images), masks)
    value.backward()
    optimiser.step()
    return value.item()


def trains_too_late(model, optimiser, loss, images, masks):
    value = loss(model.eval()(images), masks)
    model.train()
    value.backward()
    optimiser.step()
    return value.item()


def a_tensor(model, optimiser, loss, images, masks):
    model.train()
    optimiser.zero_grad()
    value = loss(model(images), masks)
    value.backward()
    optimiser.step()
    return value


WRONG_STEPS = {
    "gradients of all steps add up": no_zero_grad,
    "the weights never move: backward": zero_too_late,
    "weights never move: backward, then": no_backward,
    "no zero_grad between": no_step,
    "never move, and the network stays in evaluation": only_the_loss,
    "gradient of the one before": step_first,
    "before their gradient is known": step_before_backward,
    "in evaluation mode, as it came": never_trains,
    "evaluation mode, and zero_grad": trains_too_late,
    "keeps the whole step in memory": a_tensor,
}


def listed(rate):
    return lambda first, decay, every, epochs: [
        rate(first, decay, every, k) for k in range(epochs)
    ]


WRONG_RATES = {
    "Use whole division": listed(lambda f, d, n, k: f * d ** (k / n)),
    "in every epoch.": listed(lambda f, d, n, k: f * d**k),
    "one epoch early": listed(lambda f, d, n, k: f * d ** ((k + 1) // n)),
    "the first rate falls at once": listed(lambda f, d, n, k: f * d ** (1 + k // n)),
    "takes `decay` away": listed(lambda f, d, n, k: f - d * (k // n)),
    "times the number of falls": listed(lambda f, d, n, k: f * d * (k // n) if k >= n else f),
    "falls once": listed(lambda f, d, n, k: f if k < n else f * d),
    "multiplies by 1 - decay": listed(lambda f, d, n, k: f * (1 - d) ** (k // n)),
    "this grows": listed(lambda f, d, n, k: f * d ** -(k // n)),
}


def loss(p, area, pixels, smooth, rest=None):
    """Of one slice with a probability p; `rest` is another one outside the nodule."""
    rest = p if rest is None else rest
    total = p * area + rest * (pixels - area)
    return 1 - (2 * p * area + smooth) / (total + area + smooth)


WRONG_PULLS = {
    "the sign": lambda p, a, n, s: -pull_by_autograd(p, a, n, s),
    "denominator for a constant": lambda p, a, n, s: -2 * a / (p * n + a + s),
    "respect to the logit": lambda p, a, n, s: pull_by_autograd(p, a, n, s) * p * (1 - p),
    "is a square": lambda p, a, n, s: pull_by_autograd(p, a, n, s) * (p * n + a + s),
    "leaves out s": lambda p, a, n, s: np.where(
        a > 0, -2 * a * a / (p * n + np.maximum(a, 1e-9)) ** 2, 0
    ),
    "those of the nodule included": lambda p, a, n, s: (
        -(2 * a * (p * (n - a) + a + s) - (2 * p * a + s) * (n - a)) / (p * (n - a) + a + s) ** 2
    ),
    "counts twice": lambda p, a, n, s: (
        -(a * (p * n + a + s) - (p * a + s) * n) / (p * n + a + s) ** 2
    ),
    "per pixel": lambda p, a, n, s: pull_by_autograd(p, a, n, s) / n,
    "this is the loss": lambda p, a, n, s: loss(p, a, n, s),
}


def pull_by_autograd(p, area, pixels, smooth):
    found = []
    for size in area.astype(int):
        chance = torch.tensor(p, dtype=torch.float64, requires_grad=True)
        mask = (torch.arange(pixels) < size).double()[None]
        dice_loss(chance.expand(1, pixels), mask, smooth).backward()
        found.append(chance.grad.item())
    return np.array(found)


WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.step, WRONG_STEPS),
        (checks.rates, WRONG_RATES),
        (checks.pull, WRONG_PULLS),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def step_by_hand(model, optimiser, loss, images, masks):
    """No optimiser at all: gradients by torch.autograd.grad, moved with the rate it names."""
    model.train()
    value = loss(model(images), masks)
    weights = list(model.parameters())
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(value, weights), strict=True):
            weight -= optimiser.param_groups[0]["lr"] * slope
    return value.item()


def rates_by_torch(first, decay, every, epochs):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=first)
    scheduler, found = StepLR(optimiser, every, decay), []
    for _ in range(epochs):
        found.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return found


RIGHT = [
    (checks.step, step_by_hand),
    (checks.rates, rates_by_torch),
    (checks.pull, pull_by_autograd),
]


@pytest.mark.parametrize("checker, answer", RIGHT)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checker for checker, _ in RIGHT])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


def test_other_errors_of_the_reader_are_shown():
    def broken(model, optimiser, loss, images, masks):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        checks.step(broken)


def test_the_slope_of_the_chapter_is_that_of_finite_differences():
    """Its sign is the same for every p, and changes at A* of the chapter."""
    for pixels, smooth in ((64**2, 1.0), (128**2, 1.0), (64**2, 30.0)):
        border = (np.sqrt(smooth**2 + 2 * smooth * pixels) - smooth) / 2
        for p in (0.02, 0.5, 0.97):
            for area, sign in ((border - 0.5, 1), (border + 0.5, -1)):
                slope = approx_fprime(p, loss, 1e-7, area, pixels, smooth)
                assert np.sign(slope) == sign


@pytest.mark.parametrize("share, area, smooth", [(0.2, 30, 1), (0.5, 30, 1), (0.2, 300, 5)])
def test_silence_repels_from_the_contrast_of_the_chapter_on(share, area, smooth):
    """Finite differences of both losses along a common factor of all odds, near p = 0."""
    pixels, batch = 64**2, 10
    nodule = batch * share * area
    by_slice = (1 - share) / share * pixels / smooth * (area + smooth) ** 2
    by_slice = (by_slice + smooth * (pixels - area)) / (area * (2 * area + smooth))
    of_batch = smooth * (batch * pixels - nodule) / (nodule * (2 * nodule + smooth))

    def slices(t, odds):
        with_nodule = loss(t * odds, area, pixels, smooth, rest=t)
        return share * with_nodule + (1 - share) * loss(t, 0, pixels, smooth)

    def whole(t, odds):
        return loss(t * odds, nodule, batch * pixels, smooth, rest=t)

    for function, odds in ((slices, by_slice), (whole, of_batch)):
        for factor, sign in ((0.99, 1), (1.01, -1)):
            change = function(1e-9, factor * odds) - function(0, factor * odds)
            assert np.sign(change) == sign, function.__name__
