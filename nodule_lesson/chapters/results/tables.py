"""The tables of the page of results, filled in from the runs that have ended.

Each function returns rows of texts for `nodule_lesson.glue.table`. A number of a row that has no
run yet is an ellipsis, and so is an interval as long as there are fewer than two clinics.
"""

import numpy as np
from scipy import stats

from nodule_lesson.experiments import evidence, grid, paper
from nodule_lesson.glue import format_difference, signed

TESTS = {"small": "left out", "large": "unseen", "external": "external"}
MEASURES = {
    "precision": "precision",
    "sensitivity": "sensitivity",
    "dice": "Dice",
    "iou": "IoU",
    "hausdorff_distance": "HD, mm",
    "assd": "ASSD, mm",
}
DIAMETERS = (0, 6, 10, np.inf)  # mm: the limits of the groups
DICE = paper.MEASURES.index("dice")
COMPARED = {1: "proposed − row", 2: "transfer − row", 3: "row − row above"}
WAITING = "…"

# The paper's five contributions, in its order, and the comparisons of the protocol that speak to
# each: pairs (row, other), of which the paper expects the first to be better.
CONTRIBUTIONS = {
    "A network of two tasks, whose classifier helps the segmentation": (
        ("backbone+combination", "backbone"),
        ("proposed", "std"),
    ),
    "Blocks that combine the features of both": (("backbone+combination", "backbone"),),
    "STD as the last layer, with the classifier's answer as a prior": (
        ("std", "backbone+combination"),
        ("proposed", "std"),
    ),
    "A strategy of transfer learning": (("transfer", "proposed"), ("transfer", "freeze S9")),
    "Better than the classic networks": (("proposed", "unet"), ("proposed", "resunet")),
}


def printed(table):
    """The paper's Dice of each row of one of its tables, {row of the experiments: number}."""
    return {row: paper.TABLES[table][name][DICE] for name, row in paper.ROWS[table].items()}


def head(number):
    """The head of `table`."""
    return ["row", "paper", *TESTS.values(), COMPARED[number], ""]


def pairs(table):
    """The comparison that each row of a table stands for: {row: (better in the paper, other)}.

    Table 1 compares with the proposed network, Table 2 with nothing frozen, and Table 3 each row
    with the one before it.
    """
    rows = grid.TABLES[table]
    if table == 1:
        return {row: ("proposed", row) for row in rows if row != "proposed"}
    if table == 2:
        return {row: ("transfer", row) for row in rows if row != "transfer"}
    return {row: (row, before) for before, row in zip(rows, rows[1:], strict=False)}


def table(found, number):
    """One row per row of the paper's table: its Dice, ours on three tests, a difference, a word.

    found: `evidence.Evidence`. The difference is on the unseen patients, with its 95 % interval.
    The word is empty for a comparison that the protocol does not name.
    """
    decisions = {(one.row, one.other): one for one in found.primary()}
    lines = []
    for row, dice in printed(number).items():
        pair = pairs(number).get(row)
        known = pair is not None and found.can_compare(*pair)
        lines.append(
            [
                row if row not in found.rows or found.has_learnt(row) else f"{row} \\*",
                f"{dice:.3f}",
                *(mean(found, row, test=test) for test in TESTS),
                _in_one_line(found.compare(*pair)) if known else WAITING if pair else "",
                decisions[pair].verdict if known and pair in decisions else "",
            ]
        )
    return lines


def _in_one_line(difference):
    return format_difference(difference).replace(" ", "\N{NO-BREAK SPACE}")


def mean(found, row, measure="dice", test="large"):
    """The mean of a row as text."""
    if row not in found.rows:
        return WAITING
    value = found.mean(row, measure, test)
    value = value[0] if isinstance(value, tuple) else value.mean
    return f"{value:.3f}"


def contributions(found):
    """Each contribution with its comparisons, their differences, and a verdict.

    A contribution is *supported* if all of its comparisons are decided and positive, *not
    supported* if one is decided and negative, else *open*.
    """
    decisions = {(one.row, one.other): one for one in found.primary()}
    lines = []
    for number, (text, wanted) in enumerate(CONTRIBUTIONS.items(), 1):
        asked = [decisions[pair] for pair in wanted]
        signs = [
            np.sign(one.difference.mean) if one.verdict == evidence.DECIDED else 0 for one in asked
        ]
        verdict = evidence.OPEN
        if all(sign > 0 for sign in signs):
            verdict = "supported"
        elif any(sign < 0 for sign in signs):
            verdict = "not supported"
        differences = "; ".join(
            f"{one.row} − {one.other}: "
            + (WAITING if one.difference is None else signed(one.difference.mean))
            for one in asked
        )
        lines.append([f"{number}. {text}", differences, verdict])
    return lines


def rank_correlations(found, number):
    """How far our order of the rows of a table is the paper's: (of the means, of each training).

    Spearman's rank correlation of Dice on the unseen patients. The second is an array with one
    number per clinic and seed that has all rows; its spread is what one training decides.
    None where a row is missing.
    """
    wanted = printed(number)
    if not set(wanted) <= set(found.rows):
        return None
    means = {row: {key: np.nanmean(v) for key, v in found.scores(row).items()} for row in wanted}
    shared = set.intersection(*({*by_run} for by_run in means.values()))
    of_mean = stats.spearmanr([*wanted.values()], [np.mean([*m.values()]) for m in means.values()])
    of_each = [
        stats.spearmanr([*wanted.values()], [means[row][key] for row in wanted]).statistic
        for key in sorted(shared)
    ]
    return float(of_mean.statistic), np.array(of_each)


def all_measures(found, test):
    """All measures of all rows on one test: the mean over lesions where each is defined."""
    return [[row, *(mean(found, row, measure, test) for measure in MEASURES)]
            for row in found.rows]  # fmt: skip


def by_diameter(found, test="large"):
    """Mean Dice of each row on lesions of each group of diameters, and how many there are."""
    diameters = np.array(next(iter(found.lesions.values()))[test]["diameter"], dtype=float)
    groups = [
        (low <= diameters) & (diameters < high)
        for low, high in zip(DIAMETERS, DIAMETERS[1:], strict=False)
    ]
    lines = [["lesions", *(str(group.sum()) for group in groups)]]
    for row in found.rows:
        dice = np.stack([*found.scores(row, test=test).values()]).mean(0)
        lines.append([row, *(f"{np.nanmean(dice[group]):.3f}" for group in groups)])
    return lines
