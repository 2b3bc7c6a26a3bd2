"""Code that all live figures share: the class `LiveFigure`, scenes, and JavaScript."""

from nodule_lesson.live.figure import Choice, LiveFigure, Slider

__all__ = ["Choice", "LiveFigure", "Slider"]
