"""benchmarks/real_patches.py: the real slices as the PatchSets that the experiments take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nodule_lesson.experiments import data as sets
from nodule_lesson.patches import PatchSet

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "real_patches.py"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    source = os.environ.get("NODULE_REAL_DATA")
    if not source:
        pytest.skip("NODULE_REAL_DATA is not set: no real slices to write")
    out = tmp_path_factory.mktemp("patches") / "real"
    subprocess.run([sys.executable, SCRIPT, out, "--data", source], check=True)
    return out, Path(source)


def test_the_large_test_is_large_and_of_other_patients(real):
    data = sets.load(real[0])
    assert len(sets.lesions_of(data.clinic)) == 45
    assert len(sets.lesions_of(data.large)) >= 300
    # No lesion of the small test is trained on, though its patients are, as in the paper.
    assert not set(sets.lesions_of(data.clinic)) & set(sets.lesions_of(data.small))


def test_crops_are_those_of_the_slices_they_come_from(real):
    folder, source = real
    clinic = PatchSet.open(folder / "clinic")
    with np.load(source / "lidc_clinic.npz") as stored:
        centre = stored["images"][:, 32:96, 32:96]
    drawn = np.asarray(clinic.images)[clinic.slices["has_nodule"]]
    known = {crop.tobytes() for crop in centre}
    assert all(crop.tobytes() in known for crop in drawn)
    masks = np.asarray(clinic.masks).any((1, 2))
    assert (masks == clinic.slices["has_nodule"]).all()


def test_the_script_says_what_it_needs(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "NODULE_REAL_DATA"}
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "x"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2 and "NODULE_REAL_DATA" in done.stderr
    assert not (tmp_path / "x").exists()
