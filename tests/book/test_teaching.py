"""The kit for teachers: notes of the chapters, talks, and the check of a Python."""

import re
from pathlib import Path

import chapters
import pytest

import talks
from nodule_lesson import check

ROOT = Path(__file__).resolve().parents[2]
HEADS = ["Misconceptions", "Questions to ask", "On the board"]
EXPERIMENTS = [name for name in chapters.names()[12:] if name != "reading_the_tables"]
TALKS = sorted((ROOT / "talks").glob("*_minutes.md"))


@pytest.mark.parametrize("name", chapters.names())
def test_the_notes_of_a_chapter_have_the_parts_that_a_teacher_looks_for(name):
    notes = chapters.teaching(name)
    heads = re.findall(r"^## (.+)$", notes, re.MULTILINE)
    if name in EXPERIMENTS:  # their texts are still to come
        assert heads in ([], HEADS[:1], HEADS)
        return
    assert heads == HEADS
    board = notes.partition("## On the board")[2]
    assert re.findall(r"^(\d+)\. ", board, re.MULTILINE) == [str(n) for n in range(1, 11)]
    assert not notes.startswith("---") and "$$" not in notes


def test_the_page_of_notes_has_a_section_for_each_chapter():
    import sphinx_lesson

    class App:
        srcdir = ROOT

        class env:
            note_dependency = staticmethod(lambda path: None)

    source = ["# Page\n\n" + sphinx_lesson.TEACHING_NOTES]
    sphinx_lesson.put_in_teaching_notes(App, "book/teaching_notes", source)
    assert len(re.findall(r"^## \d+\. ", source[0], re.MULTILINE)) == len(chapters.names())
    page = (ROOT / "book" / "teaching_notes.md").read_text(encoding="utf-8")
    assert sphinx_lesson.TEACHING_NOTES in page


@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_a_talk_has_its_minutes_and_its_labels_stand_in_the_book(path):
    text = path.read_text(encoding="utf-8")
    minutes = [talks.MINUTES.findall(slide) for slide in talks.slides(text)]
    assert sum(int(each) for (each,) in minutes) == int(path.stem.split("_")[0])
    figures = {
        label
        for page in (ROOT / "book").glob("*.md")
        for label in re.findall(r"name: (fig-[\w-]+)", page.read_text(encoding="utf-8"))
    }
    for label in talks.LABEL.findall(text):
        assert label in figures or talks.mathml(talks.equation(label)), label


def test_slides_hold_equations_and_pictures_of_the_book(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "html" / "book").mkdir(parents=True)
    source = "```{math}\n:label: one\n\nx = 1\n```\n\n$$\ny^* = x^*\n$$ (two)\n"
    (tmp_path / "book" / "page.md").write_text(source, encoding="utf-8")
    (tmp_path / "html" / "dot.png").write_bytes(b"dot")
    page = '<figure id="fig-a"><img alt="A &quot;dot&quot;" src="../dot.png"></figure>'
    (tmp_path / "html" / "book" / "page.html").write_text(page, encoding="utf-8")
    talk = "# Title\n\n![](#one)\n\n---\n\n![](#two)\n\n![](#fig-a)\n"
    made = talks.made(talk, tmp_path, tmp_path / "html")
    assert made.count("<section>") == 2 and made.count("<math") == 2
    assert made.count("<msup>") == 2 and "<em>" not in made
    assert 'src="data:image/png;base64,ZG90"' in made and "A &quot;dot&quot;" in made
    with pytest.raises(ValueError, match="equation 'none'"):
        talks.made("# T\n\n![](#none)", tmp_path, tmp_path / "html")


def test_the_check_says_ready_or_names_what_is_missing(monkeypatch, capsys):
    assert check.check() and capsys.readouterr().out.startswith("Ready")
    monkeypatch.setitem(check.NEEDED, "no_such_module", "no-such-package")
    assert not check.check()
    said = capsys.readouterr().out
    assert "-m pip install no-such-package" in said and "Not yet" in said
