"""Every exercise: right answers pass, each mistake gets its own hint, and nothing raises."""

import copy
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from nodule_lesson import chapters
from nodule_lesson.chapters.exercise import Exercise, numbers


def exercises():
    for path in sorted(Path(chapters.__file__).parent.glob("*/exercises.py")):
        module = importlib.import_module(f"nodule_lesson.chapters.{path.parent.name}.exercises")
        for name, exercise in vars(module).items():
            if isinstance(exercise, Exercise):
                yield f"{path.parent.name}.{name}", exercise


EXERCISES = dict(exercises())
each_exercise = pytest.mark.parametrize("name", EXERCISES)

# --- answers that the exercises do not know: answers/CHAPTER.py ----------------------------------


def answers_of(chapter):
    return importlib.import_module(f"answers.{chapter}")


def independent(name):
    """The right answer to an exercise that shares nothing with the package's."""
    chapter, exercise = name.split(".")
    return getattr(answers_of(chapter), exercise)


# Answers with a fault that no single wrong answer stands for: exercise, hint, function.
CHAPTERS = sorted(path.stem for path in Path(__file__).parent.glob("answers/*.py"))
FAULTY = [
    (f"{chapter}.{exercise}", hint, function)
    for chapter in CHAPTERS
    for exercise, hint, function in getattr(answers_of(chapter), "FAULTY", [])
]

# --- the tests ----------------------------------------------------------------------------------


def verdict(exercise, function, capsys):
    """What an exercise prints: one line, which says the same as what it returns."""
    result = exercise(function)
    said = capsys.readouterr().out
    assert said == "Correct.\n" if result is True else said.startswith("Not yet: "), said
    assert result in (True, False) and said.count("\n") == 1
    return said.rstrip("\n")


def right_answer(name):
    return EXERCISES[name].right or independent(name)


@each_exercise
def test_right_answers_pass(name, capsys):
    """The exercise's own, and one that shares nothing with it."""
    for function in (right_answer(name), independent(name)):
        assert verdict(EXERCISES[name], function, capsys) == "Correct."


STYLES = {
    "list": lambda answer: np.asarray(answer).tolist(),
    "array": np.array,
    "tensor": lambda answer: torch.tensor(np.array(answer)),
    "float32": lambda answer: np.array(answer, np.float32),
}


@pytest.mark.parametrize("style", STYLES)
@each_exercise
def test_a_right_answer_passes_in_every_style(name, style, capsys):
    exercise = EXERCISES[name]

    def styled(*arguments):
        answer = right_answer(name)(*arguments)
        if isinstance(answer, tuple):
            return tuple(STYLES[style](part) for part in answer)
        return STYLES[style](answer)

    said = verdict(exercise, styled, capsys)
    if name == "training_the_model.step" and style == "tensor":
        assert "keeps the whole step in memory" in said
    elif name == "on_real_scans.patient_split" and style == "float32":
        assert "wanted True or False" in said
    elif exercise.tolerance >= 1e-7 or style != "float32":
        assert said == "Correct."


@each_exercise
def test_each_mistake_gets_its_own_hint(name, capsys):
    """So no two mistakes of an exercise coincide, and none with the right answer."""
    for hint, functions in EXERCISES[name].mistakes.items():
        for function in functions if isinstance(functions, tuple) else (functions,):
            assert verdict(EXERCISES[name], function, capsys) == f"Not yet: {hint}"


@pytest.mark.parametrize("name, hint, function", FAULTY)
def test_each_fault_gets_its_hint(name, hint, function, capsys):
    said = verdict(EXERCISES[name], function, capsys).removeprefix("Not yet: ")
    stages = EXERCISES[name], EXERCISES[name].then
    assert hint in said and any(said in stage.faults for stage in stages if stage)


def test_every_fault_has_an_answer_and_every_answer_an_exercise():
    faults = [set(stage.faults) for exercise in EXERCISES.values()
              for stage in (exercise, exercise.then) if stage]  # fmt: skip
    for fault in set().union(*faults):
        assert any(hint in fault for _, hint, _ in FAULTY), fault
    for chapter in CHAPTERS:
        for name, answer in inspect.getmembers(answers_of(chapter), inspect.isfunction):
            if answer.__module__ == f"answers.{chapter}" and not name.startswith("_"):
                assert f"{chapter}.{name}" in EXERCISES
    assert all(exercise.mistakes or exercise.faults for exercise in EXERCISES.values())


@each_exercise
def test_an_answer_that_is_none_gets_one_line(name, capsys):
    exercise, right = EXERCISES[name], independent(name)
    said = verdict(exercise, lambda *arguments: None, capsys)
    assert said == "Not yet: the function returns nothing so far."
    strange = {
        "text": lambda *arguments: "much",
        "a number as text": lambda *arguments: "0.5",
        "numbers of no shape": lambda *arguments: [[1, 2], [3]],
        "another shape": lambda *arguments: np.zeros((2, 3, 5, 7)),
        "NaN": lambda *arguments: numbers(right(*arguments)) * np.nan,
        "infinity": lambda *arguments: numbers(right(*arguments)) + np.inf,
        "NaN, a number": lambda *arguments: np.nan,
        "complex": lambda *arguments: 1j,
        "an object": lambda *arguments: object(),
    }
    if name == "learning_through_the_loop.same_fixed_point":  # its answer is of several shapes
        del strange["NaN"], strange["infinity"]
    for what, function in strange.items():
        assert verdict(exercise, function, capsys) != "Correct.", what


@each_exercise
def test_an_error_of_the_reader_is_told_in_one_sentence(name, capsys):
    def broken(*arguments):
        raise ValueError("two\n  lines.")

    said = verdict(EXERCISES[name], broken, capsys)
    assert said.startswith("Not yet: the call broken(")
    assert said.endswith(") ended with ValueError: two lines.")

    def stopped(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EXERCISES[name](stopped)


def test_the_call_that_failed_is_described(capsys):
    exercise = Exercise(ask=[(2, np.ones(3)), (0, np.ones((4, 5)))], right=lambda n, a: a / n)
    said = verdict(exercise, lambda n, a: a * (1 // n), capsys)
    assert "the call <lambda>(0, array of shape (4, 5)) ended with ZeroDivisionError: " in said
    assert verdict(exercise, lambda n: n, capsys).count("TypeError") == 1


@each_exercise
def test_a_function_that_changes_its_arguments_does_no_harm(name, capsys):
    def vandal(*arguments):
        answer = copy.deepcopy(right_answer(name)(*arguments))
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument[...] = argument.flat[0]
        return answer

    for function in (vandal, right_answer(name)):
        assert verdict(EXERCISES[name], function, capsys) == "Correct."


def test_a_value_in_the_place_of_a_function(capsys):
    """An exercise asks for one or for the other."""
    value = Exercise(ask=(), right=lambda: 0.25)
    for right in (0.25, torch.tensor(0.25), np.array(0.25)):
        assert verdict(value, right, capsys) == "Correct."
    assert "no answer is there yet" in verdict(value, None, capsys)
    assert "found str" in verdict(value, "0.25", capsys)
    function = EXERCISES["sigmoid.energy"]
    assert "wanted a function, found float" in verdict(function, 1.0, capsys)
    assert "wanted a function, found NoneType" in verdict(function, None, capsys)


def test_torch_on_a_numpy_array_is_explained(capsys):
    said = verdict(EXERCISES["soft_threshold_dynamics.std_step"],
                   lambda x, u, blur, lambda1, epsilon: torch.sigmoid(u), capsys)  # fmt: skip
    assert said.endswith("the arguments are numpy arrays, so use numpy here.")


def test_what_a_wrong_answer_is_told_where_no_hint_fits(capsys):
    exercise = Exercise(ask=(), right=lambda: np.zeros(3))
    assert verdict(exercise, [0, 0.25, 0], capsys) == "Not yet: 1 of 3 numbers are wrong."
    # A number by which the answer is off would be the answer.
    number = Exercise(ask=(), right=lambda: 0.80415)
    assert verdict(number, 1.0, capsys) == "Not yet: that is not it."
    assert verdict(exercise, [0, 0], capsys) == "Not yet: wanted the shape (3,), found (2,)."
    assert verdict(exercise, [0, np.nan, 0], capsys) == (
        "Not yet: the answer holds NaN or infinity."
    )
    assert verdict(exercise, ["a"], capsys) == "Not yet: wanted numbers, found list."
