"""The live figure of one threshold: scipy's opening, scikit-image's Otsu, its face in node."""

import importlib
from functools import partial

import numpy as np
import pytest
from live_figures import make, page_states, parameters_of
from scipy import ndimage
from skimage.filters import threshold_otsu

from nodule_lesson.chapters.lung_nodules_in_ct.live import ct_window
from nodule_lesson.evaluation import classics

figure = importlib.import_module("nodule_lesson.chapters.on_real_scans.live")
window = importlib.import_module("nodule_lesson.chapters.lung_nodules_in_ct.live")
setting = partial(parameters_of, "threshold")


def named(radius):
    return f"{radius} px" if radius else "none"


def overlap(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def disc(radius):
    y, x = np.indices((2 * radius + 1,) * 2) - radius
    return np.hypot(y, x) <= radius


@pytest.mark.parametrize("name", figure.TYPES)
def test_a_crop_is_the_middle_of_its_slice(name):
    hu, outline, ends = figure.crop(name)
    whole, mask, _ = window.example(name)
    np.testing.assert_array_equal(hu, whole[32:96, 32:96])
    np.testing.assert_array_equal(outline, mask[32:96, 32:96])
    assert ends == (whole.min(), whole.max()) and outline.sum() == mask.sum()


@pytest.mark.parametrize("radius", [0, 1, 3, 5])
def test_one_grey_opening_is_the_opening_of_every_mask(radius):
    hu, _, _ = figure.crop("juxtapleural")
    grey = figure.opened(hu, radius)
    for t in (-850, -500, -40, 20):
        wanted = ndimage.binary_opening(hu > t, disc(radius))
        np.testing.assert_array_equal(grey > t, wanted)


@pytest.mark.parametrize("name", figure.TYPES)
def test_what_is_kept_and_its_dice(name):
    for keep in (figure.ALL, figure.CENTRAL):
        for radius in (0, 2):
            p = setting(nodule=name, keep=keep, threshold=-420, opening=named(radius))
            result = figure.compute(p)
            hu, outline, _ = figure.crop(name)
            mask = ndimage.binary_opening(hu > -420, disc(radius))
            if keep == figure.CENTRAL:
                mask = classics.central(mask)
            np.testing.assert_array_equal(result["field"], mask)
            assert result["dice"] == pytest.approx(overlap(mask, outline))
            place = list(figure.THRESHOLDS).index(-420)
            assert result["scores"][place] == pytest.approx(result["dice"])
            assert result["best_dice"] == result["scores"].max() >= result["dice"]
            if keep == figure.CENTRAL and radius == 0:
                assert result["best_dice"] <= classics.best_threshold(hu, outline)[1] + 1e-12


@pytest.mark.parametrize("name", figure.TYPES)
def test_otsus_threshold_is_where_the_variance_is_largest(name):
    result = figure.compute(setting(nodule=name))
    hu = result["hu"]
    np.testing.assert_array_equal(hu > result["otsu"], hu > threshold_otsu(hu))
    assert result["otsu"] in hu
    (there,) = figure.between_classes(hu, [result["otsu"]])
    assert there >= result["variance"].max() - 1e-12
    # By the other term: what is within the classes is the rest.
    t = figure.THRESHOLDS[60]
    classes = hu[hu <= t].astype(float), hu[hu > t].astype(float)
    within = (
        sum(values.var() * values.size for values in classes) / hu.size / hu.astype(float).var()
    )
    assert result["variance"][60] == pytest.approx(1 - within)


def test_the_still_lists_every_crop():
    pictures = {make("threshold").still(nodule=name) for name in figure.TYPES}
    assert len(pictures) == len(figure.TYPES) == len(ct_window().controls[0].options)


def test_the_page_computes_what_the_package_does(node):
    settings = [
        setting(nodule=name, keep=keep, threshold=t, opening=named(radius))
        for name in figure.TYPES
        for keep in (figure.ALL, figure.CENTRAL)
        for t, radius in ((-700, 0), (-1000, 1), (400, 0), (-430, 3), (-20, 5))
    ]
    for p, state in zip(settings, page_states(node, "threshold", settings), strict=True):
        result = figure.compute(p)
        shape = (state["height"], state["width"])
        np.testing.assert_allclose(np.reshape(state["input"], shape), result["input"], atol=1e-6)
        np.testing.assert_array_equal(np.reshape(state["field"], shape), result["field"])
        scores, variance = state["plots"]["Every threshold"]["curves"]
        np.testing.assert_array_equal(scores["x"], figure.THRESHOLDS)
        np.testing.assert_allclose(scores["y"], result["scores"], atol=1e-12, err_msg=str(p))
        np.testing.assert_allclose(variance["y"], result["variance"], atol=1e-9)
        hu, outline = result["hu"], result["outline"]
        curves = state["plots"]["Histogram"]["curves"]
        for curve, values in zip(curves, (hu, hu[outline]), strict=True):
            wanted = window.histogram(values, figure.BINS)
            np.testing.assert_allclose([curve["x"], curve["y"]], wanted, atol=1e-9)
        score, otsu, best, scaled = (text.replace("−", "-") for text in state["texts"])
        assert float(score) == pytest.approx(result["dice"], abs=5.1e-4)
        assert float(scaled) == pytest.approx(result["scaled"], abs=5.1e-4)
        for text, key in ((otsu, "otsu"), (best, "best")):
            at, value = text.split(" HU, ")
            assert int(at) == result[key]
            assert float(value) == pytest.approx(result[f"{key}_dice"], abs=5.1e-4)
