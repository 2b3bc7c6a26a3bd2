"""The committed speed of training: traceable, whole, and its ratios add up."""

import copy
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "book" / "results"
PLAIN = "a plain loop"


@pytest.fixture
def result():
    return json.loads((RESULTS / "training_speed.json").read_text(encoding="utf-8"))


def check(result):
    source, setting = result["provenance"], result["setting"]
    assert source["command"] == (
        "python benchmarks/training_speed.py "
        f"--steps {setting['steps']} --rounds {setting['rounds']}"
    )
    for key in ("python", "system", "processor", "threads", "clock"):
        assert source[key], key
    assert source["versions"]["torch"] and len(source["std_py_sha256"]) == 64
    assert setting["device"] and setting["batch"] == 10 and setting["rounds"] >= 5
    rows = {row["contender"]: row for row in result["rows"]}
    assert {PLAIN, "fit, 32 bits"} <= set(rows)
    for row in rows.values():
        assert len(row["rounds"]) == setting["rounds"] and min(row["rounds"]) > 0
        middle = statistics.median(row["rounds"])
        assert row["images_a_second"] == pytest.approx(middle, abs=0.02)
        plain = statistics.median(rows[PLAIN]["rounds"])
        assert row["times_plain"] == pytest.approx(middle / plain, rel=2e-3)


def test_results_say_where_they_come_from_and_add_up(result):
    check(result)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result.pop("provenance"),
        lambda result: result["provenance"]["versions"].update(torch=None),
        lambda result: result["rows"].pop(0),
        lambda result: result["rows"][1].update(times_plain=5.0),
        lambda result: result["rows"][1]["rounds"].pop(),
        lambda result: result["setting"].update(rounds=1),
    ],
)
def test_spoilt_results_are_refused(result, spoil):
    spoilt = copy.deepcopy(result)
    spoil(spoilt)
    with pytest.raises((AssertionError, KeyError)):
        check(spoilt)


def test_the_script_times_both_loops(tmp_path):
    script, out = ROOT / "benchmarks" / "training_speed.py", tmp_path / "out.json"
    given = "--steps 1 --rounds 1 --side 32".split()
    found = subprocess.run([sys.executable, script, *given, "--out", out], capture_output=True)
    assert found.returncode == 0, found.stderr.decode()
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [row["contender"] for row in result["rows"]][:2] == [PLAIN, "fit, 32 bits"]
    assert result["rows"][0]["times_plain"] == 1 and result["setting"]["side"] == 32
    assert result["provenance"]["command"].endswith('--rounds 1 --network "slim" --side 32')
