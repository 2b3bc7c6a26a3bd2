"""Evidence from the runs of several clinics: means, paired differences, decisions.

    evidence = read("real")                       # all finished runs of the profile "night"
    evidence.summary_row("proposed")              # one row of the tables
    evidence.compare("proposed", "unet")          # a `statistics.Crossed`
    evidence.primary()                            # the comparisons of the protocol, Holm-corrected

A row has one run for each clinic and seed. All runs are scored on the same lesions of the large
and of the external test, so trainings and patients are crossed (`statistics.crossed`). Each clinic
has its own small test: there each clinic contributes one mean, and the interval is Student's.
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

LEARNT = 0.80  # the mean Dice on its own training lesions that a row must reach to have learnt
LEVEL = 0.05  # of significance
DECIDED, OPEN, NOT_RUN = "decided", "open", "not run"


@dataclass(frozen=True)
class Decision:
    """A comparison of the protocol, `row` with `other`, and its outcome.

    claim: the protocol's sentence. difference: `statistics.Crossed`, row - other; None if not run.
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

    folder: replaces `results_folder()`. traced=False also accepts results of code that was not
    committed. Raises FileNotFoundError where there are no results, ValueError for a file that is
    damaged or cannot be traced.
    """
    folder = Path(folder or results.results_folder()) / f"{data}-{profile}"
    files = sorted(folder.glob("*-clinic*-seed*.json"))
    if not files:
        raise FileNotFoundError(
            f"no results of {data} in the profile {profile} in {folder.parent}."
        )
    lesions = {
        int(file.stem.removeprefix("lesions-clinic")): json.loads(file.read_text(encoding="utf-8"))
        for file in folder.glob("lesions-clinic*.json")
    }
    runs = []
    for file in files:
        clinic = results.configuration(file)["clinic"]
        if clinic not in lesions:
            raise ValueError(f"{file.name} is of clinic {clinic}, whose lesions are not there.")
        runs.append(results.checked(file, lesions[clinic], traced))
    return Evidence(runs, lesions)


def protocol(folder=None):
    """The protocol that was fixed before the runs: a dictionary."""
    path = Path(folder or results.results_folder()) / "protocol_night.json"
    return json.loads(path.read_text(encoding="utf-8"))


class Evidence:
    """The finished runs of one data set, by row, clinic and seed.

    runs: dictionaries, as in the files. lesions: {clinic: tables of the lesions of its tests and
    of its training}.
    """

    def __init__(self, runs, lesions):
        self.lesions, self.runs = lesions, {}
        for run in runs:
            configuration = run["configuration"]
            key = configuration["clinic"], configuration["seed"]
            self.runs.setdefault(configuration["row"]["name"], {})[key] = run

    @cached_property
    def rows(self):
        """Names of the rows that have runs, in the order of `grid.ROWS`."""
        return [name for name in ROWS if name in self.runs]

    def runs_of(self, row):
        """The runs of a row by (clinic, seed). Raises ValueError for a row without runs."""
        if row not in self.runs:
            raise ValueError(f"row must be one of {', '.join(self.rows)}; found {row!r}.")
        return self.runs[row]

    def patients(self, test="large"):
        """The patient of each lesion of a test that all clinics share, in the order of scores."""
        return np.array(next(iter(self.lesions.values()))[test]["patient"])

    def scores(self, row, measure="dice", test="large", seeds=None):
        """One measure of each lesion: {(clinic, seed): (N,) array, nan where undefined}.

        seeds: which to use, None for all.
        """
        return {
            (clinic, seed): np.array(run["scores"][test][measure], dtype=float)
            for (clinic, seed), run in sorted(self.runs_of(row).items())
            if seeds is None or seed in seeds
        }

    def mean(self, row, measure="dice", test="large"):
        """The mean of a row: `statistics.Crossed`, or (mean, low, high) on the small test.

        For a row with one clinic it is (mean, nan, nan): one training says nothing about others.
        """
        by_run = self.scores(row, measure, test)
        if len({clinic for clinic, _ in by_run}) == 1:
            return float(np.nanmean(list(by_run.values()))), np.nan, np.nan
        return self._summary(by_run, test)

    def compare(self, row, other, measure="dice", test="large"):
        """The same for the paired differences row - other, on the clinics that both rows have.

        Runs of the same clinic and seed are paired. If the rows have different seeds, the means of
        each clinic are paired instead.
        """
        return self._summary(
            _differences(*(self.scores(name, measure, test) for name in (row, other))), test
        )

    def can_compare(self, row, other):
        """Whether two rows have runs of at least two clinics in common."""
        clinics = [{clinic for clinic, _ in self.runs.get(name, ())} for name in (row, other)]
        return len(clinics[0] & clinics[1]) >= 2

    def _summary(self, by_run, test):
        clinics = [clinic for clinic, _ in by_run]
        if len(set(clinics)) < 2:
            raise ValueError(f"at least two clinics are needed, found {len(set(clinics))}.")
        if test == "small":
            by_clinic = [
                np.mean([np.nanmean(v) for (c, _), v in by_run.items() if c == clinic])
                for clinic in sorted(set(clinics))
            ]
            return float(np.mean(by_clinic)), *statistics.t_interval(by_clinic)
        values = np.stack(list(by_run.values()))
        return statistics.crossed(values, self.patients(test), clinics)

    def trained(self, row):
        """Mean Dice of each run on its own training lesions, (runs,)."""
        runs = self.runs_of(row).values()
        return np.array([np.mean(run["scores"]["train"]["dice"]) for run in runs])

    def has_learnt(self, row):
        """Whether the mean of a row's runs is at least LEARNT on their own training lesions."""
        return bool(self.trained(row).mean() >= LEARNT)

    def summary_row(self, row):
        """A row of the tables: runs, Dice on training lesions, and the mean Dice of each test."""
        tests = [t for t in (*results.TESTS, "external") if t in next(iter(self.lesions.values()))]
        return {
            "row": row,
            "runs": len(self.runs_of(row)),
            "train": float(self.trained(row).mean()),
            "learnt": self.has_learnt(row),
            **{test: self.mean(row, test=test) for test in tests},
        }

    def primary(self, comparisons=None):
        """The decisions on the protocol's comparisons: a list of `Decision`.

        p-values are corrected by Holm's method for the whole list, in which a comparison that was
        not run has p = 1. A comparison is decided if its corrected p is below LEVEL and both rows
        have learnt.
        """
        comparisons = protocol()["comparisons"] if comparisons is None else comparisons
        differences = [
            self.compare(pair["row"], pair["other"])
            if self.can_compare(pair["row"], pair["other"])
            else None
            for pair in comparisons
        ]
        corrected = statistics.holm([1.0 if d is None else d.p for d in differences])
        decisions = []
        for pair, difference, p in zip(comparisons, differences, corrected, strict=True):
            if difference is None:
                verdict = NOT_RUN
            else:
                learnt = self.has_learnt(pair["row"]) and self.has_learnt(pair["other"])
                verdict = DECIDED if learnt and p < LEVEL else OPEN
            p = None if difference is None else float(p)
            decisions.append(
                Decision(pair["row"], pair["other"], pair["claim"], difference, p, verdict)
            )
        return decisions

    def null_pairs(self):
        """Pairs of seeds of one row: [(row, seed, other seed, `statistics.Crossed`)].

        Both seeds are the same method, so one pair in twenty is expected to have p < 0.05.
        """
        pairs = []
        for row in self.rows:
            seeds = sorted({seed for _, seed in self.runs_of(row)})
            for pair in itertools.combinations(seeds, 2):
                by_clinic = [_by_clinic(self.scores(row, seeds=[seed])) for seed in pair]
                differences = _differences(*by_clinic)
                if len(differences) >= 2:
                    pairs.append((row, *pair, self._summary(differences, "large")))
        return pairs


def _by_clinic(by_run):
    """{(clinic, None): the mean of its runs}."""
    clinics = dict.fromkeys(clinic for clinic, _ in by_run)
    return {
        (clinic, None): results.mean_of_runs(
            np.array([values for (c, _), values in by_run.items() if c == clinic])
        )
        for clinic in clinics
    }


def _differences(scores, other):
    """Differences paired by clinic and seed, or by clinic if the seeds differ."""
    if scores.keys() != other.keys():
        scores, other = _by_clinic(scores), _by_clinic(other)
    return {key: scores[key] - other[key] for key in scores if key in other}


def choose(evidence):
    """Apply the protocol's rule to the runs of the stage "choice".

    The rule compares means over the lesions of the small test with the last weights, averaged over
    clinics and rows. Returns (dice_over, whether sigma and lambda2 get the faster rate, the mean
    Dice of each row).
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
    reading = max(by_reading, key=by_reading.get)  # the first of equally good ones
    slow, fast = (
        round(means[f"proposed (Dice by {reading}{rate})"], 3) for rate in ("", ", fast STD")
    )
    return reading, fast > slow, means


_CHOICE_ROWS = ("unet", "proposed")
