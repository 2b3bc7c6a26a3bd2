"""studies/real_patches.py: the real slices as the PatchSets that the experiments take."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nodule_lesson.data.patches import PatchSet
from nodule_lesson.experiments.data import lesions_of, load
from nodule_lesson.experiments.results import results_folder

SCRIPT = Path(__file__).parents[2] / "studies" / "real_patches.py"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    source = os.environ.get("NODULE_REAL_DATA")
    if not source:
        pytest.skip("NODULE_REAL_DATA is not set: no real slices to write")
    out = tmp_path_factory.mktemp("patches") / "real"
    subprocess.run([sys.executable, SCRIPT, out, "--data", source], check=True)
    return out, Path(source)


def test_half_of_the_thick_slices_lesions_are_the_test_and_the_rest_three_clinics(real):
    clinics = [load(real[0], clinic=number, most=None) for number in (1, 2, 3)]
    large = len(lesions_of(clinics[0].large))
    sizes = [len(lesions_of(d.clinic)) + len(lesions_of(d.small)) for d in clinics]
    assert abs(large - sum(sizes)) <= 4 and max(sizes) - min(sizes) <= 4
    for data in clinics:
        # No lesion of the small test is trained on, though its patients are, as in the paper.
        assert not set(lesions_of(data.clinic)) & set(lesions_of(data.small))
    thickness = thickness_by_patient(real[1])
    thick = {
        patient for data in clinics for patient in (*data.clinic.patient, *data.large.patient)
    }
    assert min(thickness[patient] for patient in thick) >= 2
    assert max(thickness[patient] for patient in set(clinics[0].pretrain.patient)) <= 1.5


def thickness_by_patient(source):
    """The largest known thickness of a patient's slices in mm, 0 where none is known."""
    thickness = {}
    with (source / "lidc_pretrain.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            known = float(row["thickness_mm"] or 0)
            thickness[row["patient"]] = max(known, thickness.get(row["patient"], 0))
    return thickness


def test_the_committed_lesions_are_those_of_this_deal(real):
    """Results name the checksums of their sets: the same slices give the same ones again."""
    for number in (1, 2, 3):
        file = results_folder() / "real-night" / f"lesions-clinic{number}.json"
        lesions = json.loads(file.read_text(encoding="utf-8"))
        assert load(real[0], clinic=number, most=None).checksums == lesions["checksums"]


def test_crops_are_those_of_the_slices_they_come_from(real):
    folder, source = real
    external = PatchSet.open(folder / "external")
    with np.load(source / "lidc_clinic.npz") as stored:
        centre = stored["images"][:, 32:96, 32:96]
    drawn = np.asarray(external.images)[external.slices["has_nodule"]]
    known = {crop.tobytes() for crop in centre}
    assert all(crop.tobytes() in known for crop in drawn)
    masks = np.asarray(external.masks).any((1, 2))
    assert (masks == external.slices["has_nodule"]).all()


def test_the_script_says_what_it_needs(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "NODULE_REAL_DATA"}
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "x"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2 and "NODULE_REAL_DATA" in done.stderr
    assert not (tmp_path / "x").exists()
