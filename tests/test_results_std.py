"""The committed figures of the STD layer, and the script that measures it on real slices."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"


def read(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["std_layer", "std_on_real_slices"])
def test_results_say_where_they_come_from(name):
    result = read(name)
    source = result["provenance"]
    assert f"benchmarks/{name}.py" in source["command"]
    for key in ("python", "system", "processor", "threads", "clock", "std_py_sha256"):
        assert source[key], key
    assert source["versions"]["torch"] and source["versions"]["nodule-lesson"]
    assert len(source["std_py_sha256"]) == 64
    assert "seed" in result["setting"]
    text = json.dumps(result)
    assert "NaN" not in text and "Infinity" not in text
    assert "/home" not in text and "/work" not in text and "/tmp" not in text


def test_layer_results_are_whole():
    result = read("std_layer")
    keys = ("sigma", "contender", "reach")
    rows = {tuple(row[key] for key in keys): row for row in result["rows"]}
    assert len(rows) == len(result["rows"])
    assert {key[0] for key in rows} == {1.0, 3.0, 5.0}
    for row in result["rows"]:
        assert 0 < row["forward_ms"] < row["forward_backward_ms"]
        # All compute the same thing, and a further reach leaves less out.
        assert row["difference"] < {4: 1e-4, 5: 2e-6, None: 1e-6}[row["reach"]]
    rivals = [row for row in result["rows"] if row["contender"] not in ("unrolled", "implicit")]
    assert {row["contender"] for row in rivals} == {"full convolution", "kornia loop", "C loop"}
    assert len(result["ratios"]) == 2 * len(rivals)
    for ratio in result["ratios"]:
        rival = rows[ratio["sigma"], ratio["rival"], ratio["reach"]]
        reach = ratio["reach"] if ratio["rival"] == "C loop" else None  # beside C, cut alike
        ours = rows[ratio["sigma"], ratio["ours"], reach]
        for what in ("forward", "forward_backward"):
            expected = rival[f"{what}_ms"] / ours[f"{what}_ms"]
            assert ratio[what] == pytest.approx(expected, rel=0.01, abs=0.006)


def test_denormal_numbers_cost_the_layer_nothing_and_a_large_image_little():
    result = read("std_layer")
    assert max(line["ratio"] for line in result["denormal"]) <= 1.2
    assert max(line["ratio"] for line in result["size"]) <= 2.5


def check_real(result, slices):
    """What holds of any run: fields, units, and that the parts add up."""
    assert result["data"]["slices"] == slices and len(result["data"]["sha256"]) == 64
    for source in result["data"]["sources"]:
        assert source["citation"] and source["doi"].startswith("10.") and source["licence"]
    model = result["model"]
    assert len(model["weights"]) == len(model["features"]) == 3
    assert model["weights"][1] > 0 > model["weights"][2]  # bright and central
    settings = {(row["logits"], row["lambda1"], row["sigma"]) for row in result["rows"]}
    assert len(settings) == len(result["rows"]) == 14
    for logits in ("as fitted", "shifted"):
        rows = [row for row in result["rows"] if row["logits"] == logits]
        before = rows[0]
        assert before["lambda1"] == 0 and before["sigma"] is None
        assert {row["sigma"] for row in rows[1:]} == {1.0, 3.0, 5.0}
        for row in rows:
            assert row["seconds"] > 0 and 0 <= row["largest_last_step"] <= 1
            assert row["held_out"]["slices"] + row["fitted"]["slices"] == slices
            for group in (row["held_out"], row["fitted"]):
                assert 0 <= group["mean_dice"] <= 1 and 0 <= group["pooled_dice"] <= 1
                assert group["slices_with_consensus"] <= group["slices"]
                # A pixel has four edges, and one counts pi / 4.
                length, area = group["mean_boundary_length"], group["mean_area"]
                assert length <= math.pi * area + 1e-4
        for group in ("held_out", "fitted"):
            lengths = [row[group]["mean_boundary_length"] for row in rows[:4]]
            assert lengths == sorted(lengths, reverse=True)  # shorter as sigma grows
        # With lambda1 = 1 the steps have converged as far as ten steps must.
        assert all(row["largest_last_step"] < 4.9e-4 for row in rows if row["lambda1"] == 1)


def test_real_results_are_whole():
    result = read("std_on_real_slices")
    check_real(result, 4300)
    assert result["model"]["patients_fitted"] + result["model"]["patients_held_out"] == 287


def test_script_runs_on_some_real_slices(real_data, tmp_path):
    out = tmp_path / "out.json"
    script = ROOT / "studies" / "std_on_real_slices.py"
    run = [sys.executable, script, "--data", real_data, "--slices", "50", "--out", out]
    found = subprocess.run(run, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    check_real(result, 50)
    assert result["data"]["sha256"] == read("std_on_real_slices")["data"]["sha256"]
    assert "--slices 50" in result["provenance"]["command"]


def test_script_says_what_it_needs():
    script = ROOT / "studies" / "std_on_real_slices.py"
    environment = {k: v for k, v in os.environ.items() if k != "NODULE_REAL_DATA"}
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment
    )
    assert found.returncode == 2 and "NODULE_REAL_DATA" in found.stderr
