"""axe-core on every page, by day and by night, with everything that folds unfolded."""

import re
from pathlib import Path

import pytest
from live_figures import visits
from nightly import few_by_day

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = (ROOT / "_toc.yml").read_text(encoding="utf-8")
PAGES = re.findall(r"(?:file|root): book/(\S+)", CONTENTS)

# What the theme does outside the text of every page, and why it is let be.
ALLOWED = {
    "region": "the logo, a link to the first page, stands outside the theme's landmarks; moving "
    "it would take a copy of the theme's templates",
    "label-content-name-mismatch": "the theme's buttons for searching and for colours have names "
    "without the keys and icons that they show; their names say what they do",
}
# A rule that axe holds for experimental, and no requests of axe's own for style sheets.
OPTIONS = {"rules": {"label-content-name-mismatch": {"enabled": True}}, "preload": False}

UNFOLD = """() => {
    document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    document.querySelectorAll(".toggle-hidden").forEach((fold) => {
        fold.classList.remove("toggle-hidden");
    });
}"""
BELONGS_TO_THE_TEXT = """(targets) => targets.filter((target) => {
    const node = document.querySelector(target);
    return !node || node.closest("article.bd-article");
})"""


@pytest.fixture
def visit(browser, server):
    yield from visits(browser, server)


def violations(tab):
    """Every violation that is ours: "rule: element, element", but for what ALLOWED lets be."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []
    for violation in axe.run(tab, options=OPTIONS).response["violations"]:
        targets = [node["target"][0] for node in violation["nodes"]]
        if violation["id"] in ALLOWED:
            targets = tab.evaluate(BELONGS_TO_THE_TEXT, targets)
        if targets:
            found.append(f"{violation['id']} ({violation['help']}): {', '.join(targets)}")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", few_by_day(PAGES, ["index", "sigmoid"]))
def test_a_page_has_no_violations_of_its_own(visit, name, scheme):
    tab = visit(name, color_scheme=scheme, reduced_motion="reduce")
    assert tab.evaluate("() => document.documentElement.dataset.theme") == scheme
    tab.wait_for_load_state("networkidle")
    tab.evaluate("() => window.MathJax && MathJax.startup.promise")
    tab.evaluate(UNFOLD)
    # What unfolds fades in, and half-faded text has no contrast: judge the page at rest.
    tab.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished))")
    assert violations(tab) == []


def test_the_check_finds_what_is_wrong(visit):
    html = (
        "<!doctype html><html lang='en'><title>Wrong</title><main><article class='bd-article'>"
        "<h1>Wrong</h1><p style='color: #aaa; background: #fff'>pale</p><img src='data:,'>"
        "<button aria-label='Other'>Visible</button></article></main>"
    )
    rules = [found.split(" ")[0] for found in violations(visit("wrong", html=html))]
    assert {"color-contrast", "image-alt", "label-content-name-mismatch"} <= set(rules)
