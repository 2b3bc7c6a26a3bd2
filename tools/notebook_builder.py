"""The Sphinx builder "notebooks": each chapter with code as a notebook for Jupyter and Colab.

It walks the document from which Sphinx makes the page, with all numbers, references and glued
values, and writes it in plain Markdown, since Colab shows no directives, citations and figure
numbers. Its links lead to files beside it; `tools/notebooks.py --publish` lets them lead to the
pages. The code cells are the chapter's; their outputs are those of the build's execution, kept
as text. Images, live figures, the state of widgets and glue are left out: Colab makes them again.
Solutions and quizzes are replaced by links to the page. Cells tagged remove-cell, which hold the
text to its numbers, are left out; the code of plots, which the page folds, is folded here as well.

A node without a method here stops the build, so that nothing is lost silently. To allow another
one, write `block_NAME` or `inline_NAME` with the name of its class.
"""

import hashlib
import html
import json
import re
from pathlib import Path

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from made_from import fingerprint, recorded
from markdown_it import MarkdownIt
from sphinx.builders import Builder
from sphinx.errors import SphinxError

MYST = re.compile(r"\{[A-Za-z][\w:+.-]*\}`|[:`]{3,}\{")
ENVIRONMENT = re.compile(r"\\begin\{([^}]*)\}(?:(?!\\begin).)*?\\end\{\1\}")
MARKDOWN = MarkdownIt("commonmark")
FOLDED_TAGS = {"hide-input", "remove-input", "hide-cell"}
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # on Colab, in JupyterLab
INSTALL = """\
# Installs the package of the lesson where it is missing, as on Colab.
import importlib.util
import os

if importlib.util.find_spec("nodule_lesson") is None:
    lesson = os.environ.get("NODULE_LESSON_SOURCE", "")
    if not lesson:
        raise RuntimeError("nodule_lesson is not installed: NODULE_LESSON_SOURCE names no source.")
    %pip install -q "nodule-lesson[notebook] @ {lesson}"
    importlib.invalidate_caches()
    if importlib.util.find_spec("nodule_lesson") is None:
        raise RuntimeError("nodule_lesson was not installed; pip says above what went wrong.")"""
OPENING = """\
# {title}

[Read this chapter in the book]({url}):
there the live figures need no kernel, and the exercises have their solutions. This notebook runs
the same code. For teaching only, not for clinical use."""


class NotebookBuilder(Builder):
    name = "notebooks"
    format = ""  # so that Sphinx applies no transformation for HTML or LaTeX

    def init(self):
        self.root = Path(self.srcdir)

    def get_outdated_docs(self):
        return self.env.found_docs

    def get_target_uri(self, docname, typ=None):
        """The file beside the notebook: another notebook, or the text of a page without code."""
        name = docname.rpartition("/")[2]
        return f"{name}.ipynb" if self.executed(docname).exists() else f"{name}.md"

    def get_relative_uri(self, from_, to, typ=None):
        return self.get_target_uri(to)

    def prepare_writing(self, docnames):
        """Open the cache of outputs, and find the addresses of the cited works."""
        self.cache = get_cache(self.env.mystnb_config.execution_cache_path)
        self.works = {}
        for citation in self.env.get_domain("cite").citations:
            page = self.get_target_uri(citation.bibliography_key.docname)
            self.works[f"{page}#{citation.citation_id}"] = address_of_work(citation.entry.fields)

    def write_doc(self, docname, doctree):
        """Write the notebook of a chapter; a page without code has none."""
        source = self.executed(docname)
        if not source.exists():
            return
        _, executed = self.cache.merge_match_into_notebook(nbformat.read(source, as_version=4))
        notebook = Chapter(self, docname, doctree, executed).notebook()
        nbformat.validate(notebook)
        path = Path(self.outdir, f"{docname}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        path.write_text(text, encoding="utf-8", newline="\n")

    def executed(self, docname):
        """The path at which the builder of the pages has left a chapter's cells."""
        return Path(self.outdir).parent / "jupyter_execute" / f"{docname}.ipynb"

    def made_from(self, docname, executed):
        """{file: hash} of the chapter's text and of the files that its cells used."""
        text = f"{docname}.md"
        used = recorded(self.root, executed)
        if used is None:
            raise SphinxError(f"{text}: it is not known what its cells used; make clean, build.")
        return {text: fingerprint(self.root / text), **used}


def address_of_work(fields):
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    return fields.get("url", "")


class Chapter:
    """The translation of one chapter into a notebook."""

    def __init__(self, builder, docname, doctree, executed):
        self.builder, self.docname = builder, docname
        self.doctree, self.executed = doctree, executed
        self.url = f"{docname.rpartition('/')[2]}.md"
        # The line in which each cell begins, counted from one.
        self.lines = [line + 1 for line in executed.metadata["source_map"]]
        self.numbers = builder.env.toc_fignumbers.get(docname, {})

    def fail(self, problem, node=None, line=None):
        while line is None and node is not None:
            line, node = node.line, node.parent
        raise SphinxError(f"{self.docname}.md:{line or 1}: {problem}.")

    # --- the cells ----------------------------------------------------------------------------

    def notebook(self):
        title, texts, captions = self.contents()
        cells = [nbformat.v4.new_markdown_cell(OPENING.format(title=title, url=self.url))]
        cells.append(nbformat.v4.new_code_cell(INSTALL, execution_count=1))
        count = 1
        for index, (cell, line) in enumerate(zip(self.executed.cells, self.lines, strict=True)):
            if cell.cell_type == "code":
                code = self.code_cell(cell, line, index in captions)
                if "remove-cell" not in code.metadata.get("tags", []):
                    count += 1
                    cells.append(counted(code, count))
            markdown = captions[index] if index in captions else paragraphs(texts.get(index, []))
            if markdown:
                cells.append(nbformat.v4.new_markdown_cell("\n".join(markdown)))
        for position, cell in enumerate(cells):  # ids depend only on the content
            identity = f"{position}\n{cell.source}".encode()
            cell["id"] = hashlib.sha256(identity).hexdigest()[:12]
        metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "nodule_lesson": {"made_from": self.builder.made_from(self.docname, self.executed)},
        }
        if "accelerator" in self.executed.metadata:
            metadata["accelerator"] = self.executed.metadata["accelerator"]
        return nbformat.v4.new_notebook(cells=cells, metadata=metadata)

    def code_cell(self, cell, line, has_caption):
        tags = list(cell.metadata.get("tags", []))
        new = nbformat.v4.new_code_cell(cell.source)
        if tags:
            new.metadata["tags"] = tags
        if FOLDED_TAGS & set(tags):
            new.metadata.update(FOLDED)
        try:
            new.outputs = kept_outputs(cell.outputs, tags, has_caption)
        except ValueError as error:
            self.fail(error, line=line)
        machine_dependent = re.escape(str(self.builder.root)) + r"|\bat 0x[0-9a-f]{6,}"
        match = re.search(machine_dependent, json.dumps(new.outputs))
        if match:
            self.fail(f"this cell puts out {match[0]!r}, which differs elsewhere", line=line)
        return new

    def contents(self):
        """The title, and {index of a cell: blocks of text} and {index of a cell: caption}.

        Sphinx's document has no cells of text and no cells tagged remove-cell: the line in which a
        block begins tells to which cell it belongs.
        """
        title, texts, captions = "", {}, {}
        index = 0
        for node in flat(self.doctree.children):
            if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
                index = node["cell_index"]
                for figure in node.findall(nodes.figure):
                    captions[index] = self.caption(figure)
                continue
            while node.line and self.lines[index + 1 :] and self.lines[index + 1] <= node.line:
                index += 1
            if isinstance(node, nodes.title) and not title:
                title = self.inline(node)
                continue
            block = self.block(node)
            if block and self.executed.cells[index].cell_type == "code":
                self.fail("this text stands in a code cell", node)
            texts.setdefault(index, []).append(block)
        return title, texts, captions

    def number(self, kind, node):
        return ".".join(map(str, self.numbers[kind][node["ids"][0]]))

    def caption(self, figure):
        """The caption of a figure with its number, in italics."""
        name = self.builder.config.numfig_format["figure"] % self.number("figure", figure)
        caption = next(figure.findall(nodes.caption))
        text = f"{name}. {' '.join(self.inline(caption).split())}"
        mark = "_" if "*" in text else "*"
        return [f"{mark}{text}{mark}"]

    # --- blocks, as lists of lines ------------------------------------------------------------

    def block(self, node):
        method = getattr(self, f"block_{type(node).__name__}", None)
        if method is None:
            self.fail(f"a {type(node).__name__} has no translation in notebook_builder.py", node)
        return method(node)

    def blocks(self, children):
        return paragraphs([self.block(child) for child in children])

    def nothing(self, node):
        return []

    block_target = block_meta = block_compound = nothing

    def block_raw(self, node):
        if "thebe" not in node.astext() and "kernelName" not in node.astext():
            self.fail("raw HTML has no translation in notebook_builder.py", node)
        return []  # the scripts that tools/sphinx_lesson.py also removes from pages

    def block_paragraph(self, node):
        return at_line_start(self.inline(node)).split("\n")

    def block_title(self, node):
        if type(node.parent).__name__ == "exercise_enumerable_node":
            name = node["title"] % self.number("exercise", node.parent)
            return [f"**{name}**{self.inline(node)}"]
        depth, above = 0, node.parent
        while above is not None:
            depth, above = depth + isinstance(above, nodes.section), above.parent
        return [f"{'#' * depth} {self.inline(node)}"]

    def block_solution_node(self, node):
        if any(code.get("nb_element") for code in node.findall(nodes.container)):
            self.fail("a code cell in a solution would be shown in the notebook", node)
        url = f"{self.url}#{node['target_label']}"
        return [f"*[{node['title']}, in the book]({url})*"]

    def block_math_block(self, node):
        """On one line, since in a quote Jupyter takes the > of more lines into the formula."""
        tex = " ".join(re.sub(r"(?<!\\)%.*", "", node.astext()).split())
        if "\n\n" in node.astext() or re.search(r"\\begin\{(align|equation|gather)\*?\}", tex):
            self.fail("write aligned or gathered inside a formula, and no blank line", node)
        outside, count = tex, 1
        while count:
            outside, count = ENVIRONMENT.subn("", outside)
        # Sphinx adds an alignment if there are line breaks outside environments; Jupyter does not.
        if "\\\\" in outside or re.search(r"(?<!\\)&", outside):
            tex = f"\\begin{{aligned}} {tex} \\end{{aligned}}"
        if node.get("label"):
            tex += f" \\tag{{{self.number('displaymath', node)}}}"
        return [f"$$ {tex} $$"]

    def block_literal_block(self, node):
        code = node.astext().rstrip("\n").split("\n")
        return [f"```{node.get('language', '')}", *code, "```"]

    def block_bullet_list(self, node):
        return self.items(node, lambda number: "-")

    def block_enumerated_list(self, node):
        return self.items(node, lambda number: f"{node.get('start', 1) + number}.")

    def items(self, node, mark):
        """The items of a list, without blank lines between them if each is one paragraph."""
        items = []
        for number, item in enumerate(node.children):
            lead = mark(number) + " "
            lines = self.blocks(item.children)
            items.append([(" " * len(lead) if i else lead) + line if line else ""
                          for i, line in enumerate(lines)])  # fmt: skip
        if all(len(item.children) == 1 for item in node.children):
            return sum(items, [])
        return paragraphs(items)

    def block_admonition(self, node):
        title, *rest = node.children
        return quote([f"**{self.inline(title)}**", "", *self.blocks(rest)])

    def block_note(self, node):
        name = type(node).__name__.capitalize()
        return quote([f"**{name}**", "", *self.blocks(node.children)])

    block_important = block_warning = block_note

    def block_container(self, node):
        if "quiz" in node["classes"]:
            return [f"*[Answer them in the book]({self.url}#quiz)*"]
        if node.get("design_component") != "dropdown":
            self.fail("this container has no translation in notebook_builder.py", node)
        title, *rest = node.children
        # The line of <summary> must be HTML, since no Markdown is read in it.
        pieces = re.split(r"(\$(?:\\.|[^$\\])+\$)", " ".join(self.inline(title).split()))
        pieces = [html.escape(piece, quote=False) if piece.startswith("$")
                  else MARKDOWN.renderInline(piece) for piece in pieces]  # fmt: skip
        summary = "".join(pieces)
        return [f"<details><summary>{summary}</summary>", "", *self.blocks(rest), "", "</details>"]

    def block_table(self, node):
        rows = []
        for row in node.findall(nodes.row):
            rows.append([" ".join(self.inline(part) for part in cell.children).replace("|", "\\|")
                         for cell in row.children])  # fmt: skip
            if isinstance(row.parent, nodes.thead):
                rows.append([rule(cell) for cell in row.children])
        return ["| " + " | ".join(row) + " |" for row in rows]

    # --- text inside a paragraph --------------------------------------------------------------

    def inline(self, node):
        """The text of a node's children, in Markdown."""
        text = ""
        for child in node.children:
            method = getattr(self, f"inline_{type(child).__name__}", None)
            if method is None:
                name = type(child).__name__
                self.fail(f"a {name} in a text has no translation in notebook_builder.py", child)
            text += method(child)
        return text

    inline_inline = inline

    def inline_Text(self, node):
        """Plain text, with all characters escaped that Markdown or Jupyter would read as marks."""
        text = re.sub(r"\\(?=[!-/:-@\[-`{-~])|[*`$]|<(?=[A-Za-z/!?])|&(?=[#\w]+;)", r"\\\g<0>",
                      node.astext())  # fmt: skip
        text = re.sub(r"(?<![^\W_])_|_(?![^\W_])|\](?=\()|~~", r"\\\g<0>", text)
        return text

    def inline_math(self, node):
        return f"${' '.join(node.astext().split())}$"

    def inline_literal(self, node):
        if any(isinstance(child, nodes.Element) for child in node.children):
            return self.inline(node)  # the number of a reference
        code = node.astext()
        fence = "`" * (1 + max(map(len, re.findall("`+", code)), default=0))
        pad = " " if "`" in code[:1] + code[-1:] else ""
        return f"{fence}{pad}{code}{pad}{fence}"

    def inline_emphasis(self, node):
        return f"*{self.inline(node)}*"

    def inline_strong(self, node):
        return f"**{self.inline(node)}**"

    def inline_reference(self, node):
        """A link; a reference to a numbered element of this chapter becomes its number."""
        text = self.inline(node)
        if "refid" in node:
            is_section = any("std-ref" in inner["classes"] for inner in node.findall(nodes.inline))
            return f"[{text}]({self.url}#{node['refid']})" if is_section else text
        uri = self.builder.works.get(node["refuri"], node["refuri"])
        return f"[{text}]({uri})" if uri else text

    inline_number_reference = inline_reference


# --- the text -----------------------------------------------------------------------------------


def flat(children):
    """The blocks of a text and the code cells in their order.

    Sections are replaced by their blocks, and so are exercises, which may contain code cells.
    """
    for child in children:
        if isinstance(child, nodes.section):
            yield from flat(child.children)
        elif type(child).__name__ == "exercise_enumerable_node":
            yield child.children[0]
            yield from flat(child.children[1:])
        else:
            yield child


def paragraphs(blocks):
    """The lines of the blocks, with a blank line between two; empty blocks are left out."""
    lines = []
    for block in blocks:
        if block:
            lines += ["", *block] if lines else block
    return lines


def quote(lines):
    return [f"> {line}".rstrip() for line in lines]


def at_line_start(text):
    """The text of a paragraph, escaped where a line looks like a heading, list or quotation."""
    text = re.sub(r"^([#>+=-]+)(?=\s|$)", r"\\\1", text, flags=re.M)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text, flags=re.M)


def rule(cell):
    """The alignment of a column, for the line below the head of a table."""
    classes = cell.get("classes", [])
    return "---:" if "text-right" in classes else ":-:" if "text-center" in classes else "---"


# --- outputs ------------------------------------------------------------------------------------


def kept_outputs(outputs, tags, has_caption):
    """The outputs of a cell without figures.

    Raises ValueError for output on stderr that is not allowed, for MyST in Markdown, for a caption
    with more or less than one output, and for a figure in a cell tagged nbval-check-output.
    """
    kept, shown, figures = [], 0, 0
    for output in in_one_piece(outputs):
        if output.output_type == "stream":
            if output.name == "stdout":
                kept.append(output)
            elif "allow-stderr" not in tags:
                raise ValueError(f"this cell writes to stderr: {output.text.strip()[:300]!r}")
        elif "scrapbook" not in output.metadata:  # otherwise it is glue, a number for the text
            text = text_of(output.data)
            if MYST.search(text.get("text/markdown", "")):
                raise ValueError("this cell puts out Markdown with MyST in it, raw in a notebook")
            shown += 1
            figures += text != output.data
            if text:
                kept.append(nbformat.from_dict({**output, "data": text, "metadata": {}}))
    if has_caption and shown != 1:
        raise ValueError(f"a cell with a caption shows one thing, found {shown}")
    if figures and "nbval-check-output" in tags:
        raise ValueError("a cell tagged nbval-check-output shows text alone, found a figure")
    return kept


def counted(cell, count):
    """The cell as the one that was run at this place."""
    for numbered in (cell, *cell.outputs):
        if "execution_count" in numbered:
            numbered.execution_count = count
    return cell


def in_one_piece(outputs):
    """The outputs with each stream joined, as on the page; a kernel cuts it at random places."""
    joined, streams = [], {}
    for output in outputs:
        if output.output_type == "stream" and output.name in streams:
            streams[output.name].text += output.text
        else:
            joined.append(output)
            if output.output_type == "stream":
                streams[output.name] = output
    return joined


def text_of(data):
    """A mime bundle without images, live figures and views of widgets."""
    images = any(mime.startswith("image/") for mime in data)
    return {
        mime: content
        for mime, content in data.items()
        if not mime.startswith(("image/", "application/vnd.jupyter.widget"))
        and not (mime == "text/html" and "data-live-figure" in content)
        and not (mime == "text/plain" and images and content.startswith("<Figure size"))
    }
