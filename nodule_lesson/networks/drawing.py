"""The picture of a `DetectionGuidedNet`, drawn from what its own modules do.

`trace` sends the shapes of one image through a copy of the model and notes which block ran on the
output of which: boxes, sizes and arrows of the figure are those notes, so the picture cannot say
anything else than the code does.
"""

import copy
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from nodule_lesson.networks.blocks import (
    ASPP,
    CombinationBlock,
    Concatenation,
    LinearCombination,
    UpsampledCombination,
)
from nodule_lesson.networks.detection_guided import DetectionGuidedNet
from nodule_lesson.plots import BLUE, GREEN, INK, MUTED, ORANGE

VIOLET = "#6a3d9a"
FILL = {ORANGE: "#fbe6d8", BLUE: "#dde9f6", GREEN: "#d9eee0", VIOLET: "#e9e0f4", INK: "#ffffff"}
COMBINATIONS = {
    CombinationBlock: "combine",
    Concatenation: "concat",
    LinearCombination: "linear",
    UpsampledCombination: "enlarge",
}
# Inches: width of the figure, of a box, of the strip under it, between them; the head above all.
WIDTH, BOX, STRIP, GAP, HEAD = 4.9, 0.42, 0.27, 0.15, 1.9
# Middle and width of the columns: classifier, encoder, decoder; and where c passes them.
COLUMNS, RAIL = {"C": (1.18, 0.84), "S": (2.5, 1.14), "D": (3.95, 1.08)}, 4.7
MARGIN, FOOT = 0.17, 0.1


class Call(NamedTuple):
    """A block that ran: the shape of its output for one image, and whose outputs it was given."""

    shape: tuple
    sources: tuple


def trace(model, side=128):
    """What each block of a model gives and takes for one image: {name: Call}, in running order.

    Blocks are the direct submodules and the combination blocks under the names that the model has
    for them, such as "S2" and "combination.S2"; the image is "image". Shapes alone are computed.
    """
    std = model.std
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    model.std = None  # no module is called for it, but its method: added below
    names = {module: name for name, module in model.named_children() if name != "combination"}
    names |= {block: f"combination.{stage}" for stage, block in model.combination.items()}
    image = torch.empty(1, 1, side, side, device="meta")
    made, calls = {image: "image"}, {"image": Call((1, side, side), ())}

    def note(module, inputs, output):
        calls[names[module]] = Call(tuple(output.shape[1:]), tuple(made[x] for x in inputs))
        made[output] = names[module]

    for module in names:
        module.register_forward_hook(note)
    with torch.no_grad():
        output = model(image)
    shape = tuple(output.mask.shape[1:])
    if std is not None:
        calls["std"] = Call(shape, ("last", "FC") if std.lambda2 > 0 else ("last",))
    calls["mask"] = Call(shape, ("last" if std is None else "std",))
    return calls


def draw_architecture(model, side=128):
    """A matplotlib Figure of the model for images of side x side: blocks, channels, arrows.

    Each band holds what has one size, so that arrows within a band need no resampling. Numbers in
    boxes are channels. Boxes and arrows carry their names, as `trace` has them, as their gid.
    Raises TypeError for a model that is not a `DetectionGuidedNet`.
    """
    if not isinstance(model, DetectionGuidedNet):
        found = type(model).__name__
        raise TypeError(f"model must be a DetectionGuidedNet, found {found}.")
    return _Picture(model, trace(model, side)).figure


class _Picture:
    """Boxes first, since arrows go from one to another: places are (x, y) in inches, y upwards."""

    def __init__(self, model, calls):
        self.model, self.calls, self.boxes = model, calls, {}
        self.bands = self.stacked_bands()
        height = self.bands[None]
        self.figure = Figure(figsize=(WIDTH, height), layout="none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, height))
        self.axes.set_axis_off()
        self.draw_bands()
        for name, call in calls.items():
            self.draw_box(name, call)
        for name, call in calls.items():
            for source in call.sources:
                self.draw_arrow(source, name)

    # --- where things are ---

    def column(self, name):
        if name[0] == "C":
            return "C"
        decoder = name in ("S6", "S7", "S8", "S9", "last", "std", "mask")
        return "D" if decoder else "S"

    def stacked_bands(self):
        """{size: lower edge of its band}, and under None the height of all."""
        sizes = {}
        for name, call in self.calls.items():
            if name[0] in "SC":
                room = 2 * MARGIN + BOX
                if f"combination.{name}" in self.calls:
                    room += GAP + (STRIP + BOX) / 2
                sizes[call.shape[-1]] = max(room, sizes.get(call.shape[-1], 0))
        if self.calls["FC"].sources == ("S5",):  # one encoder: FC needs a place of its own
            sizes[0] = 2 * MARGIN + BOX
        edges, y = {}, FOOT
        for size in sorted(sizes):
            edges[size] = y
            y += sizes[size]
        self.rooms = sizes
        return edges | {None: y + HEAD}

    def place(self, name, call):
        """Middle, width and height of a box."""
        x, width = COLUMNS[self.column(name)]
        top = self.bands[None] - HEAD
        above = {"last": 0.32, "std": 0.95, "mask": 1.58}
        if name == "image":
            left, right = COLUMNS["C"][0], COLUMNS["S"][0]
            return (left + right) / 2, top + above["mask"], right - left + width, BOX
        if name in above:
            return x, top + above[name], width, BOX if name != "last" else STRIP + 0.06
        size = min(self.rooms) if name == "FC" else call.shape[-1]
        y = self.bands[size] + MARGIN + BOX / 2
        if name.startswith("combination."):
            return x, y, width, STRIP
        if f"combination.{name}" in self.calls:  # above its strip
            return x, y + STRIP / 2 + GAP + BOX / 2, width, BOX
        return x, y, width, BOX

    # --- what is drawn ---

    def draw_bands(self):
        sizes = sorted(self.rooms)
        for number, size in enumerate(sizes):
            y, room = self.bands[size], self.rooms[size]
            if number % 2:
                self.axes.add_patch(Rectangle((0, y), WIDTH, room, color="#f3f4f6", zorder=0))
            if size:
                self.text(0.06, y + room - 0.15, f"{size}×{size}", MUTED, ha="left")
        y = self.bands[None] - HEAD + 0.75
        for column, colour, words in (("C", ORANGE, "classifier"), ("S", BLUE, "U-Net")):
            if column == "S" or not self.model.shared:
                back = {"facecolor": "white", "edgecolor": "none", "pad": 2}
                self.text(COLUMNS[column][0], y, words, colour, weight="bold", bbox=back)

    def draw_box(self, name, call):
        x, y, width, height = self.boxes[name] = self.place(name, call)
        head, below, colour = self.words(name, call)
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2), width, height, "round,pad=0,rounding_size=0.05",
                facecolor=FILL[colour], edgecolor=colour, linewidth=1.2, zorder=3, gid=name,
            )
        )  # fmt: skip
        if below is None:
            self.text(x, y, head, INK)
        else:
            self.text(x, y + 0.09, head, INK, weight="bold")
            self.text(x, y - 0.1, below, INK)

    def words(self, name, call):
        """What stands in a box, on one line or two, and its colour."""
        channels = str(call.shape[0]) if call.shape else ""
        if name == "image":
            return "image", channels, INK
        if name == "mask":
            return "mask x", channels, INK
        if name == "FC":
            return "FC", "sigmoid: c", ORANGE
        if name == "std":
            return "STD", f"{self.model.std.iterations} steps", VIOLET
        if name == "last":
            side = self.model.last.kernel_size[0]
            return f"{side}×{side} → u", None, BLUE
        if name.startswith("combination."):
            kind = type(self.model.get_submodule(name))
            return f"{COMBINATIONS[kind]} {channels}", None, GREEN
        block = self.model.get_submodule(name)
        aspp = any(isinstance(part, ASPP) for part in block.modules())
        return name + " + ASPP" * aspp, channels, ORANGE if name[0] == "C" else BLUE

    def draw_arrow(self, source, target):
        (x0, y0, w0, h0), (x1, y1, w1, h1) = self.boxes[source], self.boxes[target]
        colour, style = MUTED, "-"
        if target[0] == "c" and source[0] == "C":  # into a combination
            colour = GREEN
        if (source, target) == ("FC", "std"):  # along the rail
            points = [(x0 + w0 / 2, y0), (RAIL, y0), (RAIL, y1), (x1 + w1 / 2, y1)]
            colour, style = VIOLET, (0, (4, 2))  # dashed: c is detached
            self.text(RAIL + 0.09, (y0 + y1) / 2, "c", VIOLET, weight="bold")
        elif source == "image":
            points = [(x1, y0 - h0 / 2), (x1, y1 + h1 / 2)]
        elif x0 == x1:
            way = 1 if y1 > y0 else -1
            points = [(x0, y0 + way * h0 / 2), (x1, y1 - way * h1 / 2)]
        elif target == "S6" and y1 > y0 + h0:  # up from the deepest stage
            points = [(x0 + w0 / 2, y0), (x1, y0), (x1, y1 - h1 / 2)]
        else:
            points = [(x0 + w0 / 2, y0), (x1 - w1 / 2, y1)]
        self.axes.add_patch(
            FancyArrowPatch(
                path=Path(points), arrowstyle="-|>,head_width=3,head_length=5", color=colour,
                linewidth=1.6 if colour != MUTED else 1.2, linestyle=style, zorder=2,
                gid=f"{source}->{target}",
            )
        )  # fmt: skip

    def text(self, x, y, words, colour, **more):
        more = {"ha": "center", "va": "center", "fontsize": 10, "color": colour, **more}
        self.axes.text(x, y, words, zorder=4, **more)
