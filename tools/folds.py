"""Folded cells: a bar says what it holds, and bars that would stand in a row become one."""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform


class NameFolds(SphinxPostTransform):
    """Names the bars that MyST-NB will make, and moves code without an output to the next bar."""

    default_priority = 198  # MyST-NB folds at 199
    formats = ("html",)

    def run(self):
        for cell in list(self.document.findall(is_folded)):
            following = cell.next_node(descend=False, siblings=True)
            if holds_code_alone(cell) and following is not None and shows_code_folded(following):
                following[0][:0] = cell[0].children
                cell.parent.remove(cell)
            else:
                self.name(cell)

    def name(self, cell):
        # A chapter may name a bar itself (mystnb: code_prompt_show).
        if cell["prompt_show"] == self.env.mystnb_config.code_prompt_show:
            held = what_it_holds(cell)
            cell["prompt_show"], cell["prompt_hide"] = f"Show {held}", f"Hide {held}"


def is_folded(node):
    return isinstance(node, nodes.container) and bool(node.get("hide_mode")) and len(node) > 0


def has_output(cell):
    return cell[-1].get("nb_element") == "cell_code_output"


def holds_code_alone(cell):
    return cell["hide_mode"] == "input" and not has_output(cell)


def shows_code_folded(node):
    return is_folded(node) and node["hide_mode"] == "input"


def what_it_holds(cell):
    """What is behind the bar of a folded cell, in words that follow "Show"."""
    made = what_it_makes(cell[-1]) if has_output(cell) else None
    if cell["hide_mode"] == "output":
        return f"the {made or 'output'}"
    if cell["hide_mode"] == "all":
        return f"the {made} and its code" if made else "the code"
    if made:
        return f"the {made}'s code"
    imports = cell[0].astext().startswith(("import ", "from "))
    return "the imports" if imports else "the code"


def what_it_makes(output):
    """The kind of an output: a plot, a live figure, a table, or None for text."""
    raw = "".join(node.astext() for node in output.findall(nodes.raw))
    if "data-live-figure" in raw:
        return "live figure"
    if next(output.findall(nodes.image), None):
        return "plot"
    if "<table" in raw or next(output.findall(nodes.table), None):
        return "table"
    return None
