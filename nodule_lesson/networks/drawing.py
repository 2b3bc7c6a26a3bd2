"""The picture of a `DetectionGuidedNet`, drawn from the calls of its own modules.

`trace` runs a copy of the model with the shape of one image and records which block used the
output of which. The boxes, sizes and arrows of the figure are these records, so the picture always
agrees with the code.
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
# Lengths in inches. The head above the bands has image, last, STD and mask; the strip under a box
# is its combination block.
FIGURE_WIDTH, HEAD, FOOT = 4.9, 1.9, 0.1
BOX_HEIGHT, STRIP_HEIGHT, GAP, MARGIN = 0.42, 0.27, 0.15, 0.17
# Middle and width of the columns: classifier, encoder, decoder. The arrow of c runs beside them.
COLUMNS = {"C": (1.18, 0.84), "S": (2.5, 1.14), "D": (3.95, 1.08)}
RAIL = 4.7


class Call(NamedTuple):
    """A block that ran: the shape of its output for one image, and the names of its inputs."""

    shape: tuple
    sources: tuple


def trace(model, side=128):
    """The blocks of a model that run for one image: {name: Call}, in the order of their calls.

    Blocks are the direct submodules and the combination blocks under their names in the model,
    such as "S2" and "combination.S2"; the image is "image". Only shapes are computed.
    """
    std = model.std
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    model.std = None  # the network calls a method of it, which no hook sees: added below
    names = {module: name for name, module in model.named_children() if name != "combination"}
    names |= {block: f"combination.{stage}" for stage, block in model.combination.items()}
    image = torch.empty(1, 1, side, side, device="meta")
    source, calls = {image: "image"}, {"image": Call((1, side, side), ())}

    def record(module, inputs, output):
        calls[names[module]] = Call(tuple(output.shape[1:]), tuple(source[x] for x in inputs))
        source[output] = names[module]

    for module in names:
        module.register_forward_hook(record)
    with torch.no_grad():
        output = model(image)
    shape = tuple(output.mask.shape[1:])
    if std is not None:
        calls["std"] = Call(shape, ("last", "FC") if std.lambda2 > 0 else ("last",))
    calls["mask"] = Call(shape, ("last" if std is None else "std",))
    return calls


def draw_architecture(model, side=128):
    """A matplotlib Figure of the model for images of side x side: blocks, channels, arrows.

    Blocks whose outputs have the same size are in one band. Numbers in boxes are channels. The
    gids of boxes and arrows are their names in `trace`.
    Raises TypeError for a model that is not a `DetectionGuidedNet`.
    """
    if not isinstance(model, DetectionGuidedNet):
        raise TypeError(f"model must be a DetectionGuidedNet, found {type(model).__name__}.")
    return _Picture(model, trace(model, side)).figure


class _Picture:
    """The figure of the calls. Coordinates (x, y) are in inches, y upwards."""

    def __init__(self, model, calls):
        self.model, self.calls, self.boxes = model, calls, {}
        self.bands = self.stacked_bands()
        height = self.bands[None]
        self.figure = Figure(figsize=(FIGURE_WIDTH, height), layout="none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, FIGURE_WIDTH), ylim=(0, height))
        self.axes.set_axis_off()
        self.draw_bands()
        for name, call in calls.items():
            self.draw_box(name, call)
        for name, call in calls.items():
            for source in call.sources:
                self.draw_arrow(source, name)

    # --- layout ---

    def column(self, name):
        if name[0] == "C":
            return "C"
        decoder = name in ("S6", "S7", "S8", "S9", "last", "std", "mask")
        return "D" if decoder else "S"

    def stacked_bands(self):
        """{size: lower edge of its band}, and under None the height of the figure."""
        heights = {}
        for name, call in self.calls.items():
            if name[0] in "SC":
                height = 2 * MARGIN + BOX_HEIGHT
                if f"combination.{name}" in self.calls:
                    height += GAP + (STRIP_HEIGHT + BOX_HEIGHT) / 2
                heights[call.shape[-1]] = max(height, heights.get(call.shape[-1], 0))
        if self.calls["FC"].sources == ("S5",):  # one encoder: FC needs its own band
            heights[0] = 2 * MARGIN + BOX_HEIGHT
        edges, y = {}, FOOT
        for size in sorted(heights):
            edges[size] = y
            y += heights[size]
        self.band_heights = heights
        return edges | {None: y + HEAD}

    def place(self, name, call):
        """Middle, width and height of a box."""
        x, width = COLUMNS[self.column(name)]
        top = self.bands[None] - HEAD
        above = {"last": 0.32, "std": 0.95, "mask": 1.58}
        if name == "image":
            left, right = COLUMNS["C"][0], COLUMNS["S"][0]
            return (left + right) / 2, top + above["mask"], right - left + width, BOX_HEIGHT
        if name in above:
            height = STRIP_HEIGHT + 0.06 if name == "last" else BOX_HEIGHT
            return x, top + above[name], width, height
        size = min(self.band_heights) if name == "FC" else call.shape[-1]
        y = self.bands[size] + MARGIN + BOX_HEIGHT / 2
        if name.startswith("combination."):
            return x, y, width, STRIP_HEIGHT
        if f"combination.{name}" in self.calls:  # above its strip
            return x, y + STRIP_HEIGHT / 2 + GAP + BOX_HEIGHT / 2, width, BOX_HEIGHT
        return x, y, width, BOX_HEIGHT

    # --- drawing ---

    def draw_bands(self):
        for number, (size, height) in enumerate(sorted(self.band_heights.items())):
            y = self.bands[size]
            if number % 2:
                band = Rectangle((0, y), FIGURE_WIDTH, height, color="#f3f4f6", zorder=0)
                self.axes.add_patch(band)
            if size:
                self.text(0.06, y + height - 0.15, f"{size}×{size}", MUTED, ha="left")
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
        """The text in a box, on one line or two, and its colour."""
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
        aspp = any(isinstance(module, ASPP) for module in block.modules())
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
            sign = 1 if y1 > y0 else -1
            points = [(x0, y0 + sign * h0 / 2), (x1, y1 - sign * h1 / 2)]
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
