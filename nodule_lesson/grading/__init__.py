"""Marks for the assignments: properties of answers are judged, not likeness to a solution.

A judge asks whether a field minimises the bound, or whether a gradient is one. It needs no
solution and is public; only the seed is private, which chooses sizes, inputs and constants.
Students call `check`; who teaches calls `python -m nodule_lesson.grading` (assignments/README.md).
"""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(__name__, {"questions": "check"})
