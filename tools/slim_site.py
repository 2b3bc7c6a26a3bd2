"""Make the built pages small without a change that a reader could see.

The theme brings files that no page asks for, and every icon twice: as a font and as a script of
1.5 MB. Matplotlib's PNGs are half as large as WebP, which here is lossless. `python
tools/slim_site.py _build/html` says where the bytes of a built site go.
"""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from PIL import Image

from nodule_lesson.files import whole_file

# What the theme copies into _static and no page loads: maps from its packed scripts and styles to
# their sources, its translations (Sphinx has put them into the pages), macros for templates.
UNUSED = ("**/*.map", "locales", "*webpack-macros.html")
# Icons come from the fonts. The script would replace each of them by a drawing of the same look.
ICON_SCRIPT = re.compile(r"\s*<(script|link)[^>]*scripts/fontawesome\.js[^>]*>(</script>)?")
# Browsers that know no woff2 are older than what the figures need.
OLD_FONTS = re.compile(r',\s*url\([^)]*\.ttf\)\s*format\("truetype"\)')


def slim(site, kept):
    """Make the pages in `site` small; `kept` is a folder for images from the last build."""
    static = Path(site, "_static")
    for path in [path for pattern in UNUSED for path in static.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [*static.glob("scripts/fontawesome.js*"), *static.glob("vendor/**/*.ttf")]:
        path.unlink()
    for path in static.glob("styles/*.css"):
        change(path, lambda text: OLD_FONTS.sub("", text))
    names = {path.name: as_webp(path, Path(kept)) for path in Path(site, "_images").glob("*.png")}
    image = re.compile("_images/([^\"'/ ]+[.]png)")
    for path in Path(site).rglob("*.html"):
        change(path, lambda text: image.sub(
            lambda found: f"_images/{names[found[1]]}", ICON_SCRIPT.sub("", text)
        ))  # fmt: skip


def change(path, how):
    text = path.read_text(encoding="utf-8")
    changed = how(text)
    if changed != text:
        path.write_text(changed, encoding="utf-8")


def as_webp(path, kept):
    """Put a lossless WebP in the place of a PNG; returns its name.

    The PNG's name is a hash of its content, so an image of the last build is used again.
    """
    made, known = path.with_suffix(".webp"), kept / f"{path.stem}.webp"
    if not known.exists():
        kept.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image, whole_file(known) as file:
            image.save(file, "WEBP", lossless=True, method=2)
    shutil.copyfile(known, made)
    path.unlink()
    return made.name


def parts(site):
    """Megabytes (10^6 bytes) of a site by part, the largest first; their sum is the whole site."""
    sizes = Counter()
    for path in Path(site).rglob("*"):
        if path.is_file():
            names = path.relative_to(site).parts
            depth = 2 if names[0] == "_static" else 1
            sizes["/".join(names[:depth]) if len(names) > depth else "other files"] += (
                path.stat().st_size / 1e6
            )
    return dict(sizes.most_common())


if __name__ == "__main__":
    for part, megabytes in parts(sys.argv[1]).items():
        print(f"{megabytes:6.2f} MB  {part}")
