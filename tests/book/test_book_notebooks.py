"""The notebooks beside the chapters: what they say, what they were made from, what the pages say.

tools/notebook_builder.py makes them while the book is built, tools/notebooks.py brings them beside
the chapters.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import chapters
import jupytext
import nbformat
import notebook_builder
import notebooks
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt
from sphinx.errors import SphinxError

ROOT = Path(__file__).resolve().parents[2]

DOCNAMES = notebooks.chapters(ROOT)
# The first page and the pages for the curious have no exercises, and check what they like.
NUMBERED = [f"book/{name}" for name in chapters.names(ROOT)]


@pytest.fixture(params=DOCNAMES)
def docname(request):
    return request.param


@pytest.fixture
def kept(docname):
    """The notebook as it is committed."""
    path = ROOT / f"{docname}.ipynb"
    assert path.exists(), f"there is no {path.name}: make notebooks writes it"
    return nbformat.read(path, as_version=4)


@pytest.fixture
def made(docname, site):
    """The path of the notebook as the build has made it."""
    return site.parent / "notebooks" / f"{docname}.ipynb"


# --- notebook and page ------------------------------------------------------------------------

FORMULA = re.compile(r"(?<!\\)\$\$(.+?)\$\$|(?<!\\)\$((?:\\.|[^$\\])+)\$", re.DOTALL)
# What Sphinx and Jupyter put around a formula, each in its way; and comments.
AROUND = re.compile(r"\\(begin|end)\{(split|aligned)\}|\\[\[\]()]|(?<!\\)%.*")
LEFT_OUT = (
    "h1, .headerlink, .cell_input, .cell_output > :not(figure), .cell > details > summary, "
    ".solution > section, .section-number, .toctree-wrapper, .prev-next-footer, script, "
    ".to-cite, #cite"
)


def formula(tex):
    return "".join(AROUND.sub("", tex).split()).replace("`", "'")


def text_of_page(path):
    """What stands on a page, without spaces; of code, outputs and solutions nothing."""
    page = BeautifulSoup(path.read_bytes(), "html.parser").select_one("article")
    for element in page.select(LEFT_OUT):
        element.decompose()
    for element in page.select("figcaption .caption-number"):
        element.string = f"{element.text.strip()}. "
    for element in page.select(".solution > .admonition-title"):
        element.string = f"{element.text.strip()}, in the book"
    for element in page.select(".quiz"):
        element.string = "Answer them in the book"
    for element in page.select(".math"):
        number = element.select_one(".eqno")
        tag = ""
        if number:
            tag = f"\\tag{{{re.search('[0-9.]+', number.text)[0]}}}"
            number.decompose()
        element.string = formula(element.text) + tag
    return "".join(page.text.split())


def text_of_notebook(notebook):
    """What Jupyter shows of a notebook's text behind the installation, without spaces."""
    markdown = MarkdownIt("commonmark").enable("table")
    pieces = []
    for cell in notebook.cells[2:]:
        if cell.cell_type == "markdown":
            source = FORMULA.sub(lambda m: f"`{formula(m[1] or m[2])}`", cell.source)
            pieces.append(BeautifulSoup(markdown.render(source), "html.parser").text)
    return "".join("".join(pieces).split())


def test_a_notebook_reads_as_its_page(docname, site, made):
    page = text_of_page(site / f"{docname}.html")
    assert text_of_notebook(nbformat.read(made, as_version=4)) == page


def test_links_lead_to_what_there_is_on_the_pages(site, made):
    anchors = {}
    for cell in nbformat.read(made, as_version=4).cells:
        if cell.cell_type != "markdown":
            continue
        for link in re.findall(r"\]\(([^)\s]+)\)", cell.source):
            if re.match("https?://", link):
                continue
            file, _, anchor = link.partition("#")
            assert (ROOT / "book" / file).is_file(), link
            page = Path(file).with_suffix(".html")
            if page not in anchors:
                html = BeautifulSoup((site / "book" / page).read_bytes(), "html.parser")
                anchors[page] = {element["id"] for element in html.select("[id]")}
            assert not anchor or anchor in anchors[page], link


def test_the_committed_notebook_is_that_of_the_build(docname, made):
    kept = notebooks.stable(ROOT / f"{docname}.ipynb")
    assert kept == notebooks.stable(made), f"{docname}.ipynb is out of date: make notebooks"


# --- what the committed notebooks hold --------------------------------------------------------


def test_code_is_the_chapters_own(docname, kept):
    chapter = jupytext.read(ROOT / f"{docname}.md", fmt="md:myst")
    own = [(cell.source, cell.metadata.get("tags", []))
           for cell in chapter.cells if cell.cell_type == "code"
           and "remove-cell" not in cell.metadata.get("tags", [])]  # fmt: skip
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert "find_spec" in code[0].source
    assert [(cell.source, cell.metadata.get("tags", [])) for cell in code[1:]] == own
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_opening_cells(docname, kept):
    title, install = kept.cells[:2]
    assert re.match(r"# .+\n\n\[Read this chapter in the book\]\(", title.source)
    assert f"]({Path(docname).name}.md)" in title.source
    assert 'os.environ.get("NODULE_LESSON_SOURCE", "")' in install.source
    assert '%pip install -q "nodule-lesson[notebook] @ {lesson}"' in install.source
    code = TransformerManager().transform_cell(install.source)
    compile(code, "install", "exec")
    assert "get_ipython().run_line_magic('pip'" in code
    assert install.outputs == []  # the package is here


def test_metadata(docname, kept):
    chapter = jupytext.read(ROOT / f"{docname}.md", fmt="md:myst")
    accelerator = {"accelerator"} & set(chapter.metadata)
    assert set(kept.metadata) == {"kernelspec", "language_info", "nodule_lesson"} | accelerator
    for name in accelerator:
        assert kept.metadata[name] == chapter.metadata[name]
    assert {f"{docname}.md", "constraints.txt"} < set(kept.metadata.nodule_lesson.made_from)
    identities = [cell.id for cell in kept.cells]
    assert len(set(identities)) == len(identities)


def test_what_the_page_folds_is_folded_in_jupyterlab_and_on_colab(kept):
    for cell in kept.cells:
        folds = {"hide-input", "remove-input", "hide-cell"} & set(cell.metadata.get("tags", []))
        folded = {"cellView": "form", "jupyter": {"source_hidden": True}} if folds else {}
        assert {key: cell.metadata[key] for key in cell.metadata if key != "tags"} == folded


def test_no_myst_is_left(kept):
    left = re.compile(r"```+\{|:::|\{[\w:+-]+\}`|^\([\w-]+\)=|^\+\+\+|^% ", re.M)
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            assert not left.search(cell.source), cell.source


def test_no_solution_is_told(docname, kept):
    text = (ROOT / f"{docname}.md").read_text(encoding="utf-8")
    solutions = re.findall(r"^(`{3,})\{solution\}[^\n]*\n(.*?)^\1$", text, re.S | re.M)
    source = "\n".join(cell.source for cell in kept.cells)
    for _, solution in solutions:
        # Its code may call what a cell of the exercise calls; its words stand nowhere else.
        words = re.sub(r"^```.*?^```$", "", solution, flags=re.S | re.M)
        words = re.sub(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|`[^`]*`", "\n", words)
        for phrase in re.split(r"\n+", words):
            assert len(phrase) < 30 or phrase not in source
    assert source.count("*[Solution to Exercise") == len(solutions)
    assert solutions or docname not in NUMBERED


def test_outputs_are_text(kept):
    content = json.dumps(kept.cells)
    unwanted = ("image/png", "image/svg", "widget-view", "data-live-figure", "<Figure size",
                "papermill")  # fmt: skip
    for name in unwanted:
        assert name not in content
    for found in re.findall(r'"(?:/[\w.-]+){2,}', content):
        assert found.startswith('"/content'), f"{found} is a path of one machine"


def test_numbers_are_checked(docname, kept):
    checked = [cell for cell in kept.cells
               if "nbval-check-output" in cell.metadata.get("tags", [])]  # fmt: skip
    if docname in NUMBERED:
        assert len(checked) >= 2
    assert all(cell.outputs for cell in checked)


# --- nbval ------------------------------------------------------------------------------------


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


def test_nbval_finds_a_changed_number(tmp_path):
    notebook = nbformat.read(ROOT / "book" / "sigmoid.ipynb", as_version=4)
    shutil.copytree(ROOT / "book" / "results", tmp_path / "results")
    path, settings = tmp_path / "sigmoid.ipynb", tmp_path / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")  # none of the repository's
    nbformat.write(with_another_digit(notebook), path)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q",
               "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", str(settings),
               "-o", "addopts=", str(path)]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Cell outputs differ" in result.stdout, result.stdout


# --- which are out of date --------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A repository with a chapter and the notebook that was made from it."""
    files = {
        "_toc.yml": "root: book/index\nchapters: [{file: book/one}]\n",
        "book/index.md": "# No code\n",
        "book/one.md": "```{code-cell} python3\n1\n```\n",
        "lesson.py": "value = 1\n",
    }
    (tmp_path / "book").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    made_from = {name: notebook_builder.fingerprint(tmp_path / name)
                 for name in ("book/one.md", "lesson.py")}  # fmt: skip
    notebook = nbformat.v4.new_notebook(metadata={"nodule_lesson": {"made_from": made_from}})
    nbformat.write(notebook, tmp_path / "book" / "one.ipynb")
    return tmp_path


def test_what_is_out_of_date_is_said_with_the_file_that_changed(small, capsys):
    assert notebooks.main(["--check"], small) == 0
    assert capsys.readouterr().out == "book/one.ipynb ... up to date\n"
    for name in ("lesson.py", "book/one.md"):
        with open(small / name, "a", encoding="utf-8") as file:
            file.write("# more\n")
        assert notebooks.main(["--check"], small) == 1
        assert name in capsys.readouterr().out
    (small / "book" / "one.ipynb").unlink()
    assert notebooks.main(["--check"], small) == 1
    assert "there is no notebook" in capsys.readouterr().out


def test_a_notebook_without_a_chapter_or_an_origin_is_found(small, capsys):
    nbformat.write(nbformat.v4.new_notebook(), small / "book" / "orphan.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), small / "book" / "one.ipynb")
    assert notebooks.main(["--check"], small) == 1
    said = capsys.readouterr().out
    assert "orphan.ipynb ... belongs to no chapter" in said
    assert "one.ipynb ... it does not say what it was made from" in said


@pytest.mark.parametrize(
    "text, copied", [("It took 23.5 seconds.", False), ("It took 22 steps.", True)]
)
def test_a_notebook_is_renewed_for_more_than_the_time_that_it_took(small, text, copied):
    kept = small / "book" / "one.ipynb"
    notebook = nbformat.read(kept, as_version=4)
    notebook.cells = [nbformat.v4.new_markdown_cell("It took 22 seconds.")]
    nbformat.write(notebook, kept)
    before = kept.read_bytes()
    made = small / "_build" / "notebooks" / "book" / "one.ipynb"
    made.parent.mkdir(parents=True)
    notebook.cells = [nbformat.v4.new_markdown_cell(text)]
    nbformat.write(notebook, made)
    assert notebooks.main([], small) == 0
    assert kept.read_bytes() == (made.read_bytes() if copied else before)


# --- the builder ------------------------------------------------------------------------------


@pytest.fixture
def chapter():
    """A chapter without a text, to translate nodes with."""
    builder = SimpleNamespace(
        env=SimpleNamespace(toc_fignumbers={}),
        works={},
    )
    executed = nbformat.v4.new_notebook(metadata={"source_map": []})
    return notebook_builder.Chapter(builder, "book/one", nodes.document(None, None), executed)


def formula_node(tex):
    return nodes.math_block(tex, tex)


def test_what_has_no_translation_stops_the_build_with_file_and_line(chapter):
    part = nodes.definition_list()
    part.line = 7
    text = nodes.paragraph("", "", nodes.superscript("", "2"))
    text.line = 8
    unaligned = formula_node("\\begin{align} a \\end{align}")
    unaligned.line = 9
    code = nodes.container(nb_element="cell_code")
    told = nodes.Element("", code)
    for call, line, problem in (
        (lambda: chapter.block(part), 7, "a definition_list has no translation"),
        (lambda: chapter.block(text), 8, "a superscript in a text has no translation"),
        (lambda: chapter.block(unaligned), 9, "write aligned"),
        (lambda: chapter.block_solution_node(told), 1, "would be shown"),
        (lambda: chapter.block(nodes.raw("", "<b>", format="html")), 1, "raw HTML"),
        (lambda: chapter.block(code), 1, "this container has no translation"),
    ):
        with pytest.raises(SphinxError, match=rf"^book/one.md:{line}: .*{problem}"):
            call()


@pytest.mark.parametrize(
    "text",
    ["5 $ and 6 $", "a_b _c_ __d__", "*a* ** b", "`a`", "\\* \\(a\\)", "<b> a < b > c", "a](b)",
     "&amp; & b", "1. a", "12) a", "# a", "- a\n+ b\n> c", "a\n===\nb\n---", "~~a~~",
     "[a, b) and [c]"],
)  # fmt: skip
def test_plain_text_stays_plain(chapter, text):
    markdown = "\n".join(chapter.block(nodes.paragraph("", text)))
    html = MarkdownIt("commonmark").enable("strikethrough").render(markdown)
    assert html.startswith("<p>") and html.count("<") == 2
    assert BeautifulSoup(html, "html.parser").text.strip() == text
    assert not FORMULA.search(markdown)


@pytest.mark.parametrize(
    "tex, wanted",
    [
        ("a\n+ b", "$$ a + b $$"),
        ("a % why\n\\% b", "$$ a \\% b $$"),
        ("a \\\\ b", "$$ \\begin{aligned} a \\\\ b \\end{aligned} $$"),
        ("a &= b", "$$ \\begin{aligned} a &= b \\end{aligned} $$"),
        ("\\begin{cases} a \\\\ b \\end{cases}", "$$ \\begin{cases} a \\\\ b \\end{cases} $$"),
    ],
)
def test_a_formula_stands_in_one_line(chapter, tex, wanted):
    assert chapter.block(formula_node(tex)) == [wanted]


# --- outputs ----------------------------------------------------------------------------------


def output(data, **metadata):
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


GLUE = output({"application/papermill.record/text/plain": "'1'"}, scrapbook={"name": "n"})


def kept_outputs(outputs, tags=(), has_caption=False):
    return notebook_builder.kept_outputs(outputs, tags, has_caption)


def test_figures_and_glue_are_not_kept():
    live = "<div data-live-figure='std_explorer'></div>"
    outputs = [
        stream("0.5\n"),
        output({"image/png": "abc", "text/plain": "<Figure size 100x100>"}, needs_background="x"),
        output({"text/html": live, "text/plain": "a figure",
                "application/vnd.jupyter.widget-view+json": {"model_id": "1"}}),
        stream("0.6\n"),
        output({"text/html": "<table></table>", "text/plain": "a table"}),
        GLUE,
    ]  # fmt: skip
    kept = kept_outputs(outputs)
    assert [dict(o.get("data", {"text": o.get("text")})) for o in kept] == [
        {"text": "0.5\n0.6\n"},
        {"text/plain": "a figure"},
        {"text/html": "<table></table>", "text/plain": "a table"},
    ]
    assert [o.get("metadata") for o in kept[1:]] == [{}, {}]


def test_a_checked_cell_shows_no_figure():
    with pytest.raises(ValueError, match="shows text alone"):
        kept_outputs([output({"image/png": "abc"})], ["nbval-check-output"])


@pytest.mark.parametrize("text", ["{eq}`a`", "a {cite:t}`b`", ":::{note}", "```{math}"])
def test_markdown_that_a_cell_puts_out_is_plain(text):
    assert kept_outputs([output({"text/markdown": "| $a$ |"})])[0].data == {
        "text/markdown": "| $a$ |"
    }
    with pytest.raises(ValueError, match="MyST"):
        kept_outputs([output({"text/markdown": text})])


@pytest.mark.parametrize("count", [0, 2])
def test_a_caption_belongs_to_one_figure(count):
    with pytest.raises(ValueError, match=f"shows one thing, found {count}"):
        kept_outputs([output({"image/png": "abc"})] * count + [GLUE], has_caption=True)


def test_warnings_are_expected_or_an_error():
    assert kept_outputs([stream("careful", "stderr")], ["allow-stderr"]) == []
    with pytest.raises(ValueError, match="writes to stderr: 'oh'"):
        kept_outputs([stream("oh", "stderr")])


@pytest.mark.parametrize("text", [f"{ROOT}/book", "<object at 0x7f00aa11bb22>"])
def test_what_differs_elsewhere_is_an_error(chapter, text):
    chapter.builder.root = ROOT
    cell = nbformat.v4.new_code_cell("1", execution_count=1, outputs=[stream(text)])
    with pytest.raises(SphinxError, match="book/one.md:3: .*differs elsewhere"):
        chapter.code_cell(cell, 3, False)
