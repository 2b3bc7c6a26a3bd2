"""The chapters of the book: their order in _toc.yml, what each says of itself, and its minutes."""

import math
import re
from pathlib import Path

import jupytext
import yaml

ROOT = Path(__file__).resolve().parents[1]

# How long a student takes whose first language is another one, on paper and keyboard at hand.
WORDS_PER_MINUTE = 130
MINUTES_PER_EQUATION = 1.5
MINUTES_PER_FIGURE = 1
MINUTES_PER_LIVE_FIGURE = 6
LINES_OF_CODE_PER_MINUTE = 10
MINUTES_PER_EXERCISE = 10
MINUTES_PER_QUIZ = 5  # a minute a question
HIDDEN = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
CHOICES = ({"right", "because"}, {"wrong", "because"})
NOTES = "nodule_lesson/chapters/{}/teaching.md"
FENCED = re.compile(r"^(`{3,}).*?^\1`*\s*?$", re.MULTILINE | re.DOTALL)


def names(root=ROOT):
    """The names of the numbered chapters, in the order of _toc.yml."""
    contents = yaml.safe_load(Path(root, "_toc.yml").read_text(encoding="utf-8"))
    parts = [part for part in contents.get("parts", []) if part.get("numbered")]
    return [Path(entry["file"]).name for part in parts for entry in part["chapters"]]


def head(name, root=ROOT):
    """What a chapter says of itself: its question, what one needs to know and more, a dict.

    It stands under `myst: substitutions:` in the front matter of book/NAME.md, so that the chapter
    takes it into its own text as `{{ needs }}`. ValueError where there is no such head.
    """
    text = Path(root, "book", f"{name}.md").read_text(encoding="utf-8")
    try:
        return yaml.safe_load(text.split("---\n")[1])["myst"]["substitutions"]
    except (IndexError, KeyError, TypeError):
        raise ValueError(f"book/{name}.md has no `myst: substitutions:` in its head.") from None


def quiz(name, root=ROOT):
    """The questions of a chapter's quiz.yml: a list of dicts, written as CONTRIBUTING.md says.

    ValueError where a question has not three or four choices with one right among them, or where
    a choice does not say why.
    """
    path = Path("nodule_lesson", "chapters", name, "quiz.yml")
    questions = yaml.safe_load(Path(root, path).read_text(encoding="utf-8"))
    for number, asked in enumerate(questions, 1):
        choices = asked["choices"]
        if not all(set(choice) in CHOICES for choice in choices):
            raise ValueError(
                f"{path}, question {number}: each choice has `right` or `wrong`, and `because`."
            )
        right = sum("right" in choice for choice in choices)
        if len(choices) not in (3, 4) or right != 1:
            raise ValueError(
                f"{path}, question {number}, has {len(choices)} choices, {right} of them right; "
                "it wants three or four, one of them right."
            )
    return questions


def title(name, root=ROOT):
    """The title of a chapter, as its text has it."""
    text = Path(root, "book", f"{name}.md").read_text(encoding="utf-8")
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


def teaching(name, root=ROOT):
    """What a chapter's author tells those who teach it, in Markdown, or an empty text."""
    path = Path(root, NOTES.format(name))
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def words(text):
    """The number of words of a text in Markdown, outside its fenced blocks."""
    return len(FENCED.sub("", text).split())


def minutes(name, root=ROOT):
    """The minutes that a chapter takes to read, and those of its exercises, rounded up to fives.

    They are counted by the rates above: words outside fenced blocks, displayed equations, figures,
    the lines of code that are not folded, and a quiz.
    """
    notebook = jupytext.read(Path(root, "book", f"{name}.md"))
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lesson, _, exercises = text.partition("\n## Exercises\n")
    lesson += exercises.partition("\n## ")[2]  # what one takes away comes behind the exercises
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lines = [
        line
        for cell in code
        if not HIDDEN & set(cell.metadata.get("tags", []))
        for line in cell.source.splitlines()
        if line.strip()
    ]
    equations = len(re.findall(r"^```\{math\}", lesson, re.M)) + lesson.count("$$") // 2
    figures = sum("figure" in cell.metadata.get("mystnb", {}) for cell in code)
    live = Path(root, "nodule_lesson", "chapters", name, "live.py").exists()
    reading = (
        words(lesson) / WORDS_PER_MINUTE
        + equations * MINUTES_PER_EQUATION
        + figures * MINUTES_PER_FIGURE
        + live * MINUTES_PER_LIVE_FIGURE
        + len(lines) / LINES_OF_CODE_PER_MINUTE
        + lesson.count("```{quiz}") * MINUTES_PER_QUIZ
    )
    practice = text.count("{exercise-start}") * MINUTES_PER_EXERCISE
    return 5 * math.ceil(reading / 5), practice


def live_figures(root=ROOT):
    """The functions that make live figures: in the order of the chapters, then of other pages."""
    numbered = names(root)
    homes = {path.parent.name for path in Path(root).glob("nodule_lesson/chapters/*/live.py")}
    for name in [*filter(homes.__contains__, numbered), *sorted(homes.difference(numbered))]:
        path = Path(root, "nodule_lesson", "chapters", name, "live.py")
        figure = re.search(r'LiveFigure\(\s*"(\w+)"', path.read_text(encoding="utf-8"))[1]
        yield f"nodule_lesson.chapters.{name}.live.{figure}"
