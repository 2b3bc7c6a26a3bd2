"""The chapter *Lung nodules in CT*: what it computes, and the numbers of its text."""

from itertools import combinations

import numpy as np
import pytest

from nodule_lesson.chapters.lung_nodules_in_ct import facts, live
from nodule_lesson.data import normalise

# --- the live figure ----------------------------------------------------------------------------


def test_the_answers_to_the_live_figure_are_what_its_crops_hold():
    texts = facts.live_answers()
    hu, outline = live.crop("calcific")
    assert texts["live-calcific-slice"] == f"{normalise(hu)[outline].mean():.3f}"
    assert texts["live-calcific-window"] == f"{normalise(hu, -1350, 150)[outline].mean():.3f}"
    assert texts["live-calcific-slice-white"] == f"{hu[outline].max()}"
    hu, outline = live.crop("ground glass (GGO)")
    lung = (hu < -500) & ~outline
    for name, ends in (("live-glass-best", (-850, -550)), ("live-glass-lung", (-1350, 150))):
        grey = normalise(hu, *ends)
        assert texts[name] == f"{grey[outline].mean() - grey[lung].mean():.2f}"
    assert texts["live-glass-tissue"] == "0.000"
    assert (texts["live-lung-least"], texts["live-lung-most"]) == ("0.060", "0.114")


# --- densities, thresholds, and the paper's Eq. (6) ---------------------------------------------


def test_lung_is_dark_and_outside_nodules():
    images = np.array([[[-900, -880, -860, -400]], [[-700, -600, 30, 40]]])
    masks = np.array([[[0, 0, 0, 0]], [[1, 1, 0, 1]]])  # -700 and -600 are ground glass
    # The median is -880: 120 of 1040 HU above air.
    assert facts.lung_level(images, masks) == {"lung-median": "−880", "lung-tissue": "12%"}


def test_the_brightest_voxel_is_told_by_diameter_and_thickness():
    def made_up(diameter, thickness):
        return 100.0 * diameter - 200.0 * thickness

    texts = facts.brightest_voxels(made_up)
    assert texts == {"peak-thin": "200", "peak-thick": "−600", "peak-tiny": "−800"}


def test_what_one_threshold_finds_is_told_by_type():
    found = {
        "isolated": (0.5, 0.087),
        "calcific": (0.93, 0.05),
        "ground glass (GGO)": (0.21, 0.01),
    }
    texts = facts.one_threshold(found)
    assert texts == {"ggo-found": "21%", "calcific-found": "93%", "most-right": "8.7%"}


def test_the_best_threshold_of_the_best_type():
    lung = -860
    images = np.array(
        [
            [[0, 100, lung, lung]],  # one pixel of nodule, one of the wall above it
            [[-300, -300, -300, -300]],  # one pixel of four
            [[500, 500, 500, 500]],  # no outline: it does not count
        ]
    )
    masks = np.array([[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]])
    types = np.array(["isolated", "ggo", "isolated"])
    kinds = ["isolated", "ggo"]
    # The share is 50%, and 50% is not below itself.
    assert facts.any_threshold(images, masks, types, kinds) == {"best-right": "51%"}
    assert facts.any_threshold(images, masks, types, ["ggo"]) == {"best-right": "26%"}


def test_few_slices_are_those_of_the_other_types():
    masks = np.array([[[1, 1, 0]], [[1, 0, 0]], [[1, 1, 1]], [[0, 0, 0]]], np.uint8)
    types = np.array(["juxtapleural", "cavitary", "calcific", "cavitary"])
    assert facts.few_slices(masks, types, ["calcific"]) == {"few-slices": "2"}


def test_a_rib_divides_the_contrast():
    texts = facts.contrast_lost({"as it is": 0.2, "bone": 0.15, "padding": 0.05})
    assert texts["contrast-lost"] == "25%" and texts["contrast-padded"] == "75%"
    # I_max goes from 60 to 800 HU, with I_min at -960 HU.
    assert texts["predicted-loss"] == f"{1 - (60 + 960) / (800 + 960):.0%}"


def test_scales_are_told_by_slice_and_for_the_set():
    low, high = np.full(3, -1000.0), np.array([0.0, 240.0, 2000.0])
    assert facts.scales_of_slices(low, high, np.linspace(0, 1, 101)) == {
        "solid-low": "0.05",
        "solid-high": "0.95",
        "half-low": "−488",  # of -500, -380 and 500: a tenth of the way to the next
        "half-high": "412",
        "set-contrast": "0.08",
        "slice-contrast": "0.20",
        "set-step": "12",
    }


# --- readers ------------------------------------------------------------------------------------


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_pixel_costs_what_drawn_discs_say():
    y, x = np.mgrid[:1000, :1000] / 20 - 24.98  # 20 points per pixel, radii up to 21
    distance = np.hypot(y, x)
    texts = facts.discs_one_pixel_apart()
    for r in (4, 20):
        drawn = dice(distance < r, distance < r + 1)
        assert float(texts[f"ring-{r}"]) == pytest.approx(drawn, abs=0.006)


def test_the_mean_over_all_pairs_counts_a_reader_who_missed_the_nodule():
    random = np.random.default_rng(3)
    bits = random.integers(0, 16, (6, 5, 5), np.uint8)
    bits[1] &= 0b0101  # two of the readers drew nothing
    bits[2] &= 0b0111
    readers = [[(slice_ >> r) & 1 == 1 for r in range(4)] for slice_ in bits]
    pairs = [pair for masks in readers for pair in combinations(masks, 2)]
    all_pairs = [dice(a, b) for a, b in pairs if a.any() or b.any()]
    both = [(a, b) for a, b in pairs if a.any() and b.any()]
    values = np.array([dice(a, b) for a, b in both])
    areas = np.array([(a.sum() + b.sum()) / 2 for a, b in both])
    assert len(all_pairs) > len(values)
    order = np.argsort(areas)
    values[order] = np.sort(values)  # else it is no story of small and large nodules
    texts = facts.agreement_of_readers(values, areas, bits)
    assert texts["readers-strict"] == f"{np.mean(all_pairs):.2f}"
    assert texts["readers-mean"] == f"{values.mean():.2f}"
    with pytest.raises(AssertionError):
        facts.agreement_of_readers(values, -areas, bits)


def test_real_readers_are_read_per_nodule_and_per_slice():
    counts = {"dice": {"mean": 0.7492, "nodules": 1186}}
    trained = {"data": {"readers_mutual_dice": 0.7894, "test_slices": 997}}
    texts = facts.real_readers(counts, trained)
    assert list(texts.values()) == ["0.75", "1,186", "0.79", "997"]
