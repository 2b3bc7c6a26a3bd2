"""The map of the package in CONTRIBUTING.md is that of the imports as they are."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import house_map

ROOT = Path(__file__).resolve().parents[2]

USES = {"top": {"left", "right", "floor"}, "left": {"floor"}, "right": set(), "floor": set()}


def test_the_committed_map_is_up_to_date():
    text = house_map.PICTURE.read_text(encoding="utf-8")
    assert text == house_map.picture(*house_map.read()), "run python tools/house_map.py"


def test_the_map_is_shown_with_words_that_name_every_part():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = house_map.PICTURE.relative_to(ROOT).as_posix()
    words = re.search(rf"!\[([^]]+)\]\({shown}\)", page)[1]
    assert set(house_map.read()[0]) <= set(re.findall(r"\w+", words))


def test_imports_are_read_in_every_form(tmp_path):
    package = tmp_path / "house"
    (package / "top" / "inner").mkdir(parents=True)
    (package / "no_package").mkdir()
    files = {
        "__init__.py": "from house import top",
        "top/__init__.py": '"""The top: of all."""\nfrom house import left, missing',
        "top/inner/deep.py": "def later():\n    import house.right.part as part\n"
        "from . import floor\nfrom house.top import inner\nimport houses.left",
        "left.py": '"""Left.\n\nimport house.right\n"""\nfrom house.floor import anything',
        "right.py": '"""Right"""',
        "floor.py": '"""Floor"""\nimport os',
    }
    for name, text in files.items():
        (package / name).write_text(text, encoding="utf-8")
    uses, words = house_map.read(package)
    assert uses == USES | {"top": {"left", "right"}}
    assert words == {"top": "The top", "left": "Left", "right": "Right", "floor": "Floor"}


def test_a_part_stands_above_what_it_imports_and_implied_arrows_are_left_out():
    floors, arrows = house_map.arranged(USES)
    named = [{place for place in floor if place in USES} for floor in floors]
    assert named == [{"floor", "right"}, {"left"}, {"top"}]
    assert arrows == [["top", "left"], ["top", ("top", "right", 1), "right"], ["left", "floor"]]


def test_boxes_stand_apart_and_inside_the_picture():
    svg = ElementTree.fromstring(house_map.PICTURE.read_text(encoding="utf-8"))
    width, height = map(float, svg.get("viewBox").split()[2:])
    boxes = [[float(node.get(key)) for key in ("x", "y", "width", "height")]
             for node in svg.iter("{http://www.w3.org/2000/svg}rect")]  # fmt: skip
    assert len(boxes) == len(house_map.read()[0]) > 10
    for x, y, w, h in boxes:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for (x, y, w, h), (x2, y2, w2, h2) in itertools.combinations(boxes, 2):
        assert x + w < x2 or x2 + w2 < x or y + h < y2 or y2 + h2 < y
