"""The numbers and the sentences of the page of results that depend on the runs."""

from nodule_lesson.chapters.results import tables
from nodule_lesson.experiments import grid
from nodule_lesson.glue import signed

WHOLE = {"slice": "each slice", "batch": "the whole batch", "nodule": "the slices with a nodule"}


def runs(found):
    """How many runs there are, of how many; seeds, clinics, and how long one takes."""
    staged = {
        (run.row.name, run.clinic, run.seed)
        for stage in ("1", "2", "4")
        for run in grid.runs_of_stage(stage)
    }
    done = {(row, *key) for row in found.rows for key in found.runs_of(row)} & staged
    progress = f"All {len(staged)} runs have ended."
    if len(done) < len(staged):
        progress = (
            f"The runs go on: {len(done)} of {len(staged)} have ended. An ellipsis stands "
            "where one is missing, and a comparison needs two clinics. Rows may change places "
            "until all are there."
        )
    minutes = [
        run["training"]["steps"] * run["training"]["cpu_seconds_a_step"] / 60
        for row in found.rows
        for run in found.runs_of(row).values()
    ]
    profile = grid.PROFILES["night"]
    return {
        "results-progress": progress,
        "results-clinics": str(profile.clinics),
        "results-seeds": str(profile.seeds),
        "results-dice-over": WHOLE[profile.dice_over],
        "results-stage-runs": str(len(grid.runs_of_stage("1"))),
        "results-minutes": f"{min(minutes):.0f} to {max(minutes):.0f}",
    }


def data(found):
    """How many lesions and patients the two tests have that all clinics share."""
    lesions = next(iter(found.lesions.values()))
    texts = {}
    for test in ("large", "external"):
        texts[f"results-{test}"] = str(len(lesions[test]["lesion"]))
        texts[f"results-{test}-patients"] = str(len(set(lesions[test]["patient"])))
    return texts


def order(found):
    """For each table, how far our order of its rows is the paper's."""
    texts = {}
    for number in grid.TABLES:
        ranks = tables.rank_correlations(found, number)
        text = "Our order of the rows is given here as soon as all of them have been run."
        if ranks is not None:
            mean, each = ranks
            mean, low, high = (signed(rank, "+.1f") for rank in (mean, each.min(), each.max()))
            text = (
                f"Our order of the rows against the paper's: rank correlation {mean} (+1 is the "
                "same order, −1 the reverse). With one training of each row it would be anything "
                f"from {low} to {high}."
            )
        texts[f"results-order-{number}"] = text
    return texts
