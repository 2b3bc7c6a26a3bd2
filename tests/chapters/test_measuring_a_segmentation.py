"""The chapter *Measuring a segmentation*: the numbers of its text."""

import numpy as np
import pytest

from nodule_lesson.chapters.measuring_a_segmentation import facts
from nodule_lesson.data import open_demo
from nodule_lesson.evaluation import measures


def test_an_empty_mask_is_right_wherever_there_is_no_nodule():
    truth = np.zeros((4, 5, 10), bool)
    truth[0, 2, :3] = truth[1, 2, :5] = True  # 8 of 200 pixels
    spacing = np.array([[0.5, 0.6], [0.5, 0.6], [0.8, 0.8], [0.8, 0.9]])
    assert facts.slices_and_pixels(truth, spacing) == {
        "accuracy-of-nothing": "96.0%",
        "slices-all": "4",
        "slices-empty": "2",
        "smallest-pixel": "0.50",
        "largest-pixel": "0.90",
        "pixel-ratio": "1.8",
    }


def test_misses_are_found_again_in_the_means():
    """Some units missed altogether, the others all alike."""

    def row(missed, dice, *distances):
        iou = dice / (2 - dice)
        return 0.9, 0.9, (1 - missed) * dice, (1 - missed) * iou, *distances

    paper = {"UNet": row(0.2, 0.85, 4.0, 0.5), "proposed": row(0.12, 0.94, 3.0, 0.25)}
    assert facts.paper_rows(paper) == {
        "unet-parts": "0.900",
        "unet-dice": "0.680",
        "unet-missed": "20%",
        "unet-found": "0.85",
        "proposed-missed": "12%",
        "proposed-found": "0.94",
        "paper-hd": "3.000",
        "paper-assd": "0.250",
        "paper-ratio-low": "8",
        "paper-ratio-high": "12",
    }
    above_the_harmonic_mean = (0.8, 0.8, 0.81, 0.75, 1.0, 1.0)
    all_alike = (0.9, 0.9, 0.8, 0.8 / (2 - 0.8), 1.0, 1.0)
    for spoilt in (above_the_harmonic_mean, all_alike):
        with pytest.raises(AssertionError):
            facts.paper_rows({**paper, "spoilt": spoilt})


def test_readers_are_told_with_every_contour():
    first, second = np.zeros((2, 2, 3, 4), bool)
    first[:, 0], second[0, 0], second[1, 1] = True, True, True  # equal, and disjoint
    by_contour = {
        "4 neighbours": (57, 2.7, 1.1, 1.1),
        "8 neighbours": (79, 2.7, 0.98, 0.9),
        "first outside": (61, 2.7, 1.23, 1.1),
        "all pixels": (430, 2.7, 0.3, 0.2),
    }
    assert facts.readers_by_contour(first, second, (2.6, 1.0), by_contour) == {
        "readers-dice": "0.50",
        "readers-hd": "2.60",
        "readers-assd": "1.00",
        "readers-ratio": "2.6",
        "all-assd": "0.30",
        "all-ratio": "9",
        "eight-assd": "0.98",
        "outside-assd": "1.23",
    }


def test_the_ranking_has_to_turn():
    five = {
        "threshold": [0.54, 0.74, 0.70, 0.625, 0.74],
        "reader 1": [0.69, 0.86, 0.70, 0.62, 0.90],
        "reader 2": [0.82, 0.92, 0.84, 0.80, 0.91],
        "reader 4": [0.78, 0.90, 0.78, 0.79, 0.85],
    }
    assert list(facts.five_values(five).values()) == [
        "0.62", "0.90", "0.62", "0.79", "0.90", "0.85",
    ]  # fmt: skip
    for spoilt in (
        {"reader 1": [0.69, 0.86, 0.70, 0.62, 0.84]},  # pooled, reader 4 is better
        {"threshold": [0.54, 0.74, 0.70, 0.60, 0.74]},  # by lesion, the threshold is last
        {"reader 2": [0.82, 0.92, 0.84, 0.80, 0.89]},  # pooled, reader 1 is first
    ):
        with pytest.raises(AssertionError):
            facts.five_values(five | spoilt)


def test_the_lines_cross_since_small_nodules_are_missed():
    truth = np.zeros((5, 30, 40), bool)
    for row, area in enumerate((10, 20, 30, 570, 0)):
        truth[row].flat[:area] = True
    one, four = np.zeros_like(truth), truth.copy()
    one[3] = truth[3]
    four[0] = False
    four[3].flat[190:570] = False  # a third is left: Dice 1/2
    lesions = ["a 1", "a 2", "a 2", "b 1", ""]
    assert facts.why_lines_cross([one, one, one, four], truth, lesions) == {
        "one-lost": "2",
        "four-lost": "1",
        "lesions-all": "3",
        "one-lost-pixels": "10%",
        "large-share": "90%",
        "one-large": "1.00",
        "four-large": "0.50",
    }
    with pytest.raises(AssertionError):
        facts.why_lines_cross([four, one, one, one], truth, lesions)


def test_the_smallest_and_the_largest_fifth():
    fifth = np.array([0, 4, 0, 2, 4])
    dice = np.array([0.5, 0.8, 0.7, 0.1, 0.9])
    assd = np.array([0.6, 1.2, 0.8, 9.0, 1.4])
    assert facts.smallest_and_largest(dice, assd, fifth) == {
        "small-dice": "0.60",
        "large-dice": "0.85",
        "small-assd": "0.70",
        "large-assd": "1.30",
    }
    with pytest.raises(AssertionError):
        facts.smallest_and_largest(1 - dice, assd, fifth)


def test_real_readers_are_read_from_the_counts():
    assert facts.real_readers({"dice": {"mean": 0.7492}}) == {"real-readers": "0.75"}


def test_the_answers_below_the_live_figure_by_counting_pixels():
    live = facts.live
    start = {control.name: control.value for control in live.CONTROLS}

    def counted(**moved):
        pred, truth = live.masks(start | moved)
        both = (pred & truth).sum()
        return 2 * both / (pred.sum() + truth.sum()), both / (pred | truth).sum()

    texts = facts.answers_of_the_figure()
    shift = int(texts["half-shift"])
    overlaps = [counted(right=right)[0] for right in range(live.REACH + 1)]
    assert shift == int(np.argmin(np.abs(np.array(overlaps) - 0.5)))
    for state, moved in (
        ("half", {"right": shift}),
        ("large-nodule", {}),
        ("small-nodule", {"truth": "small nodule"}),
        ("speck", {"right": 0, "speck": "1 pixel"}),
    ):
        dice, iou = counted(**moved)
        assert (texts[f"{state}-dice"], texts[f"{state}-iou"]) == (f"{dice:.3f}", f"{iou:.3f}")


def test_pooled_dice_is_the_mean_with_the_weights_of_the_text():
    random = np.random.default_rng(20154)
    pred, truth = random.random((2, 9, 6, 7)) < 0.3
    pred[3], truth[3], truth[5] = False, False, False
    weight = pred.sum((1, 2)) + truth.sum((1, 2))
    dice = np.nan_to_num(measures.dice(pred, truth))
    pooled = measures.summarise(pred, truth, per="pooled").mean["dice"]
    assert pooled == pytest.approx((weight * dice).sum() / weight.sum())


def test_equal_dice_on_every_slice_and_unequal_pooled_dice():
    """Neither sizes nor empty slices differ: the weights hold the systems' own marks."""
    truth, tight, loose = np.zeros((3, 2, 20, 27), bool)
    flat = [mask.reshape(2, -1) for mask in (truth, tight, loose)]
    flat[0][:, :90] = True
    flat[1][0, :30], flat[2][0, :270] = True, True
    flat[1][1, 9:99], flat[2][1, 9:99] = True, True
    assert [int((pred & truth)[1].sum()) for pred in (tight, loose)] == [81, 81]
    for pred, pooled in ((tight, 0.74), (loose, 0.63)):
        assert measures.dice(pred, truth) == pytest.approx([0.5, 0.9])
        assert measures.summarise(pred, truth).mean["dice"] == pytest.approx(0.7)
        found = measures.summarise(pred, truth, per="pooled").mean["dice"]
        assert round(found, 2) == pooled


def test_the_bound_on_misses_is_near_for_reader_1_and_not_for_reader_3():
    demo = open_demo("luna_like")
    truth, share = np.asarray(demo.masks) > 0, {}
    for reader in (0, 2):
        pred = (np.asarray(demo.readers) >> reader) & 1
        found = measures.summarise(pred, truth, empty="skip")
        missed = np.mean(found.values["dice"][truth.any((1, 2))] == 0)
        rest = 2 - found.mean["dice"] / found.mean["iou"]
        share[reader] = (1 - found.mean["dice"] / rest) / missed
    assert 1 < share[0] < 1.1 and share[2] > 1.5
