"""The chapter *Training the model*: what it says of losses, and the numbers of its text."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime, brentq
from scipy.special import expit
from torch import nn

from nodule_lesson.chapters.training_the_model import computations, facts
from nodule_lesson.experiments import results
from nodule_lesson.training import fit
from nodule_lesson.training.losses import dice_loss


def loss(p, area, pixels, smooth, rest=None):
    """Of one slice with a probability p; `rest` is another one outside the nodule."""
    rest = p if rest is None else rest
    total = p * area + rest * (pixels - area)
    return 1 - (2 * p * area + smooth) / (total + area + smooth)


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


def slope(p, area, pixels, s=1):
    """dL/dp of the Dice loss of one slice, as the chapter prints it."""
    return -(2 * area * (area + s) - s * pixels) / (p * pixels + area + s) ** 2


def test_the_first_step_of_adam_is_the_same_for_a_loss_times_a_thousand():
    for scale in (1, 1000):
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        batch = [(torch.ones(1, 1), None, None)]
        fit(model, batch, lambda out, *_, k=scale: k * out.sum(), steps=1, progress=False)
        assert 1 - model.weight.item() == pytest.approx(1e-3, abs=1e-6)


def test_the_test_is_counted_and_no_patient_is_on_both_sides():
    patients, has_nodule = np.array(["a", "b", "b", "c"]), torch.tensor([1.0, 0.0])
    test = np.array([False, True, True, False])
    texts = facts.size_of_the_test(patients, test, has_nodule)
    assert texts == {"test-patients": "1", "test-nodules": "1"}
    with pytest.raises(AssertionError):
        facts.size_of_the_test(patients, np.array([True, True, False, True]), has_nodule)


def test_what_is_learned_by_heart():
    steps = [20, 40]
    sound = [1.0, 0.1] * 30, np.array([steps, [0.5, 1.0], [0.25, 0.96]])
    broken = [1.5] * 60, np.array([steps, [0.3, 0.4], [0.2, 0.35]])
    assert facts.by_heart(sound, broken) == {
        "heart-dice": "0.96",
        "broken-dice": "0.35",
        "heart-early-train": "0.50",
        "heart-early-eval": "0.25",
    }
    with pytest.raises(AssertionError):  # one that learns is not broken
        facts.by_heart(sound, sound)


def test_slices_are_counted_below_the_border():
    areas = np.array([10, 20, 30, 40])
    assert facts.slices_below_the_border(areas, {64: 20.5, 128: 40.4}) == {
        "nodule-slices": "4",
        "critical-64": "20",
        "below-64": "50%",
        "critical-128": "40",
        "below-128": "100%",
    }


def test_silence_comes_to_rest_where_the_pulls_on_the_logit_cancel():
    """The root of the whole pull, against the chapter's approximation."""
    area, pixels, share = 30, 64**2, 0.2

    def pull(p):
        by_dice = share * slope(p, area, pixels) + (1 - share) * slope(p, 0, pixels)
        return p * (1 - p) * by_dice + p - share * area / pixels

    root = brentq(pull, 1e-12, 1e-4, xtol=1e-18)
    texts = facts.pulls_near_silence(slope)
    digit, power = texts["balance"].split(" · 10⁻")
    assert float(f"{digit}e-{'⁰¹²³⁴⁵⁶⁷⁸⁹'.index(power)}") == float(f"{root:.0e}")
    # An empty slice pulls with N / s, a nodule of 1000 pixels with nearly 2.
    assert float(texts["one-against"].replace(",", "")) == pytest.approx(pixels / 2, rel=0.05)


def test_the_contrasts_are_where_the_losses_turn():
    """Roots of the change of both losses near p = 0, for a common factor of all odds."""
    area, pixels, share, batch, p = 30, 64**2, 0.2, 10, 1e-9
    nodules = batch * share * area

    def slices(odds):
        change = loss(p * odds, area, pixels, 1, rest=p) - loss(0, area, pixels, 1)
        return share * change + (1 - share) * (loss(p, 0, pixels, 1) - loss(0, 0, pixels, 1))

    def whole(odds):
        return loss(p * odds, nodules, batch * pixels, 1, rest=p) - loss(
            0, nodules, batch * pixels, 1
        )

    by_slice, of_batch = (brentq(function, 1, 1e5) for function in (slices, whole))
    texts = facts.contrasts(area, pixels, share, batch)
    assert texts["known-slice"] == f"{np.log(by_slice):.1f}"
    assert texts["known-batch"] == f"{np.log(of_batch):.1f}"
    assert float(texts["known-odds-slice"].replace(",", "")) == pytest.approx(by_slice, abs=51)
    assert float(texts["known-odds-batch"]) == pytest.approx(of_batch, abs=0.51)


def test_scores_of_the_slim_model():
    has_nodule = np.array([True, True, True, False, False])
    score = np.array([0.0, 0.6, 0.9])
    marked = np.zeros((5, 4, 4), bool)
    marked[[1, 2, 4], 0, 0] = True
    c = np.array([0.9, 0.4, 0.8, 0.1, 0.2])
    texts = facts.slim_scores(marked, score, c, has_nodule, np.array(list("aabcd")))
    low, high = float(texts.pop("slim-low")), float(texts.pop("slim-high"))
    assert (low, high) == (0.3, 0.9)  # two patients: one of them drawn twice
    assert texts == {
        "slim-dice": "0.50",
        "slim-median": "0.60",
        "slim-missed": "1",
        "slim-empty": "2",
        "slim-false": "1",
        "slim-right": "80%",
    }


def test_the_plateau_is_the_loss_of_an_empty_slice():
    texts = facts.plateau()
    for u in (-5, -9, -11):
        probability = torch.full((1, 4096), float(expit(u)), dtype=torch.float64)
        value = dice_loss(probability, torch.zeros_like(probability)).item()
        assert texts[f"plateau-{-u}"] == f"{value:.2f}"
    for side, name in ((64, "plateau-half"), (32, "plateau-half-32")):
        half = brentq(lambda u, n=side**2: n * expit(u) / (1 + n * expit(u)) - 0.5, -20, 0)
        assert texts[name] == f"{-half:.1f}"


def test_two_heads_are_told_apart():
    slow = np.array([[25, 50], [-1.0, -2.0], [0.99, 0.95]])
    fast = np.array([[25, 50], [-9.0, -12.0], [0.3, 0.1]])
    texts = facts.two_heads({"U-Net": slow, "ResUNet": fast})
    assert texts["heads-unet"] == "2.0" and texts["heads-resunet-loss"] == "0.30"
    with pytest.raises(AssertionError):
        facts.two_heads({"U-Net": fast, "ResUNet": slow})


def test_readings_and_short_trainings_hold_on_the_stored_runs():
    """The means of the small tests, from the files themselves."""
    folder = results.results_folder() / "simulated-choice"
    texts = facts.readings()
    for network in ("unet", "proposed"):
        for over in ("slice", "batch", "nodule"):
            files = folder.glob(f"{network}-Dice-by-{over}-clinic?-seed0.json")
            dice = [
                json.loads(file.read_text(encoding="utf-8"))["scores"]["small"]["dice"]
                for file in files
            ]
            assert len(dice) == 3
            assert texts[f"{network}-{over}"] == f"{np.mean(dice):.3f}"
    assert 0 < float(facts.short_trainings()["short-simulated-resunet"]) < 0.4


def test_the_answers_below_the_figure_hold():
    assert 0 <= int(facts.answers_of_the_figure()["most-empty"]) < 8


def test_crops_of_the_chapter_move_image_and_mask_together():
    images, masks, patients, test = computations.slices()
    x, y, has_nodule = computations.crops(images[:5], images[:5] > 0.5, 48, times=3)
    assert x.shape == (15, 1, 48, 48) and torch.equal(x > 0.5, y > 0)
    np.testing.assert_array_equal(x[:5, 0].numpy(), images[:5, 40:88, 40:88])
    assert not set(patients[test]) & set(patients[~test])
