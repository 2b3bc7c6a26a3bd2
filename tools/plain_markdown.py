"""The book's MyST text as the plain Markdown that Jupyter and Colab can show.

Every directive and role that the book may use has its translation here or in `plain_inline`; any
other is an error that names file and line, so that nothing is left raw in a notebook without a
word. To allow another, write a method `do_NAME` here or `role_NAME` there, and a test.
"""

import html
import re
from collections import defaultdict
from pathlib import Path

import yaml
from chapters import Book, Cell, Target
from docutils.nodes import make_id
from markdown_it import MarkdownIt
from plain_inline import NUMBERED, Inline

ADMONITIONS = {"note", "tip", "important", "warning", "caution", "hint", "attention", "danger",
               "error", "seealso"}  # fmt: skip
DROPPED = {"index", "raw", "tableofcontents"}
PAGES_ONLY = {"bibliography", "eval-rst"}  # on pages that have no code, and so no twin
MARKDOWN = MarkdownIt("commonmark")

FENCE = re.compile(r"^(?P<indent>\s*)(?P<mark>`{3,}(?!.*`)|~{3,}|:{3,})(?P<info>.*)$")
DIRECTIVE = re.compile(r"^\{(?P<name>[^}]+)\}\s*(?P<argument>.*)$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
LABEL = re.compile(r"^\s*\((?P<label>[^()\s]+)\)=\s*$")
HEADING = re.compile(r"^(?P<level>#{1,6})\s+(?P<title>.*?)\s*#*\s*$")
QUOTE = re.compile(r"^(?P<mark>\s*> ?)(?P<text>.*)$")
DISPLAY_END = re.compile(r"^(?P<tex>.*?)\$\$\s*(?:\((?P<label>[^()]+)\))?\s*$", re.DOTALL)
BEHIND_MARK = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:`{3}|~{3}|:{3}|\$\$)", re.MULTILINE)


class Translation(Inline):
    """One pass over a chapter.

    With `counters`, the pass numbers what the book numbers and notes the labels; without them, it
    translates. `glue` maps the names of glued numbers to their text; None leaves an ellipsis.
    """

    def __init__(self, book, chapter, glue=None, counters=None):
        self.book, self.chapter, self.glue, self.counters = book, chapter, glue, counters
        self.seen = defaultdict(int)
        self.sections = []
        self.labels = []
        self.hidden = False  # inside a gated solution
        self.line = 0

    def cells(self):
        """The twin's cells; of the chapter's own only those of gated solutions are left out."""
        cells = []
        for cell in self.chapter.cells:
            self.line = cell.line
            if cell.kind == "markdown":
                source = self.markdown(cell)
                if source:
                    cells.append(Cell("markdown", source, cell.line))
            elif cell.kind == "code":
                if not self.hidden:
                    cells.append(cell)
                if cell.figure.get("caption"):
                    caption = self.caption("figure", cell.figure["caption"],
                                           cell.figure.get("name"))  # fmt: skip
                    if not self.hidden:
                        cells.append(Cell("markdown", caption, cell.line))
            else:
                self.fail(f"a chapter has Markdown and code cells, found a {cell.kind} cell")
        if self.hidden:
            self.fail("solution-start has no solution-end")
        if not cells or not cells[0].source.startswith("# "):
            self.fail("a chapter begins with its title", 1)
        return cells

    def markdown(self, cell):
        return "\n".join(self.blocks(cell.source.split("\n"), cell.line)).strip()

    # --- numbers and labels -------------------------------------------------------------------

    def number(self, kind, label=None, anchor=None):
        """The next number of this kind, as Sphinx counts; noted under the label, if any."""
        numbers = self.chapter.numbers[kind]
        if self.counters is not None:
            prefix = () if self.chapter.number is None else (self.chapter.number,)
            self.counters[kind, prefix] += 1
            numbers.append(".".join(map(str, (*prefix, self.counters[kind, prefix]))))
        number = numbers[self.seen[kind]]
        self.seen[kind] += 1
        if label:
            self.note(label, kind, anchor or make_id(label), number=number)
        return number

    def note(self, label, kind, anchor, title="", number=""):
        if self.counters is None:
            return
        if label in self.book.targets:
            self.fail(f"the label {label} is defined twice")
        url = self.book.url(self.chapter, anchor)
        self.book.targets[label] = Target(kind, self.chapter, url, title, number)

    # --- blocks -------------------------------------------------------------------------------

    def blocks(self, lines, first):
        """The lines of a text, `first` being the line number of the first, translated."""
        out, i = [], 0
        while i < len(lines):
            line, self.line = lines[i], first + i
            fence = FENCE.match(line)
            if fence:
                body, after = self.fenced(lines, i, fence)
                new = self.fence(fence, body, self.line)
                while after < len(lines) and not lines[after].strip():
                    after += 1
                new = ["", *new, ""] if new else []
            elif not line.strip():
                new, after = [""], i + 1
            elif LABEL.match(line):
                self.labels.append(LABEL.match(line)["label"])
                new, after = [], i + 1
            elif line.lstrip().startswith("%"):
                new, after = [], i + 1
            elif line.lstrip().startswith("$$"):
                new, after = self.display(lines, i)
            elif HEADING.match(line):
                new, after = [self.heading(HEADING.match(line))], i + 1
            elif QUOTE.match(line):
                after = i
                while after < len(lines) and QUOTE.match(lines[after]):
                    after += 1
                inner = [QUOTE.match(quoted)["text"] for quoted in lines[i:after]]
                indent = re.match(r"\s*", line)[0]
                new = [indent + quoted for quoted in quote(self.blocks(inner, first + i))]
            else:
                after = i + 1
                while after < len(lines) and not self.interrupts(lines[after]):
                    after += 1
                if line.lstrip().startswith("\\begin{"):
                    self.fail("a formula stands between $$ and $$, or in a {math} directive")
                text = "\n".join(lines[i:after])
                behind = BEHIND_MARK.search(text)
                if behind:
                    self.line += text.count("\n", 0, behind.end())
                    self.fail("a block in a list begins in a line of its own, with a blank above")
                new = self.inline(text, first + i).split("\n")
                if not any(text.strip() for text in new):
                    new = []
            if new and "".join(new).strip() and self.labels:
                self.note_plain_labels()
            if not self.hidden:
                for text in new:
                    if text.strip() or (out and out[-1].strip()):
                        out.append(text)
            i = after
        while out and not out[-1].strip():
            out.pop()
        return out

    def interrupts(self, line):
        return (
            not line.strip()
            or line.lstrip().startswith(("%", "$$", ">"))
            or any(pattern.match(line) for pattern in (FENCE, LABEL, HEADING))
        )

    def note_plain_labels(self):
        for label in self.labels:
            self.note(label, "plain", make_id(label))
        self.labels = []

    def heading(self, match):
        level, title = len(match["level"]), self.inline(match["title"], self.line)
        self.sections = (self.sections + [0] * level)[:level]
        self.sections[-1] += 1
        if level == 1:
            self.chapter.title = title
        numbers = [self.chapter.number, *self.sections[1:]]
        number = ".".join(map(str, numbers)) if self.chapter.number is not None else ""
        for label in self.labels:
            self.note(label, "section", make_id(label), title, number)
        self.labels = []
        return f"{match['level']} {title}"

    def display(self, lines, i):
        """A formula between $$ and $$, with its label behind."""
        indent = re.match(r"\s*", lines[i])[0]
        opening = lines[i].lstrip()[2:]
        for after in range(i + 1, len(lines) + 1):
            text = "\n".join([opening, *lines[i + 1 : after]])
            if "$$" in text:
                match = DISPLAY_END.match(text)
                if not match:
                    self.fail("a formula between $$ and $$ stands in lines of its own")
                number = None
                if match["label"]:
                    label = match["label"].strip()
                    number = self.number("equation", label, make_id(f"equation-{label}"))
                return [indent + self.formula(match["tex"], number)], after
        self.fail("$$ is opened and not closed")

    def formula(self, tex, number):
        """On one line, since Jupyter takes the > of a quote into the formula on further lines."""
        if number and "\\tag" in tex:
            self.fail("a labelled formula has the book's number, and no \\tag of its own")
        parts = []
        for part in re.split(r"\n\s*\n", tex.strip()):
            part = re.sub(r"(?<!\\)%.*", "", part)
            part = " ".join(part.split())
            outside, count = part, 1
            while count:  # what stands in no environment
                outside, count = re.subn(
                    r"\\begin\{([^}]*)\}(?:(?!\\begin).)*?\\end\{\1\}", "", outside
                )
            # Sphinx aligns such a formula by itself; Jupyter does not.
            if "\\\\" in outside or re.search(r"(?<!\\)&", outside):
                part = f"\\begin{{aligned}} {part} \\end{{aligned}}"
            parts.append(part)
        text = parts[0]
        if len(parts) > 1:
            text = "\\begin{aligned} " + " \\\\ ".join(parts) + " \\end{aligned}"
        if re.search(r"\\begin\{(align|equation|gather)\*?\}|\\label\{", text):
            self.fail("write aligned or gathered inside a formula, and its label outside")
        return f"$$ {text} \\tag{{{number}}} $$" if number else f"$$ {text} $$"

    def fenced(self, lines, i, fence):
        """The lines between a fence and its end, without the fence's indent; and what follows."""
        mark, indent = fence["mark"], len(fence["indent"])
        for end in range(i + 1, len(lines)):
            text = lines[end].strip()
            if set(text) == {mark[0]} and len(text) >= len(mark):
                body = [line[min(indent, len(line) - len(line.lstrip())) :]
                        for line in lines[i + 1 : end]]  # fmt: skip
                return body, end + 1
        self.fail(
            f"{fence['mark']}{fence['info'].strip()} is opened and not closed in this cell "
            "(inside colons, a +++ or a code cell ends the cell)"
        )

    def fence(self, fence, body, line):
        info, indent = fence["info"].strip(), fence["indent"]
        directive = DIRECTIVE.match(info)
        if not directive:
            if fence["mark"][0] == ":":
                self.fail(f"{fence['mark']} without a {{name}}")
            new = [fence["mark"] + info, *body, fence["mark"]]
        else:
            new = self.directive(directive["name"], directive["argument"].strip(), body, line)
        return [indent + text if text else "" for text in new]

    # --- directives ---------------------------------------------------------------------------

    def directive(self, name, argument, body, line):
        options, start = self.options(body)
        body, first = body[start:], line + 1 + start
        while body and not body[0].strip():
            body, first = body[1:], first + 1
        self.line = line
        if name in ADMONITIONS:
            title = "See also" if name == "seealso" else name.capitalize()
            if argument:  # MyST: text behind the name is the text's first line
                body, first = [argument, *body], line
            return self.box(title, self.blocks(body, first), options)
        method = getattr(self, "do_" + name.replace("-", "_"), None)
        if name in DROPPED:
            return []
        if name in PAGES_ONLY and not self.chapter.has_code:
            return []
        if method is None:
            self.fail(f"the directive {{{name}}} has no translation in tools/plain_markdown.py")
        return method(argument, options, body, first)

    def options(self, body):
        if body and body[0].strip() == "---":
            for end in range(1, len(body)):
                if body[end].strip() == "---":
                    return yaml.safe_load("\n".join(body[1:end])) or {}, end + 1
            self.fail("the options between --- and --- are not closed", self.line)
        options, start = {}, 0
        while start < len(body) and OPTION.match(body[start]):
            key, value = OPTION.match(body[start]).groups()
            options[key] = value.strip()
            start += 1
        return options, start

    def box(self, title, body, options):
        if "dropdown" in str(options.get("class", "")).split():
            return self.details(title, body, options)
        return quote([f"**{title}**", "", *body] if title else body)

    def details(self, title, body, options):
        # No Markdown is read in the line of <summary>: this line is HTML.
        pieces = re.split(r"(\$(?:\\.|[^$\\])+\$)", title)
        pieces = [html.escape(piece, quote=False) if piece.startswith("$")
                  else MARKDOWN.renderInline(piece) for piece in pieces]  # fmt: skip
        opened = " open" if "open" in options else ""
        return [f"<details{opened}><summary>{''.join(pieces)}</summary>", "", *body, "",
                "</details>"]  # fmt: skip

    def do_admonition(self, argument, options, body, first):
        return self.box(self.inline(argument, self.line), self.blocks(body, first), options)

    def do_dropdown(self, argument, options, body, first):
        title = self.inline(argument, self.line) or "Show"
        return self.details(title, self.blocks(body, first), options)

    def do_margin(self, argument, options, body, first):
        return self.do_admonition(argument, options, body, first)

    def do_sidebar(self, argument, options, body, first):
        return self.do_admonition(argument, options, body, first)

    def do_epigraph(self, argument, options, body, first):
        return quote(self.blocks(body, first))

    def do_div(self, argument, options, body, first):
        return self.blocks(body, first)

    def do_math(self, argument, options, body, first):
        label, number = options.get("label") or options.get("name"), None
        if label:
            number = self.number("equation", label, make_id(f"equation-{label}"))
        return [self.formula("\n".join([argument, *body]), number)]

    def do_code_block(self, argument, options, body, first):
        if "caption" in options:
            self.fail("a code block's caption has no translation: say it in the text")
        return [f"```{argument}", *body, "```"]

    def do_exercise(self, argument, options, body, first):
        label, subtitle = options.get("label"), self.inline(argument, self.line)
        title = "Exercise"
        if "nonumber" not in options:
            title += " " + self.number("exercise", label, label)
        elif label:
            self.note(label, "plain", label, "Exercise")
        text = self.blocks(body, first)
        if "hidden" in options:
            self.fail("a hidden exercise has no place in a twin")
        return [f"**{title}**" + (f" ({subtitle})" if subtitle else ""), "", *text]

    def do_solution(self, argument, options, body, first):
        line = self.line
        self.blocks(body, first)  # it may hold numbered formulas
        self.line = line
        exercise = self.target(argument)
        title = f"Solution to Exercise {exercise.number}".rstrip()
        label = options.get("label")
        if label:
            self.note(label, "plain", label, title)
        url = self.book.url(exercise.chapter, label or exercise.url.partition("#")[2])
        return [f"*[{title}, in the book]({url})*"]

    def do_exercise_start(self, argument, options, body, first):
        return self.do_exercise(argument, options, body, first)

    def do_exercise_end(self, argument, options, body, first):
        return []

    def do_solution_start(self, argument, options, body, first):
        # The whole solution up to its end, code cells too, is left out: `hidden`.
        new = self.do_solution(argument, options, body, first)
        if self.hidden:
            self.fail("solution-start inside a solution")
        self.solution_link, self.hidden = new, True
        return []

    def do_solution_end(self, argument, options, body, first):
        if not self.hidden:
            self.fail("solution-end without solution-start")
        self.hidden = False
        return self.solution_link

    def do_figure(self, argument, options, body, first):
        alt = options.get("alt") or Path(argument).stem.replace("_", " ")
        new = [f"![{alt}]({self.file(argument, 'raw')})"]
        if body:
            caption = "\n".join(body)
            new += ["", *self.caption("figure", caption, options.get("name"), first).split("\n")]
        return new

    def do_image(self, argument, options, body, first):
        return self.do_figure(argument, options, [], first)

    def caption(self, kind, text, label, line=None):
        """A caption with its number, each paragraph in italics."""
        line = line or self.line
        number = NUMBERED[kind] % self.number(kind, label)
        paragraphs = re.split(r"\n\s*\n", f"{number}. {self.inline(str(text).strip(), line)}")
        marked = []
        for paragraph in paragraphs:
            mark = "_" if "*" in paragraph else "*"
            marked.append(mark + " ".join(paragraph.split()) + mark)
        return "\n\n".join(marked)

    def do_table(self, argument, options, body, first):
        caption = []
        if argument:
            caption = self.caption("table", argument, options.get("name")).split("\n") + [""]
        return caption + self.blocks(body, first)

    def do_list_table(self, argument, options, body, first):
        rows = []
        for line in body:
            if re.match(r"\*\s+-", line):
                rows.append([])
            item = re.match(r"(?:\*|\s)\s+-\s*(.*)$", line)
            if item and rows:
                rows[-1].append(item[1])
            elif line.strip() and rows and rows[-1]:
                rows[-1][-1] += " " + line.strip()
            elif line.strip():
                self.fail("a list-table is a list of lists")
        rows = [[self.inline(item, first) for item in row] for row in rows]
        head = rows.pop(0) if int(options.get("header-rows", 0)) else [""] * len(rows[0])
        table = [head, ["---"] * len(head), *rows]
        table = ["| " + " | ".join(row) + " |" for row in table]
        return self.do_table(argument, options, [], first) + table

    def do_glossary(self, argument, options, body, first):
        new = []
        for i, line in enumerate(body):
            if line.strip() and not line.startswith(" "):
                new += ["", f"**{self.inline(line.strip(), first + i)}**:"]
            elif line.strip():
                new[-1] += " " + self.inline(line.strip(), first + i)
        return new

    def do_tab_set(self, argument, options, body, first):
        return self.blocks(body, first)

    def do_tab_item(self, argument, options, body, first):
        return [f"**{self.inline(argument, self.line)}**", "", *self.blocks(body, first)]

    def do_grid(self, argument, options, body, first):
        return self.blocks(body, first)

    def do_grid_item(self, argument, options, body, first):
        return self.blocks(body, first)

    def do_card(self, argument, options, body, first):
        """A card is an item of a list: its title, linked, and its text."""
        line = self.line
        head = self.inline(argument, line)
        text = self.blocks([re.sub(r"^(\^{3,}|\+{3,})\s*$", "", t) for t in body], first)
        self.line = line
        if "link" in options:
            url = self.link(options["link"], options.get("link-type", "url"))
            head = f"[{head or options['link']}]({url})"
        first_line = [f"**{head}**"] if head else []
        item = [*first_line, *([""] if first_line and text else []), *text]
        return [("- " if i == 0 else "  ") + part if part else "" for i, part in enumerate(item)]

    def do_grid_item_card(self, argument, options, body, first):
        return self.do_card(argument, options, body, first)


def quote(lines):
    return [f"> {line}".rstrip() for line in lines]


def open_book(root):
    """The book under `root`, its labels and numbers known."""
    book = Book(root)
    counters = defaultdict(int)
    for chapter in book.chapters:
        Translation(book, chapter, counters=counters).cells()
    return book
