"""The chapter *Training the model*: what it says of losses, and the numbers of its text."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime, brentq
from torch import nn

from nodule_lesson.chapters.training_the_model import computations, facts
from nodule_lesson.training import fit


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


def test_the_loss_of_the_silent_run_falls():
    fates, losses = ["marks next to nothing", "alive", "alive"], np.array([9, 8, 7, 4, 3, 2, 1.0])
    assert facts.silent_run(fates, losses) == {"collapse-early": "8.00", "collapse-late": "2.00"}
    with pytest.raises(AssertionError):
        facts.silent_run(fates[::-1], losses)


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


def test_the_paragraph_on_missed_lesions_is_of_trainings_that_miss_some(monkeypatch):
    """Of four lesions ResUNet misses three, ResUNet++ two, the proposed network none."""
    dice = {"resunet": [0, 0, 0, 0.9], "resunet++": [0, 0, 0.5, 0.9], "proposed": [0.5] * 4}
    means = {
        ("resunet", "precision"): 0.95,
        ("resunet", "sensitivity"): 0.25,
        ("resunet++", "precision"): 0.92,
        ("resunet++", "sensitivity"): 0.4,
        ("proposed", "sensitivity"): 0.7,
    }
    results = SimpleNamespace(
        rows=tuple(dice),
        runs=[0] * 7,
        scores=lambda row: np.array([dice[row]]),
        mean=lambda row, measure: (means[row, measure], 0, 1),
    )
    monkeypatch.setattr(facts.experiments, "read", lambda name: results)
    assert facts.missed_lesions() == {
        "trainings": "14",
        "resunet-missed": "75%",
        "resunet-precision": "0.95",
        "resunet-sensitivity": "0.25",
        "resunet++-precision": "0.92",
        "resunet++-sensitivity": "0.40",
    }
    dice["proposed"] = [0] * 4
    with pytest.raises(AssertionError):  # a training that has collapsed
        facts.missed_lesions()


def test_the_slim_training_is_counted():
    has_nodule = torch.tensor([1.0, 0.0, 1.0, 1.0] * 100)
    curve = [(40, 0.1, 0.9), (80, 0.7, 0.8)]
    assert facts.slim_training(200, 5, 12.4, has_nodule, curve) == {
        "slim-steps": "200",
        "slim-images": "1,000",
        "slim-seconds": "12",
        "slim-share": "75%",
    }
    with pytest.raises(AssertionError):  # each crop was seen ten times
        facts.slim_training(800, 5, 12.4, has_nodule, curve)


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


def test_the_shipped_model_had_more_steps_and_harder_slices(monkeypatch):
    card = {
        "recipe": {"steps": {"64": 900, "128": 300}, "batches": {"64": [7, 3]}},
        "scores": {"simulated patients": {"mean_dice": 0.7, "slices": 100}},
    }
    monkeypatch.setattr(facts, "model_card", lambda name: card)
    assert facts.shipped_model(np.array([0.8, 0.9]), 400) == {
        "shipped-times": "3",
        "shipped-dice": "0.70",
        "shipped-slices": "100",
    }
    assert facts.batches_of_the_shipped_networks() == {"shipped-yes": "7", "shipped-no": "3"}
    with pytest.raises(AssertionError):
        facts.shipped_model(np.array([0.7]), 400)


def test_learning_rates_are_those_that_the_chapter_names():
    rates = computations.learning_rates(200)
    constant, staircase, one_cycle = rates.values()
    assert set(constant) == {1e-3}
    assert staircase == pytest.approx([1e-3 * 0.75 ** (k // 20) for k in range(200)])
    assert one_cycle.argmax() == 39 and one_cycle.max() == pytest.approx(3e-3)
    assert one_cycle[0] == pytest.approx(3e-3 / 25) and one_cycle[-1] < 1e-7
    texts = facts.staircase(rates[computations.STAIRCASE])
    assert texts == {"staircase-end": f"{0.75**9:.3f}"}


def test_projected_times_are_images_by_speed():
    """Work such that a T4 does one image per second at an eighth of its peak."""
    head, rows = facts.projected_times(65e12 / 8, pretraining=3600, fine_tuning=7200, rows=2)
    assert all(len(row) == len(head) for row in rows)
    assert rows[0] == ["T4 (Colab)", "1", "3.0 h", "2.2 h", "60 min"]
    assert rows[2][1:3] == ["5", "38 min"]  # 312 / 65 = 4.8 images per second


def test_the_profiles_on_a_t4_are_steps_times_batch(monkeypatch):
    profile = {"pretrain_steps": 360, "steps": 60, "batch": 10, "folds": 5}
    profiles = {
        "colab": SimpleNamespace(**profile, side=64, checkpoint_every=50),
        "paper": SimpleNamespace(**profile, side=128),
    }
    monkeypatch.setattr(facts.grid, "PROFILES", profiles)
    small = SimpleNamespace(multiply_adds=65e12 / 8 / 6 / 4)  # a quarter of the work at 128x128
    monkeypatch.setattr(facts, "summary", lambda model, side: small)
    assert facts.on_a_t4(65e12 / 8, pretraining=5 * 3600) == {
        "colab-images": "4,200",
        "colab-minutes": f"{4200 / 4 / 60:.0f}",
        "every": "50",
        "paper-pre-hours": "1.0",
        "paper-folds-minutes": "50",
    }
    with pytest.raises(AssertionError):  # not forty of two hundred epochs
        facts.on_a_t4(65e12 / 8, pretraining=3600)


def test_the_speed_is_read_where_its_results_are(tmp_path):
    path = tmp_path / "training_speed.json"
    assert facts.training_speed(path) == {}
    rows = [
        {"contender": "a plain loop", "images_a_second": 50.0, "times_plain": 1.0},
        {"contender": "fit, 32 bits", "images_a_second": 48.6, "times_plain": 0.972},
    ]
    result = {"setting": {"device": "cpu", "network": "slim"}, "rows": rows}
    path.write_text(json.dumps(result), encoding="utf-8")
    assert facts.training_speed(path) == {"speed-fit": "49", "speed-times": "0.97"}
    rows[1]["times_plain"] = 1.4
    path.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(AssertionError):  # then "no faster" is wrong
        facts.training_speed(path)
