"""What stands round the text of a page: search, progress, citation, 404, paper, wide code."""

import functools
import http.server
import threading
from pathlib import Path

import citation
import pytest
import yaml
from live_figures import visits
from nightly import few_by_day
from pybtex.database import parse_string
from search_words import SearchWords, spellings
from test_book_accessibility import PAGES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def visit(browser, server):
    yield from visits(browser, server)


# --- search -------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["λ₂", "λ2", "λ_2", "lambda2", "lambda_2", "lambda₂"])
def test_a_symbol_has_all_its_spellings(written):
    wanted = {"λ₂", "λ2", "λ_2", "lambda2", "lambda_2", "lambda₂"}
    assert set(spellings(written)) == wanted
    assert set(SearchWords({}).split(f"the weight {written}.")) == {"the", "weight", *wanted}


def test_other_words_stay_as_they_are():
    assert SearchWords({}).split("lambda1x misprint x2 σ") == [
        "lambda1x", "misprint", "x2", "σ", "sigma"
    ]  # fmt: skip


def found(tab, server, words):
    """The pages that the search finds."""
    tab.goto(f"{server}/search.html?q={words}")
    tab.wait_for_function("() => /finished|did not match/.test(document.body.innerText)")
    links = tab.locator("ul.search li > a").evaluate_all(
        "(links) => links.map((link) => link.pathname.split('/').pop())"
    )
    return set(links)


def test_the_search_finds_words_and_symbols_in_every_spelling(browser, server):
    tab = browser.new_page()
    assert {"index.html", "soft_threshold_dynamics.html"} <= found(tab, server, "misprint")
    assert {"sigmoid.html", "boundary_length.html"} & found(tab, server, "sigma")
    pages = found(tab, server, "λ2")
    assert {"detection_prior.html", "taking_apart.html"} <= pages
    for other in ("λ₂", "lambda2", "lambda_2"):
        assert pages - {"api.html"} == found(tab, server, other) - {"api.html"}
    tab.close()


# --- progress -----------------------------------------------------------------------------------


def ticked(tab):
    """The chapters with a tick in the table of contents."""
    links = tab.locator(".bd-links a:has(.is-read)")
    return links.evaluate_all(
        "(links) => links.map((link) => new URL(link.href).pathname.split('/').pop())"
    )


def test_a_chapter_is_ticked_by_keyboard_and_the_ticks_stay(visit, server):
    tab = visit("sigmoid", equations=False)
    box = tab.get_by_label("I have read this chapter")
    clear = tab.get_by_role("button", name="Clear all ticks")
    assert not box.is_checked() and not clear.is_visible() and ticked(tab) == []
    box.focus()
    tab.keyboard.press("Space")
    assert ticked(tab) == ["sigmoid.html"] and clear.is_visible()
    tab.goto(f"{server}/book/regimes.html")
    assert not box.is_checked() and ticked(tab) == ["sigmoid.html"]
    box.check()
    tab.goto(f"{server}/book/notation.html")  # no chapter
    assert box.count() == 0 and ticked(tab) == ["sigmoid.html", "regimes.html"]
    tab.goto(f"{server}/book/sigmoid.html")
    assert box.is_checked()
    box.uncheck()
    assert ticked(tab) == ["regimes.html"]
    box.focus()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert ticked(tab) == [] and not clear.is_visible()
    assert tab.evaluate("() => document.activeElement.type") == "checkbox"


def test_a_browser_that_keeps_nothing_is_offered_no_box(browser, server):
    tab = browser.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(error))
    tab.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException(); } })"
    )
    tab.goto(f"{server}/book/notation.html")
    tab.goto(f"{server}/book/sigmoid.html")
    assert tab.get_by_label("I have read this chapter").count() == 0
    # The theme itself asks for the storage, and does not expect a refusal.
    assert not [error for error in errors if "progress.js" in (error.stack or "")]
    tab.close()


def test_progress_works_from_a_folder(site, browser):
    tab = browser.new_page()
    tab.goto((site / "book" / "sigmoid.html").as_uri())
    tab.get_by_label("I have read this chapter").check()
    assert ticked(tab) == ["sigmoid.html"]
    tab.close()


# --- citation -----------------------------------------------------------------------------------


def test_bibtex_says_what_the_citation_file_does():
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    made = citation.bibtex(ROOT, "2031", "https://ada.github.io/book/")
    assert set(made) == {"lesson", "paper"}
    (lesson,) = parse_string(made["lesson"], "bibtex").entries.values()
    assert lesson.fields["title"].strip("{}") == known["title"]
    assert lesson.fields["year"] == "2031" and lesson.fields["version"] == known["version"]
    assert lesson.fields["url"] == "https://ada.github.io/book/"
    assert str(lesson.persons["author"][0]) == f"{{{known['authors'][0]['name']}}}"
    (paper,) = parse_string(made["paper"], "bibtex").entries.values()
    assert paper.fields["doi"] == "10.48550/arXiv.2410.20154"
    (cited,) = known["references"]
    families = [" ".join(person.last_names) for person in paper.persons["author"]]
    assert families == [author["family-names"] for author in cited["authors"]]
    assert "url" not in citation.bibtex(ROOT, "2031")["lesson"]


def test_bibtex_is_copied_by_keyboard_and_that_is_announced(visit):
    tab = visit("index", permissions=["clipboard-read", "clipboard-write"], equations=False)
    for what, key in (("lesson", "Enter"), ("paper", "Space")):
        button = tab.get_by_role("button", name=f"Copy BibTeX of the {what}")
        button.focus()
        tab.keyboard.press(key)
        box = tab.locator(".citation-box").filter(has=button)
        box.get_by_role("status").get_by_text("Copied.").wait_for()
        assert (
            tab.evaluate("() => navigator.clipboard.readText()") == box.locator("pre").inner_text()
        )


# --- an address that leads nowhere --------------------------------------------------------------


@pytest.fixture
def published(site):
    """The address of the site in a folder of a server that answers as GitHub Pages does."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

        def translate_path(self, path):
            within = path.removeprefix("/some/lesson")
            return super().translate_path(within if within != path else "/nowhere")

        def send_error(self, code, message=None, explain=None):
            page = (site / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page)

    handler = functools.partial(Handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/some/lesson"
        running.shutdown()


@pytest.mark.parametrize("missing", ["gone.html", "book/gone.html", "book/a/b/c/", "x/y"])
def test_the_page_of_a_wrong_address_leads_back_from_any_depth(browser, published, missing):
    tab = browser.new_page()
    assert tab.goto(f"{published}/{missing}").status == 404
    tab.wait_for_function("() => document.documentElement.dataset.home")
    tab.get_by_role("link", name="first page").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{published}/book/index.html")
    tab.goto(f"{published}/{missing}")
    tab.wait_for_function("() => document.documentElement.dataset.home")
    tab.get_by_label("Words").fill("misprint")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{published}/search.html?q=misprint")
    tab.close()


# --- code at its width, and paper ---------------------------------------------------------------

# A <details> that is closed has no boxes to measure.
CLIPPED = """() => {
    document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    return [...document.querySelectorAll(".bd-article pre")]
        .filter((block) => block.scrollWidth > block.clientWidth + 4)
        .map((block) => block.textContent.trim().slice(0, 60));
}"""


@pytest.mark.parametrize("name", few_by_day(PAGES, ["sigmoid", "taking_apart", "on_real_scans"]))
def test_no_code_and_no_output_is_clipped_on_a_laptop(visit, name):
    tab = visit(name, viewport={"width": 1280, "height": 800}, equations=False, alive=False)
    assert tab.evaluate(CLIPPED) == []


@pytest.mark.parametrize("name", few_by_day(PAGES, ["sigmoid", "taking_apart"]))
def test_nothing_is_clipped_on_paper(visit, name):
    # A4 without its margins, at 96 pixels an inch.
    tab = visit(name, viewport={"width": 718, "height": 1047}, alive=False)
    tab.evaluate("() => window.MathJax && MathJax.startup.promise")
    tab.emulate_media(media="print")
    wide = """() => [...document.querySelectorAll(
        ".bd-article :is(pre, table, figure, img, .live-figure)")]
        .filter((part) => part.getClientRects().length)
        .filter((part) => part.getBoundingClientRect().right > innerWidth + 1
            || part.scrollWidth > part.clientWidth + 4)
        .map((part) => `${part.tagName} ${part.textContent.trim().slice(0, 40)}`)"""
    assert tab.evaluate(wide) == []
    for part in ("#pst-primary-sidebar", "#pst-secondary-sidebar", ".prev-next-footer",
                 ".reading-progress", "details.hide:not([open])"):  # fmt: skip
        for one in tab.locator(part).all():
            assert not one.is_visible(), part


def test_paper_is_white_at_night(visit):
    tab = visit("sigmoid", color_scheme="dark", equations=False)
    theme = "() => document.documentElement.dataset.theme"
    tab.evaluate(f"""() => addEventListener("beforeprint",
        () => {{ window.printed = ({theme})(); }})""")
    assert tab.evaluate(theme) == "dark"
    tab.pdf()
    assert tab.evaluate("() => window.printed") == "light"
    assert tab.evaluate(theme) == "dark"
