"""The quizzes on the pages: by keyboard, without scripts, on a telephone and on paper."""

import chapters
import pytest
from live_figures import TELEPHONE, visits
from nightly import few_by_day

NAMES = [
    name
    for name in chapters.names()
    if (chapters.ROOT / "nodule_lesson" / "chapters" / name / "quiz.yml").exists()
]


@pytest.fixture
def visit(browser, server):
    yield from visits(browser, server)


def choices(name):
    return [choice for question in chapters.quiz(name) for choice in question["choices"]]


@pytest.mark.parametrize("name", few_by_day(NAMES, ["sigmoid"]))
def test_a_quiz_is_answered_by_keyboard_and_without_scripts(visit, name):
    tab = visit(name, java_script_enabled=False, alive=False)
    folds = tab.locator(".quiz details")
    assert folds.count() == len(choices(name))
    folds.first.locator("summary").focus()
    for number, choice in enumerate(choices(name)):
        fold = folds.nth(number)
        said = fold.locator(".sd-summary-content")
        assert fold.locator("summary:focus").count() == 1
        assert not said.is_visible()
        tab.keyboard.press("Enter" if number % 2 else "Space")
        assert said.is_visible()
        verdict = "Right." if "right" in choice else "Wrong."
        assert said.inner_text().startswith(verdict)
        tab.keyboard.press("Tab")


@pytest.mark.parametrize("name", few_by_day(NAMES, ["sigmoid"]))
def test_a_quiz_fits_a_telephone(visit, name):
    tab = visit(name, **TELEPHONE)
    tab.evaluate("() => window.MathJax && MathJax.startup.promise")
    tab.evaluate("() => document.querySelectorAll('.quiz details').forEach((f) => f.open = true)")
    right = tab.locator(".quiz").bounding_box()
    assert right["x"] + right["width"] <= 390
    beyond = """() => [...document.querySelectorAll(".quiz p, .quiz summary")].filter(
        (part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.innerText)"""
    assert tab.evaluate(beyond) == []


@pytest.mark.parametrize("name", few_by_day(NAMES, ["sigmoid"]))
def test_paper_shows_the_choices_and_not_the_key(visit, name):
    tab = visit(name, equations=False)
    tab.emulate_media(media="print")
    summaries, said = tab.locator(".quiz summary"), tab.locator(".quiz .sd-summary-content")
    assert summaries.count() == len(choices(name))
    assert all(summaries.nth(i).is_visible() for i in range(summaries.count()))
    assert not any(said.nth(i).is_visible() for i in range(said.count()))
