"""How stills draw what figure.js draws: lines and outlines by the names of figure.css."""

import re
from pathlib import Path

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

_STYLE_SHEET = Path(__file__).with_name("figure.css").read_text(encoding="utf-8")
# The colours of the light theme, which stands first.
COLOURS = dict(re.findall(r"--lf-([\w-]+): (#\w{6})", _STYLE_SHEET.split("}")[0]))

# Arguments of Axes.plot for each kind of line. Those of a scan lie over a black background.
LINES = {
    "first": {"color": COLOURS["first"]},
    "second": {"color": COLOURS["second"], "linestyle": "--"},
    "third": {"color": COLOURS["third"], "linestyle": ":"},
    "muted": {"color": COLOURS["muted"], "linewidth": 1.2},
    "cursor": {"color": COLOURS["ink"], "linewidth": 1},
    "contour": {"color": COLOURS["contour"]},
    "thin-contour": {"color": COLOURS["contour"], "linewidth": 0.8},
    "scan-contour": {"color": COLOURS["scan-contour"]},
    "scan-second": {"color": COLOURS["scan-second"], "linestyle": "--"},
    "scan-third": {"color": COLOURS["scan-third"], "linestyle": ":"},
    "grid": {"color": COLOURS["rule"], "linewidth": 0.6},
}

COLOUR_MAPS = {
    "logits": "RdBu",
    "share": "Blues",
    "grey": "gray",
    "signed": LinearSegmentedColormap.from_list(
        "signed", [COLOURS[name] for name in ("negative", "zero", "positive")]
    ),
}


def new_figure(height):
    """A figure as wide as the text of a page, `height` inches high."""
    return Figure(figsize=(7.4, height), layout="constrained")


def show_field(axes, field, title, colours="share", low=0, high=1, outlines=()):
    """Draw a field in one of COLOUR_MAPS, with outlines: (field, level, name in LINES) each."""
    axes.imshow(field, cmap=COLOUR_MAPS[colours], vmin=low, vmax=high)
    axes.set_title(title)
    axes.set_axis_off()
    for values, level, kind in outlines:
        if values.min() < level < values.max():  # else matplotlib warns
            line = LINES[kind]
            axes.contour(
                values,
                [level],
                colors=line["color"],
                linestyles=line.get("linestyle", "-"),
                linewidths=line.get("linewidth", 1.2),
            )


def show_x(axes, x, steps, outlines=()):
    """Draw x after that many steps of the layer with its outline at 0.5, and more outlines."""
    title = f"x after {steps} {'step' if steps == 1 else 'steps'}"
    show_field(axes, x, title, outlines=[(x, 0.5, "contour"), *outlines])
