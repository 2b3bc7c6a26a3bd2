"""The live figure of small tests: scipy's t-test, exact draws, and its other face in node."""

import importlib
import re
from functools import partial

import numpy as np
import pytest
from live_figures import page_states, parameters_of
from scipy import stats

from nodule_lesson import experiments
from nodule_lesson.evaluation.statistics import power

eleven = importlib.import_module("nodule_lesson.chapters.reading_the_tables.live")
NAMES = eleven.CONTROLS[0].options
setting = partial(parameters_of, "eleven_lesions")


# --- the numbers --------------------------------------------------------------------------------


def test_draws_are_even_and_independent():
    """Every lesion as often as any other, and no draw like its neighbour."""
    places = eleven.lesions_of(np.arange(1, 1001), 40)
    assert places.shape == (1000, eleven.MOST) and places.min() == 0 and places.max() == 39
    counts = np.bincount(places.ravel(), minlength=40)
    assert stats.chisquare(counts).pvalue > 1e-3
    for shifted in (places[:-1] * 40 + places[1:], places[:, :-1] * 40 + places[:, 1:]):
        pairs = np.bincount(shifted.ravel(), minlength=1600)
        assert stats.chisquare(pairs).pvalue > 1e-3
    # No draw has another one's lesions.
    assert len(np.unique(places[:, :20], axis=0)) == 1000


def test_a_longer_test_begins_with_a_shorter_one():
    short, long = (eleven.compute(setting(count=count))["input"] for count in (11, 40))
    np.testing.assert_array_equal(long[:11], short)
    other = eleven.compute(setting(draw=2))["input"]
    assert not np.array_equal(other, short)


@pytest.mark.parametrize("count", [3, 11, 60])
def test_every_verdict_is_that_of_a_t_test(count):
    values = eleven.differences(NAMES[0])
    means, says = eleven.tests_of(NAMES[0])
    drawn = values[eleven.lesions_of(np.arange(1, eleven.DRAWS + 1), len(values), count)]
    with np.errstate(invalid="ignore", divide="ignore"):
        p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    sign = np.where(p < 0.05, np.sign(drawn.mean(axis=1)), 0)
    np.testing.assert_array_equal(says[:, count - 1], sign)
    np.testing.assert_allclose(means[:, count - 1], drawn.mean(axis=1), atol=1e-12)
    result = eleven.compute(setting(count=count, draw=17))
    assert result["interval"] == pytest.approx(
        stats.ttest_1samp(drawn[16], 0).confidence_interval(0.95)
    )
    side = np.sign(values.mean())
    at = count - eleven.FEWEST
    assert result["right"][at] == pytest.approx((sign == side).mean())
    assert result["wrong"][at] == pytest.approx((sign == -side).mean())
    assert result["wrong_side"] == pytest.approx((np.sign(drawn.mean(1)) == -side).mean())
    assert result["truth"] == pytest.approx(values.mean())


def test_the_share_of_right_verdicts_is_the_power(monkeypatch):
    """For normal differences, within what a thousand draws allow."""
    normal = np.random.default_rng(0).normal(0.05, 0.1, 20_000)
    monkeypatch.setattr(eleven, "differences", lambda pair: normal)
    eleven.tests_of.cache_clear()
    try:
        result = eleven.compute(setting())
        for count in (5, 11, 30, 100):
            wanted = power(normal.mean(), normal.std(), count)
            assert result["right"][count - 3] == pytest.approx(wanted, abs=0.05)
        histogram = result["histogram"]
        assert histogram.sum() == 1000
        assert result["edges"][np.abs(result["edges"]).argmin()] == 0
    finally:
        eleven.tests_of.cache_clear()


@pytest.mark.parametrize(
    "low, high, says",
    [(0.1, 0.2, "A is better"), (-0.2, -0.1, "B is better"), (-0.1, 0.1, "cannot tell")],
)
def test_what_a_reader_would_say(low, high, says):
    assert eleven.verdict("A − B", low, high) == says


def test_an_unknown_pair_is_refused():
    with pytest.raises(ValueError, match="^pair must be one of .*; found 'best − worst'.$"):
        eleven.differences("best − worst")


def test_the_numbers_are_those_of_the_results():
    """Run `eleven_lesions.pack()` again where this fails: the results have changed."""
    results = experiments.read("simulated")
    for name in NAMES:
        ours, theirs = (results.scores(row).mean(axis=0) for row in eleven.PAIRS[name])
        np.testing.assert_allclose(eleven.differences(name), ours - theirs, atol=5.1e-5)


def test_packing_keeps_what_was_run(tmp_path, monkeypatch):
    class Results:
        rows = ("proposed", "unet", "std")

        def scores(self, row):
            return np.array([[0.5, 0.25, 0.8], [0.7, 0.35, 0.8]]) - 0.1 * (row == "unet")

    monkeypatch.setattr(eleven, "__file__", str(tmp_path / "eleven_lesions.py"))
    eleven.pack(Results(), "made up")
    with np.load(tmp_path / "eleven_lesions.npz") as file:
        assert (
            file["names"].tolist() == ["proposed − UNet", "prior − no prior"]
            and str(file["source"]) == "made up"
        )
        np.testing.assert_array_equal(file["differences"], [[1000] * 3, [0] * 3])


# --- the page's script in node -------------------------------------------------------------------


def test_the_page_computes_what_the_package_does(node):
    settings = [
        setting(pair=name, count=count, draw=draw)
        for name in NAMES
        for count, draw in ((11, 1), (3, 1000), (200, 17), (45, 400))
    ]
    page = page_states(
        node, "eleven_lesions", settings, '(buttons["Draw others"](), { states, set })'
    )
    assert page["set"]["draw"] == settings[-1]["draw"] + 1
    for p, state in zip(settings, page["states"], strict=True):
        result = eleven.compute(p)
        np.testing.assert_allclose(state["input"], result["input"], atol=1e-7, err_msg=str(p))
        np.testing.assert_allclose(state["field"], result["field"], atol=1e-7)
        assert (state["height"], state["width"]) == (1, p["count"])
        text = eleven.verdict(p["pair"], *result["interval"])
        assert state["titles"]["Your lesions"] == f"Your {p['count']} lesions: {text}"
        mine, verdict, truth, tally = (text.replace("−", "-") for text in state["texts"])
        shown = [float(number) for number in re.findall(r"[+-]\d\.\d{3}", mine)]
        wanted = [result["input"].mean(), *result["interval"]]
        assert shown == pytest.approx(wanted, abs=5.1e-4)
        assert verdict == text.replace("−", "-")
        assert float(truth) == pytest.approx(result["truth"], abs=5.1e-4)
        plots = state["plots"]
        shares = plots["How many of them name …"]["curves"]
        for curve, name in zip(shares, ("right", "wrong"), strict=True):
            np.testing.assert_allclose(curve["y"], 100 * result[name], atol=1e-9)
        at = p["count"] - eleven.FEWEST
        right, wrong = (round(1000 * result[name][at]) for name in ("right", "wrong"))
        assert tally == f"{right}, {wrong}"
        bars, edges = [], []
        for curve in plots["Means of 1,000 such tests"]["curves"][:-2]:
            bars += curve["y"][1:-1:2]
            edges += curve["x"][1:-1:2]
        np.testing.assert_array_equal(bars, result["histogram"])
        np.testing.assert_allclose(edges, result["edges"][:-1], atol=1e-9)
        reach = plots["Your lesions"]["ranges"]["x"][1]
        assert reach == pytest.approx(eleven.reach_of(eleven.differences(p["pair"])))
