"""The committed speed of the measures: traceable, whole, and as fast as the lesson says."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "book" / "results"
OURS = ("ours, two calls", "ours, all six measures")
RIVALS = ("MONAI", "k-d tree", "distance transform")


@pytest.fixture
def result():
    return json.loads((RESULTS / "metrics_speed.json").read_text(encoding="utf-8"))


def setting(row):
    return tuple(row.get(key) for key in ("masks", "pixels", "contour_pixels"))


def check(result):
    """What holds of any run: where it comes from, that it is whole, and that ratios add up."""
    source = result["provenance"]
    assert "benchmarks/metrics_speed.py" in source["command"]
    for key in ("python", "system", "processor", "clock"):
        assert source[key], key
    assert source["threads"] == 1
    assert len(source["metrics_py_sha256"]) == 64
    for name in ("numpy", "scipy", "monai", "torch", "nodule-lesson"):
        assert source["versions"][name], name
    assert "seed" in result["setting"]
    assert f"--pairs {result['setting']['pairs']} " in source["command"]
    text = json.dumps(result)
    assert "NaN" not in text and "Infinity" not in text
    assert "/home" not in text and "/work" not in text and "/tmp" not in text
    settings = {(row["masks"], row["pixels"]) for row in result["rows"]}
    assert settings >= {("nodules", "square pixels"), ("large outlines", "square pixels")}
    for rows in (result["rows"], result["lengths"]):
        by_setting = {}
        for row in rows:
            assert row["ms"] > 0
            # All contenders measure the same distances; MONAI rounds to float32.
            assert row["difference_mm"] < (1e-4 if row["contender"] == "MONAI" else 1e-9)
            by_setting.setdefault(setting(row), {})[row["contender"]] = row
        for contenders in by_setting.values():
            assert tuple(contenders) == OURS + RIVALS
            ours = contenders[OURS[0]]["ms"]
            for row in contenders.values():
                assert row["times_ours"] == pytest.approx(row["ms"] / ours, rel=2e-3)
                assert row["times_ours"] == 1 or row["contender"] != OURS[0]
    lengths = [row["contour_pixels"] for row in result["lengths"]]
    assert lengths == sorted(lengths) and lengths[-1] > 7000


def test_results_say_where_they_come_from_and_add_up(result):
    check(result)
    assert result["setting"]["pairs"] == 1000 and result["setting"]["repeats"] >= 3


def test_results_are_what_the_lesson_promises(result):
    """A hundred times faster than MONAI on outlines of nodules, and no cliff behind them."""
    nodules = [row for row in result["rows"] if row["masks"] == "nodules"]
    assert all(row["times_ours"] > 100 for row in nodules if row["contender"] == "MONAI")
    times = {}
    for row in result["lengths"]:
        times.setdefault(row["contender"], []).append(row["ms"])
    assert max(times[OURS[0]]) < min(times["MONAI"])
    for before, after in zip(times[OURS[0]], times[OURS[0]][1:], strict=False):
        assert after < 5 * before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result.pop("provenance"),
        lambda result: result["provenance"].pop("metrics_py_sha256"),
        lambda result: result["provenance"]["versions"].update(monai=None),
        lambda result: result["rows"].pop(2),
        lambda result: result["lengths"].pop(),
        lambda result: result["rows"][2].update(ms=2 * result["rows"][2]["ms"]),
        lambda result: result["rows"][0].update(difference_mm=0.01),
        lambda result: result["lengths"].reverse(),
    ],
)
def test_spoilt_results_are_refused(result, spoil):
    spoil(result)
    with pytest.raises((AssertionError, KeyError)):
        check(result)
