"""The built book: its links, what it loads, how it builds, and how it stands in a browser."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import build_book
import chapters as chapter_heads
import check_site
import made_from
import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from playwright.sync_api import Error as BrowserError

from nodule_lesson.jobs import cores

ROOT = Path(__file__).resolve().parents[2]


def pages(site):
    return sorted((site / "book").glob("*.html"))


CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def chapters(site):
    """The pages of the numbered parts."""
    parts = [part for part in CONTENTS["parts"] if part.get("numbered")]
    return [site / f"{entry['file']}.html" for part in parts for entry in part["chapters"]]


# --- links and resources ------------------------------------------------------------------------


def test_links_anchors_and_resources_are_in_place(site):
    assert check_site.problems(site) == []


@pytest.mark.parametrize(
    "html, complaint",
    [
        ('<a href="other.html">x</a>', None),
        ('<a href="other.html#here">x</a>', None),
        ('<a href="https://example.org/">x</a>', None),
        ('<a href="https://example.org/"><img src="data:image/png;base64,AA=="></a>', None),
        ('<a href="gone.html">x</a>', "leads nowhere"),
        ('<a href="other.html#there">x</a>', "anchor"),
        ('<a href="#there">x</a>', "anchor"),
        ('<p id="a"></p><p id="a"></p>', "more than once"),
        ('<script src="https://example.org/a.js"></script>', "another machine"),
        ('<script src="//example.org/a.js"></script>', "another machine"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "another machine"),
        ('<link rel="stylesheet" href="a.css">', "another machine"),
        ('<link rel="canonical" href="https://example.org/">', None),
        ('<img src="gone.png">', "not there"),
        ('<img srcset="gone.png 2x">', "not there"),
        ("<style>p {background: url(https://example.org/a.png)}</style>", "another machine"),
        ('<p style="background: url(gone.png)"></p>', "not there"),
        ('<iframe src="https://example.org/"></iframe>', "another machine"),
    ],
)
def test_the_check_of_the_site_finds_what_is_wrong(tmp_path, html, complaint):
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    (tmp_path / "other.html").write_text('<p id="here"></p>', encoding="utf-8")
    if "a.css" in html:
        (tmp_path / "a.css").write_text('@import "https://example.org/b.css";', encoding="utf-8")
    found = check_site.problems(tmp_path)
    assert bool(found) == bool(complaint)
    assert complaint is None or complaint in found[0]


def test_every_page_of_the_contents_is_there_and_says_what_it_is_not_for(site):
    listed = [entry["file"] for part in CONTENTS["parts"] for entry in part["chapters"]]
    assert {f"book/{page.stem}" for page in pages(site)} == {*listed, CONTENTS["root"]}
    for page in pages(site):
        assert "not for clinical use" in page.read_text(encoding="utf-8"), page.name


def test_chapters_are_numbered_and_offer_their_own_notebook(site):
    for page in chapters(site):
        html = page.read_text(encoding="utf-8")
        assert '<h1><span class="section-number">' in html, f"{page.name} has no number"
        made = site.parent / "notebooks" / "book" / f"{page.stem}.ipynb"
        offered = site / "_sources" / "book" / f"{page.stem}.ipynb"
        assert offered.read_bytes() == made.read_bytes(), f"{page.name} offers another notebook"


def cells_of_table(path):
    """The rows of the first table of a page, each as the texts of its cells."""
    page = BeautifulSoup(path.read_bytes(), "html.parser")
    rows = page.select_one("article table").select("tbody tr")
    # The builder has set the quotes as a printer does.
    plain = str.maketrans("“”‘’", "\"\"''")
    return [[cell.text.translate(plain) for cell in row.select("td")] for row in rows]


def test_the_tables_of_chapters_say_what_the_heads_do(site):
    heads = []
    for number, page in enumerate(chapters(site), 1):
        html = BeautifulSoup(page.read_bytes(), "html.parser")
        title = html.h1.find(string=True, recursive=False)
        minutes = chapter_heads.minutes(page.stem)
        known = dict(zip(("minutes", "exercise_minutes"), minutes, strict=True))
        known |= {"number": number, "title": title}
        heads.append(known | chapter_heads.head(page.stem))
        time = "Time: {minutes} minutes, {exercise_minutes} more for the exercises"
        assert time.format(**heads[-1]) in html.select_one("article").text
    for name, columns in (
        ("index", ("number", "title", "question", "minutes")),
        ("teaching", ("title", "open_with", "show_live", "homework")),
    ):
        rows = [[str(head[column]) for column in columns] for head in heads]
        shown = cells_of_table(site / "book" / f"{name}.html")
        # The first page marks the shortest way with stars.
        assert [[cell.removesuffix(" ★") for cell in row] for row in shown] == rows


# --- in a browser with the network cut ----------------------------------------------------------


def test_the_browser_reaches_nothing_but_this_machine(browser):
    page = browser.new_page()
    with pytest.raises(BrowserError, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.org/")
    page.close()


def test_pages_load_without_a_network_and_without_complaints(site, server, browser):
    complaints = []

    def note(page, kind):
        return lambda text: complaints.append(f"{page.name}: {kind}: {text}")

    for page in pages(site):
        tab = browser.new_page()
        tab.on("request", lambda r, p=page: r.url.startswith(server) or note(p, "asks")(r.url))
        tab.on("requestfailed", lambda r, p=page: note(p, "failed")(r.url))
        tab.on("response", lambda r, p=page: r.ok or note(p, r.status)(r.url))
        tab.on("pageerror", lambda e, p=page: note(p, "error")(e))
        tab.on("console", lambda m, p=page: m.type != "error" or note(p, "console")(m.text))
        tab.goto(f"{server}/book/{page.name}", wait_until="load")
        tab.wait_for_load_state("networkidle")
        tab.close()
    # What a page makes of its own data is no request.
    assert [c for c in complaints if ": asks: data:" not in c and ": asks: blob:" not in c] == []


# What does not fit is out of sight until a reader thinks of scrolling; a few pixels are white.
TOO_WIDE = """() => [...document.querySelectorAll("mjx-container[display=true]")]
    .filter((equation) => equation.scrollWidth > equation.clientWidth + 8)
    .map((equation) => equation.closest("[id]").id)"""


def test_equations_are_set(site, server, browser):
    with_equations = 0
    for page in pages(site):
        tab = browser.new_page()
        tab.goto(f"{server}/book/{page.name}")
        written = tab.locator(".math").count()
        if written:
            with_equations += 1
            tab.wait_for_function("() => document.querySelector('mjx-container')")
            tab.evaluate("() => MathJax.startup.promise")
            assert tab.locator("mjx-container").count() >= written, page.name
            assert tab.locator("mjx-merror").count() == 0, page.name
            assert tab.evaluate(TOO_WIDE) == [], page.name
        tab.close()
    assert with_equations >= 5


SCROLLS = """() => [...document.querySelectorAll(".bd-article table")]
    .filter((table) => table.clientWidth)
    .map((table) => [table.scrollWidth > table.clientWidth, table.tabIndex === 0])"""


def test_a_table_is_reached_by_the_tab_key_where_it_scrolls_and_only_there(server, browser):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(f"{server}/book/taking_apart.html")
    for width in (390, 1280, 390):
        tab.set_viewport_size({"width": width, "height": 844})
        tab.wait_for_function(f"() => ({SCROLLS})().every(([wide, tab]) => wide === tab)")
        scrolling = [wide for wide, _ in tab.evaluate(SCROLLS)]
        assert scrolling and any(scrolling) == (width == 390)
    tab.close()


def test_no_page_is_wider_than_a_telephone(site, server, browser):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    for page in pages(site):
        tab.goto(f"{server}/book/{page.name}")
        tab.wait_for_timeout(300)
        width = tab.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 390, f"{page.name} is {width} pixels wide"
    tab.close()


# --- the build ----------------------------------------------------------------------------------


CELL = """\
---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{name: python3, display_name: Python 3, language: python}}
myst: {{substitutions: {{needs: nothing}}}}
---
# {name}

```{{code-cell}} python3
from pathlib import Path

print(*(Path("..", name).read_text() for name in ({reads})))
```
"""


@pytest.fixture
def tiny_book(tmp_path):
    """A book of two chapters; the cell of each shows what some files of the repository say."""
    own = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    used = ("repository", "only_build_toc_files", "exclude_patterns", "execute", "parse",
            "launch_buttons")  # fmt: skip
    settings = ("include_patterns", "nb_mime_priority_overrides", "nb_execution_raise_on_error",
                "ogp_social_cards", "ogp_image")  # fmt: skip
    extensions = own["sphinx"]["extra_extensions"]
    config = {name: own[name] for name in used} | {
        "title": "Tiny",
        "sphinx": {
            "extra_extensions": extensions,
            "local_extensions": {"sphinx_lesson": str(ROOT / "tools")},
            "config": {name: own["sphinx"]["config"][name] for name in settings}
            | {"bibtex_bibfiles": []},
        },
    }
    one = '"nodule_lesson/value.py", "nodule_lesson/live/figure.js", "constraints.txt"'
    files = {
        "_config.yml": yaml.safe_dump(config),
        "_toc.yml": "format: jb-book\nroot: book/one\nparts:\n"
        "- {caption: All, numbered: true, chapters: [{file: book/two}]}\n",
        "pyproject.toml": "[project]\nversion = '1.2.3'\n",
        "constraints.txt": "torch==1\n",
        "nodule_lesson/value.py": "value = 'old-code'\n",
        "nodule_lesson/live/figure.js": "// old-script\n",
        "book/results/numbers.json": json.dumps("old-result"),
        "book/one.md": CELL.format(name="one", reads=one),
        "book/two.md": CELL.format(name="two", reads='"book/results/numbers.json",'),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["Ada/a-fork", None])
def test_pages_lead_to_the_repository_where_its_address_is_known(
    tiny_book, monkeypatch, capfd, name
):
    for variable in ("GITHUB_REPOSITORY", "GITHUB_SHA"):
        monkeypatch.delenv(variable, raising=False)
    if name:
        monkeypatch.setenv("GITHUB_REPOSITORY", name)
    build_book.main(tiny_book)
    page = (tiny_book / "_build" / "html" / "book" / "two.html").read_text(encoding="utf-8")
    notebook = "https://colab.research.google.com/github/Ada/a-fork/blob/notebooks/book/two.ipynb"
    leads = {
        notebook,
        'rel="canonical" href="https://ada.github.io/a-fork/book/two.html"',
        'property="og:url" content="https://ada.github.io/a-fork/book/two.html"',
        'property="og:image" content="https://ada.github.io/a-fork/_static/readme.png"',
        "https://github.com/Ada/a-fork/edit/main/book/two.md",
        "https://github.com/Ada/a-fork/issues/new",
    }
    assert {lead for lead in leads if lead in page} == (leads if name else set())
    if not name:
        assert "no page leads to Colab" in capfd.readouterr().out
        assert "github.com" not in page and "colab" not in page
    # Another address is another book.
    assert build_book.is_up_to_date(tiny_book)
    monkeypatch.setenv("GITHUB_REPOSITORY", "Bob/lesson")
    assert not build_book.is_up_to_date(tiny_book)


def test_pages_and_notebooks_show_no_stale_outputs_and_no_chapter_runs_for_nothing(
    tiny_book, capfd
):
    build = tiny_book / "_build"

    def shown(name):
        page = (build / "html" / "book" / f"{name}.html").read_text(encoding="utf-8")
        made = (build / "notebooks" / "book" / f"{name}.ipynb").read_text(encoding="utf-8")
        offered = build / "html" / "_sources" / "book" / f"{name}.ipynb"
        assert offered.read_text(encoding="utf-8") == made
        words = {"old-code", "new-code", "old-result", "new-result", "old-script"}
        assert {w for w in words if w in page} == {w for w in words if w in made}
        return {word for word in words if word in page}

    build_book.main(tiny_book)
    assert shown("one") == {"old-code", "old-script"} and shown("two") == {"old-result"}
    # Nothing changed: nothing is built.
    stamp = (build / "html" / "index.html").stat().st_mtime_ns
    capfd.readouterr()
    build_book.main(tiny_book)
    assert "up to date" in capfd.readouterr().out
    assert (build / "html" / "index.html").stat().st_mtime_ns == stamp
    # A file changed that one chapter used, and the words of the other.
    (tiny_book / "nodule_lesson/value.py").write_text("value = 'new-code'\n", encoding="utf-8")
    with open(tiny_book / "book" / "two.md", "a", encoding="utf-8") as file:
        file.write("\nOther words.\n")
    build_book.main(tiny_book)
    said = capfd.readouterr().out
    assert "Outputs of one.md are dropped: nodule_lesson/value.py changed." in said
    assert "book/one was run" in said and "book/two was run" not in said
    assert "Executing" not in said  # nor does MyST-NB run it, for which all outputs are known
    assert shown("one") == {"new-code", "old-script"} and shown("two") == {"old-result"}
    two = (build / "notebooks" / "book" / "two.ipynb").read_text(encoding="utf-8")
    assert "Other words." in two


WAITING = """
import time
from pathlib import Path

Path("{own}").touch()
deadline = time.monotonic() + 100
while not Path("{other}").exists():
    assert time.monotonic() < deadline, "the other chapter does not run beside this one"
    time.sleep(0.1)
"""


@pytest.mark.skipif(cores() < 2, reason="one core")
def test_chapters_run_side_by_side(tiny_book):
    for own, other in (("one", "two"), ("two", "one")):
        page = tiny_book / "book" / f"{own}.md"
        waits = WAITING.format(own=tiny_book / own, other=tiny_book / other)
        text = page.read_text(encoding="utf-8").replace("from pathlib import Path\n", waits)
        page.write_text(text, encoding="utf-8")
    build_book.main(tiny_book)


def test_outputs_of_unknown_origin_are_dropped(tiny_book, capsys):
    cache = get_cache(tiny_book / "_build" / ".jupyter_cache")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    cache.cache_notebook_bundle(CacheBundleIn(notebook, "book/one.md"), check_validity=False)
    record = made_from.record_path(tiny_book, ["1"])
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    build_book.drop_stale_outputs(tiny_book)
    assert len(cache.list_cache_records()) == 1
    record.unlink()
    build_book.drop_stale_outputs(tiny_book)
    assert cache.list_cache_records() == []
    assert "Outputs of one.md are dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["_config.yml", "_toc.yml", "book/one.md", "book/other.md", "book/results/new/numbers.csv",
     "nodule_lesson/live/new.css", "constraints.txt"],
)  # fmt: skip
def test_what_pages_and_notebooks_are_made_of_makes_them_old(tiny_book, name):
    (tiny_book / "_build" / "html").mkdir(parents=True)
    (tiny_book / "_build" / "html" / "index.html").touch()
    built = tiny_book / "_build" / "built-from.sha256"
    built.write_text(build_book.fingerprint(tiny_book), encoding="utf-8")
    (tiny_book / "book" / "one.ipynb").write_text("{}", encoding="utf-8")
    assert build_book.is_up_to_date(tiny_book)
    (tiny_book / name).parent.mkdir(exist_ok=True)
    (tiny_book / name).write_text("changed", encoding="utf-8")
    assert not build_book.is_up_to_date(tiny_book)


TABLE = """\
:::{chapter-table}
| Chapter | The question |
|--|--|
| {doc}`{{ chapter }}` | {{ question }} |
:::
"""


@pytest.mark.parametrize(
    "fault, said",
    [
        ("raise ValueError('on purpose')", "CellExecutionError"),
        ("{doc}`nowhere`", "unknown document: 'nowhere'"),
        (TABLE, "The head of book/two.md: 'question' is undefined"),
    ],
)
def test_a_failing_cell_a_warning_and_an_incomplete_head_fail_the_build(tiny_book, fault, said):
    page = tiny_book / "book" / "one.md"
    text = page.read_text(encoding="utf-8")
    if fault.startswith("raise"):
        text = text.replace("from pathlib import Path", fault)
    else:
        text += f"\n{fault}\n"
    page.write_text(text, encoding="utf-8")
    program = "import sys, build_book; build_book.main(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_book)],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0, done.stdout
    assert "was not built" in done.stderr and said in done.stdout + done.stderr
    assert not (tiny_book / "_build" / "built-from.sha256").exists()


def test_a_folder_with_brackets_in_its_name_has_the_same_pages(tiny_book, tmp_path_factory):
    """only_build_toc_files looks for what is no page with a pattern that begins with the name."""
    place = tmp_path_factory.mktemp("clone") / "a [x] b"
    shutil.copytree(tiny_book, place)
    for name in ("README.md", "CONTRIBUTING.md"):
        (place / name).write_text("# Not a page\n", encoding="utf-8")
    (place / "build").mkdir()
    (place / "build" / "notes.md").write_text("# Nor this\n", encoding="utf-8")
    build_book.main(place)
    html = place / "_build" / "html"
    made = {path.relative_to(html).as_posix() for path in html.rglob("*.html")}
    assert {"book/one.html", "book/two.html"} < made
    assert not made & {"README.html", "CONTRIBUTING.html", "build/notes.html"}
