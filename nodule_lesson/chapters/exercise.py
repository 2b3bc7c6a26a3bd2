"""An exercise: what a reader's function is asked, the right answer, and well-known wrong ones."""

import copy
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from nodule_lesson import std


def numbers(answer):
    """Return a number, an array, a torch tensor, or a list of these as one array of floats."""
    if torch.is_tensor(answer):
        answer = answer.detach().cpu().numpy()
    elif isinstance(answer, list | tuple):
        answer = [numbers(part) for part in answer]
    array = np.asarray(answer)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{array.dtype} is no type of numbers")
    return array.astype(float)


@dataclass(frozen=True, eq=False, repr=False)
class Exercise:
    """A question. Called with the reader's function, it prints a verdict, returns True or False.

    ask: the arguments for the reader's function, a tuple, or a list of tuples for several calls.
    Each call gets a copy of them. With an empty tuple the reader gives a value, not a function.
    What needs more than calls is a function of the reader's function, and returns its answer.
    right: a function that answers like the reader's should; None if passing `faults` is enough.
    mistakes: hint -> a function, or a tuple of functions, with the answers that deserve the hint.
    faults: hint -> a test of the answers for a property that deserves the hint.
    read: makes an array of an answer. tolerance: relative and absolute, of equal answers.
    then: an exercise that the reader's function also has to pass, once it is right in this one.
    """

    ask: tuple | list | Callable
    right: Callable | None
    mistakes: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    read: Callable = numbers
    tolerance: float = 1e-6
    then: "Exercise | None" = None

    def __call__(self, function):
        hint = self.hint(function)
        print(f"Not yet: {hint}" if hint else "Correct.")
        return not hint

    def hint(self, function):
        """Return what is wrong with the reader's function; nothing if it is right."""
        if self.ask and not callable(function):
            return f"wanted a function, found {type(function).__name__}."
        calls = []

        def noted(*arguments):
            calls.append(arguments)
            return function(*arguments) if callable(function) else function

        try:
            answers = self._answers(noted)
        except Exception as error:
            name = getattr(function, "__name__", type(function).__name__)
            call = f"{name}({', '.join(map(_described, calls[-1]))})"
            message = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
            if "must be Tensor, not numpy" in message:
                message += "; the arguments are numpy arrays, so use numpy here"
            return f"the call {call} ended with {message}."
        if any(answer is None for answer in answers):
            return (
                "the function returns nothing so far." if self.ask else "no answer is there yet."
            )
        arrays = []
        for answer in answers:
            try:
                arrays.append(self.read(answer))
            except Exception:
                return f"wanted numbers, found {type(answer).__name__}."
        return self._judged(arrays) or (self.then.hint(function) if self.then else "")

    def _answers(self, function):
        """Return the answers of a function to all calls."""
        if callable(self.ask):
            return [self.ask(function)]
        calls = self.ask if isinstance(self.ask, list) else [self.ask]
        with np.errstate(all="ignore"):  # the hints say it better than numpy's warnings
            return [function(*copy.deepcopy(arguments)) for arguments in calls]

    def _judged(self, arrays):
        """Return the hint for the reader's answers; nothing if they are right."""
        right = self._arrays(self.right) if self.right else []
        if self.right and self._equal(arrays, right):
            return ""
        for hint, has_fault in self.faults.items():
            if has_fault(*arrays):
                return hint
        for hint, functions in self.mistakes.items():
            for function in functions if isinstance(functions, tuple) else (functions,):
                if self._equal(arrays, self._arrays(function)):
                    return hint
        for array, wanted in zip(arrays, right, strict=False):
            if array.shape != wanted.shape:
                return f"wanted the shape {wanted.shape}, found {array.shape}."
        if not right:
            return ""
        if not all(np.isfinite(array).all() for array in arrays):
            return "the answer holds NaN or infinity."
        # How far off it is would give a number away.
        wrong = [~self._near(*pair) for pair in zip(arrays, right, strict=True)]
        count, total = sum(map(np.sum, wrong)), sum(map(np.size, wrong))
        return "that is not it." if total == 1 else f"{count} of {total} numbers are wrong."

    def _arrays(self, function):
        return [self.read(answer) for answer in self._answers(function)]

    def _equal(self, arrays, others):
        return all(
            array.shape == other.shape and self._near(array, other).all()
            for array, other in zip(arrays, others, strict=True)
        )

    def _near(self, array, other):
        return np.isclose(array, other, rtol=self.tolerance, atol=self.tolerance, equal_nan=True)


def _described(argument):
    """Return an argument in a few words, as it stands in the sentence about an error."""
    if isinstance(argument, bool | int | float | str | list | tuple):
        return reprlib.repr(argument)
    if hasattr(argument, "shape"):
        return f"array of shape {tuple(argument.shape)}"
    return getattr(argument, "__name__", type(argument).__name__)


def blur(sigma):
    """Return the function K that some exercises hand out: a Gaussian blur of a field."""

    def blur(field):
        if torch.is_tensor(field):
            return std.gaussian_blur(field, sigma)
        return std.gaussian_blur(torch.as_tensor(np.ascontiguousarray(field)), sigma).numpy()

    return blur
