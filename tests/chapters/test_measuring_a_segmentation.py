"""The chapter *Measuring a segmentation*: the numbers of its text."""

import numpy as np
import pytest

from nodule_lesson.chapters.measuring_a_segmentation import facts


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


def test_two_systems_differ_in_their_mean_iou():
    """8 pixels in both of two masks of 10, and four perfect outlines of five."""
    alike, perfect_or_missed = 8 / (10 + 10 - 8), 4 / 5
    texts = facts.iou_of_two_systems()
    assert texts["iou-of-a"] == f"{alike:.2f}"
    assert texts["iou-gap"] == f"{perfect_or_missed - alike:.2f}"


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


def test_speed_is_that_of_outlines_of_nodule_size_with_square_pixels():
    def row(contender, ms, times=1.0, masks="nodules", pixels="square pixels"):
        names = {"contender": contender, "masks": masks, "pixels": pixels}
        return {**names, "ms": ms, "times_ours": times}

    ours = "ours, two calls"
    speed = {
        "setting": {"pairs": 1000},
        "rows": [
            row(ours, 0.058),
            row("ours, all six measures", 0.035),
            row("MONAI", 6.8, 117.3),
            row("MONAI", 9.0, 55.0, masks="large outlines"),
            row(ours, 0.5, pixels="oblong pixels"),
        ],
        "lengths": [
            {"contender": ours, "ms": 4.26},
            {"contender": ours, "ms": 1.0},
            {"contender": "MONAI", "ms": 80.0},
        ],
    }
    assert list(facts.speed_of_distances(speed).values()) == ["117", "58", "35", "1,000", "4.3"]


def test_real_readers_are_read_from_the_counts():
    assert facts.real_readers({"dice": {"mean": 0.7492}}) == {"real-readers": "0.75"}
