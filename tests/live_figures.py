"""What the tests of live figures share: their scripts in node, and their pages in a browser.

In a browser every control is moved as a reader would move it. After each move `state`, what the
page drew, must be what the figure's other face computes in Python.
"""

import base64
import functools
import importlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from nodule_lesson.live.figure import as_json

ROOT = Path(__file__).resolve().parents[1]
ATOL = 1e-5
# A network's answers in 32-bit floats: PyTorch's own differ as much between two processors.
LOOSER = {"network_in_the_page": 1e-4}
FIGURES = "[data-live-figure]"
LABELS = {
    "sigma": "σ",
    "lambda1": "λ₁",
    "lambda2": "λ₂",
    "c": "c",
    "epsilon": "ε",
    "iterations": "iterations",
}
# A script of the theme logs this on every page; it is harmless.
ALLOWED = ("THEBE_JS_URL has already been declared",)
DESK = {"viewport": {"width": 1280, "height": 900}}
TELEPHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


CHAPTERS = ROOT / "nodule_lesson" / "chapters"
# Each live figure by name, with the folder of the chapter that it belongs to.
HOMES = {
    re.search(r'LiveFigure\(\s*"(\w+)"', path.read_text(encoding="utf-8"))[1]: path.parent
    for path in sorted(CHAPTERS.glob("*/live.py"))
}
NAMES = sorted(HOMES)


def module(name):
    """The module that makes a figure."""
    return importlib.import_module(f"nodule_lesson.chapters.{HOMES[name].name}.live")


def make(name, **options):
    """The figure of that name."""
    return getattr(module(name), name)(**options)


def parameters_of(name, **changes):
    """The parameters of a figure at its start, some of them changed."""
    return make(name).parameters | changes


def calls_of(source):
    """Names of the figures that a chapter shows, in the order of its text."""
    pattern = r"^from nodule_lesson\.chapters\.\w+\.live import (?:\(([^)]+)\)|(.+))$"
    imported = re.findall(pattern, source, flags=re.MULTILINE)
    names = {name.strip() for lines in imported for name in "".join(lines).split(",")}
    return [name for name in re.findall(r"^(\w+)\(.*\)$", source, re.MULTILINE) if name in names]


SHOWN = {
    path.stem: calls_of(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "book").glob("*.md"))
}
PAGES = [name for name, figures in SHOWN.items() if figures]


# --- scripts in node ----------------------------------------------------------------------------

STAND_IN = (Path(__file__).with_name("node") / "stand_in.js").read_text(encoding="utf-8")


def in_node(node, program, data):
    """`result` of a JavaScript program that finds `data`; typed arrays become lists, nan "NaN"."""
    head = """import { readFileSync } from "node:fs";
const data = JSON.parse(readFileSync(0, "utf8"));
"""
    tail = """
const plain = (key, value) =>
  ArrayBuffer.isView(value) ? Array.from(value) : Number.isNaN(value) ? "NaN" : value;
process.stdout.write(JSON.stringify(result, plain));
"""
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", encoding="utf-8") as script:
        script.write(head + program + tail)
        script.flush()
        run = subprocess.run(
            [node, script.name], input=as_json(data), capture_output=True, text=True
        )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def page_states(node, name, settings, result="states", **data):
    """What the page of a figure shows for each of the settings, as node/stand_in.js notes it.

    result: another expression of JavaScript, to look at more. data: more for it to look at.
    """
    figure = make(name)
    program = "".join({**figure.scripts(), "figure.js": STAND_IN}.values())
    data |= {"settings": settings, "options": figure.options}
    return in_node(node, f"{program}\nconst result = {result};", data)


# --- a page, its figures, and what they should show ---------------------------------------------


def visits(browser, server):
    """For a fixture: visit(name, **context) returns a tab with that page, its figures ready.

    An error or warning of the page, or a request to another machine, fails the test at its end.
    """
    contexts, complaints = [], []

    def note(kind):
        return lambda message: complaints.append(f"{kind}: {message}")

    def console(message):
        expected = any(text in message.text for text in ALLOWED)
        if message.type in ("error", "warning") and not expected:
            note(message.type)(message.text)

    def request(wanted):
        if not wanted.url.startswith((f"{server}/", "data:", "blob:")):
            note("request")(wanted.url)

    def go(name, *, alive=True, query="", html=None, equations=True, **options):
        context = browser.new_context(**{**DESK, **options})
        contexts.append(context)
        context.on("request", request)
        if options.get("java_script_enabled", True):  # else no script arrives, as intended
            context.on("requestfailed", lambda failed: note("failed")(failed.url))
        tab = context.new_page()
        tab.on("console", console)
        tab.on("pageerror", note("error"))
        if not equations:  # typesetting them takes longer than a whole test of controls
            script = {"body": "", "content_type": "text/javascript"}
            tab.route("**/mathjax/*.js", lambda route: route.fulfill(**script))
        address = f"{server}/book/{name}.html"
        if html is not None:
            tab.route(
                f"{address}*", lambda route: route.fulfill(body=html, content_type="text/html")
            )
        tab.goto(f"{address}{query}")
        if alive:
            for button in tab.locator(".lf-start button").all():  # what is loaded on a click alone
                button.click()
            tab.wait_for_function(
                "() => document.querySelectorAll('[data-live-figure]:not(.is-live)').length === 0"
            )
        return tab

    yield go
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


@functools.cache
def _computed(name, text):
    return module(name).compute(json.loads(text))


def computed(name, parameters):
    """What the figure computes in Python, as in a reader's kernel."""
    return _computed(name, json.dumps(parameters, sort_keys=True))


class Figure:
    """A live figure in a tab."""

    READ = """(root) => {
        const pack = (array) => {
            const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
            let text = "";
            bytes.forEach((byte) => { text += String.fromCharCode(byte); });
            return [array.constructor.name, btoa(text)];
        };
        const { figure, parameters, input, field, height, width } = root.state;
        return { figure, parameters, height, width, input: pack(input), field: pack(field) };
    }"""

    def __init__(self, tab, index=0):
        self.tab = tab
        self.root = tab.locator(FIGURES).nth(index)
        self.name = self.root.get_attribute("data-live-figure")
        self.specs = json.loads(self.root.get_attribute("data-controls"))
        self.sliders = [spec for spec in self.specs if "step" in spec]
        self.choices = [spec for spec in self.specs if "options" in spec]

    def control(self, spec):
        """The control with a label, which screen readers use as well."""
        return self.root.get_by_label(spec["label"], exact=True)

    def centre(self, spec=None):
        where = self.control(spec) if spec else self.root
        where.evaluate("(node) => node.scrollIntoView({ block: 'center', behavior: 'instant' })")

    def state(self):
        state = self.root.evaluate(self.READ)
        assert state["figure"] == self.name
        shape = (state["height"], state["width"])
        for key in ("input", "field"):
            kind, text = state[key]
            assert kind == "Float32Array", f"{key} of {self.name} is a {kind}"
            data = bytearray(base64.b64decode(text))  # torch needs writable arrays
            state[key] = np.frombuffer(data, np.float32).reshape(shape)
        return state

    def check(self, moved="at the start"):
        """Compare the state with the package and return it."""
        state = self.state()
        close(state, computed(self.name, state["parameters"]), f"{self.name}, {moved}")
        return state

    def parameters(self):
        return self.root.evaluate("(root) => root.state.parameters")

    def reset(self):
        self.root.get_by_role("button", name="Reset", exact=True).click()

    @property
    def defaults(self):
        return {spec["name"]: spec["value"] for spec in self.specs}


def close(state, expected, what):
    for key in ("input", "field"):
        wanted = np.atleast_2d(expected[key])
        assert state[key].shape == wanted.shape, f"{key} of {what}"
        atol = LOOSER.get(state.get("figure"), ATOL) * max(1, np.abs(wanted).max())
        message = f"{key} of {what}: {state['parameters']}"
        np.testing.assert_allclose(state[key], wanted, rtol=0, atol=atol, err_msg=message)


def figures_of(tab):
    return [Figure(tab, index) for index in range(tab.locator(FIGURES).count())]


def place(tab, locator, share):
    """The point on a slider's track with `share` of its range to the left."""
    box = locator.bounding_box()
    thumb = 16
    return box["x"] + thumb / 2 + share * (box["width"] - thumb), box["y"] + box["height"] / 2


def share_of(spec, value):
    return (value - spec["minimum"]) / (spec["maximum"] - spec["minimum"])


def move_everything(figure):
    """Move every slider two steps left, or right from its left end; choose each last option."""
    for spec in figure.sliders:
        figure.control(spec).focus()
        for _ in range(2):
            at_the_end = spec["value"] == spec["minimum"]
            figure.tab.keyboard.press("ArrowRight" if at_the_end else "ArrowLeft")
    for spec in figure.choices:
        figure.control(spec).select_option(spec["options"][-1])


class Finger:
    """Touch events as Chromium receives them from a screen."""

    def __init__(self, tab):
        self.tab = tab
        self.session = tab.context.new_cdp_session(tab)

    def send(self, kind, *points):
        touches = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def drag(self, *points):
        self.send("touchStart", points[0])
        for start, end in zip(points, points[1:], strict=False):
            for share in (0.25, 0.5, 0.75, 1):
                between = [a + share * (b - a) for a, b in zip(start, end, strict=True)]
                self.send("touchMove", between)
        self.send("touchEnd")
