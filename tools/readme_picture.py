"""Draw the picture of the README: the layer applied to a disc in noise."""

import io
from pathlib import Path

from PIL import Image

from nodule_lesson.chapters.soft_threshold_dynamics.live import std_explorer

PICTURE = Path(__file__).resolve().parents[1] / "book" / "_static" / "readme.png"

if __name__ == "__main__":
    still = Image.open(io.BytesIO(std_explorer(compact=True).still())).convert("RGB")
    # 256 colours are enough for these two panels, and make the file three times smaller.
    still.quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1024:.0f} KiB")
