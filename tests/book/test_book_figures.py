"""Every live figure of the built book in a browser without a network, held to the package."""

import re
from functools import partial
from urllib.parse import urlsplit

import numpy as np
import pytest
from live_figures import (
    LABELS,
    NAMES,
    PAGES,
    SHOWN,
    TELEPHONE,
    Figure,
    Finger,
    figures_of,
    make,
    move_everything,
    place,
    share_of,
    visits,
)
from nightly import few_by_day


@pytest.fixture
def visit(browser, server):
    for go in visits(browser, server):
        yield partial(go, equations=False)


def number(shown):
    """What a readout says, which has a true minus."""
    assert "-" not in shown
    return float(shown.replace("−", "-"))


# --- what is there ------------------------------------------------------------------------------


def test_the_site_shows_the_figures_that_the_chapters_call(site):
    for name, figures in SHOWN.items():
        built = site / "book" / f"{name}.html"
        if not figures and not built.exists():
            continue  # a text that is not in the table of contents
        roots = re.findall(
            '<div [^>]*data-live-figure="([^"]+)"', built.read_text(encoding="utf-8")
        )
        assert roots == figures, name
    assert {figure for figures in SHOWN.values() for figure in figures} == set(NAMES)


@pytest.mark.parametrize("name", PAGES)
def test_figures_start_as_the_package_has_them(visit, name):
    """How soon is a matter for benchmarks/live_figures.py, on a quiet machine."""
    tab = visit(name)
    for figure in figures_of(tab):
        state = figure.check()
        assert state["parameters"].items() >= figure.defaults.items()
        # Symbols of the equation are in the state, whether or not they have a control.
        if figure.name == "std_explorer":
            assert set(state["parameters"]) >= set(LABELS)
        for spec in figure.specs:
            assert spec["label"] == LABELS.get(spec["name"], spec["label"])
            control = figure.control(spec)
            assert control.count() == 1, f"{figure.name}: {spec['label']}"
            tag = control.evaluate("(node) => `${node.tagName} ${node.type}`")
            assert tag == ("INPUT range" if "step" in spec else "SELECT select-one")
            assert control.is_visible()
        assert figure.root.locator("input, select").count() == len(figure.specs)


# --- every control, in every way ----------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_sliders_by_mouse(visit, name):
    tab = visit(name)
    for figure in figures_of(tab):
        for spec in figure.sliders:
            figure.centre(spec)
            control = figure.control(spec)
            tab.mouse.move(*place(tab, control, share_of(spec, float(control.input_value()))))
            tab.mouse.down()
            for share in (0.2, 0.85, 0.45):
                tab.mouse.move(*place(tab, control, share), steps=4)
                state = figure.check(f"{spec['label']} dragged to {share}")
                value = state["parameters"][spec["name"]]
                step = spec["step"] / (spec["maximum"] - spec["minimum"])
                assert abs(share_of(spec, value) - share) < 0.02 + step
                shown = number(control.locator("xpath=../output").inner_text())
                assert shown == pytest.approx(value, abs=spec["step"] / 2)
            tab.mouse.up()


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_controls_by_keyboard(visit, name):
    tab = visit(name)
    for figure in figures_of(tab):
        for spec in figure.sliders:
            key, step = spec["name"], spec["step"]
            figure.control(spec).focus()

            def press(*keys, figure=figure, spec=spec):
                for each in keys:
                    tab.keyboard.press(each)
                return figure.check(f"{spec['label']} {keys}")["parameters"][spec["name"]]

            assert press("Home") == spec["minimum"]
            assert press("ArrowRight") == pytest.approx(spec["minimum"] + step)
            assert press("PageUp") > spec["minimum"] + 1.5 * step
            assert press("End") == spec["maximum"]
            assert press("ArrowLeft", "ArrowDown") == pytest.approx(spec["maximum"] - 2 * step)
            assert press("PageDown") < spec["maximum"] - 2.5 * step
            figure.reset()
            assert figure.parameters()[key] == spec["value"]
        for spec in figure.choices:
            figure.control(spec).focus()
            tab.keyboard.press("Home")
            seen = []
            for _ in spec["options"]:
                state = figure.check(f"{spec['label']} by keyboard")
                seen.append(state["parameters"][spec["name"]])
                tab.keyboard.press("ArrowDown")
            assert seen == spec["options"]
            figure.reset()


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_controls_by_touch_on_a_telephone(visit, name):
    tab = visit(name, **TELEPHONE)
    finger = Finger(tab)
    for figure in figures_of(tab):
        for spec in figure.sliders:
            figure.centre(spec)
            control = figure.control(spec)
            step = spec["step"] / (spec["maximum"] - spec["minimum"])
            tab.touchscreen.tap(*place(tab, control, 0.75))
            value = figure.check(f"{spec['label']} tapped")["parameters"][spec["name"]]
            assert abs(share_of(spec, value) - 0.75) < 0.05 + step
            finger.drag(place(tab, control, 0.75), place(tab, control, 0.3))
            value = figure.check(f"{spec['label']} dragged")["parameters"][spec["name"]]
            assert abs(share_of(spec, value) - 0.3) < 0.06 + step
        for spec in figure.choices:
            figure.control(spec).tap()
            figure.control(spec).select_option(spec["options"][-1])
            state = figure.check(f"{spec['label']} chosen")
            assert state["parameters"][spec["name"]] == spec["options"][-1]


FOCUSED = """(root) => {
    const node = document.activeElement, style = getComputedStyle(node);
    const width = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
    return [[...root.querySelectorAll("*")].indexOf(node), width];
}"""


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_every_control_is_reached_by_tab_and_shows_it(visit, name):
    tab = visit(name)
    for figure in figures_of(tab):
        wanted = figure.root.locator("input, select, button, a, canvas[tabindex]").count()
        figure.root.evaluate("(root) => { root.tabIndex = -1; root.focus(); }")
        reached = set()
        for _ in range(wanted):
            tab.keyboard.press("Tab")
            where, outline = figure.root.evaluate(FOCUSED)
            assert where >= 0, f"Tab left {figure.name} after {len(reached)} of {wanted}"
            assert outline >= 2, f"{figure.name}: where the keyboard is cannot be seen"
            reached.add(where)
        assert len(reached) == wanted


# --- reset, links -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_reset_brings_the_start_back(visit, name):
    tab = visit(name)
    for figure in figures_of(tab):
        before = figure.state()
        move_everything(figure)
        moved = figure.parameters()
        assert all(moved[spec["name"]] != spec["value"] for spec in figure.specs)
        figure.reset()
        after = figure.check("reset")
        assert after["parameters"] == before["parameters"]
        np.testing.assert_array_equal(after["field"], before["field"])
        # What the reader sees of the values has followed.
        for spec in figure.sliders:
            shown = figure.control(spec).locator("xpath=../output").inner_text()
            assert number(shown) == pytest.approx(spec["value"])


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_the_link_carries_the_setting(visit, server, name):
    tab = visit(name)
    for index, figure in enumerate(figures_of(tab)):
        move_everything(figure)
        state = figure.check("all moved")
        link = figure.root.get_by_role("link", name="Link to this setting").evaluate(
            "(a) => a.href"
        )
        assert link.startswith(f"{server}/book/{name}.html?")
        query = f"?{urlsplit(link).query}"
        other = Figure(visit(name, query=query, equations=True), index)
        copy = other.check("from a link")
        assert copy["parameters"] == state["parameters"]
        np.testing.assert_array_equal(copy["field"], state["field"])
        # The reader is taken to the figure, and Reset still knows the chapter's own setting.
        other.tab.wait_for_load_state("networkidle")
        other.tab.evaluate("() => window.MathJax && MathJax.startup.promise")
        in_view = """(root) => {
            const { top, bottom } = root.getBoundingClientRect();
            return top < innerHeight && bottom > 0;
        }"""
        root = other.root.element_handle()
        other.tab.wait_for_function(in_view, arg=root)  # a long page scrolls there smoothly
        other.reset()
        assert other.parameters().items() >= figure.defaults.items()


@pytest.mark.parametrize(
    "query",
    [
        "?figure=std_explorer&sigma=1e9&lambda1=-3&iterations=7.4&scene=square&dabs=!!",
        "?figure=std_explorer&sigma=abc&epsilon=&c=NaN&dabs=AAA",
        "?figure=nobody&sigma=5",
    ],
)
def test_a_damaged_link_still_gives_a_figure(visit, query):
    figure = Figure(visit("soft_threshold_dynamics", query=query))
    state = figure.state()
    for spec in figure.sliders:
        assert spec["minimum"] <= state["parameters"][spec["name"]] <= spec["maximum"]
    figure.reset()
    figure.check("reset after a damaged link")


# --- two of a kind ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few_by_day(NAMES, ["std_explorer"]))
def test_two_figures_of_a_kind_keep_to_themselves(visit, name):
    html = "<!doctype html><html data-theme='light'><meta charset='utf-8'><title>Two</title>"
    html += 2 * make(name).page()
    tab = visit("two", html=html)
    first, second = figures_of(tab)
    assert first.check()["parameters"] == second.check()["parameters"]
    ids = tab.evaluate("() => [...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    still = first.state()
    move_everything(second)
    moved = second.check("the second of two")
    assert moved["parameters"] != still["parameters"]
    unmoved = first.check("the first of two")
    assert unmoved["parameters"] == still["parameters"]
    np.testing.assert_array_equal(unmoved["field"], still["field"])
    # A link leads to the one it was taken from.
    link = second.root.get_by_role("link", name="Link to this setting").evaluate("(a) => a.href")
    again = visit("two", html=html, query=f"?{urlsplit(link).query}")
    first, second = figures_of(again)
    assert first.parameters() == still["parameters"]
    assert second.parameters() == moved["parameters"]
    first.reset()
    assert second.parameters() == moved["parameters"]
