"""Measures of volumes and label maps: all pairs, boxes by hand, MONAI, surface-distance."""

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import (
    HausdorffDistanceMetric,
    SurfaceDiceMetric,
    SurfaceDistanceMetric,
)
from scipy.ndimage import binary_erosion

from nodule_lesson.evaluation import comparison, measures, statistics
from nodule_lesson.evaluation.measures import (
    assd,
    by_class,
    dice,
    hausdorff_distance,
    summarise,
    surface_dice,
)

SPACING = (2.5, 0.7, 0.6)


def balls(n=3, size=(9, 24, 20), seed=0):
    random = np.random.default_rng(seed)
    grid = np.moveaxis(np.indices(size), 0, -1)
    pairs = np.zeros((2, n, *size), bool)
    for i in range(n):
        for side in range(2):
            centre = np.array(size) / 2 + random.normal(0, 1, 3)
            radius = np.array(size) * random.uniform(0.2, 0.4)
            pairs[side, i] = (((grid - centre) / radius) ** 2).sum(-1) < 1
    return pairs


def by_all_pairs(pred, truth, spacing):
    """(there, back): the distances of both surfaces, from all pairs of points."""
    points = [np.argwhere(mask & ~binary_erosion(mask)) * spacing for mask in (pred, truth)]
    gaps = np.linalg.norm(points[0][:, None] - points[1], axis=-1)
    return gaps.min(1), gaps.min(0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_volumes_are_measured_as_all_pairs_of_points(data):
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    pred, truth = (data.draw(arrays(bool, shape)) for _ in range(2))
    spacing = data.draw(st.tuples(*[st.sampled_from((0.5, 0.7, 1.0, 2.5))] * 3))
    if not (pred.any() and truth.any()):
        assert math.isnan(hausdorff_distance(pred, truth, spacing))
        assert math.isnan(assd(pred, truth, spacing))
        share = surface_dice(pred, truth, spacing, tolerance=1)
        assert share == 0 if pred.any() or truth.any() else math.isnan(share)
        return
    there, back = by_all_pairs(pred, truth, spacing)
    both = np.concatenate([there, back])
    close = np.testing.assert_allclose
    close(hausdorff_distance(pred, truth, spacing), both.max(), atol=1e-12)
    close(assd(pred, truth, spacing), both.mean(), atol=1e-12)
    for percentile in (50, 95):
        wanted = max(np.percentile(d, percentile) for d in (there, back))
        close(hausdorff_distance(pred, truth, spacing, percentile), wanted, atol=1e-12)
    found = surface_dice(pred, truth, spacing, tolerance=1.05)
    close(found, (both <= 1.05).mean(), atol=1e-12)
    close(dice(pred, truth, 3), 2 * (pred & truth).sum() / (pred.sum() + truth.sum()))


def test_boxes_by_hand():
    """A box of 3 x 3 x 3 voxels, moved by one slice, by two rows, by three columns."""
    truth = np.zeros((9, 9, 9), bool)
    truth[2:5, 2:5, 2:5] = True
    for axis, by in enumerate((1, 2, 3)):
        moved = np.roll(truth, by, axis)
        assert hausdorff_distance(moved, truth, SPACING) == pytest.approx(by * SPACING[axis])
        assert dice(moved, truth, dimensions=3) == pytest.approx((3 - by) / 3)
    # Moved by three columns, no voxel of one lies in the other. In each direction the nine in
    # the last column are three columns off, the eight of the middle column's rim two, nine one.
    moved = np.roll(truth, 3, 2)
    mean = 0.6 * (9 * 3 + 8 * 2 + 9) / 26
    assert assd(moved, truth, SPACING) == pytest.approx(mean)
    assert surface_dice(moved, truth, SPACING, tolerance=1.2) == pytest.approx(17 / 26)
    assert surface_dice(moved, truth, SPACING, tolerance=1.1) == pytest.approx(9 / 26)


def test_percentiles_of_slices_are_numpys():
    pred, truth = balls()[:, :, 4]
    values = hausdorff_distance(pred, truth, SPACING[1:], 95)
    for value, a, b in zip(values, pred, truth, strict=True):
        both = by_all_pairs(a, b, SPACING[1:])
        assert value == pytest.approx(max(np.percentile(d, 95) for d in both))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_monai_agrees_on_volumes():
    pred, truth = balls()
    tensors = [torch.as_tensor(masks[:, None]) for masks in (pred, truth)]
    options = {"include_background": True, "reduction": "none"}
    for metric, ours in (
        (HausdorffDistanceMetric(**options), hausdorff_distance(pred, truth, SPACING)),
        (
            HausdorffDistanceMetric(percentile=95, **options),
            hausdorff_distance(pred, truth, SPACING, 95),
        ),
        (SurfaceDistanceMetric(symmetric=True, **options), assd(pred, truth, SPACING)),
        (
            SurfaceDiceMetric(class_thresholds=[0.9], **options),
            surface_dice(pred, truth, SPACING, tolerance=0.9),
        ),
    ):
        metric(*tensors, spacing=list(SPACING))
        np.testing.assert_allclose(metric.aggregate()[:, 0].numpy(), ours, rtol=2e-6)


def test_surface_distance_agrees_where_the_definitions_do():
    """On boxes moved by whole voxels: its points lie on corners, which move along."""
    library = pytest.importorskip("surface_distance")
    truth = np.zeros((9, 9, 9), bool)
    truth[2:5, 2:5, 2:5] = True
    moved = np.roll(truth, 1, 0)
    found = library.compute_surface_distances(truth, moved, SPACING)
    assert library.compute_robust_hausdorff(found, 100) == pytest.approx(
        hausdorff_distance(moved, truth, SPACING)
    )
    assert library.compute_dice_coefficient(truth, moved) == pytest.approx(dice(moved, truth, 3))
    assert library.compute_surface_dice_at_tolerance(found, 2.5) == surface_dice(
        moved, truth, SPACING, tolerance=2.5
    )
    # Its weights are areas: at a smaller tolerance the shares are others.
    theirs = library.compute_surface_dice_at_tolerance(found, 1.0)
    assert theirs != pytest.approx(surface_dice(moved, truth, SPACING, tolerance=1.0))


def test_stacks_of_volumes_with_a_spacing_each():
    pred, truth = balls()
    spacing = np.array([SPACING, (1, 1, 1), (0.5, 2, 1)])
    for function in (hausdorff_distance, assd):
        alone = [function(*three) for three in zip(pred, truth, spacing, strict=True)]
        np.testing.assert_array_equal(function(pred, truth, spacing), alone)


def test_a_label_map_is_its_classes_one_by_one():
    # Three balls side by side, each of its own class.
    maps = [
        np.concatenate(
            [label * mask for label, mask in zip((1, 4, 7), masks, strict=True)], axis=2
        )
        for masks in balls()
    ]
    found = by_class(*maps, SPACING, tolerance=1.0)
    assert set(found) == set(np.unique(maps)) - {0}
    for label, values in found.items():
        a, b = (labels == label for labels in maps)
        assert values["dice"] == dice(a, b, 3)
        assert values["hausdorff_distance_95"] == hausdorff_distance(a, b, SPACING, 95)
        assert values["surface_dice"] == surface_dice(a, b, SPACING, tolerance=1.0)
    nowhere = by_class(*maps, SPACING, classes=[9])[9]
    assert "surface_dice" not in nowhere and all(math.isnan(v) for v in nowhere.values())
    with pytest.raises(ValueError, match="^pred must hold labels, whole numbers, found float64.$"):
        by_class(maps[0] / 2, maps[1])


def test_lesions_of_slices_are_volumes_with_three_spacings():
    pred, truth = balls(2)
    slices = [masks.reshape(-1, *masks.shape[2:]) for masks in (pred, truth)]
    names = np.repeat(["a", "b"], 9)
    order = np.arange(18).reshape(2, 9).T.ravel()  # the slices of the two in turn
    found = summarise(
        *(masks[order] for masks in slices), SPACING, per="lesion", lesions=names[order]
    )
    for name, function in (("hausdorff_distance", hausdorff_distance), ("assd", assd)):
        np.testing.assert_array_equal(found.values[name], function(pred, truth, SPACING))
        assert found.of[name] == 2
    empty = summarise(
        0 * slices[0], slices[1], SPACING, per="lesion", lesions=names, empty="penalise"
    )
    wanted = math.sqrt((8 * 2.5) ** 2 + (23 * 0.7) ** 2 + (19 * 0.6) ** 2)
    np.testing.assert_allclose(empty.values["assd"], wanted)
    with pytest.raises(ValueError, match="^spacing of three numbers makes volumes of lesions"):
        summarise(*slices, SPACING)
    spacing = np.tile(SPACING, (18, 1))
    spacing[3] = 1
    with pytest.raises(ValueError, match="^spacing must be one for all slices of lesion 'a'.$"):
        summarise(*slices, spacing, per="lesion", lesions=names)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda m: hausdorff_distance(m, m), "pred must be a mask (H, W) or (N, H, W), "),
        (lambda m: hausdorff_distance(m[0, 0], m[0, 0], SPACING), "pred must be a mask (D, H, W)"),
        (lambda m: hausdorff_distance(m, m, SPACING, 0), "percentile must be above 0 and at most"),
        (lambda m: surface_dice(m, m, SPACING, tolerance=-1), "tolerance must be a number of mm"),
        (lambda m: dice(m, m), "pred must be a mask (H, W) or (N, H, W), "),
        (lambda m: dice(m, m, 4), "dimensions must be 2 or 3, found 4."),
    ],
)
def test_what_could_mean_two_things_is_refused(call, said):
    with pytest.raises(ValueError) as error:
        call(np.ones((2, 2, 3, 3), bool))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("module", [measures, statistics, comparison])
def test_examples_of_the_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
