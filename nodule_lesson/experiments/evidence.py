"""What the runs of several clinics say: means, paired differences, and what is decided.

    evidence = read("real")                       # all finished runs of the profile "night"
    evidence.line("proposed")                     # one row of the tables
    evidence.compare("proposed", "unet")          # a `statistics.Crossed`
    evidence.primary()                            # the comparisons of the protocol, Holm-corrected

A row has one run for each clinic and seed. All runs are scored on the same lesions of the large
and of the external test, so trainings and patients are crossed (`statistics.crossed`). The small
test is another one in each clinic: there each clinic has one mean, the interval is Student's.
"""

import itertools
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments import results
from nodule_lesson.experiments.grid import ROWS

LEARNT = 0.80  # mean Dice on a row's own training lesions, from which on it has learnt
LEVEL = 0.05
DECIDED, OPEN, NOT_RUN = "decided", "open", "not run"


@dataclass(frozen=True)
class Comparison:
    """One comparison of the protocol. difference: `statistics.Crossed`, or None where not run.

    p: corrected for all comparisons of the protocol. verdict: DECIDED, OPEN or NOT_RUN.
    """

    row: str
    other: str
    claim: str
    difference: statistics.Crossed | None
    p: float | None
    verdict: str


def read(data="real", profile="night", folder=None, traced=True):
    """The `Evidence` of all finished runs of a profile with several clinics.

    traced=False takes results of code that was not committed, too. Raises FileNotFoundError where
    there are none, ValueError for a file that is damaged or cannot be traced.
    """
    place = Path(folder or results.results_folder()) / f"{data}-{profile}"
    files = sorted(place.glob("*-clinic*-seed*.json"))
    if not files:
        raise FileNotFoundError(
            f"no results of {data} in the profile {profile} in {place.parent}."
        )
    lesions = {
        int(file.stem.removeprefix("lesions-clinic")): json.loads(file.read_text(encoding="utf-8"))
        for file in place.glob("lesions-clinic*.json")
    }
    runs = []
    for file in files:
        clinic = results.configuration(file)["clinic"]
        if clinic not in lesions:
            raise ValueError(f"{file.name} is of clinic {clinic}, whose lesions are not there.")
        runs.append(results.checked(file, lesions[clinic], traced))
    return Evidence(runs, lesions)


def protocol(folder=None):
    """What was fixed before the runs, a dictionary."""
    path = Path(folder or results.results_folder()) / "protocol_night.json"
    return json.loads(path.read_text(encoding="utf-8"))


class Evidence:
    """The finished runs of one data set, by row, clinic and seed.

    runs: dictionaries, as in the files. lesions: by clinic, the tables of its tests and of the
    lesions that were trained on.
    """

    def __init__(self, runs, lesions):
        self.lesions, self.runs = lesions, {}
        for run in runs:
            of = run["configuration"]
            self.runs.setdefault(of["row"]["name"], {})[of["clinic"], of["seed"]] = run

    @cached_property
    def rows(self):
        """Names of the rows that are there, in the order of `grid.ROWS`."""
        return [name for name in ROWS if name in self.runs]

    def of(self, row):
        """The runs of a row by (clinic, seed). Raises ValueError where there is none."""
        if row not in self.runs:
            raise ValueError(f"row must be one of {', '.join(self.rows)}; found {row!r}.")
        return self.runs[row]

    def patients(self, test="large"):
        """The patient of each lesion of a test that all clinics share, in the scores' order."""
        return np.array(next(iter(self.lesions.values()))[test]["patient"])

    def scores(self, row, measure="dice", test="large", seeds=None):
        """(clinic, seed) -> one measure of each lesion, (N,), nan where undefined.

        seeds: these alone; None for all.
        """
        return {
            (clinic, seed): np.array(run["scores"][test][measure], dtype=float)
            for (clinic, seed), run in sorted(self.of(row).items())
            if seeds is None or seed in seeds
        }

    def mean(self, row, measure="dice", test="large"):
        """`statistics.Crossed` of a row's mean; on the small test (mean, low, high).

        Of a row of one clinic (mean, nan, nan): one training tells nothing of others.
        """
        by_run = self.scores(row, measure, test)
        if len({clinic for clinic, _ in by_run}) == 1:
            return float(np.nanmean(list(by_run.values()))), np.nan, np.nan
        return self._summary(by_run, test)

    def compare(self, row, other, measure="dice", test="large"):
        """The same of the paired differences row - other, on the clinics that both rows have.

        Runs of the same clinic and seed are paired. Where the rows have other seeds, the means of
        each clinic are.
        """
        return self._summary(
            _differences(*(self.scores(name, measure, test) for name in (row, other))), test
        )

    def _summary(self, by_run, test):
        clinics = [clinic for clinic, _ in by_run]
        if len(set(clinics)) < 2:
            raise ValueError(f"at least two clinics are needed, found {len(set(clinics))}.")
        if test == "small":
            by_clinic = [
                np.mean([np.nanmean(v) for (at, _), v in by_run.items() if at == clinic])
                for clinic in sorted(set(clinics))
            ]
            return float(np.mean(by_clinic)), *statistics.t_interval(by_clinic)
        values = np.stack(list(by_run.values()))
        return statistics.crossed(values, self.patients(test), clinics)

    def trained(self, row):
        """Mean Dice of each run on its own training lesions, (runs,)."""
        return np.array([np.mean(run["scores"]["train"]["dice"]) for run in self.of(row).values()])

    def has_learnt(self, row):
        """Whether the mean of a row's runs is at least LEARNT on their own training lesions."""
        return bool(self.trained(row).mean() >= LEARNT)

    def line(self, row):
        """A row of the tables: runs, Dice on training lesions, and the mean Dice of each test."""
        tests = [t for t in (*results.TESTS, "external") if t in next(iter(self.lesions.values()))]
        return {
            "row": row,
            "runs": len(self.of(row)),
            "train": float(self.trained(row).mean()),
            "learnt": self.has_learnt(row),
            **{test: self.mean(row, test=test) for test in tests},
        }

    def primary(self, comparisons=None):
        """The protocol's comparisons: a list of `Comparison`.

        p-values are corrected by Holm for all of the list, those that were not run with p = 1. One
        is decided where its corrected p is below LEVEL and both rows have learnt.
        """
        comparisons = protocol()["comparisons"] if comparisons is None else comparisons
        differences = [
            self.compare(pair["row"], pair["other"]) if self._have(pair) else None
            for pair in comparisons
        ]
        corrected = statistics.holm([1.0 if d is None else d.p for d in differences])
        found = []
        for pair, difference, p in zip(comparisons, differences, corrected, strict=True):
            if difference is None:
                verdict = NOT_RUN
            else:
                learnt = self.has_learnt(pair["row"]) and self.has_learnt(pair["other"])
                verdict = DECIDED if learnt and p < LEVEL else OPEN
            p = None if difference is None else float(p)
            found.append(
                Comparison(pair["row"], pair["other"], pair["claim"], difference, p, verdict)
            )
        return found

    def _have(self, pair):
        return pair["row"] in self.runs and pair["other"] in self.runs

    def null_pairs(self):
        """Pairs of seeds of one row: [(row, seed, other seed, `statistics.Crossed`)].

        Both are the same method, so one in twenty is expected to have p < 0.05.
        """
        pairs = []
        for row in self.rows:
            for one, other in itertools.combinations(
                sorted({seed for _, seed in self.of(row)}), 2
            ):
                by_clinic = [_by_clinic(self.scores(row, seeds=[seed])) for seed in (one, other)]
                differences = _differences(*by_clinic)
                if len(differences) >= 2:
                    pairs.append((row, one, other, self._summary(differences, "large")))
        return pairs


def _by_clinic(by_run):
    """(clinic, None) -> the mean of its runs."""
    clinics = dict.fromkeys(clinic for clinic, _ in by_run)
    return {
        (clinic, None): results.mean_of_runs(
            np.array([values for (at, _), values in by_run.items() if at == clinic])
        )
        for clinic in clinics
    }


def _differences(one, two):
    """Paired by clinic and seed, or by clinic where the seeds differ."""
    if one.keys() != two.keys():
        one, two = _by_clinic(one), _by_clinic(two)
    return {key: one[key] - two[key] for key in one if key in two}


def choose(evidence):
    """(reading of the Dice, whether sigma and lambda2 have the faster rate, the mean Dice of all).

    The protocol's rule, on the runs of the stage "choice": the mean over lesions of the small
    test, last weights, then over clinics and rows.
    """
    means = {row: evidence.mean(row, test="small")[0] for row in evidence.rows}
    readings = [
        over
        for over in ("slice", "batch", "nodule")
        if all(evidence.trained(f"{row} (Dice by {over})").min() >= 0.5 for row in _CHOICE_ROWS)
    ]
    by_reading = {
        over: round(np.mean([means[f"{row} (Dice by {over})"] for row in _CHOICE_ROWS]), 3)
        for over in readings
    }
    reading = max(by_reading, key=by_reading.get)  # of equal ones the first
    slow, fast = (
        round(means[f"proposed (Dice by {reading}{how})"], 3) for how in ("", ", fast STD")
    )
    return reading, fast > slow, means


_CHOICE_ROWS = ("unet", "proposed")
