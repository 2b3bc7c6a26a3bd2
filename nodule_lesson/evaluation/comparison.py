"""Methods compared on a table of one's own, with the statistics of the book's results.

    python -m nodule_lesson.evaluation results.csv --metric dice --methods ours unet

The table is a CSV file with a head line, or a JSON file with a list of records. Its columns:

- method and patient: names.
- seed: the name of a training run. Without it, each method is one training.
- clinic: the data that a run was trained on, where there are several. It is not where a patient
  was seen: all runs are scored on the same patients.
- lesion: a name, where a patient has more than one.
- a column of numbers for each measure.
"""

import csv
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nodule_lesson.evaluation import statistics

#: The columns that say of what a row is; the others are measures.
NAMES = ("method", "patient", "lesion", "clinic", "seed")
#: Of significance: a pair is decided if its corrected p is below it.
LEVEL = 0.05
#: The verdict on a pair.
DECIDED, OPEN = "decided", "open"


@dataclass(frozen=True)
class Pair:
    """Two methods, and the paired difference method - other.

    - difference: `statistics.Crossed`.
    - p: corrected by Holm's method for all pairs that were asked together.
    - verdict: DECIDED if p is below LEVEL, else OPEN.
    """

    method: str
    other: str
    difference: statistics.Crossed
    p: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    - means: {method: mean}, in which lesions count alike, and clinics.
    - pairs: a tuple of `Pair`.
    - trainings, clinics, patients, lesions: how many there are; clinics is 0 without the column.
    """

    means: dict
    pairs: tuple
    trainings: int
    clinics: int
    patients: int
    lesions: int

    @property
    def holds(self):
        """What the intervals hold together, as words."""
        trainings = "clinics and seeds" if self.clinics > 1 else "seeds"
        return f"patients and {trainings}" if self.trainings > 1 else "patients alone"


def read_records(path):
    """The rows of a CSV or JSON file, a list of dictionaries.

    - path: ends in .csv, or in .json for a list of objects.

    Raises ValueError for another ending, a file that is not such a table, and an empty one.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"{path.name} must end in .csv or .json.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            records = list(csv.DictReader(text.splitlines(), strict=True))
        else:
            records = json.loads(text)
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read as a table: {error}.") from None
    if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
        raise ValueError(f"{path.name} must hold a list of records, one per row.")
    if not records:
        raise ValueError(f"{path.name} has no rows.")
    return records


def compare(records, metric, methods=None):
    """The means of methods and the paired differences of all pairs of them: a `Comparison`.

    - records: a list of dictionaries, the rows of a table as at the head of this module.
    - metric: the name of a column of numbers.
    - methods: which to compare, in this order; without it, all of them.

    All methods need the same runs, scored on the same patients and lesions. Runs of one clinic and
    seed are paired, and so are lesions. With several runs the interval is `statistics.crossed`,
    which holds patients, seeds and clinics together; with one run of each method it is
    `statistics.clustered`, which holds patients alone.

    Raises ValueError for columns or values that are missing, numbers that are not finite, two
    rows of the same lesion, methods that are not paired, and fewer than two methods or patients.
    For example, of three patients

        >>> rows = [{"method": m, "patient": p, "dice": d} for m, p, d in [
        ...     ("a", 1, 0.8), ("a", 2, 0.7), ("a", 3, 0.9),
        ...     ("b", 1, 0.6), ("b", 2, 0.6), ("b", 3, 0.6)]]
        >>> pair, = compare(rows, "dice").pairs
        >>> round(pair.difference.mean, 2), pair.verdict
        (0.2, 'open')
    """
    columns = [name for name in NAMES if name in records[0] or name in NAMES[:2]]
    tables = {}
    for number, row in enumerate(records, 1):
        key = {name: _text(row, name, number) for name in columns}
        method = key.pop("method")
        if methods is not None and method not in methods:
            continue
        place = tuple(key.get(name) for name in ("clinic", "seed", "patient", "lesion"))
        table = tables.setdefault(method, {})
        if place in table:
            raise ValueError(f"row {number} is a second one of {_words(method, place)}.")
        table[place] = _number(row, metric, number)
    methods = list(tables) if methods is None else list(dict.fromkeys(methods))
    for method in methods:
        if method not in tables:
            raise ValueError(f"method {method!r} is not in the table.")
    if len(methods) < 2:
        raise ValueError(f"at least two methods are needed, found {len(methods)}.")
    places = {method: set(tables[method]) for method in methods}
    everywhere = set().union(*places.values())
    runs, lesions = (sorted({part(p) for p in everywhere}, key=str) for part in (_run, _lesion))
    for method, run, lesion in itertools.product(methods, runs, lesions):
        if (*run, *lesion) not in places[method]:
            raise ValueError(
                f"methods must have the same runs on the same patients and lesions: there is no "
                f"row of {_words(method, (*run, *lesion))}."
            )
    patients = np.array([patient for patient, _ in lesions])
    if len(set(patients)) < 2:
        raise ValueError(f"at least two patients are needed, found {len(set(patients))}.")
    values = {
        method: np.array([[tables[method][*run, *lesion] for lesion in lesions] for run in runs])
        for method in methods
    }
    clinics = [clinic for clinic, _ in runs]
    count = len(set(clinics)) if "clinic" in columns else 0

    def crossed(numbers):
        if len(runs) == 1:
            return statistics.clustered(numbers[0], patients)
        return statistics.crossed(numbers, patients, clinics if count > 1 else None)

    pairs = list(itertools.combinations(methods, 2))
    differences = [crossed(values[method] - values[other]) for method, other in pairs]
    corrected = statistics.holm([difference.p for difference in differences])
    return Comparison(
        {method: crossed(values[method]).mean for method in methods},
        tuple(
            Pair(*pair, difference, float(p), DECIDED if p < LEVEL else OPEN)
            for pair, difference, p in zip(pairs, differences, corrected, strict=True)
        ),
        len(runs),
        count,
        len(set(patients)),
        len(lesions),
    )


def _run(place):
    return place[:2]


def _lesion(place):
    return place[2:]


def _words(method, place):
    named = zip(("clinic", "seed", "patient", "lesion"), place, strict=True)
    return ", ".join(
        [f"method {method}", *(f"{name} {value}" for name, value in named if value is not None)]
    )


def _text(row, name, number):
    value = _value(row, name, number)
    return str(value).strip()


def _number(row, name, number):
    value = _value(row, name, number)
    try:
        value = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        raise ValueError(f"row {number}: {name} must be a number, found {value!r}.") from None
    if not math.isfinite(value):
        raise ValueError(
            f"row {number}: {name} must be a finite number, found {row[name]!r}; leave a lesion "
            "with an undefined value out of all methods, or say what it is worth."
        )
    return value


def _value(row, name, number):
    if name not in row:
        found = ", ".join(str(column) for column in row)
        raise ValueError(f"row {number}: there is no column {name!r}; found {found}.")
    value = row[name]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"row {number}: the value of {name} is missing.")
    return value
