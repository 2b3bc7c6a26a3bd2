"""Live figures as they stand on a page: themes, motion, telephones, paper, no script, paint."""

import base64
import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from live_figures import (
    ATOL,
    DESK,
    FIGURES,
    PAGES,
    SHOWN,
    TELEPHONE,
    Figure,
    Finger,
    close,
    computed,
    figures_of,
    make,
    module,
    move_everything,
    visits,
)
from nightly import few_by_day


@pytest.fixture
def visit(browser, server):
    yield from visits(browser, server)


# --- themes, motion -----------------------------------------------------------------------------

# A scan is grey by day and by night: air is black.
LOOK = """(root) => [
    ...[...root.querySelectorAll("canvas:not([data-grey])")].map((canvas) => canvas.toDataURL()),
    ...[...root.querySelectorAll("svg path, svg text")].map((node) => {
        const style = getComputedStyle(node);
        return `${style.stroke} ${style.fill}`;
    }),
]"""


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_the_theme_can_change_under_a_figure(visit, name):
    tab = visit(name, color_scheme="light")
    for figure in figures_of(tab):
        field = figure.state()["field"]
        looks = []
        for theme in ("light", "dark", "light"):
            for _ in range(3):
                if tab.evaluate("() => document.documentElement.dataset.theme") == theme:
                    break
                tab.locator("button.theme-switch-button").first.click()
            assert tab.evaluate("() => document.documentElement.dataset.theme") == theme
            tab.mouse.move(0, 0)
            looks.append(figure.root.evaluate(LOOK))
        assert len(looks[0]) > 3
        assert looks[0] == looks[2], f"{figure.name} does not come back"
        same = sum(light == dark for light, dark in zip(*looks[:2], strict=True))
        assert same == 0, f"{same} parts of {figure.name} look the same by day and night"
        np.testing.assert_array_equal(figure.state()["field"], field)


MOVING = """(root) => {
    const smooth = [root, ...root.querySelectorAll("*")].filter((node) => {
        const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(node);
        return parseFloat(transitionDuration) > 0 || animationName !== "none"
            || scrollBehavior === "smooth";
    });
    return smooth.length + root.getAnimations({ subtree: true }).length;
}"""


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_nothing_moves_by_itself(visit, name):
    tab = visit(name, reduced_motion="reduce")
    for figure in figures_of(tab):
        figure.centre()
        tab.wait_for_timeout(500)
        before = figure.root.screenshot()
        tab.wait_for_timeout(700)
        assert figure.root.screenshot() == before
        assert figure.root.evaluate(MOVING) == 0


# --- other screens, no script, paper ------------------------------------------------------------


# Parts of a figure that hang over its sides, or that are cut. An svg cuts what hangs over its own.
OUTSIDE = """(root) => {
    const over = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1;
    const box = root.getBoundingClientRect();
    const problems = over(box, { left: 0, right: innerWidth }) ? ["the figure"] : [];
    for (const node of root.querySelectorAll("*")) {
        if (!node.getClientRects().length || node.closest("svg, option")) continue;
        const what = `${node.tagName} ${node.className} ${node.textContent.slice(0, 20)}`;
        if (over(node.getBoundingClientRect(), box)) problems.push(what);
        const cuts = getComputedStyle(node).overflow !== "visible";
        if (!cuts || node.matches("input, select, canvas")) continue;
        if (node.scrollWidth > node.clientWidth + 1) problems.push(`cut: ${what}`);
    }
    for (const text of root.querySelectorAll("svg.lf-plot text")) {
        const plot = text.ownerSVGElement.getBoundingClientRect();
        const part = text.getBoundingClientRect();
        const above = part.top < plot.top - 1 || part.bottom > plot.bottom + 1;
        if (over(part, plot) || above) problems.push(`in a plot: ${text.textContent}`);
    }
    return problems;
}"""


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_a_figure_fits_a_telephone(visit, name):
    tab = visit(name, **TELEPHONE)
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 390
    for figure in figures_of(tab):
        figure.centre()
        outside = figure.root.evaluate(OUTSIDE)
        assert outside == [], figure.name
        # Fingers need room.
        for spec in figure.specs:
            assert figure.control(spec).bounding_box()["height"] >= 24
        for button in figure.root.get_by_role("button").all():
            assert button.bounding_box()["height"] >= 24


@pytest.mark.parametrize("name", few_by_day(PAGES))
@pytest.mark.parametrize("screen", [DESK, TELEPHONE], ids=["desk", "telephone"])
def test_without_script_the_still_stands_there(visit, name, screen):
    tab = visit(name, alive=False, java_script_enabled=False, **screen)
    roots = tab.locator(FIGURES)
    assert roots.count() == len(SHOWN[name])
    for root in roots.all():
        still, caption = root.locator("img.lf-still"), root.locator(".lf-caption")
        assert still.is_visible() and caption.is_visible()
        assert len(still.get_attribute("alt")) > 60 and len(caption.inner_text()) > 60
        box, around = still.bounding_box(), root.bounding_box()
        assert box["width"] > 250 and box["height"] > 100
        assert around["x"] <= box["x"] and box["x"] + box["width"] <= around["x"] + around["width"]
        assert root.locator("input, select, button").count() == 0


@pytest.mark.parametrize("name", few_by_day(PAGES))
def test_on_paper_the_still_stands_there(visit, name):
    tab = visit(name, color_scheme="dark")
    tab.emulate_media(media="print")
    for figure in figures_of(tab):
        still, caption = figure.root.locator("img.lf-still"), figure.root.locator(".lf-caption")
        assert still.is_visible() and caption.is_visible()
        assert still.evaluate("(image) => image.complete && image.naturalWidth") > 300
        for control in figure.root.locator("input, select, button, canvas, svg, output").all():
            assert not control.is_visible()
        # Paper is white, also for those who read at night.
        colour = caption.evaluate("(node) => getComputedStyle(node).color")
        assert max(map(int, re.findall(r"\d+", colour)[:3])) < 100, colour
    tab.emulate_media(media="screen")
    for figure in figures_of(tab):
        assert not figure.root.locator("img.lf-still").is_visible()
        figure.check("after printing")


# --- painting -----------------------------------------------------------------------------------


def painted(u, dabs):
    """The rule of the brush: 0.6 at its middle, a Gaussian of 3 pixels, logits stay within 6."""
    u = u.astype(np.float64).copy()
    y, x = np.indices(u.shape)
    for column, row, negative in dabs:
        bump = 0.6 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 18)
        near = (abs(x - column) <= 7) & (abs(y - row) <= 7)
        u[near] = np.clip(u + (-bump if negative else bump), -6, 6)[near]
    return u


def dabs_of(figure):
    """What a link says was painted: (column, row, erased)."""
    link = figure.root.get_by_role("link", name="Link to this setting").get_attribute("href")
    text = parse_qs(urlsplit(link).query).get("dabs", [""])[0]
    data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "==")
    return [(a & 127, b & 127, a >> 7) for a, b in zip(data[::2], data[1::2], strict=True)]


def check_painted(figure):
    """The input is the scene with the dabs, and the field what the package makes of it."""
    state, dabs = figure.state(), dabs_of(figure)
    maker = module(figure.name)
    scene = computed(figure.name, state["parameters"])["input"]
    np.testing.assert_allclose(state["input"], painted(scene, dabs), rtol=0, atol=ATOL)
    close(state, maker.compute(state["parameters"], state["input"]), f"painted {figure.name}")
    return state, dabs


@pytest.fixture(params=["index", "soft_threshold_dynamics"])
def paintable(request):
    return request.param


def canvas_of(figure):
    return figure.root.locator("canvas.lf-paintable")


def on_canvas(figure, column, row):
    box = canvas_of(figure).bounding_box()
    return box["x"] + (column + 0.5) / 128 * box["width"], box["y"] + (row + 0.5) / 128 * box[
        "height"
    ]


def test_painting_by_mouse(visit, paintable):
    tab = visit(paintable)
    figure = Figure(tab)
    start = figure.state()
    canvas_of(figure).scroll_into_view_if_needed()
    tab.mouse.move(*on_canvas(figure, 20, 20))
    tab.mouse.down()
    tab.mouse.move(*on_canvas(figure, 20, 50), steps=10)
    tab.mouse.up()
    tab.mouse.move(*on_canvas(figure, 100, 100))  # not while the button is up
    state, dabs = check_painted(figure)
    assert len(dabs) >= 8 and not any(erased for *_, erased in dabs)
    assert all(abs(x - 20) <= 1 and 19 <= y <= 51 for x, y, _ in dabs)
    assert (state["input"] - start["input"])[20:51, 20].min() > 0.2
    assert state["field"][35, 20] > start["field"][35, 20]

    eraser = figure.root.get_by_role("button", name="Eraser")
    assert eraser.get_attribute("aria-pressed") == "false"
    eraser.click()
    assert eraser.get_attribute("aria-pressed") == "true"
    canvas_of(figure).scroll_into_view_if_needed()
    tab.mouse.click(*on_canvas(figure, 64, 64))
    _, after = check_painted(figure)
    assert after[:-1] == dabs and after[-1][2] == 1
    eraser.click()

    # Paint stays when the scene, or anything else, changes.
    move_everything(figure)
    _, kept = check_painted(figure)
    assert kept == after
    figure.root.get_by_role("button", name="Clear paint").click()
    figure.check("paint cleared")


def test_painting_by_touch_does_not_scroll(visit, paintable):
    tab = visit(paintable, **TELEPHONE)
    figure = Figure(tab)
    canvas_of(figure).evaluate(
        "(node) => node.scrollIntoView({ block: 'center', behavior: 'instant' })"
    )
    scrolled = tab.evaluate("() => scrollY")
    Finger(tab).drag(*(on_canvas(figure, 30, row) for row in (100, 30)))
    _, dabs = check_painted(figure)
    assert len(dabs) >= 3 and {x for x, *_ in dabs} <= {29, 30, 31}
    assert max(y for _, y, _ in dabs) - min(y for _, y, _ in dabs) > 40
    assert tab.evaluate("() => scrollY") == scrolled


def test_painting_by_keyboard(visit, paintable):
    tab = visit(paintable)
    figure = Figure(tab)
    canvas_of(figure).focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", " ", "ArrowRight", "Shift+ "):
        tab.keyboard.press(key.replace(" ", "Space"))
    state, dabs = check_painted(figure)
    assert dabs == [(58, 61, 0), (61, 61, 1)]
    assert figure.root.locator(".lf-line.cursor").get_attribute("d"), "the brush cannot be seen"
    canvas_of(figure).evaluate("(node) => node.blur()")
    assert not figure.root.locator(".lf-line.cursor").get_attribute("d")
    for _ in range(60):  # the brush stays inside
        canvas_of(figure).press("ArrowDown")
    canvas_of(figure).press("Space")
    assert check_painted(figure)[1][-1] == (61, 127, 0)
    figure.reset()
    assert dabs_of(figure) == []
    figure.check("reset after painting")


def test_a_link_carries_the_paint(visit, server, paintable):
    tab = visit(paintable)
    figure = Figure(tab)
    canvas_of(figure).scroll_into_view_if_needed()
    for point in ((5, 5), (127, 0), (64, 70), (0, 127)):
        tab.mouse.click(*on_canvas(figure, *point))
    canvas_of(figure).focus()
    tab.keyboard.press("Shift+Space")
    move_everything(figure)
    state, dabs = check_painted(figure)
    assert len(dabs) == 5 and dabs[-1][2] == 1
    link = figure.root.get_by_role("link", name="Link to this setting").evaluate("(a) => a.href")
    other = Figure(visit(paintable, query=f"?{urlsplit(link).query}"))
    copy, copied = check_painted(other)
    assert copied == dabs and copy["parameters"] == state["parameters"]
    np.testing.assert_array_equal(copy["input"], state["input"])
    np.testing.assert_array_equal(copy["field"], state["field"])


# --- dragging an outline ------------------------------------------------------------------------

MEASURES = """(root) => Object.fromEntries(
    Object.entries(root.state.measures).map(([name, value]) => [name, String(value)]))"""


def check_measures(figure, what):
    """The six numbers of the page are those of the package, undefined where they are."""
    state = figure.check(what)
    found = figure.root.evaluate(MEASURES)
    wanted = computed(figure.name, state["parameters"])["measures"]
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(float(found[name]), value, rtol=1e-9, err_msg=f"{name}, {what}")
    shown = figure.root.locator(".lf-readouts strong").all_inner_texts()
    assert [text == "undefined" for text in shown] == [bool(np.isnan(v)) for v in wanted.values()]
    return state["parameters"]


def measured(visit, **options):
    """The figure of the measures, whether or not its chapter is built."""
    html = "<!doctype html><html data-theme='light'><meta charset='utf-8'><title>One</title>"
    html += "<meta name='viewport' content='width=device-width'>"
    figure = Figure(visit("one", html=html + make("segmentation_measures").page(), **options))
    canvas = figure.root.locator("canvas").first
    canvas.evaluate("(node) => node.scrollIntoView({ block: 'center', behavior: 'instant' })")
    return figure, canvas.bounding_box()


def test_dragging_moves_the_prediction_by_the_sliders(visit):
    figure, box = measured(visit)
    before = check_measures(figure, "at the start")
    pixel, middle = box["width"] / 96, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse = figure.tab.mouse
    mouse.move(*middle)
    mouse.down()
    mouse.move(middle[0] + 20 * pixel, middle[1] - 9 * pixel, steps=6)
    after = check_measures(figure, "dragged")
    assert (after["right"], after["down"]) == (before["right"] + 20, before["down"] - 9)
    mouse.move(middle[0] + 3 * box["width"], middle[1], steps=3)  # the sliders end before
    assert check_measures(figure, "dragged too far")["right"] == 40
    mouse.up()
    mouse.move(*middle)  # not while the button is up
    assert check_measures(figure, "let go")["right"] == 40
    shown = figure.control(figure.sliders[0]).locator("xpath=../output").inner_text()
    assert shown == "40"


def test_dragging_by_touch_does_not_scroll(visit):
    figure, box = measured(visit, **TELEPHONE)
    scrolled = figure.tab.evaluate("() => scrollY")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    Finger(figure.tab).drag((x, y), (x + box["width"] / 8, y + box["height"] / 4))
    moved = check_measures(figure, "dragged by a finger")
    assert (moved["right"], moved["down"]) == (5 + 12, 2 + 24)
    assert figure.tab.evaluate("() => scrollY") == scrolled


def test_the_page_says_what_is_undefined(visit):
    figure, _ = measured(visit)
    for spec, values in ((figure.choices[0], ("small nodule", "empty slice")),
                         (figure.choices[1], ("1 pixel", "25 pixels", "none"))):  # fmt: skip
        for value in values:
            figure.control(spec).select_option(value)
            check_measures(figure, value)
    size = next(spec for spec in figure.sliders if spec["name"] == "size")
    figure.control(size).focus()
    figure.tab.keyboard.press("Home")
    check_measures(figure, "nothing predicted, nothing there")
    assert set(figure.root.locator(".lf-readouts strong").all_inner_texts()) == {"undefined"}
