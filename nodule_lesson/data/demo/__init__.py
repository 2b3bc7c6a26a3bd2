"""The demo sets of the package, unpacked into the user's cache at their first use.

    from nodule_lesson.data.demo import open_demo
    patch_set = open_demo("luna_like")          # or "clinic_like"

They are crops of simulated scans (`nodule_lesson.data.phantom`), with HU in steps of 16, so that
both sets fit into 2 MB. The cache is the folder NODULE_LESSON_CACHE, or the system's usual one.
"""

import hashlib
import io
import json
import lzma
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from nodule_lesson.data.patches import PatchSet

HERE = Path(__file__).parent
LOWEST_HU, HU_STEP = -1024, 16  # a byte b stands for LOWEST_HU + HU_STEP * b HU


def open_demo(domain="luna_like"):
    """The demo set of a domain, "luna_like" or "clinic_like", as an opened PatchSet.

    It is verified at each call, and unpacked again if it is damaged. Raises ValueError for an
    unknown domain or a damaged demo file in the package, OSError if the cache cannot be written.
    """
    manifest = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
    if domain not in manifest:
        raise ValueError(f"domain must be one of {', '.join(manifest)}, found {domain!r}.")
    checksum = manifest[domain]["sha256"]
    folder = cache_folder() / f"demo-{domain}-{checksum[:12]}"
    for _ in range(5):  # another process may unpack or remove it at the same time
        try:
            return PatchSet.open(folder)
        except (ValueError, OSError):
            _unpack(domain, checksum, folder)
    return PatchSet.open(folder)


def cache_folder():
    """NODULE_LESSON_CACHE, or nodule_lesson in the system's cache folder."""
    if chosen := os.environ.get("NODULE_LESSON_CACHE"):
        return Path(chosen)
    if sys.platform == "win32" and (chosen := os.environ.get("LOCALAPPDATA")):
        return Path(chosen) / "nodule_lesson"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodule_lesson"


def _unpack(domain, checksum, folder):
    """Unpack the set into a temporary folder and rename that to `folder`, replacing a damaged one.

    So another process sees the complete set or nothing.
    """
    packed = (HERE / f"{domain}.xz").read_bytes()
    if hashlib.sha256(packed).hexdigest() != checksum:
        raise ValueError(f"The demo file {domain}.xz is damaged: install the package again.")
    with np.load(io.BytesIO(lzma.decompress(packed)), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    origin = json.loads(str(arrays.pop("origin")))
    images = (LOWEST_HU + HU_STEP * arrays.pop("codes").astype(np.int16)).astype(np.int16)
    masks, readers = arrays.pop("masks"), arrays.pop("readers")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".demo-", dir=folder.parent))
    try:
        PatchSet.write(scratch / "new", images, masks, arrays, readers=readers, **origin)
        try:
            PatchSet.open(folder)  # another process was faster
        except (ValueError, OSError):
            try:
                os.rename(folder, scratch / "damaged")
            except FileNotFoundError:
                pass
            try:
                os.rename(scratch / "new", folder)
            except OSError:
                if not folder.exists():
                    raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def pack_demo(domain, patch_set):
    """Write a PatchSet of int16 HU into the package as the demo of `domain`.

    Returns the size of its file in bytes.
    """
    highest_hu = LOWEST_HU + 255 * HU_STEP
    hu = np.clip(np.asarray(patch_set.images, dtype=np.int32), LOWEST_HU, highest_hu)
    origin = {name: patch_set.info[name] for name in ("source", "licence", "citation")}
    origin["parameters"] = {**patch_set.info["parameters"], "hu_step": HU_STEP}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        codes=((hu - LOWEST_HU + HU_STEP // 2) // HU_STEP).clip(0, 255).astype(np.uint8),
        masks=np.asarray(patch_set.masks),
        readers=np.asarray(patch_set.readers),
        origin=json.dumps(origin),
        **patch_set.slices,
    )
    packed = lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    path = HERE / "demo.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    manifest[domain] = {"sha256": hashlib.sha256(packed).hexdigest(), "slices": len(patch_set)}
    for name, data in (
        (f"{domain}.xz", packed),
        ("demo.json", (json.dumps(manifest, indent=1) + "\n").encode()),
    ):
        partial = HERE / f"{name}.part"
        partial.write_bytes(data)
        os.replace(partial, HERE / name)
    return len(packed)
