"""What the live figures share: one object with two faces, its scenes, and its JavaScript."""

from nodule_lesson.live.figure import Choice, LiveFigure, Slider

__all__ = ["Choice", "LiveFigure", "Slider"]
