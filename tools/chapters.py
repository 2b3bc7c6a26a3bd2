"""The chapters of the book as they stand in `_toc.yml`, and what their labels point to.

The numbers of equations, figures, tables, exercises and sections are those of the pages: Sphinx
counts in the order of the text, chapter by chapter, and so does `plain_markdown.open_book`.
"""

import posixpath
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from address import pages_address, repository_address
from jupytext.myst import myst_to_notebook
from pybtex.database import parse_file
from pybtex.richtext import Text


class TwinError(ValueError):
    """The text of a chapter cannot be made a notebook; the message begins with file and line."""


@dataclass
class Target:
    """What a label points to."""

    kind: str
    chapter: "Chapter"
    url: str
    title: str = ""
    number: str = ""


@dataclass
class Cell:
    """A cell of a chapter (`kind` is "code" or "markdown"), or of its twin."""

    kind: str
    source: str
    line: int = 0
    tags: list = field(default_factory=list)
    figure: dict = field(default_factory=dict)


@dataclass
class Chapter:
    """A text of the table of contents; `number` is None where the book does not number it."""

    docname: str
    path: Path
    number: int | None
    cells: list
    metadata: dict
    title: str = ""
    numbers: dict = field(default_factory=lambda: defaultdict(list))

    @property
    def name(self):
        return posixpath.basename(self.docname)

    @property
    def has_code(self):
        return any(cell.kind == "code" for cell in self.cells)


class Book:
    """The chapters under `root` in the order of `_toc.yml`, and what their labels point to."""

    def __init__(self, root):
        self.root = Path(root)
        self.address = repository_address(self.root)
        self.site = pages_address(self.address)
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        self.version = project["project"]["version"]
        bibliography = self.root / "book" / "references.bib"
        self.entries = parse_file(str(bibliography)).entries if bibliography.exists() else {}
        self.chapters = [self._read(docname, number) for docname, number in self._contents()]
        self.documents = {chapter.docname: chapter for chapter in self.chapters}
        self.targets = {}  # of labels; `plain_markdown.open_book` fills it

    def _contents(self):
        toc = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        yield toc["root"], None
        top = toc.get("options", {})
        parts = toc.get("parts") or [{"chapters": toc.get("chapters", [])}]
        count = 0
        for part in parts:
            numbered = {**top, **part.get("options", {}), **part}.get("numbered")
            for entry in part["chapters"]:
                if "sections" in entry or ("file" not in entry and "url" not in entry):
                    raise TwinError(f"_toc.yml: a chapter is one file or a url, found {entry}.")
                if "file" in entry:
                    count += bool(numbered)
                    yield entry["file"].removesuffix(".md"), count if numbered else None

    def _read(self, docname, number):
        path = self.root / f"{docname}.md"
        if not path.is_file():
            raise TwinError(f"_toc.yml: there is no file {docname}.md.")
        text = path.read_text(encoding="utf-8")
        lines, cells = text.splitlines(), []
        notebook = myst_to_notebook(text, add_source_map=True)
        for cell, line in zip(notebook.cells, notebook.metadata.pop("source_map"), strict=True):
            # jupytext counts code from the fence, from one; text from the blank lines above it,
            # which it drops, and from zero.
            if cell.cell_type == "markdown":
                line += 1
                while not lines[line - 1].strip():
                    line += 1
            tags, figure = cell.metadata.get("tags", []), {}
            if cell.cell_type == "code":
                figure = cell.metadata.get("mystnb", {}).get("figure") or {}
            cells.append(Cell(cell.cell_type, cell.source, line, list(tags), dict(figure)))
        return Chapter(docname, path, number, cells, dict(notebook.metadata))

    def url(self, chapter, anchor=""):
        return f"{self.site}{chapter.docname}.html" + (f"#{anchor}" if anchor else "")

    def file(self, path, kind):
        """Address of a file of the repository as of this version: `kind` is "raw" or "blob"."""
        return f"{self.address}/{kind}/v{self.version}/{path}"

    def authors(self, key):
        people = self.entries[key].persons.get("author") or self.entries[key].persons["editor"]
        names = [str(Text.from_latex(" ".join(p.prelast_names + p.last_names))) for p in people]
        if len(names) > 2:
            return f"{names[0]} et al."
        return " and ".join(names)

    def entry_url(self, key):
        fields = self.entries[key].fields
        if "doi" in fields:
            return f"https://doi.org/{fields['doi']}"
        if "eprint" in fields:
            return f"https://arxiv.org/abs/{fields['eprint']}"
        return fields.get("url", "")
