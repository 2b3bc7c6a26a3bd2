"""Names of folded cells, and folds in a row that become one."""

from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from folds import NameFolds

STANDARD = "Show code cell {type}"


def cell(code, output=None, mode="input", prompt=STANDARD):
    made = nodes.container(nb_element="cell_code", hide_mode=mode)
    made["prompt_show"], made["prompt_hide"] = prompt, "Hide"
    made += nodes.container("", nodes.literal_block(code, code), nb_element="cell_code_source")
    if output is not None:
        made += nodes.container("", output, nb_element="cell_code_output")
    return made


def named(*children):
    """The document of these nodes after the transformation, as its folded cells."""
    document = new_document("page")
    document += children
    config = SimpleNamespace(code_prompt_show=STANDARD)
    document.settings.env = SimpleNamespace(mystnb_config=config)
    NameFolds(document).run()
    return [node for node in document if node.get("nb_element") == "cell_code"]


PLOT = nodes.image(uri="a.png")
TABLE = nodes.raw("", "<table><tr><td>1</td></tr></table>", format="html")
LIVE = nodes.raw("", '<div data-live-figure="x"><table></table></div>', format="html")
TEXT = nodes.literal_block("1", "1")


@pytest.mark.parametrize(
    "output, mode, name",
    [
        (PLOT, "input", "the plot's code"),
        (TABLE, "input", "the table's code"),
        (LIVE, "input", "the live figure's code"),
        (TEXT, "input", "the code"),
        (None, "input", "the code"),
        (TEXT, "output", "the output"),
        (TABLE, "output", "the table"),
        (TABLE, "all", "the table and its code"),
        (TEXT, "all", "the code"),
    ],
)
def test_a_bar_says_what_it_holds(output, mode, name):
    output = output if output is None else output.deepcopy()
    (fold,) = named(cell("x = 1", output, mode))
    assert (fold["prompt_show"], fold["prompt_hide"]) == (f"Show {name}", f"Hide {name}")


def test_imports_are_called_so_and_a_name_of_the_chapter_stays():
    imports, own = named(cell("import numpy", TEXT.deepcopy()), cell("x", prompt="Show Table 2"))
    assert imports["prompt_show"] == "Show the imports"
    assert own["prompt_show"] == "Show Table 2"


def test_three_in_a_row_become_one():
    last = cell("third", PLOT.deepcopy())
    (fold,) = named(cell("first"), cell("second"), last)
    assert [block.astext() for block in fold[0]] == ["first", "second", "third"]
    assert fold["prompt_show"] == "Show the plot's code"


def test_what_is_seen_between_two_bars_keeps_them_apart():
    text = nodes.paragraph("", "Words.")
    assert len(named(cell("first"), text, cell("second", PLOT.deepcopy()))) == 2
    assert len(named(cell("first", PLOT.deepcopy()), cell("second", PLOT.deepcopy()))) == 2
    assert len(named(cell("first"), cell("second", TEXT.deepcopy(), mode="output"))) == 2


def test_no_bar_of_the_book_leaves_open_what_it_holds(site):
    for page in sorted((site / "book").glob("*.html")):
        html = BeautifulSoup(page.read_bytes(), "html.parser")
        bars = [bar.text for bar in html.select("details.hide > summary")]
        assert not [bar for bar in bars if "code cell" in bar], page.name
