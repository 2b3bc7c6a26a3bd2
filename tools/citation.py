"""BibTeX of the lesson and of its paper, from CITATION.cff, and the section that offers it."""

from html import escape
from pathlib import Path

import yaml
from pybtex.database import BibliographyData, Entry, Person

CITED = {"lesson": "nodule_lesson", "paper": "zhang2024"}
# A button writes into the clipboard, and the paragraph behind it says so, aloud as well.
BOX = """<div class="citation-box"><pre tabindex="0" aria-label="BibTeX of the {what}">{text}</pre>
<p><button type="button" class="copy-bibtex">Copy BibTeX of the {what}</button>
<span role="status"></span></p></div>"""


def bibtex(root, year, address=None):
    """{"lesson": BibTeX, "paper": BibTeX} as CITATION.cff in the folder `root` says.

    year: of the lesson, which the file does not know before there is a release; address: of its
    public pages, or None.
    """
    lesson = yaml.safe_load(Path(root, "CITATION.cff").read_text(encoding="utf-8"))
    own = entry(lesson, year=str(year), version=lesson["version"], url=address)
    (paper,) = lesson["references"]
    entries = {"lesson": own, "paper": entry(paper, year=str(paper["year"]), doi=paper["doi"])}
    return {
        what: BibliographyData({CITED[what]: made}).to_string("bibtex").strip()
        for what, made in entries.items()
    }


def entry(work, **fields):
    """A work of a CITATION.cff as an entry of BibTeX, with those of the fields that are known."""
    known = {"title": f"{{{work['title']}}}"} | {k: v for k, v in fields.items() if v}
    people = [
        # A group has one name, which BibTeX must not take for a first and a last one.
        Person(last=f"{{{a['name']}}}")
        if "name" in a
        else Person(first=a["given-names"], last=a["family-names"])
        for a in work["authors"]
    ]
    return Entry("misc", fields=known, persons={"author": people})


def section(root, year, address=None):
    """The HTML of a section that offers both, each with a button that copies it."""
    made = bibtex(root, year, address)
    boxes = "\n".join(BOX.format(what=what, text=escape(made[what])) for what in made)
    return f'<section id="cite"><h2>To cite</h2>\n{boxes}</section>'
