"""The page *Training at the paper's size*: projected minutes."""

from types import SimpleNamespace

import pytest

from nodule_lesson.chapters.training_at_scale import facts


def test_projected_times_are_images_by_speed():
    """Work such that a T4 does one image per second at an eighth of its peak."""
    head, rows = facts.projected_times(65e12 / 8, pretraining=3600, fine_tuning=7200, rows=2)
    assert all(len(row) == len(head) for row in rows)
    assert rows[0] == ["T4 (Colab)", "1", "3.0 h", "2.2 h", "60 min"]
    assert rows[2][1:3] == ["5", "38 min"]  # 312 / 65 = 4.8 images per second


def test_the_profiles_on_a_t4_are_steps_times_batch(monkeypatch):
    profile = {"pretrain_steps": 360, "steps": 60, "batch": 10, "folds": 5}
    profiles = {
        "colab": SimpleNamespace(**profile, side=64, checkpoint_every=50),
        "paper": SimpleNamespace(**profile, side=128),
    }
    monkeypatch.setattr(facts.grid, "PROFILES", profiles)
    small = SimpleNamespace(multiply_adds=65e12 / 8 / 6 / 4)  # a quarter of the work at 128x128
    monkeypatch.setattr(facts, "summary", lambda model, side: small)
    assert facts.on_a_t4(65e12 / 8, pretraining=5 * 3600) == {
        "colab-images": "4,200",
        "colab-minutes": f"{4200 / 4 / 60:.0f}",
        "every": "50",
        "paper-pre-hours": "1.0",
        "paper-folds-minutes": "50",
    }
    with pytest.raises(AssertionError):  # not forty of two hundred epochs
        facts.on_a_t4(65e12 / 8, pretraining=3600)
