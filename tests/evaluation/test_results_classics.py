"""The untrained floor: whole, of the experiments' own lesions, computed by the present code."""

import json
from functools import cache

import numpy as np
import pytest

from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation import classics
from nodule_lesson.experiments import data as datasets
from nodule_lesson.experiments.results import MEASURES, results_folder

FILE = results_folder() / "classics.json"
CASES = [(data, test) for data in ("simulated", "real") for test in ("small", "large")]


@cache
def floor():
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """The floor on one test, and what the experiments know of its lesions."""
    data, test = request.param
    lesions = results_folder() / f"{data}-laptop" / "lesions.json"
    if not lesions.exists():
        pytest.skip(f"no results of {data}")
    known = json.loads(lesions.read_text(encoding="utf-8"))
    found = floor()["data"][data]
    assert found["checksums"] == known["checksums"]
    return found[test], known[test]


def test_it_says_where_it_comes_from():
    source = floor()["provenance"]
    assert source["command"].endswith("/classics.py")
    assert set(source["versions"]) >= {"nodule-lesson", "numpy", "scipy", "scikit-image"}
    assert all(source["versions"].values()) and source["python"] and source["processor"]
    assert len(source["classics_py_sha256"]) == 64
    for found in floor()["data"].values():
        assert set(found["checksums"]) == set(found["sources"]) == set(datasets.SETS)
        assert all(s["source"] and s["licence"] for s in found["sources"].values())


def test_every_lesion_of_the_experiments_has_its_scores(case):
    found, known = case
    assert found["lesion"] == known["lesion"]
    assert set(found["scores"]) == set(found["false_positive_pixels"]) == set(classics.METHODS)
    for scores in found["scores"].values():
        assert set(scores) == set(MEASURES)
        assert all(len(values) == len(known["lesion"]) for values in scores.values())


def test_scores_agree_with_each_other(case):
    """Dice is the harmonic mean of precision and sensitivity, and 2J / (1 + J): by lesion."""
    for scores in case[0]["scores"].values():
        p, s, d, j = (np.array(scores[name], dtype=float) for name in MEASURES[:4])
        hd, mean = (np.array(scores[name], dtype=float) for name in MEASURES[4:])
        hit = d > 0
        np.testing.assert_allclose(d[hit], 2 / (1 / p[hit] + 1 / s[hit]), atol=2e-3)
        np.testing.assert_allclose(d, 2 * j / (1 + j), atol=2e-4)
        assert np.isnan(p[~hit]).sum() + (p[~hit] == 0).sum() == (~hit).sum()
        known = ~np.isnan(hd)
        assert (hd[known] >= mean[known]).all()


def test_a_patients_lesions_again():
    """One simulated patient of the large test from the beginning: scan, crops, masks, Dice."""
    crops = datasets._crops(("clinic_like", 1, 1), thin=True)
    by_lesion = {}
    for crop in crops:
        if crop["has_nodule"]:
            name = f"{crop['patient']} {crop['scan']} {crop['nodule']}"
            by_lesion.setdefault(name, []).append(crop)
    assert by_lesion
    found = floor()["data"]["simulated"]["large"]
    middle = np.s_[32:96, 32:96]
    most = datasets.SLICES_OF_A_LESION
    for name, slices in by_lesion.items():
        slices = [crop for crop in slices if crop["mask"].any()]
        slices.sort(key=lambda crop: crop["slice"])
        scored = {int((k + 0.5) * len(slices) / most) for k in range(most)}
        slices = [slices[k] for k in scored]
        place = found["lesion"].index(name)
        for method, function in classics.METHODS.items():
            both = areas = 0
            for crop in slices:
                mask = function(normalise(np.asarray(crop["image"])[middle]))
                truth = np.asarray(crop["mask"])[middle] > 0
                both += (mask & truth).sum()
                areas += mask.sum() + truth.sum()
            stored = found["scores"][method]["dice"][place]
            assert stored == pytest.approx(2 * both / areas, abs=2e-3), (name, method)
