"""A live figure in two forms: one for a kernel, the same one for a page of the book.

In Jupyter and Colab the figure has ipywidgets controls that run the reader's own Python. In the
rendered book it is HTML that contains its JavaScript and needs neither a kernel nor a network;
without JavaScript, and on paper, there is a still image instead. Both forms take their controls
from one specification, here.
"""

import base64
import html
import io
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg

_HERE = Path(__file__).parent
# Set while the book is built: the output then has the form for pages only, and no widget state.
_PAGE_ONLY = "NODULE_LESSON_PAGE_ONLY"


@dataclass(frozen=True)
class Slider:
    """A number between `minimum` and `maximum`; an integer if `step` is an integer."""

    name: str
    label: str
    minimum: float
    maximum: float
    step: float
    value: float
    help: str = ""


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    name: str
    label: str
    options: tuple
    value: str
    help: str = ""


@dataclass(frozen=True)
class LiveFigure:
    """A figure with controls, shown by Jupyter as widgets and by the book as a page element.

    module: the name of the module that makes it, beside which its script, live.js, stands.
    compute(parameters) gives a dictionary with at least `input` and `field`, arrays: what is
    drawn and what it was computed from. draw(parameters, result) gives a matplotlib Figure.
    options: what the script gets beside the constants that it imports from its module.
    """

    name: str
    module: str
    controls: tuple
    compute: Callable
    draw: Callable
    caption: str
    alt: str
    options: dict = field(default_factory=dict)

    @property
    def parameters(self):
        """The initial values of the controls."""
        return {control.name: control.value for control in self.controls}

    def still(self, image_format="png", **parameters):
        """The figure as the bytes of an image, at its initial values or those that are given."""
        parameters = {**self.parameters, **parameters}
        figure = self.draw(parameters, self.compute(parameters))
        FigureCanvasAgg(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=image_format, dpi=110)
        return buffer.getvalue()

    def page(self):
        """The form for a page: HTML that needs no other file."""
        still = base64.b64encode(self.still("webp")).decode()
        controls = json.dumps([asdict(control) for control in self.controls], ensure_ascii=False)
        script = "".join(self.scripts().values())
        return (
            f"<style>{(_HERE / 'figure.css').read_text(encoding='utf-8')}</style>"
            f'<div class="live-figure" data-live-figure="{self.name}" '
            f'data-controls="{html.escape(controls)}" '
            f'data-options="{html.escape(as_json(self.options))}">'
            f'<img class="lf-still" alt="{html.escape(self.alt)}" '
            f'src="data:image/webp;base64,{still}">'
            f'<p class="lf-caption">{self.caption}</p></div>'
            f'<script>\n(() => {{\n"use strict";\n{script}}})();\n</script>'
        )

    def scripts(self):
        """JavaScript of live.js and of what it imports, by name of the file, to be run as one.

        As the body of a function rather than as modules: a page runs its modules last, after a
        megabyte of the theme's scripts, and a figure should answer at once.
        """
        module = sys.modules[self.module]
        return with_imports(Path(module.__file__).with_name("live.js"), module)

    def kernel(self):
        """The form for a kernel: an ipywidgets box."""
        import ipywidgets  # only a live kernel needs it

        image = ipywidgets.Image(format="png")
        image.layout.max_width = "100%"
        widgets = {control.name: _widget(ipywidgets, control) for control in self.controls}

        def redraw(_change=None):
            image.value = self.still(**{name: widget.value for name, widget in widgets.items()})

        for widget in widgets.values():
            widget.observe(redraw, names="value")
        redraw()
        caption = ipywidgets.HTML(self.caption)
        return ipywidgets.VBox([image, *widgets.values(), caption])

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": f"<live figure {self.name}>", "text/html": self.page()}
        if not os.environ.get(_PAGE_ONLY):
            bundle["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.kernel().model_id,
            }
        return bundle


def started_at(controls, initial):
    """The controls with other initial values, {name: value}.

    Raises ValueError for an unknown name, and for a value that the control cannot show.
    """
    names = [control.name for control in controls]
    unknown = sorted(set(initial) - set(names))
    if unknown:
        raise ValueError(f"the controls are {', '.join(names)}; found {', '.join(unknown)}.")
    return tuple(_started_at(c, initial[c.name]) if c.name in initial else c for c in controls)


def _started_at(control, value):
    if isinstance(control, Choice):
        if value not in control.options:
            options = ", ".join(control.options)
            raise ValueError(f"{control.name} must be one of {options}; found {value!r}.")
    elif not control.minimum <= value <= control.maximum:
        ends = f"{control.minimum} and {control.maximum}"
        raise ValueError(f"{control.name} must lie between {ends}; found {value!r}.")
    return replace(control, value=value)


def to_step(value, step):
    """What a slider of that step shows for a value."""
    return round(round(float(value) / step) * step, 6)


def _widget(ipywidgets, control):
    style = {"description_width": "6em"}
    common = {"value": control.value, "description": control.label, "style": style}
    if isinstance(control, Choice):
        return ipywidgets.Dropdown(options=control.options, **common)
    kind = ipywidgets.IntSlider if float(control.step).is_integer() else ipywidgets.FloatSlider
    return kind(min=control.minimum, max=control.maximum, step=control.step, **common)


_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]*)";\n', re.MULTILINE)


def with_imports(path, module=None, scripts=None):
    """Texts of the scripts that a script imports and its own, by file name, in order of running.

    Without imports, exports and comments. What a script imports from live.py are constants of
    `module`, so that they are written in Python alone. The texts are added to `scripts`, a
    dictionary, where it is given.
    """
    scripts = {} if scripts is None else scripts

    def replacement(match):
        names, imported = re.findall(r"\w+", match[1]), path.parent / match[2]
        if imported.suffix == ".py":
            return "".join(f"const {name} = {as_json(getattr(module, name))};\n" for name in names)
        if imported.name not in scripts:
            with_imports(imported, module, scripts)
        return ""

    text = _IMPORT.sub(replacement, path.read_text(encoding="utf-8"))
    scripts[path.name] = re.sub(r"^(export | *//.*\n)", "", text, flags=re.MULTILINE)
    return scripts


def as_json(value):
    """JSON of builtins and of numpy's arrays."""
    return json.dumps(value, ensure_ascii=False, default=lambda array: array.tolist())
