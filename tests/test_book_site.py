"""The built book: its links, what it loads, how it builds, and how it stands in a browser."""

import importlib.util
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Error as BrowserError

ROOT = Path(__file__).resolve().parents[1]


def _tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_site = _tool("check_site")
build_book = _tool("build_book")


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


def test_chapters_are_numbered_and_launch_their_own_notebook(site):
    address = _tool("address").repository_address(ROOT).removeprefix("https://github.com/")
    for page in chapters(site):
        html = page.read_text(encoding="utf-8")
        notebook = f"colab.research.google.com/github/{address}/blob/main/book/{page.stem}.ipynb"
        assert notebook in html, f"{page.name} has no Colab button for its twin"
        assert '<h1><span class="section-number">' in html, f"{page.name} has no number"
        twin = (ROOT / "book" / f"{page.stem}.ipynb").read_text(encoding="utf-8")
        offered = (site / "_sources" / "book" / f"{page.stem}.ipynb").read_text(encoding="utf-8")
        assert offered == twin, f"{page.name} offers another notebook than its twin to download"


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


@pytest.fixture
def tiny_book(tmp_path):
    """A book of one page whose cell shows what a file of the package and a result say."""
    files = {
        "_config.yml": "title: Tiny\nonly_build_toc_files: true\n"
        "execute: {execute_notebooks: cache}\n",
        "_toc.yml": "format: jb-book\nroot: book/index\n",
        "constraints.txt": "torch==1\n",
        "nodule_lesson/value.py": "value = 'old-code'\n",
        "nodule_lesson/live/figure.js": "// old-script\n",
        "book/results/numbers.json": json.dumps("old-result"),
        "book/index.md": textwrap.dedent("""\
            ---
            jupytext:
              text_representation: {extension: .md, format_name: myst}
            kernelspec: {name: python3, display_name: Python 3, language: python}
            ---
            # Tiny

            ```{code-cell} python3
            from pathlib import Path

            print(*(Path("..", name).read_text() for name in (
                "nodule_lesson/value.py", "nodule_lesson/live/figure.js",
                "book/results/numbers.json", "constraints.txt")))
            ```
            """),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_no_page_shows_stale_outputs(tiny_book, capfd):
    def shown():
        build_book.main(tiny_book)
        return (tiny_book / "_build" / "html" / "book" / "index.html").read_text(encoding="utf-8")

    assert "old-code" in shown()
    # Nothing changed: nothing is built.
    stamp = (tiny_book / "_build" / "html" / "index.html").stat().st_mtime_ns
    capfd.readouterr()
    shown()
    assert "up to date" in capfd.readouterr().out
    assert (tiny_book / "_build" / "html" / "index.html").stat().st_mtime_ns == stamp
    # Code and results outside the page changed: its outputs are new, though its cells are not.
    (tiny_book / "nodule_lesson/value.py").write_text("value = 'new-code'\n", encoding="utf-8")
    (tiny_book / "book/results/numbers.json").write_text(
        json.dumps("new-result"), encoding="utf-8"
    )
    page = shown()
    assert "new-code" in page and "new-result" in page
    assert "old-code" not in page and "old-result" not in page


@pytest.mark.parametrize(
    "name",
    [
        "nodule_lesson/value.py",
        "nodule_lesson/live/figure.js",
        "nodule_lesson/live/new.css",
        "book/results/numbers.json",
        "book/results/new/numbers.csv",
        "constraints.txt",
    ],
)
def test_what_the_cells_run_empties_the_cache(tiny_book, name):
    cache = tiny_book / "_build" / ".jupyter_cache"
    build_book.empty_stale_cache(tiny_book)
    cache.mkdir()
    assert not build_book.empty_stale_cache(tiny_book)
    assert cache.exists()
    path = tiny_book / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed", encoding="utf-8")
    assert build_book.empty_stale_cache(tiny_book)
    assert not cache.exists()


def test_a_removed_file_empties_the_cache_and_prose_does_not(tiny_book):
    cache = tiny_book / "_build" / ".jupyter_cache"
    build_book.empty_stale_cache(tiny_book)
    cache.mkdir()
    (tiny_book / "book" / "index.md").write_text("# Other words", encoding="utf-8")
    assert not build_book.empty_stale_cache(tiny_book)
    (tiny_book / "nodule_lesson" / "live" / "figure.js").unlink()
    assert build_book.empty_stale_cache(tiny_book)


@pytest.mark.parametrize("name", ["_config.yml", "_toc.yml", "book/index.md", "book/other.md"])
def test_what_the_pages_are_made_of_makes_them_old(tiny_book, name):
    (tiny_book / "_build" / "html").mkdir(parents=True)
    (tiny_book / "_build" / "html" / "index.html").touch()
    made_of = build_book.fingerprint(tiny_book, build_book.EXECUTED + build_book.RENDERED)
    (tiny_book / "_build" / "built-from.sha256").write_text(made_of, encoding="utf-8")
    assert build_book.is_up_to_date(tiny_book)
    (tiny_book / name).write_text("changed", encoding="utf-8")
    assert not build_book.is_up_to_date(tiny_book)


@pytest.mark.parametrize("fault", ["raise ValueError('on purpose')", "{doc}`nowhere`"])
def test_a_failing_cell_and_a_warning_fail_the_build(tiny_book, fault):
    page = tiny_book / "book" / "index.md"
    shutil.copy(ROOT / "_config.yml", tiny_book)
    text = page.read_text(encoding="utf-8")
    if fault.startswith("raise"):
        text = text.replace("from pathlib import Path", fault)
    else:
        text += f"\n{fault}\n"
    page.write_text(text, encoding="utf-8")
    config = (tiny_book / "_config.yml").read_text(encoding="utf-8").split("sphinx:")[0]
    for name in ("logo", "favicon"):
        config = "\n".join(line for line in config.splitlines() if f"{name}:" not in line)
    config += "\nsphinx: {config: {nb_execution_raise_on_error: true}}\n"
    (tiny_book / "_config.yml").write_text(config, encoding="utf-8")
    program = "import sys, build_book; build_book.main(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_book)],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0, done.stdout
    assert "was not built" in done.stderr
    assert not (tiny_book / "_build" / "built-from.sha256").exists()


def test_a_folder_with_brackets_in_its_name_has_the_same_pages(tiny_book, tmp_path_factory):
    """only_build_toc_files looks for what is no page with a pattern that begins with the name."""
    place = tmp_path_factory.mktemp("clone") / "a [x] b"
    shutil.copytree(tiny_book, place)
    for name in ("README.md", "CONTRIBUTING.md"):
        (place / name).write_text("# Not a page\n", encoding="utf-8")
    (place / "build").mkdir()
    (place / "build" / "notes.md").write_text("# Nor this\n", encoding="utf-8")
    own = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config = {name: own[name] for name in ("only_build_toc_files", "exclude_patterns")}
    patterns = {"include_patterns": own["sphinx"]["config"]["include_patterns"]}
    config |= {"title": "Tiny", "sphinx": {"config": patterns}}
    (place / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    build_book.main(place)
    html = place / "_build" / "html"
    made = {path.relative_to(html).as_posix() for path in html.rglob("*.html")}
    assert "book/index.html" in made
    assert not made & {"README.html", "CONTRIBUTING.html", "build/notes.html"}
