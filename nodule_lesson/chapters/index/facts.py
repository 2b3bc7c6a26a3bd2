"""The numbers of the first page, and the assertions that hold its sentences to the results."""

import torch
from scipy import ndimage

from nodule_lesson import experiments, std
from nodule_lesson.chapters.reading_the_tables import computations
from nodule_lesson.experiments import evidence, grid
from nodule_lesson.live.scenes import scene


def pieces_left():
    """How many connected pieces the mask of the noisy disc has, by weight of the boundary term."""
    u = torch.as_tensor(scene("noisy disc")).double()
    left = {}
    for name, lambda1 in (("sigmoid", 0.0), ("paper", 1.0), ("most", 1.8)):
        x = std.soft_threshold_dynamics(u, sigma=2.0, lambda1=lambda1)
        left[f"index-pieces-{name}"] = ndimage.label((x > 0.5).numpy())[1]
    assert left["index-pieces-sigmoid"] > left["index-pieces-paper"] > 100
    assert left["index-pieces-most"] < left["index-pieces-paper"] / 2
    return {name: format(number, ",") for name, number in left.items()}


def what_came_out(found=None):
    """How far the runs are, what is decided, and what eleven lesions show.

    found: an `evidence.Evidence`, None for the finished runs on real slices. The sentence on the
    leads is held by `reading_the_tables.facts.eleven`.
    """
    found = evidence.read("real") if found is None else found
    runs = [run for stage in ("1", "2", "4") for run in grid.runs_of_stage(stage)]
    keys = {(run.row.name, run.clinic, run.seed) for run in runs}
    ended = len(keys & {(row, *key) for row in found.rows for key in found.runs_of(row)})
    progress = f"All {len(keys)} trainings of the paper's tables and of its claims have ended."
    if ended < len(keys):
        progress = (
            f"The paper's tables are being trained again: {ended} of {len(keys)} trainings have "
            "ended."
        )
    verdicts = [one.verdict for one in found.primary()]
    decisions = (
        f"Of the {len(verdicts)} comparisons that we fixed beforehand, "
        f"{verdicts.count(evidence.DECIDED)} are decided, {verdicts.count(evidence.OPEN)} are "
        f"open, and {verdicts.count(evidence.NOT_RUN)} still wait."
    )
    short = [experiments.read(data) for data in ("simulated", "real")]
    leads = computations.leads()
    sees = [computations.shown_by_eleven(one, row, 1) for one in short for row in leads]
    assert max(leads.values()) < min(sees)
    return {
        "index-progress": progress,
        "index-decisions": decisions,
        "index-sees": f"{min(sees):.2f} to {max(sees):.2f}",
        "index-leads": f"{min(leads.values()):.3f} to {max(leads.values()):.3f}",
    }
