"""A class that hands in assignment 3: right answers in three styles, wrong and hostile ones.

Nobody here has trained a network: the tables are drawn, which the program cannot see. That the
trainings were run is for a person to look at.
"""

import copy
import textwrap
from pathlib import Path

from class_1 import notebook as notebook_of
from class_1 import text

SHEET = (
    Path(__file__).parents[2] / "assignments" / "3_an_experiment_that_can_fail" / "student.ipynb"
)
NAMES = ("halves", "differences", "interval", "verdict", "results")
FULL = (4, 3, 6, 4, 7)

# --- right answers -------------------------------------------------------------------------------

LOOPS = {
    "halves": """
        def halves(patients, has_nodule, seed):
            random, names = np.random.default_rng(seed), sorted(set(patients.tolist()))
            while True:
                chosen = random.choice(names, len(names) // 2, replace=False)
                second = np.array([name in chosen for name in patients])
                kinds = [len(set(has_nodule[half].tolist())) for half in (second, ~second)]
                if kinds == [2, 2]:
                    return second
        """,
    "differences": """
        def differences(rows, arms):
            dice = {tuple(row[:4]): row[4] for row in rows}
            seeds, patients = (sorted(set(column)) for column in list(zip(*rows))[0:3:2])
            d = []
            for seed in seeds:
                d.append([])
                for patient in patients:
                    lesions = {row[3] for row in rows if row[2] == patient}
                    gaps = [dice[seed, arms[0], patient, one] - dice[seed, arms[1], patient, one]
                            for one in lesions]
                    d[-1].append(sum(gaps) / len(gaps))
            return d
        """,
    # The longer one of two intervals of Student.
    "interval": """
        from nodule_lesson.evaluation.statistics import t_interval

        def interval(d):
            both = [t_interval(d.mean(axis)) for axis in (0, 1)]
            return max(both, key=lambda ends: ends[1] - ends[0])
        """,
    "verdict": """
        def verdict(low, high, smallest):
            if low > 0:
                return "better"
            if high < 0:
                return "worse"
            return "no matter" if max(high, -low) < smallest else "undecided"
        """,
    # By itself, so that it stays right beside a wrong answer to another question.
    "results": """
        from nodule_lesson.data import open_demo
        from nodule_lesson.evaluation.statistics import crossed

        def results():
            random, own = np.random.default_rng(3), dict(plan, arms=["flips", "no flips"])
            own["seeds"], own["smallest"] = 5, 0.02
            names = sorted(set(ablation.lesion_names(open_demo("clinic_like"))))[1:]
            dice = {arm: [{name: float(random.uniform(0.6, 0.9)) for name in names}
                          for _ in range(own["seeds"])] for arm in own["arms"]}
            gaps = np.array([[a[name] - b[name] for name in names]
                             for a, b in zip(*dice.values())])
            patients = np.array([name.split()[0] for name in names])
            d = np.stack([gaps[:, patients == one].mean(1) for one in np.unique(patients)], 1)
            found = crossed(d, np.arange(len(d[0])))
            low, high = found.low, found.high
            word = "better" if low > 0 else "worse" if high < 0 else "undecided"
            return {"verdict": word, "high": high, "low": low, "effect": d.mean(),
                    "dice": dice, "seeds": ablation.seeds_of(own), "plan": own}
        """,
}

ARRAYS = {
    **LOOPS,
    "halves": """
        def halves(patients, has_nodule, seed):
            names = np.unique(patients)
            with_one = np.unique(patients[has_nodule])
            without = np.setdiff1d(names, with_one)
            torch.manual_seed(seed)
            half = [part[torch.randperm(len(part)).numpy()][: max(1, len(part) // 2)]
                    for part in (with_one, without)]
            return torch.tensor(np.isin(patients, np.concatenate(half)))
        """,
    "differences": """
        def differences(rows, arms):
            seed, arm, patient, lesion, dice = map(np.array, zip(*rows))
            signed = np.where(arm == arms[0], dice, -dice)
            at = [np.unique(column, return_inverse=True)[1] for column in (seed, patient)]
            total, count = np.zeros((2, at[0].max() + 1, at[1].max() + 1))
            np.add.at(total, tuple(at), signed)
            np.add.at(count, tuple(at), 0.5)
            return torch.tensor(total / count)
        """,
    "interval": """
        from nodule_lesson.evaluation import statistics

        def interval(d):
            found = statistics.crossed(d, [f"patient {n}" for n in range(d.shape[1])])
            return torch.tensor([found.low, found.high])
        """,
    "verdict": """
        def verdict(low, high, smallest):
            inside = np.abs([low, high]).max() < smallest
            signs = np.sign([low, high]).sum()
            return "no matter" if inside else {2: "better", -2: "worse"}.get(signs, "undecided")
        """,
}

BY_HAND = {
    **ARRAYS,
    "halves": LOOPS["halves"].replace("random, names = np.random.default_rng(seed),",
                                      "random, names = np.random.RandomState(seed + 1),"),
    "interval": """
        from scipy import stats

        def interval(d):
            n, m = d.shape
            variance = d.mean(1).var(ddof=1) / n + d.mean(0).var(ddof=1) / m
            half = stats.t.ppf(0.975, min(n, m) - 1) * variance**0.5
            return [d.mean() - half, d.mean() + half]
        """,
}  # fmt: skip

# --- wrong answers -------------------------------------------------------------------------------

LAZY = {
    "halves": """
        def halves(patients, has_nodule, seed):
            return np.random.default_rng(seed).random(len(patients)) < 0.5
        """,
    "differences": "def differences(rows, arms): return np.zeros((4, 7))",
    "interval": "def interval(d): return -1.0, 1.0",
    "verdict": "def verdict(low, high, smallest): return 'better'",
    "results": "def results(): return {'effect': 0.1, 'verdict': 'better'}",
}
# By slice each half has all kinds, and the seed decides; the interval always holds the mean.
OF_LAZY = (2, 0, 4, 0, 0)

PATCHES = """
    import numpy
    from nodule_lesson.grading import ablation as judge, marking, questions
    from nodule_lesson.evaluation import statistics

    class Quiet:
        def __getattr__(self, name):
            return lambda *a, size=(), **k: numpy.zeros(size)

    numpy.random.default_rng = lambda *a: Quiet()
    for one in judge.__dict__.copy():
        if one.startswith(("_is", "_are", "_covers", "_claims", "_follows", "_can", "_shares")):
            setattr(judge, one, lambda *a, **k: True)
    judge._ask_verdict = lambda student, smallest, intervals: {
        "said": [3] * len(intervals), "mirrored": [3] * len(intervals)}
    judge.seeds_of = judge._codes = lambda *a: [0]
    statistics.crossed = None
    questions.verdicts = lambda asked, *rest: [True] * len(asked.checks)
    marking.points = lambda *a: 100
    """

RESULTS = LOOPS["results"]
# The answer to one question, and its marks there; all others are right.
HALF = {
    "split_by_slice": ("halves", LAZY["halves"], 2),
    "any_patients": ("halves", LOOPS["halves"].replace("if kinds == [2, 2]:", "if kinds:"), 3),
    "always_the_same": ("halves", LOOPS["halves"].replace("default_rng(seed)", "default_rng(0)"),
                        3),
    "another_split_each_time": ("halves", LOOPS["halves"].replace("default_rng(seed)",
                                                                  "default_rng()"), 3),
    "arms_exchanged": ("differences", LOOPS["differences"].replace(
        "sum(gaps)", "-sum(gaps)"), 0),
    "lesions_of_one_name": ("differences", LOOPS["differences"].replace(
        "tuple(row[:4]): row[4]", "tuple(row[:2]) + row[3:4]: row[4]").replace(
        "], patient, one]", "], one]"), 0),
    "patients_alone": ("interval", """
        from nodule_lesson.evaluation.statistics import t_interval

        def interval(d):
            return t_interval(d.mean(0))
        """, 2),
    "seeds_alone": ("interval", """
        from nodule_lesson.evaluation.statistics import t_interval

        def interval(d):
            return t_interval(d.mean(1))
        """, 2),
    "all_cells_as_one_sample": ("interval", """
        from nodule_lesson.evaluation.statistics import t_interval

        def interval(d):
            return t_interval(d.ravel())
        """, 0),
    "a_point": ("interval", "def interval(d): return d.mean(), d.mean()", 0),
    "three_times_too_long": ("interval", BY_HAND["interval"].replace(
        "half = stats", "half = 3 * stats"), 4),
    "always_undecided": ("verdict", "def verdict(low, high, smallest): return 'undecided'", 1),
    "never_worse": ("verdict", LOOPS["verdict"].replace('return "worse"', 'return "undecided"'),
                    0),
    "undecided_is_equal": ("verdict", LOOPS["verdict"].replace(
        'if max(high, -low) < smallest else "undecided"', ""), 1),
    "another_effect": ("results", RESULTS.replace('"effect": d.mean()', '"effect": d.max()'), 3),
    "too_short_an_interval": ("results", RESULTS.replace(
        "low, high = found.low, found.high", "low, high = d.mean() - 1e-3, d.mean() + 1e-3"), 5),
    "more_than_is_shown": ("results", RESULTS.replace(
        '"better" if low > 0', '"better" if low < 0'), 6),
    "other_seeds": ("results", RESULTS.replace("ablation.seeds_of(own)", "[1, 2, 3, 4, 5]"), 5),
    "one_training_copied": ("results", RESULTS.replace(
        "gaps = ", "dice = {arm: dice[arm][:1] * 5 for arm in dice}\n            gaps = "),
        5),
    "too_few_seeds": ("results", RESULTS.replace(
        'own["seeds"], own["smallest"] = 5, 0.02', 'own["seeds"], own["smallest"] = 2, 0.02'), 2),
    "a_lesion_left_out": ("results", RESULTS.replace("))))[1:]", "))))[2:]"), 0),
    "no_plan": ("results", RESULTS.replace('"plan": own', '"plan": {"arms": own["arms"]}'), 4),
}  # fmt: skip

IN_A_FUNCTION = {
    "loop_in_function": "while True: pass",
    "memory": "hoard = [bytearray(10**8) for _ in range(1000)]",
    "exit_in_function": "import os; os._exit(0)",
}
AT_TOP_LEVEL = {
    "trains_in_a_cell_that_is_run": "while True: torch.rand(99, 99) @ torch.rand(99, 99)",
    "exit_at_top_level": "import os; os._exit(0)",
    "syntax_error_in_a_cell_of_its_own": "def broken(:",
}
BY_DAY = (
    "right_loops", "right_arrays", "right_by_hand", "blank", "lazy", "patches", "patients_alone",
    "more_than_is_shown", "other_seeds",
)  # fmt: skip


def notebook(answers, first=None):
    return notebook_of(answers, first, SHEET)


def with_marks(**changed):
    return tuple(changed.get(name, most) for name, most in zip(NAMES, FULL, strict=True))


def the_class(paths, port):
    """{name: (a notebook or bytes, its marks)}."""
    right = {"loops": LOOPS, "arrays": ARRAYS, "by_hand": BY_HAND}
    found = {f"right_{name}": (notebook(answers), FULL) for name, answers in right.items()}
    found["blank"] = notebook({}), (0, 0, 0, 0, 0)
    found["lazy"] = notebook(LAZY), OF_LAZY
    for name, (question, answer, marks) in HALF.items():
        found[name] = notebook({**LOOPS, question: answer}), with_marks(**{question: marks})
    broken = {**LOOPS, "halves": "def halves(patients, has_nodule, seed)\n    return True"}
    found["syntax_error"] = notebook(broken), with_marks(halves=0)
    renamed = {**LOOPS, "halves": LOOPS["halves"].replace("def halves", "def my_halves")}
    found["renamed"] = notebook(renamed), with_marks(halves=0)
    deleted = notebook(LOOPS)
    deleted["cells"] = [c for c in deleted["cells"] if "def results(" not in text(c)]
    found["deleted_cells"] = deleted, with_marks(results=0)
    found["patches"] = notebook(LAZY, PATCHES), (0, *OF_LAZY[1:])  # its own halves fail, too
    for name, source in IN_A_FUNCTION.items():
        head = f"def halves(patients, has_nodule, seed):\n    {source}"
        answer = textwrap.dedent(LOOPS["halves"])
        answer = answer.replace("def halves(patients, has_nodule, seed):", head)
        found[name] = notebook({**LOOPS, "halves": answer}), with_marks(halves=0)
    for name, source in AT_TOP_LEVEL.items():
        found[name] = notebook(LOOPS, source), FULL
    found["no_notebook"] = b"{", (0, 0, 0, 0, 0)
    return copy.deepcopy(found)
