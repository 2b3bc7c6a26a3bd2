"""The results of the runs: one JSON file per run; a file that cannot be traced is refused.

    book/results/experiments/simulated-laptop/lesions.json
    book/results/experiments/simulated-laptop/proposed-seed0.json
    ...

The same folder is installed with the package as nodule_lesson/results, so that a chapter reads the
same numbers in a clone and on Colab.
"""

import json
from functools import cached_property
from pathlib import Path

import numpy as np

import nodule_lesson
from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments.grid import ROWS, TABLES
from nodule_lesson.files import write_whole

MEASURES = ("precision", "sensitivity", "dice", "iou", "hausdorff_distance", "assd")
OVERLAPS = MEASURES[1:4]  # defined for every lesion; precision is undefined if nothing is marked
TESTS = ("small", "large")  # some data have a third one, "external"
SMALL_LESION = 6.0  # mm of diameter; smaller lesions are shown separately
_NEEDED = {
    "configuration": ("data", "row", "profile", "fold", "seed"),
    "training": ("losses", "lesions", "slices", "parameters", "cpu_seconds_a_step"),
    "scores": ("train", "small", "large"),
    "data": ("checksums", "sources"),
    "provenance": (
        *("command", "commit", "code_sha256", "versions", "python", "device", "threads"),
        *("started", "seconds"),
    ),
}


def results_folder():
    """book/results/experiments of a clone, else the folder installed with the package."""
    here = Path(nodule_lesson.__file__).parent
    clone = here.parent / "book" / "results" / "experiments"
    return clone if clone.is_dir() else here / "results"


def read(data="simulated", profile="laptop", folder=None, traced=True):
    """The `Results` of all finished runs of one data set and one profile.

    folder: replaces `results_folder()`. traced=False also accepts results of code that was not
    committed. Raises FileNotFoundError where there are no results, ValueError for a file that is
    damaged or cannot be traced.
    """
    folder = Path(folder or results_folder()) / f"{data}-{profile}"
    files = sorted(file for file in folder.glob("*.json") if not file.name.startswith("lesions"))
    if not files:
        raise FileNotFoundError(
            f"no results of {data} in the profile {profile} in {folder.parent}; make them with "
            f"python -m nodule_lesson.experiments --data {data} --profile {profile}."
        )
    lesions = json.loads((folder / "lesions.json").read_text(encoding="utf-8"))
    return Results([checked(file, lesions, traced) for file in files], lesions)


def write(result, path):
    """Write one results file, completely or not at all."""
    text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_whole(path, f"{text}\n".encode())


def keep_once(content, path):
    """Write a file if it is missing; raises ValueError if it exists with other content."""
    content = json.loads(json.dumps(content))
    if not path.exists():
        write(content, path)
    elif json.loads(path.read_text(encoding="utf-8")) != content:
        raise ValueError(f"{path} is of other data: move the folder away, or choose another.")


def lesions_file(configuration):
    """The name of the file with the lesions of a run's tests; each clinic has its own."""
    clinic = configuration.get("clinic")
    return "lesions.json" if clinic is None else f"lesions-clinic{clinic}.json"


def configuration(path):
    """The configuration of the run in a results file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))["configuration"]


def checked(file, lesions, traced):
    """The result in a file, after `check`; its errors name the file."""
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file.name} is not a whole results file: {error}.") from None
    try:
        check(result, lesions, traced)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    return result


def check(result, lesions, traced=True):
    """Raise ValueError for a result without provenance or with scores of other lesions.

    traced: whether it must come from a commit without uncommitted changes.
    """
    for section, keys in _NEEDED.items():
        for key in keys:
            if key not in result.get(section, {}):
                raise ValueError(f"a result must have {section}: {key}, found none.")
    source = result["provenance"]
    for key in ("command", "code_sha256", "versions", "python", "device", "started", "seconds"):
        if not source[key]:
            raise ValueError(f"a result must say its {key}, found {source[key]!r}.")
    if not result["training"]["losses"]:
        raise ValueError("a result must have the losses of its training, found none.")
    if traced and (not source["commit"] or source["commit"].endswith("+")):
        raise ValueError(
            "a result must come from a commit without uncommitted changes, found "
            f"{source['commit']!r}."
        )
    if result["data"]["checksums"] != lesions["checksums"]:
        raise ValueError("the data have other checksums than those of lesions.json.")
    for test in [name for name in (*TESTS, "external") if name in lesions]:
        for measure in MEASURES:
            values = len(result["scores"][test].get(measure, ()))
            wanted = len(lesions[test]["lesion"])
            if values != wanted:
                raise ValueError(
                    f"{measure} must have a value for each of the {wanted} lesions of the {test} "
                    f"test, found {values}."
                )
    for test, scores in result["scores"].items():
        for measure in OVERLAPS:
            known = [value for value in scores.get(measure, ()) if value is not None]
            if not known or min(known) < 0 or max(known) > 1:
                raise ValueError(f"{measure} of {test} must lie between 0 and 1.")


class Results:
    """The finished runs of one data set and profile.

    runs: dictionaries, as in the files. lesions: by test, "small" and "large", a dict of arrays:
    lesion, patient, type, diameter (mm), slices, pixels.
    """

    def __init__(self, runs, lesions):
        self.runs = sorted(runs, key=lambda run: run["configuration"]["seed"])
        self.checksums = lesions["checksums"]
        self.lesions = {
            test: {
                key: np.array(values, dtype=float if key == "diameter" else None)
                for key, values in lesions[test].items()
            }
            for test in TESTS
        }

    @cached_property
    def rows(self):
        """Names of the rows that have runs, in the order of `grid.ROWS`."""
        names = {run["configuration"]["row"]["name"] for run in self.runs}
        return [name for name in ROWS if name in names]

    def runs_of(self, row):
        """The runs of a row, seed by seed. Raises ValueError for a row without runs."""
        runs = [run for run in self.runs if run["configuration"]["row"]["name"] == row]
        if not runs:
            raise ValueError(f"row must be one of {', '.join(self.rows)}; found {row!r}.")
        return runs

    def scores(self, row, measure="dice", test="large"):
        """One measure of each lesion, (seeds of the row, lesions), nan where undefined.

        The folds of one seed are averaged.
        """
        by_seed = {}
        for run in self.runs_of(row):
            values = np.array(run["scores"][test][measure], dtype=float)
            by_seed.setdefault(run["configuration"]["seed"], []).append(values)
        return np.array([mean_of_runs(np.array(folds)) for folds in by_seed.values()])

    def mean(self, row, measure="dice", test="large", where=None):
        """(mean, low, high) over the lesions, each with its mean over the seeds.

        low, high: 95 % interval, a bootstrap over patients. where: a boolean array that selects
        lesions; the result is nan if it selects none.
        """
        values = mean_of_runs(self.scores(row, measure, test))
        return _summary(values, self._patients(test), where)

    def missed(self, row, test="large", where=None):
        """(share, low, high) of the lesions whose Dice is 0: none of their pixels was marked."""
        dice = [run["scores"][test]["dice"] for run in self.runs_of(row)]
        missed = (np.array(dice, dtype=float) == 0).mean(0)
        return _summary(missed, self._patients(test), where)

    def table(self, number, test="large", where=None):
        """The rows of Table 1, 2 or 3 that have runs: a list of dicts.

        Each has "row", "runs" (their number), each of MEASURES and "missed" as (mean, low, high),
        "used" (over how many lesions each mean is taken; undefined values are left out) and
        "by_seed" (the mean Dice of each seed).
        """
        if number not in TABLES:
            raise ValueError(f"number must be 1, 2 or 3, found {number!r}.")
        return [self.summary_row(row, test, where) for row in TABLES[number] if row in self.rows]

    def summary_row(self, row, test="large", where=None):
        """A dict as in `table`, for any row."""
        where = slice(None) if where is None else where
        scores = {measure: self.scores(row, measure, test)[:, where] for measure in MEASURES}
        return {
            "row": row,
            "runs": len(self.runs_of(row)),
            **{measure: self.mean(row, measure, test, where) for measure in MEASURES},
            "missed": self.missed(row, test, where),
            "used": {name: int((~np.isnan(v)).any(0).sum()) for name, v in scores.items()},
            "by_seed": scores["dice"].mean(1).tolist() if scores["dice"].size else [],
        }

    def compare(self, row, other, measure="dice", test="large", where=None):
        """The paired difference row - other: a `statistics.Difference`, bootstrap over patients.

        Lesions are paired, seeds are not: for each lesion, the mean over all seeds of `other` is
        subtracted from the mean over all seeds of `row`. So a row with one seed is compared with
        the mean of the other row's seeds, and not with the one that happens to have its number.
        """
        scores, other_scores = (
            mean_of_runs(self.scores(name, measure, test)) for name in (row, other)
        )
        patients = self._patients(test)
        if where is not None:
            scores, other_scores, patients = scores[where], other_scores[where], patients[where]
        return statistics.paired(scores, other_scores, clusters=patients)

    def groups(self, test="large"):
        """Groups of lesions by diameter, and by type where types are known.

        Returns {name: boolean array over the lesions}.
        """
        diameter, kind = self.lesions[test]["diameter"], self.lesions[test]["type"]
        by_diameter = {
            f"below {SMALL_LESION:g} mm": diameter < SMALL_LESION,
            f"{SMALL_LESION:g} mm and more": diameter >= SMALL_LESION,
        }
        return by_diameter | {str(name): kind == name for name in np.unique(kind) if name}

    def _patients(self, test):
        return self.lesions[test]["patient"]


def mean_of_runs(scores):
    """The mean over runs, nan only where no run defines the value."""
    known = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        return np.where(known, scores, 0).sum(0) / known.sum(0)


def _summary(values, patients, where):
    if where is not None:
        values, patients = values[where], patients[where]
    known = ~np.isnan(values)
    if not known.any():
        return (float("nan"),) * 3
    values, patients = values[known], patients[known]
    return (float(values.mean()), *statistics.interval(values, clusters=patients))
