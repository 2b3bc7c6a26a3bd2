"""The numbers of the page on the short trainings."""

from nodule_lesson.chapters.what_500_steps_told_us import fates
from nodule_lesson.experiments import claims
from nodule_lesson.experiments.grid import TABLES


def trainings(short):
    """What the short trainings were, from their own configurations and scores.

    Holds the sentence that no run of the paper's rows had fitted its training lesions.
    """
    run = short["real"].runs_of("proposed")[0]
    results, rows = short.values(), {row for names in TABLES.values() for row in names}
    best = max(claims.train_dice(one, row).max() for one in results for row in rows)
    assert best < 0.9
    return {
        "short-steps": f"{run['configuration']['profile']['steps']}",
        "short-lesions": f"{run['training']['lesions']}",
        "short-best": f"{best:.2f}",
        "short-runs": f"{sum(len(one.runs) for one in results)}",
    }


def fate_counts(found):
    """How many headlines were kept, turned and dropped, and how many wait."""
    return {"fate-counts": fates.counts(found)}
