"""The live figure of the combination block: both faces, and what it says about the block."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_figures import page_states, parameters_of
from scipy.ndimage import convolve

figure = importlib.import_module("nodule_lesson.chapters.combination_block.live")

WEIGHTS = ("a", "b", "w", "p", "q")
START = parameters_of("feature_combination")
slider = st.integers(-40, 40).map(lambda steps: steps / 20)


def by_scipy(s, f, p):
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return convolve(p["a"] * s + p["b"] * p["w"] * f, kernel, mode="constant")


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[slider] * 5))
def test_the_block_is_that_of_scipy(values):
    p = dict(zip(WEIGHTS, values, strict=True))
    result = figure.compute(p)
    s, f, hidden = (field.astype(float) for field in figure.features())
    changed = [s + p["p"] * hidden, f + p["q"] * hidden]
    np.testing.assert_allclose(result["input"], np.concatenate(changed), atol=1e-12)
    fields = [by_scipy(*changed, p), by_scipy(s, f, p)]
    np.testing.assert_allclose(result["field"], np.concatenate(fields), atol=1e-12)
    assert result["change"] == pytest.approx(abs(fields[0] - fields[1]).max(), abs=1e-12)
    curve = figure.change_of_output(*values)
    assert curve == pytest.approx(result["change"], abs=1e-12)


def test_the_figure_begins_with_a_change_that_the_block_cannot_see():
    result = figure.compute(START)
    s, f, hidden = figure.features()
    changed_s, changed_f = np.split(result["input"], 2)
    assert abs(changed_s - s).max() > 0.9 and abs(changed_f - f).max() > 0.9
    assert result["change"] < 1e-12
    assert hidden.max() > 0.99 and 150 < hidden.sum() < 250, "a disc of radius 8"
    for name in ("a", "b", "w", "q"):
        assert figure.compute(START | {name: START[name] / 2})["change"] > 0.2


@pytest.mark.parametrize(
    "changes, hidden",
    [
        ({"a": 1.6}, False),
        ({"a": 1.6, "p": -0.5}, True),
        ({"w": 0.4}, False),
        ({"w": 0.4, "b": 2.0}, True),
        ({"a": 0.0}, False),
        ({"a": 0.0, "p": 2.0}, False),
        ({"a": 0.0, "q": 0.0}, True),
    ],
)
def test_the_answers_of_the_chapter(changes, hidden):
    """What the answers to *Your turn* say."""
    assert (figure.compute(START | changes)["change"] < 1e-12) == hidden


def test_maps_are_the_same_picture_at_another_size():
    for whole, half in zip(figure.features(), figure.features(32), strict=True):
        small = whole.reshape(32, 2, 32, 2).mean((1, 3))
        assert np.corrcoef(small.ravel(), half.ravel())[0, 1] > 0.9


def test_the_page_computes_what_the_package_computes(node):
    random = np.random.default_rng(5)
    settings = [START, dict.fromkeys(WEIGHTS, 0.0), dict.fromkeys(WEIGHTS, -2.0)]
    settings += [dict(zip(WEIGHTS, random.uniform(-2, 2, 5), strict=True)) for _ in range(8)]
    for p, state in zip(settings, page_states(node, "feature_combination", settings), strict=True):
        result = figure.compute(p)
        shape = (state["height"], state["width"])
        for key in ("input", "field"):
            drawn = np.reshape(state[key], shape)
            np.testing.assert_allclose(drawn, result[key], atol=1e-5, err_msg=f"{key} {p}")
        plot = state["plots"]["Can the block see the change?"]
        (curve,), (mark,) = plot["curves"], plot["marks"]
        wanted = figure.change_of_output(p["a"], p["b"], p["w"], np.array(curve["x"]), p["q"])
        np.testing.assert_allclose(curve["y"], wanted, atol=1e-6)
        assert (mark["x"], mark["y"]) == pytest.approx((p["p"], result["change"]), abs=1e-6)
        shown = [float(t.replace("−", "-")) for t in " and ".join(state["texts"]).split(" and ")]
        product = p["b"] * p["w"]
        wanted = [abs(p["p"]), abs(p["q"]), result["change"], product]
        np.testing.assert_allclose(shown, [*wanted, p["a"] * p["p"] + product * p["q"]], atol=6e-4)
