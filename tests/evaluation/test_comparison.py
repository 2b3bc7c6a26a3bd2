"""A reader's own table: scipy's t-test, the book's own statistics, and one sentence per error."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from nodule_lesson.evaluation import statistics
from nodule_lesson.evaluation.__main__ import main
from nodule_lesson.evaluation.comparison import compare, read_records


def rows(methods=("a", "b", "c"), clinics=("x", "y"), seeds=(0, 1), patients=4, lesions=2):
    random = np.random.default_rng(0)
    return [
        {
            "method": method,
            "clinic": clinic,
            "seed": str(seed),
            "patient": f"p{patient}",
            "lesion": str(lesion),
            "dice": round(0.5 + 0.1 * methods.index(method) + random.normal(0, 0.02), 6),
        }
        for method in methods
        for clinic in clinics
        for seed in seeds
        for patient in range(patients)
        for lesion in range(lesions)
    ]


def test_with_clinics_and_seeds_it_is_the_books_own_statistic():
    table = rows()
    found = compare(np.random.default_rng(1).permutation(table).tolist(), "dice", ["a", "b", "c"])
    values = np.array([row["dice"] for row in table]).reshape(3, 4, 8)
    patients, clinics = np.repeat(["p0", "p1", "p2", "p3"], 2), list("xxyy")
    wanted = [
        statistics.crossed(values[i] - values[j], patients, clinics)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    for pair, difference, p in zip(
        found.pairs, wanted, statistics.holm([d.p for d in wanted]), strict=True
    ):
        assert pair.difference.mean == pytest.approx(difference.mean)
        assert pair.difference.low == pytest.approx(difference.low)
        assert pair.p == pytest.approx(p)
        assert pair.verdict == ("decided" if p < 0.05 else "open")
    np.testing.assert_allclose(list(found.means.values()), values.mean((1, 2)))
    assert found.holds == "patients and clinics and seeds"


def test_with_one_run_and_a_lesion_per_patient_it_is_the_t_test():
    table = rows(("a", "b"), clinics=("x",), seeds=(0,), patients=7, lesions=1)
    for row in table:
        del row["clinic"], row["seed"], row["lesion"]
    (pair,) = compare(table, "dice").pairs
    a, b = np.array([row["dice"] for row in table]).reshape(2, 7)
    test = stats.ttest_rel(a, b)
    assert pair.p == pytest.approx(test.pvalue)
    low, high = test.confidence_interval()
    assert (pair.difference.low, pair.difference.high) == pytest.approx((low, high))
    assert compare(table, "dice").holds == "patients alone"


def write(path, table):
    if path.suffix == ".json":
        path.write_text(json.dumps(table), encoding="utf-8")
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)


def test_the_command_prints_the_same_of_csv_and_json(tmp_path, capsys):
    texts = []
    for name in ("results.csv", "results.json"):
        write(tmp_path / name, rows())
        main([str(tmp_path / name), "--metric", "dice", "--methods", "b", "a"])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "b - a: +0.1" in texts[0] and "decided" in texts[0]
    assert "that hold patients and clinics and seeds" in texts[0]


def change(table, **values):
    return [{**table[0], **values}, *table[1:]]


BAD = [
    (lambda t: [{k: v for k, v in r.items() if k != "patient"} for r in t], "no column 'patient'"),
    (lambda t: [{k: v for k, v in r.items() if k != "dice"} for r in t], "no column 'dice'"),
    (lambda t: change(t, dice=""), "row 1: the value of dice is missing"),
    (lambda t: change(t, patient=" "), "row 1: the value of patient is missing"),
    (lambda t: change(t, dice="nan"), "row 1: dice must be a finite number, found 'nan'"),
    (lambda t: change(t, dice="high"), "row 1: dice must be a number, found 'high'"),
    (lambda t: [*t, t[0]], "is a second one of method a, clinic x, seed 0, patient p0, lesion 0"),
    (lambda t: t[1:], "there is no row of method a, clinic x, seed 0, patient p0, lesion 0"),
    (lambda t: [r for r in t if r["patient"] == "p0"], "at least two patients are needed"),
    (lambda t: [r for r in t if r["method"] == "a"], "at least two methods are needed, found 1"),
]


@pytest.mark.parametrize("spoil, said", BAD, ids=[said for _, said in BAD])
def test_each_error_is_one_sentence(spoil, said, tmp_path, capsys):
    write(tmp_path / "t.csv", spoil(rows(("a", "b"))))
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "t.csv"), "--metric", "dice"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error and error.count("\n") == 1


def test_files_that_are_no_tables(tmp_path):
    for name, text, said in (
        ("t.txt", "", "must end in .csv or .json"),
        ("t.json", "{", "cannot be read as a table"),
        ("t.json", "{}", "must hold a list of records"),
        ("t.csv", "method,patient\n", "has no rows"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=said):
            read_records(tmp_path / name)
