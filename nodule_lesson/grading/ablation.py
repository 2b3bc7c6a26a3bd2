"""Assignment 3, *An experiment that can fail*: a plan, an ablation with its interval, a page.

The judges ask whether a split shares patients, how often an interval holds the true mean in
simulated experiments, and whether submitted numbers follow from the submitted table and plan.
"""

import hashlib
import json

import numpy as np

from nodule_lesson.data import open_demo
from nodule_lesson.evaluation import summarise
from nodule_lesson.evaluation.statistics import crossed
from nodule_lesson.grading.questions import Check, Question, Written

TITLE = "An experiment that can fail"
EXAMPLES = (
    "Answers at three levels, with their points, are in "
    "`assignments/3_an_experiment_that_can_fail/examples.md`."
)
WRITTEN = {
    "reasons": Written(
        (2, "The question is one sentence that data can answer with no, and says for which "
            "networks, patients and measure. The two arms differ in one thing alone."),
        (2, "The smallest difference that would matter is given with a reason that does not come "
            "from the data of this experiment."),
        (2, "It is said which outcome would speak against the expectation, and, by a simulation "
            "or estimate, how likely the plan is to reach a verdict if the difference is such."),
        note=EXAMPLES,
    ),
    "page": Written(
        (3, "The figure shows what the verdict rests on: each seed and each patient, the effect "
            "with its interval, 0 and the smallest difference that matters; axes have names."),
        (2, "What was done can be repeated from the page and the code, and each departure from "
            "the plan is named, with its reason. The code holds nothing that is not used."),
        (3, "The result is given with its interval and in the words of the plan's verdict, and no "
            "sentence says more: undecided is not called equal, and no subgroup is praised."),
        (2, "The limits are those of this experiment: what varies between trainings, how few "
            "patients, which scans. One other explanation is named, with a test of it."),
        note=EXAMPLES,
    ),
}  # fmt: skip
VERDICTS = ("better", "worse", "no matter", "undecided")
FEWEST_SEEDS = 4
EXPERIMENTS = 200  # simulated, for each kind
# An interval that holds the mean in 94 of 100 cases is below this in one class of a thousand.
COVERED = 0.88


# --- printed in the sheet ------------------------------------------------------------------------


def lesion_names(patch_set):
    """The lesion of each slice, "PATIENT NODULE"; "" for none, or without one true pixel."""
    slices, truth = patch_set.slices, np.asarray(patch_set.masks).any((1, 2))
    pairs = zip(slices["patient"], slices["nodule"], strict=True)
    names = np.array([f"{patient} {nodule}" if nodule else "" for patient, nodule in pairs])
    return np.where(np.isin(names, names[truth]), names, "")


def lesion_dice(marked, truth, lesion):
    """{lesion: Dice of all its pixels} for boolean marks and truth, (N, H, W)."""
    found = summarise(marked, truth, per="lesion", lesions=lesion)
    return dict(zip(found.units, found.values["dice"].tolist(), strict=True))


def seal(plan):
    """A number that any change of the plan changes: tell it to others, and the plan is fixed."""
    text = json.dumps(plan, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def seeds_of(plan):
    """The seeds of a plan's trainings, as many as plan["seeds"] says. They come from its seal."""
    random = np.random.default_rng(int(seal(plan), 16))
    return [int(seed) for seed in random.integers(10**6, size=plan["seeds"])]


def experiments(random, shape, mean, deviations, count=EXPERIMENTS):
    """Simulated matrices of differences whose true mean is `mean`, (count, trainings, patients).

    random: a numpy generator. shape: the numbers of trainings and of patients. A difference is the
    mean plus three normal terms: one that all patients of a training share, one that all trainings
    share for a patient, and a rest; deviations are their standard deviations.
    """
    trainings, patients = shape
    sizes = (count, trainings, 1), (count, 1, patients), (count, trainings, patients)
    return mean + sum(deviation * random.normal(size=size)
                      for deviation, size in zip(deviations, sizes, strict=True))  # fmt: skip


# --- what a seed chooses -------------------------------------------------------------------------


def _clinic(random):
    """Patients' names and numbers of lesions, in an order of their own."""
    count = int(random.integers(7, 11))
    names = [f"patient {n:02d}" for n in random.choice(99, count, replace=False)]
    return names, random.integers(1, 6, count)


def _halves_inputs(random):
    names, _ = _clinic(random)
    patients, has_nodule = [], []
    for place, name in enumerate(names):
        for _ in range(int(random.integers(4, 13))):
            patients.append(name)
            has_nodule.append(bool(place < 3 and random.random() < 0.7))  # few have any
        has_nodule[-1] = place < 3
    order = random.permutation(len(patients))
    return {
        "patients": [patients[n] for n in order],
        "has_nodule": [has_nodule[n] for n in order],
        "seeds": [int(seed) for seed in random.integers(10**6, size=12)],
    }


def _differences_inputs(random):
    names, counts = _clinic(random)
    seeds = [int(seed) for seed in random.choice(10**6, 4, replace=False)]
    rows = [
        [seed, arm, name, f"nodule-{n}", round(float(random.uniform(0.2, 0.9)), 4)]
        for name, count in zip(names, counts, strict=True)
        for n in range(count)
        for seed in seeds
        for arm in ("with", "without")
    ]
    return {"rows": [rows[n] for n in random.permutation(len(rows))], "arms": ["with", "without"]}


def _interval_inputs(random):
    """Experiments in which trainings differ most, and such in which patients do.

    The true mean is not among the inputs, but that of all experiments is made equal to it.
    """
    scale, mean = random.uniform(0.02, 0.05), random.normal(0, 0.05)
    shape = [int(random.integers(4, 7)), int(random.integers(7, 11))]
    made = [
        experiments(random, shape, mean, (scale * of_training, scale * of_patient, scale))
        for of_training, of_patient in ((1, 0.2), (0.2, 2))
    ]
    return {"made": np.array([one - one.mean() + mean for one in made]).round(6)}


def _verdict_inputs(random):
    smallest = float(random.uniform(0.01, 0.03))
    ends = np.sort(random.normal(0, 2 * smallest, (60, 2)), axis=1)
    narrow = smallest * (random.uniform(-0.4, 0.4, (20, 1)) + [-0.5, 0.5])
    wide = random.uniform(1, 3, (10, 2)) * [-smallest, smallest]
    return {"smallest": smallest, "intervals": np.concatenate([ends, narrow, wide])}


def _results_inputs(random):
    """The lesions that a table must have: none of it is drawn, for the data are the student's."""
    return {"lesions": sorted(set(lesion_names(open_demo("clinic_like")).tolist()) - {""})}


# --- what is asked, beside the student's code ----------------------------------------------------


def _ask_halves(student, patients, has_nodule, seeds):
    def of(seed):
        second = np.asarray(student(np.array(patients), np.array(has_nodule), seed))
        return second.astype(bool)

    found = [of(seed) for seed in seeds]
    np.random.seed(1)
    return {"second": found, "again": [of(seed) for seed in seeds]}


def _ask_differences(student, rows, arms):
    return {"d": student([tuple(row) for row in rows], tuple(arms))}


def _ask_interval(student, made):
    return {"ends": [[student(d.copy()) for d in kind] for kind in made]}


def _ask_verdict(student, smallest, intervals):
    said = [student(low, high, smallest) for low, high in intervals.tolist()]
    mirrored = [student(-high, -low, smallest) for low, high in intervals.tolist()]
    return {"said": _codes(said), "mirrored": _codes(mirrored)}


def _codes(words):
    """The places of words in VERDICTS; -1 for another one."""
    return [VERDICTS.index(word) if word in VERDICTS else -1 for word in words]


def _ask_results(student, lesions):
    found = student()
    plan, dice = found["plan"], found["dice"]
    return {
        "plan": list(json.dumps(plan, sort_keys=True).encode()),
        "seeds": found["seeds"],
        "dice": [[[one[name] for name in lesions] for one in dice[arm]] for arm in plan["arms"]],
        "effect": found["effect"],
        "ends": [found["low"], found["high"]],
        "verdict": _codes([found["verdict"]]),
    }


# --- the judges ----------------------------------------------------------------------------------


def _shares_no_patient(inputs, second, again):
    patients = np.array(inputs["patients"])
    slices = [second[:, patients == name] for name in set(inputs["patients"])]
    whole = all((one == one[:, :1]).all() for one in slices)
    two = (second.max(axis=1) > second.min(axis=1)).all()
    return np.isin(second, (0, 1)).all() and whole and two


def _both_have_all(inputs, second, again):
    patients, has_nodule = (np.array(inputs[name]) for name in ("patients", "has_nodule"))
    count = len(set(patients))
    for half in [*(second > 0.5), *(second < 0.5)]:
        some = len(set(patients[half])) >= count // 3
        if not (some and has_nodule[half].any() and not has_nodule[half].all()):
            return False
    return True


def _depends_on_the_seed(inputs, second, again):
    different = {half.tobytes() for half in np.where(second[:, :1] > 0.5, 1 - second, second)}
    return (second == again).all() and len(different) >= 3


def _wanted_differences(rows, arms):
    """Over the lesions of a patient the mean of Dice with minus without, (seeds, patients)."""
    seeds, patients = sorted({row[0] for row in rows}), sorted({row[2] for row in rows})
    total, count = np.zeros((2, len(seeds), len(patients)))
    for seed, arm, patient, _, dice in rows:
        at = seeds.index(seed), patients.index(patient)
        total[at] += dice if arm == arms[0] else -dice
        count[at] += 0.5  # each pair has two rows
    return total / count


def _are_the_differences(inputs, d):
    return np.allclose(d, _wanted_differences(**inputs), atol=1e-9)


def _covers(kind):
    def holds(inputs, ends):
        low, high = ends[kind].T
        true = inputs["made"][kind].mean()
        return ((low <= true) & (true <= high)).mean() >= COVERED

    return holds


def _length(d):
    """The length of an interval that treats trainings and patients as samples."""
    found = crossed(d, np.arange(d.shape[1]))
    return found.high - found.low


def _is_short(inputs, ends):
    lengths = (ends[..., 1] - ends[..., 0]).mean(axis=1)
    wanted = [np.mean([_length(d) for d in kind]) for kind in inputs["made"]]
    covers = all(_covers(kind)(inputs, ends) for kind in range(len(ends)))
    return covers and (lengths <= 1.5 * np.array(wanted)).all()


def _allowed(low, high, smallest):
    """The verdicts that an interval allows, as places in VERDICTS."""
    claims = low > 0, high < 0, -smallest < low and high < smallest
    allowed = {place for place, shown in enumerate(claims) if shown}
    return allowed or {VERDICTS.index("undecided")}


def _claims_what_is_shown(inputs, said, mirrored):
    return all(code in _allowed(*ends, inputs["smallest"])
               for code, ends in zip(said, inputs["intervals"], strict=True))  # fmt: skip


def _treats_both_arms_alike(inputs, said, mirrored):
    exchanged = {0: 1, 1: 0, 2: 2, 3: 3}
    return all(exchanged.get(int(a)) == b for a, b in zip(said, mirrored, strict=True))


def _can_fail(inputs, said, mirrored):
    return set(said) == {0, 1, 2, 3}


def _plan(numbers):
    """The submitted plan; None if it is none."""
    try:
        plan = json.loads(bytes(numbers.astype(int).tolist()))
        known = {"arms": list, "seeds": int, "smallest": float, "expected": str}
        fits = all(isinstance(plan[name], kind) for name, kind in known.items())
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    sane = fits and FEWEST_SEEDS <= plan["seeds"] <= 1000 and 0 < plan["smallest"] < 1
    return plan if sane and len(set(plan["arms"])) == 2 else None


def _of_table(lesions, dice):
    """The paired differences of the submitted table, (seeds, patients)."""
    patients = np.array([name.split()[0] for name in lesions])
    gaps = dice[0] - dice[1]
    return np.stack([gaps[:, patients == name].mean(axis=1) for name in np.unique(patients)], 1)


def _is_complete(inputs, plan, seeds, dice, **others):
    plan = _plan(plan)
    if plan is None or list(seeds) != seeds_of(plan) or dice.shape[1] != len(seeds):
        return False
    if not ((dice >= 0) & (dice <= 1)).all():
        return False
    # A table of one training, copied for all seeds or arms, is none of an experiment.
    different = len(np.unique(dice.reshape(-1, dice.shape[2]), axis=0))
    return different > len(seeds)


def _is_effect_of_table(inputs, dice, effect, **others):
    return abs(_of_table(inputs["lesions"], dice).mean() - effect) < 1e-3


def _is_interval_of_table(inputs, dice, effect, ends, **others):
    low, high = ends
    if dice.shape[1] < FEWEST_SEEDS or not _is_effect_of_table(inputs, dice, effect):
        return False
    wanted = _length(_of_table(inputs["lesions"], dice))
    return low < effect < high and 0.6 * wanted <= high - low <= 1.7 * wanted


def _follows(inputs, plan, ends, verdict, **others):
    plan, (low, high) = _plan(plan), ends
    return plan is not None and low < high and verdict[0] in _allowed(low, high, plan["smallest"])


QUESTIONS = (
    Question(
        "halves", _halves_inputs, _ask_halves,
        lambda patients, seeds, **inputs: dict.fromkeys(("second", "again"),
                                                        (len(seeds), len(patients))),
        (
            Check("no patient is in both halves", 2, _shares_no_patient),
            Check("each half has a third of the patients, slices with a nodule and without", 1,
                  _both_have_all),
            Check("another seed gives another split, the same seed the same", 1,
                  _depends_on_the_seed),
        ),
    ),
    Question(
        "differences", _differences_inputs, _ask_differences,
        lambda rows, arms: {"d": (len({row[0] for row in rows}), len({row[2] for row in rows}))},
        (
            Check("each number is the mean of the paired differences of one seed and patient", 3,
                  _are_the_differences),
        ),
    ),
    Question(
        "interval", _interval_inputs, _ask_interval,
        lambda made: {"ends": (*made.shape[:2], 2)},
        (
            Check("where trainings differ most, it holds the true mean as often as promised", 2,
                  _covers(0)),
            Check("where patients differ most, it does so, too", 2, _covers(1)),
            Check("in both it does so, and its mean length is at most 1.5 times that of one for "
                  "trainings and patients", 2, _is_short),
        ),
    ),
    Question(
        "verdict", _verdict_inputs, _ask_verdict,
        lambda intervals, **inputs: dict.fromkeys(("said", "mirrored"), (len(intervals),)),
        (
            Check("it claims what the interval shows, and nothing else", 2, _claims_what_is_shown),
            Check("it treats both arms alike", 1, _treats_both_arms_alike),
            Check("each of the four verdicts can come out", 1, _can_fail),
        ),
    ),
    Question(
        "results", _results_inputs, _ask_results,
        lambda lesions: {"plan": (None,), "seeds": (None,), "dice": (2, None, len(lesions)),
                         "effect": (), "ends": (2,), "verdict": (1,)},
        (
            Check("the table has all lesions, both arms, and the seeds of the plan", 2,
                  _is_complete),
            Check("the effect is that of the table", 2, _is_effect_of_table),
            Check("the interval is one for trainings and patients of this table", 2,
                  _is_interval_of_table),
            Check("the verdict is one that the interval and the plan allow", 1, _follows),
        ),
    ),
)  # fmt: skip
