"""Static figures have a dark version, made while the book is built (tools/dark_figures.py)."""

import base64
import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from bs4 import BeautifulSoup
from dark_figures import at_night, dark_png
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

PAGES = sorted((ROOT / "book").glob("*.md"))


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def pixels(content):
    """The colours of an image over black, as (H, W, 3) from 0 to 1."""
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")) / 255
    return image[..., :3] * image[..., 3:]


@pytest.fixture
def figure():
    """A plot with lines, an area, points and a legend; a field with its outline; a CT slice."""
    with matplotlib.rc_context({"figure.facecolor": "white"}):
        figure = Figure(figsize=(9, 3))
    plot, field, scan = figure.subplots(1, 3)
    plot.plot([1, 2, 3], color="#1f5fa8", label="one")
    plot.fill_between([0, 1, 2], [0, 1, 0], color="#b4480d", alpha=0.3)
    plot.scatter([1], [2], c="black")
    plot.legend(frameon=False)
    ramp = np.linspace(0, 1, 64)[:, None] * np.ones((64, 64))
    field.imshow(ramp, cmap="Blues", vmin=0, vmax=1)
    field.contour(ramp, [0.5], colors="#000000")
    scan.imshow(ramp, cmap="gray", vmin=0, vmax=1)
    scan.plot([10, 50], [30, 30], color="#d6330f")
    return figure


def test_the_figure_itself_stays_as_it_is(figure):
    before = png(figure)
    dark_png(figure)
    assert png(figure) == before


def test_the_dark_version_is_dark_and_says_the_same(figure):
    dark = pixels(base64.b64decode(dark_png(figure)))
    light = pixels(png(figure))
    assert np.median(light) > 0.85 and np.median(dark) < 0.2
    # The slice and the line over it keep their colours: reds are as many in both, up to scale.
    red = [np.isclose(image, (0xD6 / 255, 0x33 / 255, 0x0F / 255), atol=0.02).all(-1).mean()
           for image in (light, dark)]  # fmt: skip
    assert red[0] > 0 and red[1] == pytest.approx(red[0], rel=0.5)


def test_the_arrow_of_a_note_is_light(figure):
    """Matplotlib does not count it among the children of the note."""
    before = pixels(base64.b64decode(dark_png(figure)))
    note = figure.axes[0].annotate(
        "", (2, 3), (0, 0), arrowprops={"arrowstyle": "-", "color": "black", "linewidth": 12}
    )
    arrow = note.arrow_patch.get_edgecolor()
    after = pixels(base64.b64decode(dark_png(figure)))
    assert note.arrow_patch.get_edgecolor() == arrow
    light = [(image > 0.9).all(-1).mean() for image in (before, after)]
    assert light[1] > light[0] + 0.005


def test_the_box_round_a_text_is_dark(figure):
    before = pixels(base64.b64decode(dark_png(figure)))
    text = figure.axes[0].text(2, 1, "A", fontsize=40, bbox={"facecolor": "white"})
    after = pixels(base64.b64decode(dark_png(figure)))
    white = [(image > 0.99).all(-1).mean() for image in (before, after)]
    assert white[1] <= white[0]
    assert text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)


def test_a_colour_keeps_its_hue_and_turns_its_lightness_round():
    assert at_night("white")[:3] == pytest.approx((0.15, 0.15, 0.15))
    assert at_night("black")[:3] == pytest.approx((0.95, 0.95, 0.95))
    red, green, blue, alpha = at_night((0.1, 0.2, 0.6, 0.5))
    assert blue > green > red > 0.1 and alpha == 0.5


@pytest.mark.parametrize("name", [path.stem for path in PAGES])
def test_every_figure_of_a_page_has_both_versions(site, name):
    page = BeautifulSoup((site / "book" / f"{name}.html").read_bytes(), "html.parser")
    images = page.select(".cell_output img:not(.lf-still)")
    assert [image["class"][-1] for image in images] == ["by-day", "by-night"] * (len(images) // 2)
    for day, night in zip(images[::2], images[1::2], strict=True):
        assert day["alt"] == night["alt"]
        shapes = [Image.open(site / "book" / image["src"]).size for image in (day, night)]
        assert np.allclose(*shapes, rtol=0.02), day["src"]
