"""Numbers and tables of the prose, as a parser of Markdown and MyST-NB's protocol want them."""

import re

from markdown_it import MarkdownIt

from nodule_lesson import glue


def test_a_table_reads_as_one(monkeypatch):
    shown = []
    monkeypatch.setattr(glue, "display", shown.append)
    glue.table(["row", "Dice", "HD"], [["a", "0.5", "1.0"], ["b", "0.6", "2.0"]])
    html = MarkdownIt("commonmark").enable("table").render(shown[0].data)
    assert re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html) == (
        ["row", "Dice", "HD", "a", "0.5", "1.0", "b", "0.6", "2.0"]
    )
    assert html.count("text-align:right") == 6 and html.count("<tr>") == 3


def test_a_number_is_glued_as_its_text(monkeypatch):
    shown = []
    monkeypatch.setattr(glue, "display", lambda *what, **more: shown.append((*what, more)))
    glue.glue("share", 0.256, ".0%")
    (data, more), = shown  # fmt: skip
    assert data == {"application/papermill.record/text/plain": "'26%'"} and more["raw"]
    assert more["metadata"]["scrapbook"]["name"] == "share"


def test_several_texts_are_glued_under_their_names(monkeypatch):
    glued = {}
    monkeypatch.setattr(glue, "glue", lambda name, value: glued.update({name: value}))
    glue.glue_all({"share": "26%", "pixels": "7"})
    assert glued == {"share": "26%", "pixels": "7"}
