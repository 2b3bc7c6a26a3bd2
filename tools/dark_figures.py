"""A dark version of each static figure, for readers whose pages are dark.

While the book is built, each kernel draws a Matplotlib figure twice (`DarkFigures`, started by
tools/kernel_startup.py): as it is, and with the lightness of all colours turned round. A page
holds both images, and shows the one that fits its theme (`add_dark_images`).
"""

import base64
import colorsys
import hashlib
import warnings
from pathlib import Path

import nbformat
from docutils import nodes
from IPython.core.formatters import BaseFormatter
from IPython.core.pylabtools import print_figure
from jupyter_cache import get_cache
from traitlets import ObjectName, Unicode

# No browser knows this type, so that notebooks show the other image.
MIME = "image/x-dark-png"
COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
# What a map of colours becomes: no value is bright. Others, such as the greys of CT, stay.
MAPS = {
    "Blues": ("#10141a", "#2f6098", "#b8d9fa"),
    "RdBu": ("#f0924f", "#191d23", "#6aa8ea"),
}


# --- in a kernel --------------------------------------------------------------------------------


class DarkFigures(BaseFormatter):
    """Adds the dark version to what a kernel puts out for a figure."""

    format_type = Unicode(MIME)
    print_method = ObjectName("_repr_dark_png_")

    def __call__(self, shown):
        from matplotlib.figure import Figure

        return dark_png(shown) if isinstance(shown, Figure) else None


def dark_png(figure):
    """A figure's dark version as PNG in base64; the figure stays as it is."""
    from matplotlib import rcParams

    undo = []
    try:
        darken(figure, undo)
        with warnings.catch_warnings():
            # Matplotlib forgets, when a figure is drawn, that it was made without a layout.
            warnings.filterwarnings("ignore", "There are no gridspecs with layoutgrids")
            dpi = 2 * rcParams["figure.dpi"]
            return print_figure(figure, base64=True, dpi=dpi, facecolor="none")
    finally:
        for setter, value in reversed(undo):
            setter(value)


def darken(figure, undo):
    """Turn the lightness of a figure's colours round; `undo` gets (setter, old value) for each.

    What lies over an image whose colours stay, such as a CT slice, keeps its own as well.
    """
    over_pictures = set()
    for axes in figure.findobj(lambda artist: hasattr(artist, "images")):
        change(undo, axes.patch.set_visible, axes.patch.get_visible(), False)
        if any(image.get_cmap().name not in MAPS for image in axes.images):
            over_pictures.update(axes.lines, axes.collections, axes.patches, axes.texts)
    for artist in figure.findobj(lambda artist: artist not in over_pictures):
        turn_round(artist, undo)
        # The arrow of an annotation and the box round a text are no children of theirs.
        box = getattr(artist, "get_bbox_patch", lambda: None)()
        for patch in (getattr(artist, "arrow_patch", None), box):
            if patch is not None:
                turn_round(patch, undo)


def turn_round(artist, undo):
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    mapped = getattr(artist, "get_array", lambda: None)() is not None
    colours = artist.get_cmap() if mapped else None
    if isinstance(colours, ListedColormap) and colours.N <= 20:  # the lines of a contour
        turned = ListedColormap([at_night(colour) for colour in colours.colors])
        change(undo, artist.set_cmap, colours, turned)
    elif mapped and colours.name in MAPS:
        turned = LinearSegmentedColormap.from_list(colours.name, MAPS[colours.name])
        change(undo, artist.set_cmap, colours, turned)
    if mapped:
        return
    # All are read before one is set, since one may follow another.
    known = [
        (getattr(artist, f"set_{name}"), getattr(artist, f"get_{name}")())
        for name in COLOURS
        if hasattr(artist, f"set_{name}") and hasattr(artist, f"get_{name}")
    ]
    for setter, old in known:
        if hasattr(old, "ndim") and old.ndim == 2:  # of a collection, one per element
            change(undo, setter, old, [at_night(colour) for colour in old])
        elif old is not None and str(old) not in ("none", "auto"):
            change(undo, setter, old, at_night(old))


def change(undo, setter, old, new):
    undo.append((setter, old))
    setter(new)


def at_night(colour):
    """A colour of the same hue that is as light as the other is dark."""
    from matplotlib.colors import to_rgba

    red, green, blue, alpha = to_rgba(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    return (*colorsys.hls_to_rgb(hue, 0.95 - 0.8 * lightness, saturation), alpha)


# --- in the build -------------------------------------------------------------------------------


def add_dark_images(app, doctree):
    """Give each image that has a dark version that version as a second image."""
    source = Path(app.outdir).parent / "jupyter_execute" / f"{app.env.docname}.ipynb"
    if not source.exists():
        return
    cache = get_cache(app.env.mystnb_config.execution_cache_path)
    _, executed = cache.merge_match_into_notebook(nbformat.read(source, as_version=4))
    dark = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if MIME in data:
                light = base64.b64decode(data["image/png"])
                dark[hashlib.sha256(light).hexdigest()] = base64.b64decode(data[MIME])
    for image in list(doctree.findall(nodes.image)):
        name = Path(image["uri"]).stem  # MyST-NB names a file by its hash
        if name not in dark:
            continue
        second = image.deepcopy()
        second["uri"] = image["uri"].replace(name, f"{name}-dark")
        Path(app.srcdir, second["uri"].lstrip("/")).write_bytes(dark[name])
        second["candidates"] = {"*": second["uri"].lstrip("/")}
        app.env.images.add_file(app.env.docname, second["candidates"]["*"])
        image["classes"].append("by-day")
        second["classes"].append("by-night")
        image.parent.insert(image.parent.index(image) + 1, second)
