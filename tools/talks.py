"""Make slides of talks/*.md from the built book: `python tools/talks.py`, after `make book`.

A talk is Markdown; `---` in a line of its own begins a slide. `![](#LABEL)` is the figure or the
equation that has this label in the book, and a line that begins with `>` is for the speaker alone.
Each talk becomes one HTML file in _build/talks that needs nothing but a browser.
"""

import base64
import html
import re
import sys
from pathlib import Path

from bs4 import BeautifulSoup
from docutils.utils.math.latex2mathml import tex2mathml
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
LABEL = re.compile(r"!\[\]\(#([\w-]+)\)")
MINUTES = re.compile(r"<!-- (\d+) minutes? -->")
PAGE = """<!doctype html>
<html lang="en-GB"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
html {{ scroll-snap-type: y mandatory; font: 2.6vmin/1.45 system-ui, sans-serif; }}
body {{ margin: 0; color: #1c2430; background: #fff; }}
section {{ box-sizing: border-box; min-height: 100vh; padding: 3vmin 9vmin;
  scroll-snap-align: start; break-after: page;
  display: flex; flex-direction: column; justify-content: center; }}
h1 {{ font-size: 1.7em; color: #1f5fa8; }}
img {{ max-width: 100%; max-height: 44vh; margin: auto; }}
.ams-align mtd:nth-child(odd) {{ text-align: right; }}
.ams-align mtd:nth-child(even) {{ text-align: left; padding-left: 0; }}
math {{ font-size: 1.25em; }} blockquote {{ display: none; background: #eef2f8; padding: 1em; }}
.notes blockquote {{ display: block; }} .notes img {{ max-height: 40vh; }}
@page {{ size: landscape; margin: 0; }}
</style></head><body>
{slides}
<script>
addEventListener("keydown", (event) => {{
  const on = ["ArrowRight", "ArrowDown", "PageDown"].includes(event.key);
  const back = ["ArrowLeft", "ArrowUp", "PageUp"].includes(event.key);
  const step = on - back;
  if (step) {{ event.preventDefault(); scrollBy(0, step * innerHeight); }}
  if (event.key === "n") document.body.classList.toggle("notes");
}});
</script></body></html>
"""


def slides(text):
    """The slides of a talk, each as Markdown."""
    return [part.strip() for part in re.split(r"^---$", text, flags=re.MULTILINE)]


def equation(label, root=ROOT):
    """The TeX of a labelled equation of the book, None if no page has it."""
    for page in sorted(Path(root, "book").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for pattern in (
            r"```\{{math\}}\n:label: {}\n(.*?)```",
            r"\$\$\n((?:(?!\$\$).)*?)\$\$ \({}\)",
        ):
            if found := re.search(pattern.format(re.escape(label)), text, re.DOTALL):
                return found[1].strip()
    return None


def mathml(tex):
    """A displayed equation as MathML in one line, which browsers set by themselves."""
    for unknown, known in (("{gathered}", "{aligned}"), (r"\dots", r"\ldots")):
        tex = tex.replace(unknown, known)  # docutils does not know the first
    made = tex2mathml(tex, as_block=True).replace("\n", " ")
    return made.replace("*", "&#42;")  # two stars would be emphasis in Markdown


def figure(label, site):
    """The figure of a built page as an <img> that holds its picture, None if there is none."""
    for page in sorted(Path(site, "book").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        if f'id="{label}"' not in text:
            continue
        image = BeautifulSoup(text, "html.parser").select_one(f"figure#{label} img")
        if image is not None:
            picture = (page.parent / image["src"]).read_bytes()
            source = base64.b64encode(picture).decode()
            return f'<img alt="{html.escape(image["alt"])}" src="data:image/png;base64,{source}">'
    return None


def made(text, root=ROOT, site=None):
    """The HTML of a talk. ValueError for a label that the book does not have."""
    site = site or Path(root, "_build", "html")

    def shown(match):
        if tex := equation(match[1], root):
            return mathml(tex)
        if image := figure(match[1], site):
            return image
        raise ValueError(f"no page of the book has a figure or an equation {match[1]!r}.")

    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    parts = [markdown.render(LABEL.sub(shown, slide)) for slide in slides(text)]
    title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
    body = "\n".join(f"<section>{part}</section>" for part in parts)
    return PAGE.format(title=html.escape(title), slides=body)


def main(root=ROOT):
    out = Path(root, "_build", "talks")
    out.mkdir(parents=True, exist_ok=True)
    for talk in sorted(Path(root, "talks").glob("*_minutes.md")):
        path = out / f"{talk.stem}.html"
        path.write_text(made(talk.read_text(encoding="utf-8"), root), encoding="utf-8")
        print(path.relative_to(root))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"No slides: {error}")
