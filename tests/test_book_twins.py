"""The notebooks beside the chapters: their text, their numbers, their outputs (tools/twins.py)."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = Path(__file__).parent / "data" / "sample_book"
sys.path.append(str(ROOT / "tools"))

import twins  # noqa: E402
from chapters import Cell, TwinError  # noqa: E402
from plain_markdown import open_book  # noqa: E402

SITE = "https://owner--not-settled.github.io/sample/book"
FILES = "https://github.com/owner--not-settled/sample"

# --- a small text, translated -----------------------------------------------------------------

OTHER = """# Other

(sec-other)=
## Its section

$$ b = c $$ (eq-other)
"""


@pytest.fixture
def translate(tmp_path):
    """Translate a text as the body of chapter 1, beside a chapter 2 to refer to."""
    shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
    toc = {"format": "jb-book", "root": "book/index", "options": {"numbered": True}}
    chapters = [{"file": f"book/{name}"} for name in ("one", "other")]
    (tmp_path / "_toc.yml").write_text(
        yaml.safe_dump({**toc, "chapters": chapters}), encoding="utf-8"
    )
    (tmp_path / "book" / "index.md").write_text("# Opening\n", encoding="utf-8")
    (tmp_path / "book" / "other.md").write_text(OTHER, encoding="utf-8")

    def run(body, glue=None):
        code = "```{code-cell} python3\npass\n```\n"
        (tmp_path / "book" / "one.md").write_text(f"# One\n\n{body}\n\n{code}", encoding="utf-8")
        book = open_book(tmp_path)
        _, install, *cells, last = twins.twin_cells(book, book.documents["book/one"], glue)
        assert (install.kind, last.source) == ("code", "pass")
        return "\n\n".join(cell.source for cell in cells)

    return run


RULES = {
    "plain text": ("Some *text*, `code` and [a link](https://a.org/b).",) * 2,
    "escaped": (r"5 \$ and \{eq}", r"5 \$ and \{eq}"),
    "code span with MyST": ("a `` {eq}`x` `` b", "a `` {eq}`x` `` b"),
    "inline formula": ("{math}`x_t < 1` and $y$", "$x_t < 1$ and $y$"),
    "inline formula in two lines": ("$a +\nb$", "$a + b$"),
    "inline formula before a colon": ("a\n{math}`b`: c", "a\n$b$: c"),
    "formula": ("```{math}\na\n```", "$$ a $$"),
    "formula with a label": (
        "```{math}\n:label: l\na\n```\n{eq}`l`",
        "$$ a \\tag{1.1} $$\n\n(1.1)",
    ),
    "dollars": ("$$\na\n$$", "$$ a $$"),
    "dollars with a label": ("$$\na\n$$ (l)\n\n{eq}`l`", "$$ a \\tag{1.1} $$\n\n(1.1)"),
    "dollars in one line": ("$$ a $$ (l)", "$$ a \\tag{1.1} $$"),
    "dollars inside a paragraph": ("So\n$$ a $$\nis.", "So\n$$ a $$\nis."),
    "rows": ("$$ a \\\\ b $$", "$$ \\begin{aligned} a \\\\ b \\end{aligned} $$"),
    "rows of its own": (
        "$$ \\begin{cases} a \\\\ b \\end{cases} $$",
        "$$ \\begin{cases} a \\\\ b \\end{cases} $$",
    ),
    "a comment in a formula": ("$$\na % why\n\\% b\n$$", "$$ a \\% b $$"),
    "equation of another chapter": (
        "{eq}`eq-other`",
        f"[(2.1)]({SITE}/other.html#equation-eq-other)",
    ),
    "note": ("```{note}\nText.\n```", "> **Note**\n>\n> Text."),
    "note in one line": (":::{tip} Text.\n:::", "> **Tip**\n>\n> Text."),
    "see also": ("```{seealso}\nText.\n```", "> **See also**\n>\n> Text."),
    "admonition": (":::{admonition} A $t$\n:class: tip\nText.\n:::", "> **A $t$**\n>\n> Text."),
    "admonition with options as YAML": (
        "```{admonition} A\n---\nclass: tip\n---\nText.\n```",
        "> **A**\n>\n> Text.",
    ),
    "formula in an admonition": (
        ":::{important}\n$$\na\n+ b\n$$ (l)\n:::",
        "> **Important**\n>\n> $$ a + b \\tag{1.1} $$",
    ),
    "nested": (
        "::::{note}\nA\n:::{tip}\nB\n:::\n::::",
        "> **Note**\n>\n> A\n>\n> > **Tip**\n> >\n> > B",
    ),
    "in a list": (
        "- a\n\n  ```{note}\n  b\n  ```\n- c",
        "- a\n\n  > **Note**\n  >\n  > b\n\n- c",
    ),
    "dropdown": (
        ":::{dropdown} Is `a` < $b_1 < c$?\nYes, *yes*.\n:::",
        "<details><summary>Is <code>a</code> &lt; $b_1 &lt; c$?</summary>\n\nYes, *yes*.\n\n"
        "</details>",
    ),
    "open dropdown": (
        ":::{dropdown} A\n:open:\nB\n:::",
        "<details open><summary>A</summary>\n\nB\n\n</details>",
    ),
    "admonition as a dropdown": (
        "```{admonition} A\n:class: dropdown\nB\n```",
        "<details><summary>A</summary>\n\nB\n\n</details>",
    ),
    "margin": ("```{margin} A\nB\n```", "> **A**\n>\n> B"),
    "sidebar": ("```{sidebar} A\nB\n```", "> **A**\n>\n> B"),
    "epigraph": ("```{epigraph}\nB\n```", "> B"),
    "div": (":::{div} full-width\nB\n:::", "B"),
    "quotation": ("> a\n> {eq}`eq-other`", f"> a\n> [(2.1)]({SITE}/other.html#equation-eq-other)"),
    "code": ("```python\nx = 1  # {eq}`a` :::\n% b\n```",) * 2,
    "code block": ("```{code-block} text\na\n```", "```text\na\n```"),
    "figure": (
        "```{figure} picture.svg\n:name: f\n:alt: A circle\n\nA *nice* one.\n```\n\n{numref}`f`",
        f"![A circle]({FILES}/raw/v1.2.3/book/picture.svg)\n\n"
        "_Fig. 1.1. A *nice* one._\n\nFig. 1.1",
    ),
    "image": (
        "```{image} picture.svg\n:alt: A\n```",
        f"![A]({FILES}/raw/v1.2.3/book/picture.svg)",
    ),
    "image as Markdown": (
        "![A](picture.svg){width=50%}",
        f"![A]({FILES}/raw/v1.2.3/book/picture.svg)",
    ),
    "table": (
        "```{table} T\n:name: t\n\n| a |\n|---|\n| $b$ |\n```\n\n{numref}`t`",
        "*Table 1.1. T*\n\n| a |\n|---|\n| $b$ |\n\nTable 1.1",
    ),
    "list-table": (
        "```{list-table}\n:header-rows: 1\n\n* - a\n  - b\n* - $c$\n  - d\n    e\n```",
        "| a | b |\n| --- | --- |\n| $c$ | d e |",
    ),
    "list-table with a caption": (
        "```{list-table} T\n\n* - a\n  - b\n```",
        "*Table 1.1. T*\n\n|  |  |\n| --- | --- |\n| a | b |",
    ),
    "exercise": ("```{exercise} $a$\n:label: e\n\nDo.\n```", "**Exercise 1.1** ($a$)\n\nDo."),
    "exercise without a number": ("```{exercise}\n:nonumber:\n\nDo.\n```", "**Exercise**\n\nDo."),
    "solution": (
        "```{exercise}\n:label: e\n```\n\n```{solution} e\n:label: s\n\nSECRET\n```",
        f"**Exercise 1.1**\n\n*[Solution to Exercise 1.1, in the book]({SITE}/one.html#s)*",
    ),
    "solution without a label": (
        "```{exercise}\n:label: e\n```\n\n```{solution} e\nSECRET\n```",
        f"**Exercise 1.1**\n\n*[Solution to Exercise 1.1, in the book]({SITE}/one.html#e)*",
    ),
    "gated exercise and solution": (
        "```{exercise-start}\n:label: e\n```\nDo.\n```{exercise-end}\n```\n\n"
        "```{solution-start} e\n```\nSECRET\n\n```{code-cell} python3\nSECRET\n```\n\n"
        "SECRET\n```{solution-end}\n```\n\nOn.",
        f"**Exercise 1.1**\n\nDo.\n\n*[Solution to Exercise 1.1, in the book]({SITE}/one.html#e)*"
        "\n\nOn.",
    ),
    "an equation in a solution counts": (
        "```{exercise}\n:label: e\n```\n\n````{solution} e\n$$ a $$ (s)\n````\n\n$$ b $$ (l)",
        f"**Exercise 1.1**\n\n*[Solution to Exercise 1.1, in the book]({SITE}/one.html#e)*\n\n"
        "$$ b \\tag{1.2} $$",
    ),
    "reference to an exercise": (
        "```{exercise}\n:label: e\n```\n\n{ref}`e` {numref}`e` {ref}`that <e>`",
        "**Exercise 1.1**\n\nExercise 1.1 Exercise 1.1 that",
    ),
    "reference to a section": (
        "{ref}`sec-other`, {ref}`there <sec-other>`, {numref}`sec-other`, [](#sec-other)",
        f"[Its section]({SITE}/other.html#sec-other), [there]({SITE}/other.html#sec-other), "
        f"[Section 2.1]({SITE}/other.html#sec-other), [Its section]({SITE}/other.html#sec-other)",
    ),
    "reference with a text": (
        "```{table} T\n:name: t\n| a |\n|---|\n```\n{numref}`The table %s <t>`",
        "*Table 1.1. T*\n\n| a |\n|---|\n\nThe table 1.1",
    ),
    "chapter": (
        "{doc}`other`, {doc}`it <other>`, {doc}`/book/other`, [it](other.md), [](other.md)",
        f"[Other]({SITE}/other.html), [it]({SITE}/other.html), [Other]({SITE}/other.html), "
        f"[it]({SITE}/other.html), [Other]({SITE}/other.html)",
    ),
    "link to a label": ("[it *is*](#sec-other)", f"[it *is*]({SITE}/other.html#sec-other)"),
    "link to a file": ("[it](picture.svg)", f"[it]({FILES}/blob/v1.2.3/book/picture.svg)"),
    "download": ("{download}`it <picture.svg>`", f"[it]({FILES}/blob/v1.2.3/book/picture.svg)"),
    "name of the package": (
        "{py:func}`a.b.c` {py:class}`~a.b.C`",
        "[`a.b.c`](https://owner--not-settled.github.io/sample/book/api.html#a.b.c) "
        "[`C`](https://owner--not-settled.github.io/sample/book/api.html#a.b.C)",
    ),
    "citation": ("{cite:t}`one2001`", "[Gauß (2001)](https://doi.org/10.1000/one)"),
    "citation of two authors, arXiv": (
        "{cite:t}`two2002`",
        "[van der Berg and Müller (2002)](https://arxiv.org/abs/2002.00002)",
    ),
    "citation of several": (
        "{cite:p}`one2001, three2003` {cite}`three2003`",
        "([Gauß, 2001](https://doi.org/10.1000/one); Li et al., 2003) (Li et al., 2003)",
    ),
    "glue": ("{glue:text}`n`, {glue:}`n`, {glue:text}`m:.2f`", "0.25, 0.25, 0.12"),
    "term": ("{term}`a` {term}`b <a>`", "a b"),
    "glossary": ("```{glossary}\na\n  Is $b$\n  or c.\n```", "**a**: Is $b$ or c."),
    "keys and badges": (
        "{kbd}`Esc` {bdg-primary}`new` {octicon}`star`x",
        "<kbd>Esc</kbd> **new** x",
    ),
    "index": ("```{index} a\n```\nA {index}`word`.", "A word."),
    "raw": ("a\n\n```{raw} html\n<b>\n```\n\nb", "a\n\nb"),
    "comments": ("% no\na <!-- no\nno --> b\n% no", "a  b"),
    "targets": ("(l)=\n## A", "## A"),
    "cards": (
        "::::{grid} 2\n:::{grid-item-card} A\n:link: other\n:link-type: doc\nB\n:::\n"
        ":::{grid-item-card} C\n:link: https://a.org\nD\n:::\n::::",
        f"- **[A]({SITE}/other.html)**\n\n  B\n\n- **[C](https://a.org)**\n\n  D",
    ),
    "tabs": (
        "````{tab-set}\n```{tab-item} A\nB\n```\n```{tab-item} C\nD\n```\n````",
        "**A**\n\nB\n\n**C**\n\nD",
    ),
    "footnote": ("a[^1]\n\n[^1]: {eq}`eq-other`",
                 f"a[^1]\n\n[^1]: [(2.1)]({SITE}/other.html#equation-eq-other)"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_translation(translate, rule):
    text, wanted = RULES[rule]
    assert translate(text, {"n": "'0.25'", "m": "0.123"}) == wanted


ERRORS = {
    "unknown directive": ("a\n\n```{magic}\n```", 5, "the directive {magic} has no translation"),
    "unknown role": ("a\n{magic}`b`", 4, "the role {magic} has no translation"),
    "unknown role in a box": (":::{note}\n\na\n{magic}`b`\n:::", 6, "{magic} has no translation"),
    "substitution": ("a {{ b }}", 3, "has no translation"),
    "span": ("[a]{.red}", 3, "has no translation"),
    "attributes": ("{.red}\na", 3, "is not plain Markdown"),
    "definition list": ("a\n: b", 4, "is not plain Markdown"),
    "field list": (":a: b", 3, "is not plain Markdown"),
    "colons without a name": (":::\na\n:::", 3, "without a {name}"),
    "not closed": ("a\n\n:::{note}\na", 5, "is opened and not closed"),
    "not closed in this cell": (":::{note}\na\n\n+++\n\nb\n:::", 3, "is opened and not closed"),
    "directive behind a list mark": ("- ```{note}\n  a\n  ```", 3, "in a line of its own"),
    "formula not closed": ("$$\na", 3, "is opened and not closed"),
    "formula in a line": ("a $$ b $$", 3, "lines of its own"),
    "formula without dollars": ("\\begin{align}\na\n\\end{align}", 3, "between $$ and $$"),
    "align": ("$$ \\begin{align} a \\end{align} $$", 3, "write aligned"),
    "tag": ("$$ a \\tag{7} $$ (l)", 3, "no \\tag of its own"),
    "no such label": ("a\n\n{eq}`nothing`", 5, "nothing is labelled nothing"),
    "no such equation": ("{eq}`sec-other`", 3, "is no equation"),
    "label twice": ("$$ a $$ (eq-other)", 6, "defined twice"),
    "a figure's caption as a text": ("$$ a $$ (l)\n\n{ref}`l`", 5, "is no section"),
    "no such chapter": ("{doc}`nothing`", 3, "not in _toc.yml"),
    "no such citation": ("{cite:t}`nothing`", 3, "not in references.bib"),
    "no such file": ("![a](nothing.svg)", 3, "there is no file book/nothing.svg"),
    "no such number": ("{glue:text}`nothing`", 3, "no cell glues the name nothing"),
    "solution without an end": ("```{exercise}\n:label: e\n```\n```{solution-start} e\n```", 0,
                                "has no solution-end"),
    "listing": ("```{code-block} text\n:caption: A\na\n```", 3, "caption has no translation"),
    "bibliography": ("```{bibliography}\n```", 3, "has no translation"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_has_no_translation_is_an_error(translate, case):
    text, line, problem = ERRORS[case]
    with pytest.raises(TwinError) as error:
        translate(text, {})
    # The label is defined twice where the second stands, in the other chapter.
    where = "book/other.md" if case == "label twice" else "book/one.md"
    assert str(error.value).startswith(f"{where}:{line or ''}")
    assert problem in str(error.value)


# --- the sample book, built by Sphinx and made into twins ---------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A copy of the sample book with its twins, and what the tool printed on making them."""
    root = tmp_path_factory.mktemp("sample")
    shutil.copytree(SAMPLE, root, dirs_exist_ok=True)
    assert run_tool(root) == 0
    return root


@pytest.fixture(scope="module")
def pages(sample):
    """The sample book as Jupyter Book builds it, by name."""
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(sample), "-W", "-n", "--keep-going"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return read_pages(sample / "_build" / "html" / "book")


def run_tool(root, *arguments):
    with pytest.raises(SystemExit) as end:
        twins.main(list(arguments), root)
    return end.value.code


def read_twin(root, name):
    return nbformat.read(root / "book" / f"{name}.ipynb", as_version=4)


SHOWN = {  # where a page shows the number of a labelled element
    "equation": "span.eqno",
    "figure": ".caption-number",
    "table": ".caption-number",
    "exercise": ".caption-number",
    "section": ".section-number",
}


def same_numbers(book, pages):
    """Compare the number of every label with its page; returns the kinds that were seen."""
    seen = set()
    for label, target in book.targets.items():
        anchor = target.url.partition("#")[2]
        element = pages[target.chapter.name].find(id=anchor)
        assert element, f"{label}: no element has the id {anchor}"
        if target.kind == "section" and element.name == "span":
            element = element.parent  # a target in front of its section
        if target.number:
            shown = element.select_one(SHOWN[target.kind]).text
            assert re.search(r"[\d.]*\d", shown)[0] == target.number, label
            seen.add(target.kind)
    return seen


def read_pages(folder):
    return {path.stem: BeautifulSoup(path.read_bytes(), "html.parser")
            for path in folder.glob("*.html")}  # fmt: skip


def test_numbers_and_anchors_are_those_of_the_pages(sample, pages):
    assert same_numbers(open_book(sample), pages) == set(SHOWN)


def test_references_read_as_on_the_page(sample, pages):
    def squeeze(text):
        return " ".join(text.split())

    on_page = [p for p in pages["second"].select("p") if p.text.startswith("References:")]
    cells = [c.source for c in read_twin(sample, "second").cells if "References:" in c.source]
    html = BeautifulSoup(MarkdownIt("commonmark").render(cells[0]), "html.parser")
    in_twin = [p for p in html.select("p") if p.text.startswith("References:")]
    assert squeeze(in_twin[0].text) == squeeze(on_page[0].text)


def test_captions_stand_below_their_cells(sample):
    cells = read_twin(sample, "second").cells
    position = [i for i, cell in enumerate(cells) if cell.source.startswith("_Fig. 2.1.")][0]
    assert cells[position].source == "_Fig. 2.1. A *second* figure of $x_t$ with 7.00, see (2.2)._"
    assert cells[position - 1].source.startswith("import matplotlib")
    assert cells[position - 1].outputs == []  # the image itself is not stored


def test_opening_cells(sample):
    title, install = read_twin(sample, "first").cells[:2]
    assert title.source.startswith("# The first chapter\n\n[Read this chapter in the book](")
    assert f"{SITE}/first.html" in title.source
    assert f'"git+{FILES}@v1.2.3"' in install.source
    assert '%pip install -q "nodule-lesson[notebook] @ {lesson}"' in install.source
    code = TransformerManager().transform_cell(install.source)
    compile(code, "install", "exec")
    assert "get_ipython().run_line_magic('pip'" in code
    assert install.outputs == []  # the package is here


def test_metadata(sample):
    first, second = read_twin(sample, "first"), read_twin(sample, "second")
    assert first.metadata.accelerator == "GPU" and "accelerator" not in second.metadata
    assert set(second.metadata) == {"kernelspec", "language_info", "nodule_lesson"}
    assert set(second.metadata.nodule_lesson) == {"inputs"}
    assert second.cells[3].metadata == {"tags": ["nbval-check-output"]}
    identities = [cell.id for cell in second.cells]
    assert len(set(identities)) == len(identities)


def test_running_twice_gives_the_same_bytes(sample, capsys):
    def stored():
        paths = sample.rglob("book/*.ipynb")
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    before = stored()
    assert run_tool(sample, "--check") == 0
    assert run_tool(sample) == 0 and stored() == before
    assert capsys.readouterr().out.count("up to date") == 6
    assert run_tool(sample, "second", "--force") == 0
    assert {name: content for name, (content, _) in stored().items()} == {
        name: content for name, (content, _) in before.items()
    }


def test_only_what_changed_is_run(sample, tmp_path, capsys):
    root = tmp_path / "book"
    shutil.copytree(sample, root, ignore=shutil.ignore_patterns("_build"))
    chapter, twin = root / "book" / "index.md", root / "book" / "index.ipynb"

    def steps(wanted_problem, wanted_action):
        assert run_tool(root, "index", "--check") == 1
        assert wanted_problem in capsys.readouterr().out
        assert run_tool(root, "index") == 0
        assert wanted_action in capsys.readouterr().out
        assert run_tool(root, "index", "--check") == 0
        capsys.readouterr()

    chapter.write_text(
        chapter.read_text(encoding="utf-8").replace("and a reference", "and one reference"),
        encoding="utf-8",
    )
    steps("its text is not that of the chapter", "translated")
    assert "one reference" in twin.read_text(encoding="utf-8")
    chapter.write_text(
        chapter.read_text(encoding="utf-8").replace('print("index")', 'print("changed")'),
        encoding="utf-8",
    )
    steps("changed since it was run", "run (slowest")
    assert '"changed\\n"' in twin.read_text(encoding="utf-8")
    (root / "nodule_lesson").mkdir()
    (root / "nodule_lesson" / "std.js").write_text("1", encoding="utf-8")
    steps("changed since it was run", "run (slowest")
    (root / "book" / "results").mkdir()
    (root / "book" / "results" / "numbers.json").write_text("{}", encoding="utf-8")
    steps("changed since it was run", "run (slowest")
    # A number of another chapter that this one refers to.
    first = root / "book" / "first.md"
    first.write_text(
        first.read_text(encoding="utf-8").replace("```{math}", "$$ n $$ (eq-new)\n\n```{math}", 1),
        encoding="utf-8",
    )
    steps("its text is not that of the chapter", "translated")
    assert "[(1.2)]" in twin.read_text(encoding="utf-8")
    twin.write_text(twin.read_text(encoding="utf-8").replace("sample", "simple"), encoding="utf-8")
    steps("its text is not that of the chapter", "translated")
    twin.unlink()
    steps("there is no twin", "run (slowest")
    (root / "book" / "orphan.ipynb").write_text("{}", encoding="utf-8")
    assert run_tool(root, "--check") == 1
    assert "orphan.ipynb ... belongs to no chapter" in capsys.readouterr().out


def test_a_failing_cell_names_its_line(sample, tmp_path, capsys):
    root = tmp_path / "book"
    shutil.copytree(sample, root, ignore=shutil.ignore_patterns("_build"))
    chapter, twin = root / "book" / "index.md", root / "book" / "index.ipynb"
    before, text = twin.read_bytes(), chapter.read_text(encoding="utf-8")
    line = text.split("\n").index('print("index")')  # of the fence above, counted from one
    for code, problem in {
        "1 / 0": "this cell raises ZeroDivisionError: division by zero",
        "import sys\nprint('oh', file=sys.stderr)": "this cell writes to stderr: 'oh'",
        "print(object())": "'at 0x",
        "import os\nprint(os.getcwd())": str(root),
    }.items():
        chapter.write_text(text.replace('print("index")', code), encoding="utf-8")
        assert run_tool(root, "index") == 1
        out = capsys.readouterr().out
        assert f"book/index.md:{line}: " in out and problem in out
        assert twin.read_bytes() == before  # the last good one stays


def output(data, **metadata):
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def test_figures_are_not_kept():
    live = "<div data-live-figure='std_explorer'></div>"
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="0.5\n"),
        output({"image/png": "abc", "text/plain": "<Figure size 100x100>"}, needs_background="x"),
        output({"text/html": live, "text/plain": "a figure",
                "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}),
        output({"text/html": "<table></table>", "text/plain": "a table"}),
        output({twins.GLUE + "text/plain": "'1'"}, scrapbook={"name": "n"}),
    ]  # fmt: skip
    kept = twins.kept_outputs(outputs, Cell("code", ""))
    assert [dict(o.get("data", {"text": o.get("text")})) for o in kept] == [
        {"text": "0.5\n"},
        {"text/plain": "a figure"},
        {"text/html": "<table></table>", "text/plain": "a table"},
        {twins.GLUE + "text/plain": "'1'"},
    ]
    assert [o.get("metadata") for o in kept[1:]] == [{}, {}, {"scrapbook": {"name": "n"}}]


def test_a_checked_cell_shows_no_figure():
    image = output({"image/png": "abc"})
    with pytest.raises(ValueError, match="shows text alone"):
        twins.kept_outputs([image], Cell("code", "", tags=["nbval-check-output"]))


@pytest.mark.parametrize("text", ["{eq}`a`", "a {cite:t}`b`", ":::{note}", "```{math}"])
def test_markdown_that_a_cell_puts_out_is_plain(text):
    kept = twins.kept_outputs([output({"text/markdown": "| $a$ |"})], Cell("code", ""))
    assert kept[0].data == {"text/markdown": "| $a$ |"}
    with pytest.raises(ValueError, match="MyST"):
        twins.kept_outputs([output({"text/markdown": text})], Cell("code", ""))


@pytest.mark.parametrize("count", [0, 2])
def test_a_caption_belongs_to_one_figure(count):
    cell = Cell("code", "", figure={"caption": "A"})
    glue = output({twins.GLUE + "text/plain": "'1'"}, scrapbook={"name": "n"})
    with pytest.raises(ValueError, match=f"shows one thing, found {count}"):
        twins.kept_outputs([output({"image/png": "abc"})] * count + [glue], cell)


def test_expected_warnings_and_errors():
    warning = nbformat.v4.new_output("stream", name="stderr", text="careful")
    error = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["/a/path"])
    kept = twins.kept_outputs([warning, error], Cell("code", "", tags=["allow-stderr"]))
    assert [o.output_type for o in kept] == ["error"] and kept[0].traceback == ["E: v"]


# --- nbval -------------------------------------------------------------------------------------


def nbval(path):
    """True where nbval finds the notebook's checked outputs again."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q",
               "-p", "no:cacheprovider", "--rootdir", str(path.parent), "-c", "/dev/null",
               "-o", "addopts=", str(path)]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    if result.returncode:
        assert "Cell outputs differ" in result.stdout, result.stdout
    return result.returncode == 0


def with_another_digit(notebook):
    """The notebook with one digit of a checked cell's output changed."""
    for cell in notebook.cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            for out in cell.outputs:
                if re.search(r"\d", out.get("text", "")):
                    digit = re.search(r"\d", out.text)
                    other = str((int(digit[0]) + 1) % 10)
                    out.text = out.text[: digit.start()] + other + out.text[digit.end() :]
                    return notebook
    raise AssertionError("no checked cell puts out a number")


def test_nbval_finds_a_changed_number(sample, tmp_path):
    path = tmp_path / "second.ipynb"
    notebook = read_twin(sample, "second")
    nbformat.write(notebook, path)
    assert nbval(path)
    nbformat.write(with_another_digit(notebook), path)
    assert not nbval(path)


# --- the chapters ------------------------------------------------------------------------------


def chapter_names():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    return [Path(name).name for name in files if "{code-cell}" in text_of(name)]


def text_of(name):
    path = ROOT / f"{name}.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def book():
    return open_book(ROOT)


@pytest.fixture(params=chapter_names())
def chapter(request, book):
    return book.documents[f"book/{request.param}"]


@pytest.fixture
def twin(chapter):
    path = ROOT / "book" / f"{chapter.name}.ipynb"
    assert path.exists(), f"there is no {path.name}: make notebooks writes it"
    return nbformat.read(path, as_version=4)


def test_code_is_the_chapters_own(chapter, twin):
    text = chapter.path.read_text(encoding="utf-8")
    # A gated solution is left out, its code too.
    text = re.sub(r"```+\{solution-start\}.*?```+\{solution-end\}\s*```+", "", text, flags=re.S)
    notebook = jupytext.reads(text, fmt="md:myst")
    own = [(cell.source, cell.metadata.get("tags", []))
           for cell in notebook.cells if cell.cell_type == "code"]  # fmt: skip
    code = [cell for cell in twin.cells if cell.cell_type == "code"]
    assert "find_spec" in code[0].source
    assert [(cell.source, cell.metadata.get("tags", [])) for cell in code[1:]] == own
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_text_is_the_chapters_own(book, chapter, twin):
    cells = twins.twin_cells(book, chapter, twins.glued(twin))
    assert [(cell.cell_type, cell.source) for cell in twin.cells] == [
        (cell.kind, cell.source) for cell in cells
    ]


def test_numbers_are_those_of_the_built_book(book, site):
    assert same_numbers(book, read_pages(site / "book")) >= {"equation", "exercise", "figure"}


def test_no_myst_is_left(twin):
    left = re.compile(r"```+\{|:::|\{[\w:+-]+\}`|^\([\w-]+\)=|^\+\+\+|^% ", re.M)
    for cell in twin.cells:
        if cell.cell_type == "markdown":
            assert not left.search(cell.source), cell.source


def test_no_solution_is_told(chapter, twin):
    text = chapter.path.read_text(encoding="utf-8")
    solutions = re.findall(r"^(`{3,})\{solution\}[^\n]*\n(.*?)^\1$", text, re.S | re.M)
    solutions += re.findall(r"()\{solution-start\}[^\n]*\n(.*?)\{solution-end\}", text, re.S)
    source = "\n".join(cell.source for cell in twin.cells)
    for _, solution in solutions:
        # Its code may call what a cell of the exercise calls; its words stand nowhere else.
        words = re.sub(r"^```.*?^```$", "", solution, flags=re.S | re.M)
        words = re.sub(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|`[^`]*`", "\n", words)
        for phrase in re.split(r"\n+", words):
            assert len(phrase) < 30 or phrase not in source
    if chapter.number:
        assert solutions and source.count("*[Solution to Exercise") == len(solutions)


def test_outputs_are_text(twin):
    assert "widgets" not in twin.metadata
    content = json.dumps(twin)
    for unwanted in ("image/png", "image/svg", "widget-view", "data-live-figure", "<Figure size"):
        assert unwanted not in content
    for found in re.findall(r'"(?:/[\w.-]+){2,}', content):
        assert found.startswith('"/content'), f"{found} is a path of one machine"


def test_numbers_are_checked(chapter, twin):
    checked = [cell for cell in twin.cells
               if "nbval-check-output" in cell.metadata.get("tags", [])]  # fmt: skip
    if chapter.number:
        assert len(checked) >= 2
    assert all(cell.outputs for cell in checked)


def test_nbval_finds_a_changed_number_of_a_chapter(book, tmp_path):
    chapter = next(c for c in book.chapters if c.number and c.has_code)
    notebook = nbformat.read(ROOT / "book" / f"{chapter.name}.ipynb", as_version=4)
    if (ROOT / "book" / "results").exists():
        shutil.copytree(ROOT / "book" / "results", tmp_path / "results")
    path = tmp_path / f"{chapter.name}.ipynb"
    nbformat.write(with_another_digit(notebook), path)
    assert not nbval(path)
