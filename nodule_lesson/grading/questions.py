"""Questions that a program marks: what the student's object is asked, and what must hold of it.

An assignment is a module with `TITLE`, `QUESTIONS` (a tuple of `Question`) and `WRITTEN`, the
questions that a person marks: name -> `Written`.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec

import numpy as np

ASSIGNMENTS = {"1": "two_slices", "2": "two_encoders", "3": "ablation"}
PUBLIC_SEED = 0
CASES = 3


@dataclass(frozen=True)
class Check:
    """A property of the answers. `holds(inputs, **answers)` says whether it holds in one case."""

    words: str
    points: int
    holds: Callable


@dataclass(frozen=True)
class Question:
    """One object of the student, a function or a class, and what is asked of it.

    name: the name that the sheet gives the object. inputs: from a random generator to a dictionary
    of numbers, lists and arrays. ask(object, **inputs): a dictionary of answers, numbers or
    fields; it runs in the student's process. shapes(**inputs): the shape that each must have, with
    None for a length that the student chooses.
    """

    name: str
    inputs: Callable
    ask: Callable
    shapes: Callable
    checks: tuple

    @property
    def points(self):
        return sum(check.points for check in self.checks)


class Written:
    """A question that a person marks. rubric: pairs (points, what they are for), no answer.

    note: a sentence for who marks.
    """

    def __init__(self, *rubric, note=""):
        self.rubric, self.note = rubric, note
        self.points = sum(points for points, _ in rubric)

    def __str__(self):
        rows = [f"| {points} | {what} |" for points, what in self.rubric]
        note = ["", self.note] if self.note else []
        return "\n".join(["| Points | What |", "|--|--|", *rows, *note])


def assignment(number):
    """The module of an assignment. Raises ValueError if there is none of that number."""
    if str(number) not in ASSIGNMENTS:
        raise ValueError(f"the assignments are {', '.join(ASSIGNMENTS)}, found {number!r}.")
    return import_module(f"nodule_lesson.grading.{ASSIGNMENTS[str(number)]}")


def question_read_again(number, name):
    """As `question`, from a new copy of the module: what a notebook has changed in it is not in.

    Some questions measure in the student's process, and this process is the student's.
    """
    spec = find_spec(assignment(number).__name__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(one for one in module.QUESTIONS if one.name == name)


def question(number, name):
    """The question of an assignment whose object has this name. Raises ValueError for others."""
    questions = {one.name: one for one in assignment(number).QUESTIONS}
    if name not in questions:
        raise ValueError(f"assignment {number} asks for {', '.join(questions)}, found {name!r}.")
    return questions[name]


def cases(number, name, seed):
    """The inputs of a question that a seed chooses: a list of dictionaries."""
    asked = question(number, name)
    place = [one.name for one in assignment(number).QUESTIONS].index(name)
    return [
        asked.inputs(np.random.default_rng([seed, int(number), place, case]))
        for case in range(CASES)
    ]


def as_numbers(answer):
    """An answer as a float64 array: a number, an array, a tensor, or a list of these."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    elif isinstance(answer, list | tuple):
        answer = [as_numbers(part) for part in answer]
    return np.asarray(answer, dtype=np.float64)


def verdicts(asked, inputs, answers):
    """For each check of a question whether it holds in all cases.

    answers: a dictionary of arrays for each case, or None where the call gave none. Nothing is
    computed from an answer that is not finite or has another shape.
    """
    return [
        all(
            answer is not None and _holds(check, asked, case, answer)
            for case, answer in zip(inputs, answers, strict=True)
        )
        for check in asked.checks
    ]


def _holds(check, asked, inputs, answer):
    shapes = asked.shapes(**inputs)
    if answer.keys() != shapes.keys():
        return False
    if not all(_fits(answer[name].shape, shape) for name, shape in shapes.items()):
        return False
    if not all(np.isfinite(array).all() for array in answer.values()):
        return False
    return bool(check.holds(inputs, **answer))


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(
        most is None or length == most for length, most in zip(shape, wanted, strict=True)
    )


def held(number, name, student, seed):
    """For each check whether it holds of the student's object, called in this very process.

    For graders that bring their own processes. The student's errors are raised.
    """
    asked, inputs = question(number, name), cases(number, name, seed)
    return verdicts(asked, inputs, [answers_of(asked, student, case) for case in inputs])


def answers_of(asked, student, inputs):
    """The answers of the student's object in one case, a dictionary of arrays."""
    return {name: as_numbers(value) for name, value in asked.ask(student, **inputs).items()}


def check(number, name, student):
    """Print which properties the student's object has on public inputs; True if it has all.

    >>> check(1, "step", step)  # doctest: +SKIP
    """
    asked, inputs = question(number, name), cases(number, name, PUBLIC_SEED)
    try:
        answers = [answers_of(asked, student, case) for case in inputs]
    except NotImplementedError:
        print(f"{name} is not written yet.")
        return False
    except Exception:  # the student's own, which a mark would count as no answer
        print(f"{name} ended with an error:\n\n{traceback.format_exc()}")
        return False
    for case, answer in zip(inputs, answers, strict=True):
        for key, shape in asked.shapes(**case).items():
            if not _fits(answer[key].shape, shape):
                print(f"{key} should have the shape {tuple(shape)}, it has {answer[key].shape}.")
    found = verdicts(asked, inputs, answers)
    for one, holds in zip(asked.checks, found, strict=True):
        print(f"{'holds      ' if holds else 'does NOT   '} {one.words}")
    print("This is a help, not the mark: that is found with other sizes, inputs and constants.")
    return all(found)
