"""The built site is small, and what makes it so changes nothing that a reader sees."""

import numpy as np
import pytest
from PIL import Image
from slim_site import parts, slim


def test_the_site_is_below_its_limit(site):
    sizes = parts(site)
    # What a reader asks for by a click, and whoever copies the site may leave out.
    sizes.pop("_static/networks", None)
    assert sum(sizes.values()) < 25, sizes


def test_the_parts_of_a_site_add_up(tmp_path):
    for name, size in (("book/a.html", 3), ("_static/x/b.js", 5), ("_static/c.js", 7), ("d", 11)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    wanted = {"other files": 18, "_static/x": 5, "book": 3}
    assert parts(tmp_path) == pytest.approx({part: size / 1e6 for part, size in wanted.items()})


def test_images_keep_every_pixel_and_pages_show_them(tmp_path):
    site, kept = tmp_path / "html", tmp_path / "kept"
    (site / "_images").mkdir(parents=True)
    (site / "book").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    pixels[..., 3] |= 1  # the colour of what is wholly transparent is nobody's to see
    Image.fromarray(pixels).save(site / "_images" / "abc.png")
    page = site / "book" / "page.html"
    page.write_text('<img src="../_images/abc.png"><img src="x.png">', encoding="utf-8")
    slim(site, kept)
    html = page.read_text(encoding="utf-8")
    assert html == '<img src="../_images/abc.webp"><img src="x.png">'
    assert [path.name for path in (site / "_images").iterdir()] == ["abc.webp"]
    with Image.open(site / "_images" / "abc.webp") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_an_image_of_the_last_build_is_not_made_again(tmp_path):
    images = tmp_path / "html" / "_images"
    images.mkdir(parents=True)
    (tmp_path / "abc.webp").write_bytes(b"made before")
    (images / "abc.png").write_bytes(b"no image at all")
    slim(tmp_path / "html", tmp_path)
    assert (images / "abc.webp").read_bytes() == b"made before"


def test_what_no_page_loads_goes_and_icons_come_from_the_font(tmp_path):
    files = {
        "_static/scripts/fontawesome.js": "",
        "_static/scripts/bootstrap.js": "",
        "_static/scripts/bootstrap.js.map": "",
        "_static/vendor/a.ttf": "",
        "_static/vendor/a.woff2": "",
        "_static/locales/de/a.po": "",
        "_static/styles/a.css": 'src:url(../vendor/a.woff2) format("woff2"),'
        'url(../vendor/a.ttf) format("truetype")}',
        "book/a.html": '<script src="../_static/scripts/fontawesome.js?digest=1"></script>'
        '<script src="../_static/scripts/bootstrap.js"></script>',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    slim(tmp_path, tmp_path / "kept")
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"_static/scripts/bootstrap.js", "_static/vendor/a.woff2",
                    "_static/styles/a.css", "book/a.html"}  # fmt: skip
    css = (tmp_path / "_static/styles/a.css").read_text(encoding="utf-8")
    assert css == 'src:url(../vendor/a.woff2) format("woff2")}'
    html = (tmp_path / "book/a.html").read_text(encoding="utf-8")
    assert html == '<script src="../_static/scripts/bootstrap.js"></script>'
