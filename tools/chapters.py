"""The chapters of the book: their order in _toc.yml, and what each says of itself in its head."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def names(root=ROOT):
    """The names of the numbered chapters, in the order of _toc.yml."""
    contents = yaml.safe_load(Path(root, "_toc.yml").read_text(encoding="utf-8"))
    parts = [part for part in contents.get("parts", []) if part.get("numbered")]
    return [Path(entry["file"]).name for part in parts for entry in part["chapters"]]


def head(name, root=ROOT):
    """What a chapter says of itself: question, minutes and more, a dict.

    It stands under `myst: substitutions:` in the front matter of book/NAME.md, so that the chapter
    takes it into its own text as `{{ minutes }}`. ValueError where there is no such head.
    """
    text = Path(root, "book", f"{name}.md").read_text(encoding="utf-8")
    try:
        return yaml.safe_load(text.split("---\n")[1])["myst"]["substitutions"]
    except (IndexError, KeyError, TypeError):
        raise ValueError(f"book/{name}.md has no `myst: substitutions:` in its head.") from None


def live_figures(root=ROOT):
    """The functions that make the chapters' live figures, in the order of the chapters."""
    for name in names(root):
        path = Path(root, "nodule_lesson", "chapters", name, "live.py")
        if path.exists():
            figure = re.search(r'LiveFigure\(\s*"(\w+)"', path.read_text(encoding="utf-8"))[1]
            yield f"nodule_lesson.chapters.{name}.live.{figure}"
