"""Draw what imports what in nodule_lesson: `python tools/house_map.py` renews tools/house_map.svg.

A part of the package, a folder or a loose module, stands one floor above the highest part that it
imports. An arrow that others imply is left out: who imports `experiments` may import `std`, too.
"""

import ast
import textwrap
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "nodule_lesson"
PICTURE = Path(__file__).with_suffix(".svg")
WIDTH, WIDEST, GAP, RISE, LINE = 960, 230, 12, 68, 15  # pixels; WIDEST box, RISE between floors
HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} HEIGHT" text-anchor="middle"
  font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12" fill="#1c2430">
<style>
  rect {{ fill: #dfe7f2; stroke: #1f5fa8; }} .name {{ font-weight: bold; font-size: 15px; }}
  path {{ fill: none; stroke: #7d8590; stroke-width: 1.6; marker-end: url(#tip); }}
</style>
<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6"
  orient="auto"><polygon points="0,0 8,4 0,8" fill="#7d8590"/></marker>
"""


def imported(path):
    """Dotted names of what a module imports; a relative import stays within its part."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read(package=PACKAGE):
    """Two dicts by part: the set of parts that it imports, and what its docstring calls it."""
    uses, words = {}, {}
    for path in sorted(package.iterdir()):
        head = path / "__init__.py" if path.is_dir() else path
        if head.suffix == ".py" and head.exists() and path.stem != "__init__":
            modules = path.rglob("*.py") if path.is_dir() else [path]
            names = (name.split(".") for module in modules for name in imported(module))
            uses[path.stem] = {name[1] for name in names if name[0] == package.name and name[1:]}
            text = ast.get_docstring(ast.parse(head.read_text(encoding="utf-8")))
            words[path.stem] = text.split("\n")[0].split(":")[0].rstrip(".")
    return {part: others & uses.keys() - {part} for part, others in uses.items()}, words


def arranged(uses):
    """Floors from the ground up, and arrows. A floor is a list of parts, and of places where a
    long arrow passes, (upper part, lower part, floor); an arrow is the list of its places.
    """

    def below(part):
        return uses[part].union(*map(below, uses[part]))

    def height(part):
        return max((1 + height(other) for other in uses[part]), default=0)

    floors, arrows = [[] for _ in range(1 + max(map(height, uses)))], []
    for part in uses:
        floors[height(part)].append(part)
        for other in sorted(uses[part].difference(*map(below, uses[part]))):
            passed = [(part, other, h) for h in range(height(part) - 1, height(other), -1)]
            for place in passed:
                floors[place[2]].append(place)
            arrows.append([part, *passed, other])
    steps = [step for arrow in arrows for step in zip(arrow, arrow[1:], strict=False)]
    near = {p: [a if b == p else b for a, b in steps if p in (a, b)] for f in floors for p in f}
    for floor in (floors + floors[::-1]) * 10:  # each place moves towards those it is tied to
        at = {place: (k + 0.5) / len(row) for row in floors for k, place in enumerate(row)}
        middle = {p: sum(at[q] for q in near[p] or [p]) / len(near[p] or [p]) for p in floor}
        floor.sort(key=middle.get)
    return floors, arrows


def picture(uses, words):
    """The map as the text of an SVG file, legible on white and on black."""
    floors, arrows = arranged(uses)
    at, shapes, y = {}, [], 2  # place -> its middle, half its width, its top, its bottom
    for floor in floors[::-1]:
        named = [place for place in floor if place in words]
        width = min(WIDEST, (WIDTH - GAP * (len(floor) + 1)) / len(named))
        texts = {part: [part, *textwrap.wrap(words[part], int(width / 7.3))] for part in named}
        height = LINE * (1 + max(map(len, texts.values())))
        x = space = (WIDTH - width * len(named)) / (len(floor) + 1)
        for place in floor:
            own = width * (place in texts)
            at[place] = x + own / 2, own / 2, y, y + height
            if own:
                size = f'width="{own:.0f}" height="{height}"'
                shapes.append(f'<rect x="{x:.0f}" y="{y}" {size} rx="6"/>')
            for row, line in enumerate(texts.get(place, [])):
                kind = "" if row else 'class="name" '
                where = f'x="{x + own / 2:.0f}" y="{y + LINE * (row + 1.4):.0f}"'
                shapes.append(f"<text {kind}{where}>{escape(line)}</text>")
            x += own + space
        y += height + RISE
    for arrow in arrows:
        path = "M"
        for a, b in zip(arrow, arrow[1:], strict=False):
            (x, half, _, top), (end, other, bottom, _) = at[a], at[b]
            aside = (end - x) / WIDTH  # where the other lies: so arrows leave and arrive apart
            x, end, bend = x + 1.6 * half * aside, end - 1.2 * other * aside, (top + bottom) / 2
            path += f"{x:.0f} {top}C{x:.0f} {bend} {end:.0f} {bend} {end:.0f} {bottom}L"
        shapes.append(f'<path d="{path[:-1]}"/>')
    return HEAD.replace("HEIGHT", str(y - RISE + 2)) + "\n".join(shapes) + "\n</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(*read()), encoding="utf-8", newline="\n")
