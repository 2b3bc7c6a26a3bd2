"""Sentences of the paper about its own tables, held to the printed numbers."""

import numpy as np
import pytest

from nodule_lesson.evaluation.statistics import detectable
from nodule_lesson.experiments.claims import LOWER_IS_BETTER
from nodule_lesson.experiments.paper import MEASURES, TABLE1, TABLE2, TABLE3


def number(table, row, measure):
    return table[row][MEASURES.index(measure)]


def best(table, measure):
    choose = min if measure in LOWER_IS_BETTER else max
    return choose(table, key=lambda row: number(table, row, measure))


def test_of_table_1_the_proposed_model_is_best_in_all_but_sensitivity():
    """The text has precision, Dice, IoU and ASSD, and leaves HD out."""
    winners = {measure: best(TABLE1, measure) for measure in MEASURES}
    assert {measure for measure, row in winners.items() if row != "proposed"} == {"sensitivity"}
    above = [
        row
        for row in TABLE1
        if number(TABLE1, row, "sensitivity") > number(TABLE1, "proposed", "sensitivity")
    ]
    assert above == ["ResUNet", "ResUNet++", "DeepLabv3+"]


def test_the_backbones_of_table_3_are_below_the_resunet_of_table_1():
    for row in ("backbone, no combination", "backbone, no STD"):
        assert number(TABLE3, row, "dice") < number(TABLE1, "ResUNet", "dice")


def test_with_combination_blocks_both_distances_of_table_3_are_worse():
    """The text says that ASSD alone is."""
    before, after = (TABLE3[row] for row in ("backbone, no combination", "backbone, no STD"))
    change = dict(zip(MEASURES, np.subtract(after, before), strict=True))
    worse = {
        measure for measure, gap in change.items() if (gap > 0) == (measure in LOWER_IS_BETTER)
    }
    assert worse == {"hausdorff_distance", "assd"}


def test_with_transfer_assd_of_table_3_grows_by_a_third_and_precision_falls():
    before, after = (TABLE3[row] for row in ("backbone + STD", "backbone + TL + STD"))
    change = dict(zip(MEASURES, np.divide(after, before) - 1, strict=True))
    assert change["assd"] == pytest.approx(1 / 3, abs=0.01)
    assert change["precision"] < 0 < change["hausdorff_distance"] < 0.1


def test_only_the_freeze_of_s9_costs_more_than_eleven_lesions_can_show():
    """Dice, at the smaller of the two spreads that the book assumes."""
    base = number(TABLE2, "no freezing", "dice")
    shown = [row for row in TABLE2 if base - number(TABLE2, row, "dice") > detectable(0.05, 11)]
    assert shown == ["freeze S9"]
