"""The measures of a segmentation: double loops, theorems, scipy, MONAI, SimpleITK, policies."""

import itertools
import math
import re
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric
from monai.metrics.utils import get_mask_edges
from scipy.ndimage import binary_erosion

from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.evaluation.measures import (
    DISTANCES,
    EMPTY_POLICIES,
    OVERLAPS,
    UNITS,
    assd,
    dice,
    hausdorff_distance,
    iou,
    precision,
    sensitivity,
    summarise,
)

FUNCTIONS = {name: getattr(metrics, name) for name in OVERLAPS + DISTANCES}
NAN = float("nan")

# --- double loops -------------------------------------------------------------------------------


def contour_by_loops(mask):
    """Foreground pixels with one of four neighbours that is background, or outside the image."""
    height, width = mask.shape

    def on(row, column):
        return 0 <= row < height and 0 <= column < width and bool(mask[row, column])

    return [
        (row, column)
        for row, column in itertools.product(range(height), range(width))
        if on(row, column)
        and not all(
            on(row + down, column + right) for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0))
        )
    ]


def distances_by_loops(pred, truth, spacing):
    """Eqs. (12) and (13), one pair of contour pixels after the other."""
    x, y = contour_by_loops(pred), contour_by_loops(truth)
    if not x or not y:
        return {"hausdorff_distance": NAN, "assd": NAN}

    def nearest(point, others):
        gaps = ((point[0] - row, point[1] - column) for row, column in others)
        return min(math.hypot(down * spacing[0], right * spacing[1]) for down, right in gaps)

    there, back = [nearest(p, y) for p in x], [nearest(q, x) for q in y]
    return {
        "hausdorff_distance": max(*there, *back),
        "assd": math.fsum(there + back) / (len(x) + len(y)),
    }


def overlaps_by_loops(pred, truth):
    """Eqs. (8) to (11) from counts of pixels."""
    tp = fp = fn = 0
    for p, t in zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True):
        tp, fp, fn = tp + (p and t), fp + (p and not t), fn + (t and not p)

    def share(part, whole):
        return part / whole if whole else NAN

    return {
        "precision": share(tp, tp + fp),
        "sensitivity": share(tp, tp + fn),
        "dice": share(2 * tp, 2 * tp + fp + fn),
        "iou": share(tp, tp + fp + fn),
    }


@st.composite
def pairs(draw, largest=9, empty=True):
    """Two masks of one shape, sparse or dense, and a spacing."""
    shape = draw(st.tuples(*[st.integers(1, largest)] * 2))
    masks = []
    for _ in range(2):
        fill = draw(st.booleans())
        mask = draw(arrays(bool, shape, elements=st.booleans(), fill=st.just(fill)))
        if not empty and not mask.any():
            mask[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
        masks.append(mask)
    millimetres = st.floats(0.1, 5)
    spacing = draw(st.one_of(millimetres.map(lambda m: (m, m)), st.tuples(*[millimetres] * 2)))
    return *masks, spacing


def close(found, wanted, **tolerance):
    np.testing.assert_allclose(found, wanted, **{"rtol": 1e-9, "atol": 1e-9, **tolerance})


@settings(max_examples=300, deadline=None)
@given(pairs())
def test_every_measure_is_that_of_a_double_loop(pair):
    pred, truth, spacing = pair
    for name, value in overlaps_by_loops(pred, truth).items():
        close(FUNCTIONS[name](pred, truth), value)
    for name, value in distances_by_loops(pred, truth, spacing).items():
        close(FUNCTIONS[name](pred, truth, spacing), value)


def test_a_case_by_hand():
    pred, truth = np.zeros((2, 5, 7), bool)
    truth[1:4, 1:4] = True  # a square of 9 pixels, its middle inside
    pred[1:4, 2:6] = True  # one column further, and one wider
    assert precision(pred, truth) == 6 / 12
    assert sensitivity(pred, truth) == 6 / 9
    assert dice(pred, truth) == 12 / 21
    assert iou(pred, truth) == 6 / 15
    assert hausdorff_distance(pred, truth, (1.0, 0.5)) == 2 * 0.5
    # From the prediction: its left column has its middle pixel in the square, one off the contour;
    # the columns 2 and 3 lie on the truth's contour elsewhere; columns 4 and 5 are 1 and 2 off.
    # From the truth: its left column is one off, and the rest lies on the prediction's contour,
    # but for the middle of its right column, which is one off the contour, too.
    there = [0.5] + [0.5] * 2 + [1.0] * 3  # column 4 has two pixels on the contour
    back = [0.5] * 3 + [0.5]
    assert assd(pred, truth, (1.0, 0.5)) == pytest.approx(sum(there + back) / (10 + 8))
    assert all(isinstance(function(pred, truth), float) for function in FUNCTIONS.values())


# --- theorems -----------------------------------------------------------------------------------


@given(pairs())
def test_which_mask_comes_first_matters_to_precision_and_sensitivity_alone(pair):
    pred, truth, spacing = pair
    for name in ("dice", "iou"):
        close(FUNCTIONS[name](pred, truth), FUNCTIONS[name](truth, pred), rtol=0, atol=0)
    for name in DISTANCES:
        close(FUNCTIONS[name](pred, truth, spacing), FUNCTIONS[name](truth, pred, spacing))
    close(precision(pred, truth), sensitivity(truth, pred), rtol=0, atol=0)


@given(pairs())
def test_dice_and_iou_tell_the_same_of_one_pair(pair):
    pred, truth, _ = pair
    share = iou(pred, truth)
    close(dice(pred, truth), 2 * share / (1 + share))
    # Dice is the harmonic mean of precision and sensitivity, wherever all three are defined.
    p, s = precision(pred, truth), sensitivity(pred, truth)
    if p + s > 0:
        close(dice(pred, truth), 2 * p * s / (p + s))


@given(pairs(empty=False), st.integers(0, 4), st.integers(0, 4))
def test_moving_both_masks_changes_nothing(pair, down, right):
    """Nor does more background around them, since outside the image is background."""
    pred, truth, spacing = pair
    moved = [np.pad(mask, ((down, 4 - down), (right, 4 - right))) for mask in (pred, truth)]
    for name in OVERLAPS:
        close(FUNCTIONS[name](*moved), FUNCTIONS[name](pred, truth), rtol=0, atol=0)
    for name in DISTANCES:
        close(FUNCTIONS[name](*moved, spacing), FUNCTIONS[name](pred, truth, spacing))


@given(pairs(empty=False), st.floats(0.2, 5))
def test_distances_scale_with_the_pixel(pair, factor):
    pred, truth, spacing = pair
    larger = tuple(factor * mm for mm in spacing)
    for name in DISTANCES:
        value = FUNCTIONS[name](pred, truth, spacing)
        close(FUNCTIONS[name](pred, truth, larger), factor * value)
        # The axes are what they say they are.
        turned = FUNCTIONS[name](pred.T, truth.T, spacing[::-1])
        close(turned, value)


@given(pairs(empty=False))
def test_the_worst_distance_is_at_least_the_mean(pair):
    pred, truth, spacing = pair
    worst, mean = hausdorff_distance(pred, truth, spacing), assd(pred, truth, spacing)
    assert 0 <= mean <= worst * (1 + 1e-12)
    assert hausdorff_distance(pred, pred, spacing) == assd(pred, pred, spacing) == 0
    if worst == 0:  # two masks with one contour may differ inside: a disc and its outline
        assert contour_by_loops(pred) == contour_by_loops(truth)


def test_a_shift_of_a_disc_is_its_hausdorff_distance():
    y, x = np.indices((64, 64))
    disc = np.hypot(y - 30, x - 28) < 12
    for down, right in ((0, 3), (4, 0), (3, 4), (-5, 2)):
        moved = np.roll(disc, (down, right), (0, 1))
        assert hausdorff_distance(moved, disc, (0.6, 0.6)) == pytest.approx(
            0.6 * math.hypot(down, right), rel=0.02
        )


def test_a_speck_moves_the_worst_case_and_little_else():
    y, x = np.indices((64, 64))
    truth = np.hypot(y - 32, x - 32) < 14
    pred = truth.copy()
    pred[2, 2] = True
    assert dice(pred, truth) > 0.999
    assert hausdorff_distance(pred, truth) > 25
    assert assd(pred, truth) < 0.2


# --- the contour --------------------------------------------------------------------------------


@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))))
def test_the_contour_is_what_erosion_by_a_cross_takes_away(masks):
    cross = [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    wanted = masks & ~binary_erosion(masks, cross)
    of, rows, columns = metrics._contour(masks)
    assert [*zip(of, rows, columns, strict=True)] == [*zip(*np.nonzero(wanted), strict=True)]


# --- stacks, chunks, long contours --------------------------------------------------------------


def blobs(n, size=40, seed=0, empty=0.1):
    """n pairs of discs that nearly agree; some of the masks are empty."""
    random = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    masks = np.zeros((2, n, size, size), bool)
    for i in range(n):
        centre, radius = random.uniform(0.3 * size, 0.7 * size, 2), random.uniform(1, size / 4)
        for one in masks[:, i]:
            place, scale = centre + random.normal(0, 2, 2), random.uniform(0.7, 1.4)
            if random.random() > empty:
                one[:] = np.hypot(y - place[0], x - place[1]) < scale * radius
    return masks


def test_a_stack_is_its_slices_one_by_one():
    pred, truth = blobs(metrics._CHUNK + 12)
    spacing = np.random.default_rng(1).uniform(0.4, 1.2, (len(pred), 2))
    spacing[::3, 1] = spacing[::3, 0]
    empty = ~pred.any((1, 2)) | ~truth.any((1, 2))
    assert empty.any() and not empty.all()
    for name, function in FUNCTIONS.items():
        places = (spacing,) if name in DISTANCES else ()
        values = function(pred, truth, *places)
        assert isinstance(values, np.ndarray) and values.dtype == float
        alone = [function(*three) for three in zip(pred, truth, *places, strict=True)]
        close(values, alone)
        if name in DISTANCES:
            np.testing.assert_array_equal(np.isnan(values), empty)
            close(function(pred, truth, (0.7, 0.7)), 0.7 * function(pred, truth))


def test_a_stack_of_nothing():
    nothing = np.zeros((0, 8, 8), bool)
    for function in FUNCTIONS.values():
        assert function(nothing, nothing).shape == (0,)


def long_contours(size=96):
    """Masks that are nearly all contour: a chequerboard, its opposite, stripes, a spiral."""
    y, x = np.indices((size, size))
    radius, angle = np.hypot(y - size / 2, x - size / 2), np.arctan2(y - size / 2, x - size / 2)
    board = (y + x) % 2 == 0
    return np.stack([board, ~board, y % 3 == 0, (radius - 2 * angle / np.pi) % 4 < 1.5])


def test_long_contours_go_by_the_transform_and_give_the_same(monkeypatch):
    masks = long_contours()
    pred, truth = masks[[0, 0, 1, 2, 3]], masks[[1, 2, 3, 3, 0]]
    called = []
    transform = metrics._squares_by_transform

    def spy(*arguments):
        called.append(arguments)
        return transform(*arguments)

    monkeypatch.setattr(metrics, "_squares_by_transform", spy)
    for spacing in ((0.7, 0.7), (0.9, 0.4)):
        found = [function(pred, truth, spacing) for function in (hausdorff_distance, assd)]
        assert called, "no pair counts as long"
        called.clear()
        monkeypatch.setattr(metrics, "_MAX_PAIRS", 10**12)
        by_pairs = [function(pred, truth, spacing) for function in (hausdorff_distance, assd)]
        monkeypatch.setattr(metrics, "_MAX_PAIRS", 2**20)
        assert not called
        close(found, by_pairs)
    # By hand: the nearest field of the other colour is the next one.
    assert hausdorff_distance(masks[0], masks[1], (0.9, 0.4)) == pytest.approx(0.4)
    assert assd(masks[0], masks[1], (0.9, 0.4)) == pytest.approx(0.4)


@settings(max_examples=50, deadline=None)
@given(pairs())
def test_the_transform_alone_is_the_double_loop_too(pair):
    pred, truth, spacing = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_MAX_PAIRS", 0)
        for name, value in distances_by_loops(pred, truth, spacing).items():
            close(FUNCTIONS[name](pred, truth, spacing), value)


@pytest.mark.parametrize("spacing", [(0.3, 0.3), (0.3, 0.8)])
def test_wide_images_lose_no_digits(spacing):
    """Above 2,048 pixels float32 would no longer hold the squares of whole coordinates."""
    pred, truth = np.zeros((2, 2500, 2500), bool)
    pred[0, 0], pred[2499, 2499], truth[2499, 2498], truth[2, 1] = 4 * (True,)
    for name, value in distances_by_loops_of_points(pred, truth, spacing).items():
        close(FUNCTIONS[name](pred, truth, spacing), value, rtol=1e-9, atol=0)


def distances_by_loops_of_points(pred, truth, spacing):
    p, t = (np.argwhere(mask) * spacing for mask in (pred, truth))
    d = np.linalg.norm(p[:, None] - t, axis=-1)
    nearest = np.concatenate([d.min(0), d.min(1)])
    return {"hausdorff_distance": nearest.max(), "assd": nearest.mean()}


# --- others -------------------------------------------------------------------------------------


# MONAI calls itself in a way that it no longer likes.
@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 0.7), (0.9, 0.5)])
def test_distances_are_those_of_monai(spacing):
    pred, truth = blobs(60, seed=2, empty=0)
    pred[0], truth[0] = long_contours(40)[:2]
    pred[1, 0], truth[1, :, -1] = True, True  # along the border
    tensors = [torch.as_tensor(mask[:, None]) for mask in (pred, truth)]
    for metric, function in (
        (HausdorffDistanceMetric(include_background=True, reduction="none"), hausdorff_distance),
        (
            SurfaceDistanceMetric(include_background=True, symmetric=True, reduction="none"),
            assd,
        ),
    ):
        metric(*tensors, spacing=list(spacing))
        theirs = metric.aggregate()[:, 0].numpy()
        close(function(pred, truth, spacing), theirs, rtol=2e-6)  # theirs are float32


def test_the_contour_is_that_of_monai():
    (masks, others) = blobs(20, seed=3, empty=0)
    masks[0] = True  # a mask that fills the image: its border is its contour
    for mask, other in zip(masks, others, strict=True):
        edge, _ = get_mask_edges(mask, other, crop=False)
        assert contour_by_loops(mask) == [tuple(at) for at in np.argwhere(edge)]


def test_monai_says_other_things_of_empty_masks():
    """As the module's docstring has it; nan here, for one as for two."""
    nothing, something = np.zeros((2, 8, 8), bool)
    something[2:5, 2:5] = True
    metric = HausdorffDistanceMetric(include_background=True, reduction="none")
    for pred, truth, theirs in (
        (nothing, nothing, NAN),
        (nothing, something, math.inf),
        (something, nothing, math.inf),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = metric(*(torch.as_tensor(mask[None, None]) for mask in (pred, truth)))
        close(value.item(), theirs)
        assert math.isnan(hausdorff_distance(pred, truth)) and math.isnan(assd(pred, truth))


def by_simpleitk(pred, truth, spacing):
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (pred, truth)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    return measure.GetHausdorffDistance(), measure.GetAverageHausdorffDistance()


@pytest.mark.parametrize("spacing", [(0.7, 0.7), (0.9, 0.5)])
def test_of_contours_simpleitk_tells_the_same_worst_case_and_another_mean(spacing):
    pred, truth = blobs(12, seed=4, empty=0)
    worst, mean = hausdorff_distance(pred, truth, spacing), assd(pred, truth, spacing)
    for i in range(len(pred)):
        contours = [mask & ~binary_erosion(mask) for mask in (pred[i], truth[i])]
        theirs, average = by_simpleitk(*contours, spacing)
        assert worst[i] == pytest.approx(theirs, rel=1e-5)
        # Theirs weighs both contours alike; weighted by their lengths it would be Eq. (13).
        points = [np.argwhere(contour) * spacing for contour in contours]
        gaps = np.linalg.norm(points[0][:, None] - points[1], axis=-1)
        there, back = gaps.min(1), gaps.min(0)
        assert average == pytest.approx((there.mean() + back.mean()) / 2, rel=1e-4)
        assert mean[i] == pytest.approx(np.concatenate([there, back]).mean())


def test_of_whole_masks_simpleitk_tells_another_worst_case():
    """More where one mask fills a hole of the other, less where a contour runs inside it."""
    y, x = np.indices((40, 40))
    radius = np.hypot(y - 20, x - 20)
    disc, ring, thick = radius < 10, (radius >= 9) & (radius < 11), (radius >= 3) & (radius < 12)
    assert by_simpleitk(disc, ring, (1.0, 1.0))[0] == 9
    assert hausdorff_distance(disc, ring) == pytest.approx(math.sqrt(2))
    wide = radius < 12
    assert by_simpleitk(wide, thick, (1.0, 1.0))[0] == 3
    assert hausdorff_distance(wide, thick) == 8


# --- what comes in ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64, bool]
)
def test_masks_of_any_type(dtype):
    pred, truth = blobs(20, seed=5)
    pred, truth = pred[:, :, :30], truth[:, :, :30]  # not contiguous
    for function in FUNCTIONS.values():
        wanted = function(pred, truth)
        for convert in (np.array, torch.as_tensor):
            found = function(convert(pred.astype(dtype)), convert(truth.astype(dtype)))
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, wanted)


def test_tensors_that_numpy_cannot_hold():
    pred, truth = (torch.as_tensor(mask) for mask in blobs(5, seed=6))
    wanted = dice(pred, truth)
    np.testing.assert_array_equal(dice(pred.bfloat16(), truth), wanted)
    np.testing.assert_array_equal(dice(pred.float().requires_grad_(), truth), wanted)
    spacing = torch.tensor([0.7, 0.6])
    close(assd(pred, truth, spacing), assd(pred, truth, (0.7, 0.6)), rtol=1e-6)


def test_nothing_that_comes_in_is_changed():
    pred, truth = (mask.astype(np.uint8) for mask in blobs(9, seed=7))
    before = pred.copy(), truth.copy()
    summarise(pred, truth, per="lesion", lesions=["a", "", "b"] * 3, empty="penalise")
    np.testing.assert_array_equal(before, (pred, truth))


ON = np.ones((3, 4), bool)
BAD = [
    (ON[0], ON[0], {}, "pred must be a mask (H, W) or (N, H, W), found (4,)."),
    (ON[None, None], ON, {}, "pred must be a mask (H, W) or (N, H, W), found (1, 1, 3, 4)."),
    (ON, ON[:, :0], {}, "truth must be a mask (H, W) or (N, H, W), found (3, 0)."),
    (ON, ON.T, {}, "pred and truth must have one shape, found (3, 4) and (4, 3)."),
    (ON[None], ON, {}, "pred and truth must have one shape, found (1, 3, 4) and (3, 4)."),
    (ON * 0.5, ON, {}, "pred must be 0 or 1 everywhere, found 0.5."),
    (ON, ON * 255, {}, "truth must be 0 or 1 everywhere, found 255."),
    (ON, -1 * ON, {}, "truth must be 0 or 1 everywhere, found -1."),
    (ON * NAN, ON, {}, "pred must be 0 or 1 everywhere, found nan."),
    (ON.astype(str), ON, {}, "pred must hold booleans or 0 and 1, found <U5."),
    (ON, ON * 1j, {}, "truth must hold booleans or 0 and 1, found complex128."),
]
WANTED_SPACING = (
    "spacing must be (row_mm, column_mm), (slice_mm, row_mm, column_mm), or one such row per mask"
)
BAD_SPACING = [
    ((0, 1), "spacing must be positive millimetres, found [0.0, 1.0]."),
    ((1, -0.5), "spacing must be positive millimetres, found [1.0, -0.5]."),
    ((1, NAN), "spacing must be positive millimetres, found [1.0, nan]."),
    ((1, math.inf), "spacing must be positive millimetres, found [1.0, inf]."),
    (0.7, f"{WANTED_SPACING}, found the shape ()."),
    ((1, 1, 1, 1), f"{WANTED_SPACING}, found the shape (4,)."),
    ([(1, 1)] * 3, f"{WANTED_SPACING}, of which there are 1, found (3, 2)."),
]


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), summarise])
@pytest.mark.parametrize("pred, truth, options, said", BAD, ids=[case[-1] for case in BAD])
def test_bad_masks_get_one_clear_sentence(function, pred, truth, options, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        function(pred, truth, **options)


@pytest.mark.parametrize("function", [hausdorff_distance, assd, summarise])
@pytest.mark.parametrize("spacing, said", BAD_SPACING, ids=[case[-1] for case in BAD_SPACING])
def test_bad_spacings_get_one_clear_sentence(function, spacing, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        function(ON[None], ON[None], spacing)


# --- what is undefined --------------------------------------------------------------------------

NOTHING, SOMETHING = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
SOMETHING[1:4, 2:6] = True
# Prediction, truth, and what the equations say: overlap in the order of OVERLAPS.
EMPTIES = {
    "both": (NOTHING, NOTHING, (NAN, NAN, NAN, NAN)),
    "prediction": (NOTHING, SOMETHING, (NAN, 0, 0, 0)),
    "truth": (SOMETHING, NOTHING, (0, NAN, 0, 0)),
    "none": (SOMETHING, SOMETHING, (1, 1, 1, 1)),
}


@pytest.mark.parametrize("case", EMPTIES)
def test_what_is_undefined_is_nan(case):
    pred, truth, wanted = EMPTIES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and nobody need hear of it
        close([FUNCTIONS[name](pred, truth) for name in OVERLAPS], wanted)
        distances = [FUNCTIONS[name](pred, truth) for name in DISTANCES]
    close(distances, [0 if case == "none" else NAN] * 2)


# --- averages -----------------------------------------------------------------------------------

EMPTY_PRED, EMPTY_TRUTH = (np.stack([case[i] for case in EMPTIES.values()]) for i in (0, 1))
DIAGONAL = math.hypot(5 * 0.8, 7 * 0.5)
# Values of the four slices above under each policy: precision, sensitivity, Dice, IoU, distance.
BY_POLICY = {
    "undefined": (
        (NAN, NAN, 0, 1),
        (NAN, 0, NAN, 1),
        (NAN, 0, 0, 1),
        (NAN, 0, 0, 1),
        (NAN, NAN, NAN, 0),
    ),
    "perfect": ((1, NAN, 0, 1), (1, 0, NAN, 1), (1, 0, 0, 1), (1, 0, 0, 1), (0, NAN, NAN, 0)),
    "penalise": (
        (1, 0, 0, 1),
        (1, 0, 0, 1),
        (1, 0, 0, 1),
        (1, 0, 0, 1),
        (0, DIAGONAL, DIAGONAL, 0),
    ),
    "skip": (
        (NAN, NAN, NAN, 1),
        (NAN, 0, NAN, 1),
        (NAN, 0, NAN, 1),
        (NAN, 0, NAN, 1),
        (NAN, NAN, NAN, 0),
    ),
}


@pytest.mark.parametrize("empty", EMPTY_POLICIES)
def test_policies_on_every_kind_of_emptiness(empty):
    found = summarise(EMPTY_PRED, EMPTY_TRUTH, (0.8, 0.5), empty=empty)
    wanted = dict(zip(OVERLAPS + DISTANCES, (*BY_POLICY[empty], BY_POLICY[empty][4]), strict=True))
    for name, values in wanted.items():
        close(found.values[name], values)
        close(found.mean[name], np.nanmean(values))
        assert found.used[name] == np.isfinite(values).sum()
    # Whatever the policy, what the equations leave undefined is told.
    assert found.undefined == {
        "precision": 2,
        "sensitivity": 2,
        "dice": 1,
        "iou": 1,
        "hausdorff_distance": 3,
        "assd": 3,
    }
    assert set(found.of.values()) == {4}
    assert (found.per, found.empty, found.units) == ("slice", empty, (0, 1, 2, 3))


def test_by_slice_values_are_those_of_the_functions():
    pred, truth = blobs(150, seed=8)
    spacing = np.random.default_rng(2).uniform(0.4, 1.2, (150, 2))
    found = summarise(pred, truth, spacing)
    assert list(found.values) == [*OVERLAPS, *DISTANCES]
    for name, function in FUNCTIONS.items():
        values = function(pred, truth, *((spacing,) if name in DISTANCES else ()))
        close(found.values[name], values)
        assert found.undefined[name] == np.isnan(values).sum() > 0
        close(found.mean[name], np.nanmean(values))


def test_by_lesion_overlap_is_that_of_the_volume_and_distance_the_mean_of_its_slices():
    pred, truth = blobs(60, seed=9, empty=0.3)
    random = np.random.default_rng(3)
    names = random.choice(["", "a", "b", "c", "d"], 60)
    order = random.permutation(60)  # slices of a lesion need not lie together
    pred, truth, names = pred[order], truth[order], names[order]
    found = summarise(pred, truth, (0.6, 0.9), per="lesion", lesions=names)
    assert found.units == ("a", "b", "c", "d")
    for i, name in enumerate(found.units):
        mine = names == name
        volume = [mask[mine].reshape(-1, 40) for mask in (pred, truth)]  # one tall picture
        for measure in OVERLAPS:
            close(found.values[measure][i], FUNCTIONS[measure](*volume))
        for measure in DISTANCES:
            values = FUNCTIONS[measure](pred[mine], truth[mine], (0.6, 0.9))
            close(found.values[measure][i], np.nanmean(values))
    told = found.undefined["assd"], found.of["assd"]
    kept = names != ""
    assert told == (np.isnan(assd(pred[kept], truth[kept])).sum(), kept.sum())
    assert found.of["dice"] == 4


@pytest.mark.parametrize("empty", EMPTY_POLICIES)
def test_a_lesion_that_nobody_marked(empty):
    """Two slices of a lesion that was missed, one lesion that was found in one slice of two."""
    pred = np.stack([NOTHING, NOTHING, SOMETHING, NOTHING])
    truth = np.stack([SOMETHING] * 4)
    found = summarise(pred, truth, (0.8, 0.5), per="lesion", lesions=[7, 7, 3, 3], empty=empty)
    assert found.units == (3, 7)
    close(found.values["dice"], (2 / 3, 0))
    close(found.values["precision"], (1, 0 if empty == "penalise" else NAN))
    distance = (DIAGONAL / 2, DIAGONAL) if empty == "penalise" else (0, NAN)
    close(found.values["hausdorff_distance"], distance)
    assert (found.undefined["precision"], found.of["precision"]) == (1, 2)
    assert (found.undefined["hausdorff_distance"], found.of["hausdorff_distance"]) == (3, 4)


@pytest.mark.parametrize("unknown", ["", None, NAN, np.float32("nan")])
@pytest.mark.parametrize("names", [("a", "b", "nan"), (3, 7, 8), (1.5, 2.5, 4.0)])
def test_a_slice_of_no_lesion_makes_no_lesion(unknown, names):
    """What csv, json and pandas make of an empty cell; a lesion may be called "nan"."""
    pred, truth = blobs(8, seed=11)
    labels = [names[k] if k < 3 else unknown for k in (0, 1, 2, 3, 0, 1, 2, 3)]
    found = summarise(pred, truth, per="lesion", lesions=labels)
    kept = [0, 1, 2, 4, 5, 6]
    wanted = summarise(pred[kept], truth[kept], per="lesion", lesions=[*names, *names])
    assert found.units == wanted.units == names and found.of == wanted.of
    for name, values in wanted.values.items():
        np.testing.assert_array_equal(found.values[name], values)
    nobody = summarise(pred, truth, per="lesion", lesions=[unknown] * 8)
    assert nobody.units == () and math.isnan(nobody.mean["dice"])


def test_labels_come_as_arrays_and_tensors_and_of_one_kind():
    pred, truth = blobs(4, seed=12)
    for labels in (np.array([2, 1, 1, 2]), torch.tensor([2, 1, 1, 2]), np.array(list("baab"))):
        assert len(summarise(pred, truth, per="lesion", lesions=labels).units) == 2
    with pytest.raises(ValueError, match="lesions must be all texts or all numbers"):
        summarise(pred, truth, per="lesion", lesions=[1, "a", 2, None])


def test_pooled_is_one_lesion_of_all_slices():
    pred, truth = blobs(40, seed=10)
    for empty in EMPTY_POLICIES:
        one = summarise(pred, truth, (0.7, 0.7), per="pooled", empty=empty)
        other = summarise(pred, truth, (0.7, 0.7), per="lesion", lesions=["x"] * 40, empty=empty)
        assert one.units == ("all",) and one.mean == other.mean
    assert one.mean["dice"] == pytest.approx(2 * (pred & truth).sum() / (pred.sum() + truth.sum()))


def test_a_single_pair_and_a_stack_of_nothing():
    pred, truth, _ = EMPTIES["truth"]
    assert summarise(pred, truth).values["dice"].shape == (1,)
    found = summarise(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)))
    assert found.units == () and set(found.undefined.values()) == {0}
    assert all(math.isnan(value) for value in found.mean.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pooled = summarise(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), per="pooled")
    assert math.isnan(pooled.mean["dice"])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_mean_dice_is_at_most_the_harmonic_mean_of_the_means(data):
    """Jensen's inequality, as the chapter proves it, wherever all three are defined."""
    n = data.draw(st.integers(1, 6))
    shape = (n, 3, 3)
    pred = data.draw(arrays(bool, shape)) | (np.arange(9).reshape(3, 3) == 0)
    truth = data.draw(arrays(bool, shape)) | (np.arange(9).reshape(3, 3) == 8)
    mean = summarise(pred, truth).mean
    p, s, j = mean["precision"], mean["sensitivity"], mean["iou"]
    if p + s > 0:
        assert mean["dice"] <= 2 * p * s / (p + s) + 1e-12
    assert mean["dice"] <= 2 * j / (1 + j) + 1e-12


BAD_SUMMARIES = [
    ({"per": "volume"}, "per must be one of slice, lesion, pooled, found 'volume'."),
    (
        {"empty": "ignore"},
        "empty must be one of undefined, perfect, penalise, skip, found 'ignore'.",
    ),
    ({"per": "lesion"}, 'lesions are the labels for per="lesion" alone, found none.'),
    (
        {"lesions": ["a"]},
        "lesions are the labels for per=\"lesion\" alone, found some for per='slice'.",
    ),
    (
        {"per": "lesion", "lesions": ["a", "b"]},
        "lesions must be one label per slice, (1,), found (2,).",
    ),
    (
        {"per": "lesion", "lesions": [["a", "b"]]},
        "lesions must be one label per slice, (1,), found (1, 2).",
    ),
]


@pytest.mark.parametrize("options, said", BAD_SUMMARIES, ids=[said for _, said in BAD_SUMMARIES])
def test_unknown_names_get_the_list_of_names(options, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        summarise(ON[None], ON[None], **options)


def test_the_names_are_those_of_the_lesson():
    assert UNITS == ("slice", "lesion", "pooled")
    assert EMPTY_POLICIES == ("undefined", "perfect", "penalise", "skip")
    assert set(BY_POLICY) == set(EMPTY_POLICIES)
