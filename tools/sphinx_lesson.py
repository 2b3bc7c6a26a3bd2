"""What this book asks of Sphinx beyond its settings in _config.yml.

The public address of the pages, a table of the chapters, a list of their live figures, quizzes,
the paper's claims, names of folded cells, a search that knows the spellings of symbols, docstrings
in plain text, a bibliography labelled as it is cited, a section on how to cite the lesson, and
pages without the scripts of a kernel service that the book does not use.
"""

import os
import re
from pathlib import Path

import chapters
import citation
from address import pages_address, repository_address
from dark_figures import add_dark_images
from docutils import nodes
from docutils.statemachine import StringList
from folds import NameFolds
from jinja2 import Environment, StrictUndefined, UndefinedError
from notebook_builder import NotebookBuilder
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as UnsrtStyle
from pybtex.style.labels import BaseLabelStyle
from run_chapters import run_chapters
from search_words import SearchWords
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from nodule_lesson.files import write_whole

logger = logging.getLogger(__name__)
# The branch to which the publishing workflow writes the notebooks that the rockets open.
NOTEBOOKS = "notebooks"


def setup(app):
    # Kernels that run for the build inherit this: pages carry no state of widgets.
    os.environ["NODULE_LESSON_PAGE_ONLY"] = "1"
    # On fields as small as the book's, a second thread costs more than it gives.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # They note which files their cells use: tools/made_from.py.
    os.environ["PYTHONSTARTUP"] = str(Path(__file__).with_name("kernel_startup.py"))
    os.environ["NODULE_LESSON_ROOT"] = str(app.srcdir)
    app.add_builder(NotebookBuilder)
    app.add_post_transform(NameFolds)
    app.add_search_language(SearchWords)
    app.add_directive("chapter-table", ChapterTable)
    app.add_directive("live-figures", LiveFigures)
    app.add_directive("quiz", Quiz)
    app.add_directive("count-of-claims", CountOfClaims)
    app.add_directive("paper-claims", PaperClaims)
    app.connect("config-inited", set_address)
    app.connect("env-before-read-docs", run_chapters)
    app.connect("source-read", say_minutes)
    app.connect("source-read", put_in_teaching_notes)
    app.connect("doctree-read", add_dark_images, priority=900)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("html-page-context", launch_the_notebook, priority=900)
    app.connect("html-page-context", tidy_page, priority=900)
    app.connect("html-page-context", say_how_to_cite, priority=900)
    app.connect("build-finished", write_network)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def set_address(app, config):
    """Set what leads to the repository and to the public pages, where their address is known."""
    options, address = config.html_theme_options, repository_address(app.srcdir)
    for button in ("repository", "issues", "edit_page"):
        options[f"use_{button}_button"] = bool(address)
    if address:
        options["repository_url"] = address
        config.html_baseurl = config.ogp_site_url = pages_address(address)
        return
    logger.info("Neither GITHUB_REPOSITORY nor git's origin names a repository on GitHub, so "
                "no page leads to Colab or to the text that it was made from.")  # fmt: skip
    options["launch_buttons"] = {}


def say_minutes(app, docname, source):
    """Put in the minutes of a chapter, and on other pages the hours of all chapters together."""
    names, name = chapters.names(app.srcdir), docname.rpartition("/")[2]
    if name in names:
        reading, exercises = chapters.minutes(name, app.srcdir)
        known = {"minutes": reading, "exercise_minutes": exercises}
    elif "_hours }}" in source[0]:
        totals = map(
            sum, zip(*(chapters.minutes(name, app.srcdir) for name in names), strict=True)
        )
        known = dict(
            zip(("hours", "exercise_hours"), (round(t / 60) for t in totals), strict=True)
        )
    else:
        return
    for key, value in known.items():
        source[0] = source[0].replace(f"{{{{ {key} }}}}", str(value))


TEACHING_NOTES = "<!-- notes of all chapters -->"


def put_in_teaching_notes(app, docname, source):
    """Put a section for each chapter, with what its author wrote, into the page that asks."""
    if TEACHING_NOTES not in source[0]:
        return
    sections = []
    for number, name in enumerate(chapters.names(app.srcdir), 1):
        app.env.note_dependency(f"book/{name}.md")
        app.env.note_dependency(chapters.NOTES.format(name))
        reading, exercises = chapters.minutes(name, app.srcdir)
        sections += [
            f"(teaching-{name})=\n## {number}. {chapters.title(name, app.srcdir)}",
            f"{{doc}}`Chapter {number} <{name}>`: {reading} minutes to read, {exercises} for the "
            f"exercises. **Students need:** {chapters.head(name, app.srcdir)['needs']}.",
            re.sub("^## ", "### ", chapters.teaching(name, app.srcdir), flags=re.MULTILINE),
        ]
    source[0] = source[0].replace(TEACHING_NOTES, "\n\n".join(filter(None, sections)))


def plain_docstring(app, what, name, obj, options, lines):
    """Docstrings are written to be read in a terminal; make them safe to read as reStructuredText.

    `name` becomes code, an indented block is shown as it stands, all else is text.
    """
    converted = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if block.startswith(" "):
            converted += [".. code-block:: text", "", *block.split("\n"), ""]
            continue
        parts = re.split(r"`([^`]+)`", block)
        parts[::2] = [re.sub(r"([\\*|_<])", r"\\\1", text) for text in parts[::2]]
        parts[1::2] = [f"``{code}``" for code in parts[1::2]]
        converted += ["".join(parts), ""]
    lines[:] = "\n".join(converted).split("\n")


# --- what stands in no list: chapters and live figures ------------------------------------------


class Generated(SphinxDirective):
    """A directive that writes Markdown, and stands for what that means."""

    def run(self):
        parent = nodes.Element()
        self.state.nested_parse(StringList(list(self.lines())), self.content_offset, parent)
        return parent.children


class ChapterTable(Generated):
    """A table of all chapters: its last line is a row, filled in from the head of each of them.

    `{{ number }}` and `{{ chapter }}` are the number and the name of a chapter, `{{ minutes }}` is
    how long one reads, and the rest is what `chapters.head` gives.
    """

    has_content = True

    def lines(self):
        *lines, row = self.content
        template = Environment(undefined=StrictUndefined).from_string(row)
        for number, name in enumerate(chapters.names(self.env.srcdir), 1):
            self.env.note_dependency(f"book/{name}.md")
            try:
                head = chapters.head(name, self.env.srcdir)
                minutes, _ = chapters.minutes(name, self.env.srcdir)
                line = template.render(number=number, chapter=name, minutes=minutes, **head)
                lines.append(line)
            except (ValueError, UndefinedError) as error:
                raise self.error(f"The head of book/{name}.md: {error}") from error
        return lines


class LiveFigures(Generated):
    """The documentation of all live figures of the chapters."""

    def lines(self):
        calls = chapters.live_figures(self.env.srcdir)
        return ["```{eval-rst}", *(f".. autofunction:: {call}" for call in calls), "```"]


class Quiz(Generated):
    """The questions in the quiz.yml of a chapter, as a section of the chapter.

    Each choice is a fold, HTML's own <details>: it opens by a click or by the Enter key, without a
    script, and says whether the choice is right and why. On paper all of them are closed.
    """

    def lines(self):
        yield "Decide first. Then open your choice: it says whether it is right, and why."
        name = self.env.docname.rpartition("/")[2]
        for number, asked in enumerate(chapters.quiz(name, self.env.srcdir), 1):
            yield from ["", f"{number}. {one_line(asked['question'])}", ""]
            for letter, choice in zip("ABCD", asked["choices"], strict=False):
                text = choice.get("right") or choice["wrong"]
                verdict = "Right" if "right" in choice else "Wrong"
                yield f"   :::{{dropdown}} {letter}. {one_line(text)}"
                yield f"   **{verdict}.** {one_line(choice['because'])}"
                yield "   :::"

    def run(self):
        name = self.env.docname.rpartition("/")[2]
        self.env.note_dependency(f"nodule_lesson/chapters/{name}/quiz.yml")
        section = nodes.section(ids=["quiz"], names=["quiz"])
        section += nodes.title("", "Five questions")
        try:
            section += nodes.container("", *super().run(), classes=["quiz"])
        except ValueError as error:
            raise self.error(str(error)) from error
        return [section]


class CountOfClaims(Generated):
    """How many claims of the paper have which verdict. A fault of the ledger is an error here."""

    def run(self):
        import ledger  # and with it the experiments, which no other page needs

        root, kept = self.env.srcdir, self.env.temp_data
        self.env.note_dependency(ledger.LEDGER)
        groups = ledger.read(root)
        faults = ledger.problems(groups, root)
        if faults:
            raise self.error(f"{ledger.LEDGER}: {'; '.join(faults)}.")
        # For the groups below, read once.
        kept["claims"], kept["labels"] = ledger.judged(groups), ledger.labels(root)
        self.rows = [
            f"| **{verdict}** | {number} | {ledger.VERDICTS[verdict]} |"
            for verdict, number in ledger.count(kept["claims"]).items()
        ]
        return super().run()

    def lines(self):
        return ["| Verdict | Claims | What it means |", "|:--|--:|:--|", *self.rows]


class PaperClaims(Generated):
    """The claims of one group of the ledger, each in a box: verdict, reason, and where to look."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        groups = self.env.temp_data.get("claims", [])  # nothing where the ledger has a fault
        return [
            self.box(claim)
            for group in groups
            if group["group"] == self.arguments[0]
            for claim in group["claims"]
        ]

    def box(self, claim):
        self.claim = claim
        kind = claim["verdict"].replace(" ", "-")
        box = nodes.container("", *super().run(), classes=["claim", f"claim-{kind}"])
        box["ids"] = [f"claim-{claim['id']}"]
        return box

    def lines(self):
        claim = self.claim
        yield f"**{claim['verdict'].capitalize()}.** {one_line(claim['claim'])}"
        yield from ["", one_line(claim["why"]), ""]
        yield from (f"- {said}" for said in claim["said"])
        yield from ["", f":Paper: {'; '.join(claim['where'])}"]
        known = self.env.temp_data["labels"]
        shown = {
            "Book": [
                f"{{doc}}`{known[label][0]}` {{eq}}`{label}`"
                if known[label][1]
                else f"{{ref}}`{label}`"
                for label in claim.get("book", [])
            ],
            "Package": [f"{{py:obj}}`~{name}`" for name in claim.get("package", [])],
            "Tests": [self.source(test) for test in claim.get("tests", [])],
            "Results": [self.source(result) for result in claim.get("results", [])],
        }
        yield from (f":{name}: {', '.join(links)}" for name, links in shown.items() if links)

    def source(self, name):
        """A file of the repository, with a link where its address is known."""
        address = self.config.html_theme_options.get("repository_url")
        if not address:
            return f"`{name}`"
        kind = "blob" if "." in name else "tree"
        return f"[`{name}`]({address}/{kind}/main/{name.partition('::')[0]})"


def one_line(text):
    return " ".join(text.split())


# --- the pages ----------------------------------------------------------------------------------

THEBE_SCRIPTS = (
    r'<script type="text/x-thebe-config">.*?</script>\s*<script>kernelName = .*?</script>'
)


def launch_the_notebook(app, pagename, templatename, context, doctree):
    """The launch buttons lead to the notebook in the branch that publishing writes."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "colab" in button.get("url", ""):
                url = button["url"].replace(f"{pagename}.md", f"{pagename}.ipynb")
                button["url"] = re.sub("/blob/[^/]+/", f"/blob/{NOTEBOOKS}/", url)


def tidy_page(app, pagename, templatename, context, doctree):
    """Take out what a page should not carry.

    Jupyter Book adds sphinx-thebe's scripts to every page, though none has a kernel to talk to.
    docutils gives entries of a bibliography a role that accessibility checkers call deprecated.
    sphinx-exercise gives the content of every exercise the same id.
    MyST-NB names a folded cell otherwise than its visible text does, "Show code cell source".
    """

    def is_thebe(script):
        text = str(getattr(script, "filename", script)) + str(getattr(script, "attributes", ""))
        return "thebe" in text.lower()

    for files in ("script_files", "css_files"):
        context[files] = [file for file in context[files] if not is_thebe(file)]
    body = re.sub(THEBE_SCRIPTS, "", context.get("body", ""), flags=re.DOTALL)
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    context["body"] = re.sub(r' id="(exercise|solution)-content"', "", body)


def say_how_to_cite(app, pagename, templatename, context, doctree):
    """The first page ends in the BibTeX of the lesson and its paper, and chapters lead there."""
    first = app.config.root_doc
    if pagename == first:
        config = app.config
        context["body"] += citation.section(app.srcdir, config.copyright, config.html_baseurl)
    elif pagename.rpartition("/")[2] in chapters.names(app.srcdir):
        there = f"{app.builder.get_relative_uri(pagename, first)}#cite"
        context["body"] += f'<p class="to-cite"><a href="{there}">Cite this lesson</a></p>'


def write_network(app, exception):
    """Write the network that a page runs; it is made from the weights, so it is not committed."""
    page = "book/network_in_the_page"
    if exception or app.builder.name != "html" or page not in app.env.found_docs:
        return
    from nodule_lesson.chapters.network_in_the_page.live import NETWORK, SCRIPT
    from nodule_lesson.networks.export import as_script

    write_whole(Path(app.outdir, SCRIPT), as_script(NETWORK).encode("ascii"))


# --- the bibliography ---------------------------------------------------------------------------


class AuthorYearLabels(BaseLabelStyle):
    """Labels as the text cites them: "Liu et al. (2022)"."""

    def format_labels(self, sorted_entries):
        for entry in sorted_entries:
            names = [" ".join(p.prelast_names + p.last_names) for p in entry.persons["author"]]
            if len(names) > 2:
                names = [f"{names[0]} et al."]
            yield f"{' and '.join(names)}, {entry.fields['year']}"


class LessonStyle(UnsrtStyle):
    default_sorting_style = "author_year_title"
    default_label_style = AuthorYearLabels


register_plugin("pybtex.style.formatting", "lesson", LessonStyle)
