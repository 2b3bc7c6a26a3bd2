"""The live figure of dilated taps: brute force, a closed form, and its other face in node."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_figures import page_states

taps = importlib.import_module("nodule_lesson.chapters.convolutions.live")

sides, rates = st.integers(1, 20), st.integers(1, 24)


def offsets(rate):
    return [(a, b) for a in (-rate, 0, rate) for b in (-rate, 0, rate)]


@settings(max_examples=40, deadline=None)
@given(st.data(), sides, rates)
def test_taps_by_brute_force(data, size, rate):
    row, column = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    live, seen, outputs = taps.looks(size, rate, row, column)
    on_map = {(y, x) for y in range(size) for x in range(size)}
    looked = {
        (y, x): [(y + a, x + b) for a, b in offsets(rate) if (y + a, x + b) in on_map]
        for y, x in on_map
    }
    for (y, x), places in looked.items():
        assert live[y, x] == len(places)
    assert {tuple(place) for place in np.argwhere(seen)} == set(looked[row, column])
    assert seen.max() == 1
    counts = [sum((y + a, x + b) in on_map for y, x in on_map) for a, b in offsets(rate)]
    np.testing.assert_array_equal(outputs.ravel(), counts)
    # A tap is dead exactly where the rate is no smaller than the map; the middle one never is.
    assert (outputs > 0).sum() == (9 if rate < size else 1)
    assert taps.share(size, rate) == pytest.approx(live.mean() / 9, rel=1e-6)


def test_the_numbers_of_s5():
    """A map of 8 x 8, counted with a pencil: rate 5 reaches it from three rows at either side."""
    result = taps.compute({"size": 8, "rate": 5, "row": 0, "column": 31})
    assert (result["row"], result["column"]) == (0, 7)
    np.testing.assert_array_equal(result["field"][0], [4, 4, 4, 2, 2, 4, 4, 4])
    np.testing.assert_array_equal(result["outputs"], [[9, 24, 9], [24, 64, 24], [9, 24, 9]])
    assert result["share"] == pytest.approx((64 + 4 * 24 + 4 * 9) / (9 * 64))
    for rate in (10, 15):
        result = taps.compute({"size": 8, "rate": rate, "row": 3, "column": 3})
        assert result["ever"] == 1 and result["share"] == pytest.approx(1 / 9)
    assert [
        taps.compute({"size": n, "rate": 10, "row": 0, "column": 0})["ever"] for n in (10, 11)
    ] == [1, 9]


def test_the_answers_of_the_chapter():
    """What the answers to *Your turn* say of rates 5, 7, 8 and 10."""
    five = taps.compute({"size": 8, "rate": 5, "row": 3, "column": 3})
    np.testing.assert_array_equal(five["field"] == 1, np.pad(np.ones((2, 2), bool), 3))
    assert five["field"].max() == 4 and five["ever"] == 9
    assert [
        taps.compute({"size": 8, "rate": d, "row": 0, "column": 0})["ever"] for d in (7, 8)
    ] == [9, 1]
    assert taps.share(22, 10) < 0.5 < taps.share(23, 10)


def test_the_page_counts_the_same(node):
    settings = [
        {"size": n, "rate": d, "row": (3 * n) // 4, "column": n // 3}
        for n in (4, 8, 9, 32)
        for d in (1, 3, 8, 15)
    ]
    for p, state in zip(settings, page_states(node, "dilated_taps", settings), strict=True):
        n, result = p["size"], taps.compute(p)
        np.testing.assert_array_equal(np.reshape(state["field"], (n, n)), result["field"])
        np.testing.assert_array_equal(np.reshape(state["input"], (n, n)), result["input"])
        here, ever, share, side = state["texts"]
        assert here == f"{result['input'].sum():.0f} of 9" and ever == f"{result['ever']} of 9"
        assert float(share.removesuffix(" %")) == pytest.approx(100 * result["share"], abs=0.051)
        assert side == f"{result['wanted']} × {result['wanted']} inputs"
        *of_rates, chosen = state["plots"]["Products with the map, not with its padding"]["curves"]
        labels = [f"rate {rate}" for rate in taps.RATES] + [f"yours: {p['rate']}"]
        assert [curve["label"] for curve in (*of_rates, chosen)] == labels
        assert len({curve["kind"] for curve in (*of_rates, chosen)}) == 5, "each can be told apart"
        low, high = result["field"].min(), result["field"].max()
        assert state["titles"]["Taps on the map"] == f"Taps on the map: {low:.0f} to {high:.0f}"
        for curve, rate in zip((*of_rates, chosen), (*taps.RATES, p["rate"]), strict=True):
            np.testing.assert_array_equal(curve["x"], taps.SIDES)
            np.testing.assert_allclose(curve["y"], 100 * taps.share(taps.SIDES, rate), rtol=1e-12)
