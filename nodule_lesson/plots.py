"""The style of the book's figures, and a figure that several chapters share."""

import matplotlib.pyplot as plt

BLUE, ORANGE, GREEN = "#1f5fa8", "#b4480d", "#2b7446"
INK, MUTED, CONTOUR = "#1c2430", "#55606e", "#d6330f"
OUTLINE = "#000000"  # no field has this colour


def use_style():
    """Set matplotlib to the book's style; a chapter calls it once, at its beginning."""
    plt.rcParams.update(
        {
            "figure.figsize": (7.4, 3.2),
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(
                color=[BLUE, ORANGE, GREEN, MUTED], linestyle=["-", "--", "-.", ":"]
            ),
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "text.color": INK,
            "legend.frameon": False,
            "axes.grid": True,
            "grid.color": "#d5dae1",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # plain Python without a notebook
        return
    set_matplotlib_formats("retina")


def show_field(axes, field, title="", *, kind="x", outline=0.5, colour=OUTLINE):
    """Draw a square field with its outline.

    field: (H, W), a tensor or an array. kind: "x" for values in [0, 1], "u" for logits, shown from
    -3 to 3. outline: the level of the contour, None for no contour.
    """
    colours, low, high = {"x": ("Blues", 0, 1), "u": ("RdBu", -3, 3)}[kind]
    axes.imshow(field, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    if outline is not None and field.min() < outline < field.max():
        axes.contour(field, [outline], colors=colour, linewidths=1.2)
    axes.set_title(title)
    axes.set_axis_off()
