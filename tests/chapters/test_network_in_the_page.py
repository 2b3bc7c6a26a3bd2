"""The network in the page: its figure in a browser, held to PyTorch, and readers' own files."""

import base64
import functools
import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from live_figures import DESK, TELEPHONE, Figure, Finger, make, visits
from PIL import Image
from serving import served

from nodule_lesson import std
from nodule_lesson.chapters.network_in_the_page import facts, live
from nodule_lesson.data.patches import normalise
from nodule_lesson.networks import export, load_pretrained

ROOT = Path(__file__).resolve().parents[2]
PAGE = "network_in_the_page"


# --- without a browser ---------------------------------------------------------------------------


def test_slices_are_simulated_and_hold_what_their_names_say():
    for name in live.SLICES:
        grey, truth = live.slice_of(name)
        assert grey.shape == truth.shape == (live.WIDTH, live.WIDTH) and grey.dtype == np.uint8
        assert truth.any() == (live.PATIENTS.get(name, (0, None))[1] is not None)
        if truth.any():  # the box starts on it
            _, inside = live.crop({"slice": name, "size": "64 × 64", "across": 50, "down": 50})
            assert inside.sum() > 0.9 * truth.sum()
    with pytest.raises(ValueError, match="^slice must be one of solid nodule, .*; found 'lung'.$"):
        live.slice_of("lung")


def test_a_crop_is_scaled_over_the_128_pixels_around_it():
    grey, _ = live.slice_of("solid nodule")
    parameters = {"slice": "solid nodule", "size": "64 × 64", "across": 25.0, "down": 100.0}
    image, _ = live.crop(parameters)
    around = grey[32:160, 0:128].astype(float)  # the box is at row 96, column 24
    wanted = (grey[96:160, 24:88] - around.min()) / (around.max() - around.min())
    np.testing.assert_allclose(image, wanted, atol=1e-6)


def test_occlusion_blames_the_part_that_is_covered(monkeypatch):
    """For a classifier whose logit is the brightness of one pixel."""

    def brightness(images):
        return images, images[:, 20, 44]

    monkeypatch.setattr(live, "answers", brightness)
    image = np.zeros((64, 64), np.float32)
    image[20, 44] = 8
    changes = live.occlusion(image)
    # Patches of 16 in steps of 8: those that begin at 8 or 16, and at 32 or 40, cover the pixel.
    assert changes[20, 44] == 8 and changes.max() == 8
    rows, columns = np.nonzero(changes)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 31, 32, 55)
    assert changes[12, 44] == 4, "half of the patches there cover the pixel as well"


def test_c_on_noise_is_what_the_text_says():
    texts = facts.noise()
    noise = np.random.default_rng(1).standard_normal((40, 128, 128))  # other noise
    images = normalise(noise)[:, 32:96, 32:96]
    with torch.no_grad():
        c = load_pretrained("slim")(torch.as_tensor(np.ascontiguousarray(images))[:, None]).nodule
    low, high = (float(text) for text in texts["noise-small"].split(" to "))
    assert abs(c.median() - (low + high) / 2) < 0.15


# --- a site of this page alone -------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page as the book has it: a folder below the site's root, files beside."""
    root = tmp_path_factory.mktemp("site")
    (root / "book").mkdir()
    head = '<!doctype html><html lang="en" data-content_root="../" data-theme="light">'
    head += '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += '<link rel="icon" href="data:,"><title>The network</title>'
    text = f"{head}<body>{make(PAGE).page()}</body></html>"
    (root / "book" / f"{PAGE}.html").write_text(text, encoding="utf-8")
    script = root / live.SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text(export.as_script(live.NETWORK), encoding="ascii")
    parser = ROOT / "vendor" / "dicom-parser" / "dicomParser.min.js"
    (root / "dicom-parser").mkdir()
    (root / "dicom-parser" / parser.name).write_bytes(parser.read_bytes())
    return root


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as address:
        yield address


@pytest.fixture
def visit(browser, address):
    for go in visits(browser, address):
        yield functools.partial(go, PAGE)


def field(figure, title):
    """The canvas of the view with that title."""
    views = figure.root.locator(".lf-view")
    return views.filter(has=figure.tab.locator(".lf-title", has_text=title)).locator("canvas")


def held_to_pytorch(state):
    """The field must be what the network and the layer make of the state's input."""
    model, p = load_pretrained("slim"), state["parameters"]
    with torch.no_grad():
        output = model(torch.as_tensor(state["input"])[None, None])
    layer = {key: p[key] for key in ("sigma", "lambda2", "iterations")}
    c = output.nodule.item()
    x = std.soft_threshold_dynamics(output.u[0, 0].double(), c=c, **layer).numpy()
    np.testing.assert_allclose(state["field"], x, atol=2e-4)
    assert ((state["field"] > 0.5) == (x > 0.5)).all()
    return c


# --- loading -------------------------------------------------------------------------------------


def test_the_network_is_loaded_on_a_click_and_nothing_afterwards(visit):
    tab = visit(alive=False)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    root = tab.locator("[data-live-figure]")
    assert root.locator("img.lf-still").is_visible()
    assert root.locator("input, select, canvas").count() == 0
    tab.get_by_role("button", name="Load the network").press("Enter")
    tab.wait_for_selector(".is-live")
    assert [url.partition("/_static/")[2] for url in asked] == ["networks/slim.js"]
    figure = Figure(tab)
    figure.check()
    tab.context.set_offline(True)
    figure.control({"label": "across"}).press("End")
    held_to_pytorch(figure.check("offline"))
    assert len(asked) == 1


def test_it_works_from_a_folder(browser, folder):
    context = browser.new_context(**DESK)
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto((folder / "book" / f"{PAGE}.html").as_uri())
    tab.get_by_role("button", name="Load the network").click()
    tab.wait_for_selector(".is-live")
    figure = Figure(tab)
    figure.check()
    drop(figure, "slice.dcm", dicom(np.arange(200 * 160).reshape(200, 160) % 700))
    assert "has not left this page" in said(figure, "slice.dcm")
    held_to_pytorch(figure.state())
    assert not errors
    context.close()


def test_a_network_that_does_not_arrive_is_said_to_be_missing(browser, address):
    context = browser.new_context(**DESK)
    tab = context.new_page()
    tab.route("**/networks/*", lambda route: route.abort())
    tab.goto(f"{address}/book/{PAGE}.html")
    button = tab.get_by_role("button", name="Load the network")
    button.click()
    tab.get_by_text(f"The file {live.SCRIPT} of this site did not arrive.").wait_for()
    assert button.is_enabled()
    tab.unroute("**/networks/*")
    button.click()
    tab.wait_for_selector(".is-live")
    context.close()


PLAY = """
const root = document.querySelector("[data-live-figure]");
const wait = (ready) => new Promise((resolve, reject) => {
  const end = performance.now() + 60000;
  (function look() {
    if (ready()) resolve();
    else if (performance.now() > end) reject(new Error(root.innerText));
    else setTimeout(look, 50);
  })();
});
return (async () => {
  root.querySelector(".lf-start button").click();
  await wait(() => root.matches(".is-live"));
  const across = root.querySelector("input");
  across.value = arguments[0];
  across.dispatchEvent(new Event("input", { bubbles: true }));
  const { parameters, input, field, height, width } = root.state;
  const moved = { parameters, height, width, input: [...input], field: [...field] };
  const bytes = Uint8Array.from(atob(arguments[1]), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "own.png"));
  root.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
  await wait(() => root.querySelector(".lf-status").textContent.startsWith("own.png"));
  return { moved, own: [...root.state.input] };
})();
"""


@pytest.mark.parametrize("place", ["http", "folder"])
def test_firefox_says_the_same(firefox, address, folder, place):
    start = address if place == "http" else folder.as_uri()
    firefox.go(f"{start}/book/{PAGE}.html")
    values = (0.2 * blobs()).astype(np.uint8)
    found = firefox.run(PLAY, 25, base64.b64encode(picture(values)).decode())
    state = found["moved"]
    wanted = live.compute(state["parameters"])
    assert state["parameters"]["across"] == 25
    for key in ("input", "field"):
        np.testing.assert_allclose(state[key], wanted[key].ravel(), atol=1e-4)
    # The box stays at a quarter of 230 - 64 columns, and in the middle of the rows.
    around = values[11:139, 10:138].astype(float)
    own = (values[43:107, 42:106] - around.min()) / (around.max() - around.min())
    np.testing.assert_allclose(found["own"], own.ravel(), atol=1e-5)


def test_without_webassembly_the_answer_is_the_same(browser, address):
    context = browser.new_context(**DESK)
    context.add_init_script("delete globalThis.WebAssembly;")
    tab = context.new_page()
    tab.goto(f"{address}/book/{PAGE}.html")
    tab.get_by_role("button", name="Load the network").click()
    tab.wait_for_selector(".is-live")
    assert tab.evaluate("() => typeof WebAssembly") == "undefined"
    Figure(tab).check("in plain JavaScript")
    context.close()


# --- the box, the drawing, the map ---------------------------------------------------------------


def at(canvas, x, y):
    canvas.evaluate("(node) => node.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = canvas.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_the_box_is_dragged_by_mouse(visit):
    tab = visit()
    figure = Figure(tab)
    canvas = field(figure, "slice")
    tab.mouse.move(*at(canvas, 0.5, 0.5))
    tab.mouse.down()
    for x, y in ((0.6, 0.5), (0.3, 0.35), (0.1, 0.9)):
        tab.mouse.move(*at(canvas, x, y), steps=3)
        state = figure.check(f"dragged to {x}, {y}")
    tab.mouse.up()
    assert (state["parameters"]["across"], state["parameters"]["down"]) == (0, 100)


def test_the_box_is_dragged_by_a_finger_on_a_telephone(visit):
    tab = visit(**TELEPHONE)
    figure = Figure(tab)
    canvas = field(figure, "slice")
    Finger(tab).drag(at(canvas, 0.5, 0.5), at(canvas, 0.62, 0.4))
    state = figure.check("dragged by a finger")
    # By 0.12 and -0.1 of 160 pixels, where 96 are free.
    assert state["parameters"]["across"] == pytest.approx(50 + 20, abs=1.5)
    assert state["parameters"]["down"] == pytest.approx(50 - 16.7, abs=1.5)
    drawn = field(figure, "draw here")
    Finger(tab).drag(at(drawn, 0.4, 0.4), at(drawn, 0.6, 0.5))
    after = figure.state()
    assert (after["input"] != state["input"]).sum() > 60
    held_to_pytorch(after)


def test_a_nodule_is_drawn_by_mouse_and_keyboard_and_rubbed_out(visit):
    tab = visit()
    figure = Figure(tab)
    figure.control({"label": "slice"}).select_option("no nodule")
    before = figure.check()
    canvas = field(figure, "draw here")
    tab.mouse.move(*at(canvas, 0.45, 0.5))
    tab.mouse.down()
    tab.mouse.move(*at(canvas, 0.55, 0.5), steps=5)
    tab.mouse.up()
    drawn = figure.state()
    changed = np.nonzero(abs(drawn["input"] - before["input"]) > 0.02)
    assert 60 < len(changed[0]) < 250
    assert abs(changed[0].mean() - 32) < 3 and abs(changed[1].mean() - 32) < 3
    c = held_to_pytorch(drawn)
    assert figure.root.locator(".lf-readouts strong").first.inner_text().startswith(f"{c:.3f}, ")
    # By keyboard: from the middle, six steps of three pixels to the left.
    canvas.focus()
    for key in ["ArrowLeft"] * 6 + [" "]:
        tab.keyboard.press(key)
    more = figure.state()
    columns = np.nonzero(abs(more["input"] - drawn["input"]) > 0.02)[1]
    assert len(columns) and abs(columns.mean() - 14) < 3
    held_to_pytorch(more)
    # The eraser gives the picture back, where it is used.
    figure.root.get_by_role("button", name="Eraser").click()
    tab.mouse.move(*at(canvas, 0.2, 0.5))
    tab.mouse.down()
    tab.mouse.move(*at(canvas, 0.9, 0.5), steps=20)
    tab.mouse.up()
    np.testing.assert_allclose(figure.state()["input"], before["input"], atol=1e-6)
    figure.reset()
    figure.check("reset")


def test_what_changed_c_is_what_covering_changes_in_python(visit):
    tab = visit()
    figure = Figure(tab)
    figure.root.get_by_role("button", name="Show what changed c").click()
    tab.wait_for_timeout(200)
    wanted = live.occlusion(live.crop(figure.parameters())[0])
    tab.wait_for_function("(root) => root.explained?.complete", arg=figure.root.element_handle())
    found = tab.evaluate(
        "(root) => Array.from(root.explained.field)", figure.root.element_handle()
    )
    np.testing.assert_allclose(np.reshape(found, wanted.shape), wanted, atol=1e-3)


# --- files ---------------------------------------------------------------------------------------

DROP = """(root, [name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
    root.dispatchEvent(new DragEvent("drop", options));
}"""


def drop(figure, name, data):
    figure.root.evaluate(DROP, [name, base64.b64encode(data).decode()])


def said(figure, name):
    """What the page says of the file."""
    line = figure.root.locator(".lf-status", has_text=name)
    line.wait_for()
    return line.inner_text()


def element(group, number, kind, value):
    """A data element of DICOM with explicit value representation, lowest byte first."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    value = value.encode() if isinstance(value, str) else value
    value += (b"\0" if kind in ("UI", "OW") else b" ") * (len(value) % 2)
    length = struct.pack("<HI" if kind == "OW" else "<H", *([0] * (kind == "OW")), len(value))
    return struct.pack("<HH", group, number) + kind.encode() + length + value


def dicom(stored, *, modality="CT", part="", syntax="1.2.840.10008.1.2.1", cut=0, bits=16):
    meta = element(2, 0x10, "UI", syntax)
    elements = element(8, 0x60, "CS", modality)
    if part:
        elements += element(0x18, 0x15, "CS", part)
    rows, columns = np.shape(stored)
    numbers = {2: 1, 0x10: rows, 0x11: columns, 0x100: bits, 0x101: bits, 0x102: 15, 0x103: 1}
    for number, value in numbers.items():
        elements += element(0x28, number, "US", value)
    elements += element(0x28, 0x1052, "DS", "-1024") + element(0x28, 0x1053, "DS", "2")
    pixels = np.asarray(stored, "<i2").tobytes()
    elements += element(0x7FE0, 0x10, "OW", pixels[: len(pixels) - cut])
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta + elements


def picture(array, kind="PNG", **options):
    data = io.BytesIO()
    Image.fromarray(array).save(data, kind, **options)
    return data.getvalue()


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def blobs(height=150, width=230):
    y, x = np.indices((height, width))
    return 900 * np.exp(-((x - 120) ** 2 + (y - 70) ** 2) / 90) + 40 * np.sin(x / 9) + 300


FILES = {
    "eight.png": lambda a: (picture(a.astype(np.uint8)), a.astype(np.uint8)),
    "colour.png": lambda a: (
        picture(np.stack([a, a, a], -1).astype(np.uint8)),
        a.astype(np.uint8),
    ),
    "int16.npy": lambda a: (npy(a.astype("<i2")), a.astype("<i2")),
    "turned.npy": lambda a: (npy(np.asfortranarray(a.astype(">f4"))), a.astype("f4")),
    "double.npy": lambda a: (npy(a), a),
    "ct.dcm": lambda a: (dicom(a.astype("<i2")), 2 * a.astype("<i2") - 1024),
    "chest.dcm": lambda a: (
        dicom(a.astype("<i2"), part="CHEST"),
        2 * a.astype("<i2") - 1024,
    ),
}


def test_a_picture_of_her_own_is_read_as_it_stands(visit):
    tab = visit()
    figure = Figure(tab)
    for name, make_file in FILES.items():
        scale = 0.2 if name.endswith("png") else 1
        data, values = make_file(scale * blobs())
        drop(figure, name, data)
        assert "150" in said(figure, name) and "not for clinical use" in said(figure, name)
        state = figure.state()
        # The box stands in the middle: rows 43 to 106, columns 83 to 146, and 128 around it.
        around = values[11:139, 51:179].astype(float)
        wanted = (values[43:107, 83:147] - around.min()) / (around.max() - around.min())
        np.testing.assert_allclose(state["input"], wanted, atol=1e-5, err_msg=name)
        held_to_pytorch(state)
    figure.control({"label": "slice"}).select_option("ground glass")
    figure.check("back to a simulated slice")


def test_a_jpeg_and_a_file_from_the_chooser(visit, tmp_path):
    tab = visit()
    figure = Figure(tab)
    path = tmp_path / "photo.jpg"
    path.write_bytes(picture((0.2 * blobs()).astype(np.uint8), "JPEG", quality=95))
    with tab.expect_file_chooser() as chosen:
        figure.root.get_by_role("button", name="Open a picture of your own").press("Enter")
    chosen.value.set_files(path)
    said(figure, "photo.jpg")
    decoded = np.asarray(Image.open(path)).astype(float)
    around = decoded[11:139, 51:179]
    wanted = (decoded[43:107, 83:147] - around.min()) / (around.max() - around.min())
    np.testing.assert_allclose(figure.state()["input"], wanted, atol=0.02)


def png_of(width, height):
    """The head of a PNG of that size, without its pixels."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(20)


SLICE = np.arange(160 * 160).reshape(160, 160) % 500
HOSTILE = {
    "notes.txt": (b"no picture at all", "neither PNG, JPEG, .npy nor DICOM"),
    "empty.png": (b"", "neither PNG, JPEG, .npy nor DICOM"),
    "bomb.png": (png_of(60_000, 60_000), "60000 × 60000"),
    "small.png": (picture(np.eye(60, dtype=np.uint8)), "60 × 60"),
    "cut.png": (picture((SLICE % 251).astype(np.uint8))[:400], "damaged PNG"),
    "cut.jpg": (b"\xff\xd8\xff", "damaged JPEG"),
    "black.png": (picture(np.zeros((150, 150), np.uint8)), "all of its pixels are alike"),
    "volume.npy": (npy(np.zeros((3, 150, 150))), "it has the shape (3, 150, 150)"),
    "nan.npy": (npy(np.full((150, 150), np.nan)), "not numbers"),
    "text.npy": (npy(np.full((150, 150), "a")), "must hold integers or floats"),
    "cut.npy": (npy(SLICE)[:900], "ends before its last pixel"),
    "head.npy": (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i2'", "damaged .npy"),
    "knee.dcm": (dicom(SLICE, part="KNEE"), "it shows KNEE"),
    "knee-mr.dcm": (dicom(SLICE, modality="MR", part="KNEE"), "it is MR; the network has seen CT"),
    "jpeg2000.dcm": (dicom(SLICE, syntax="1.2.840.10008.1.2.4.90"), "its pixels are compressed"),
    "cut.dcm": (dicom(SLICE, cut=1000), "ends before its last pixel"),
    "rubbish.dcm": (bytes(128) + b"DICM" + bytes(range(256)), "damaged DICOM"),
}


def test_what_cannot_be_read_gets_a_sentence_and_changes_nothing(visit):
    tab = visit()
    figure = Figure(tab)
    for name, (data, sentence) in HOSTILE.items():
        drop(figure, name, data)
        text = said(figure, name)
        assert sentence in text and text.endswith((".", ").")), text
        figure.check(f"after {name}")


def test_a_file_that_is_too_large_is_not_read(visit):
    tab = visit()
    figure = Figure(tab)
    huge = """(root) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(65_000_000)], "huge.dcm"));
        root.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    }"""
    figure.root.evaluate(huge)
    assert re.search("up to 64 MB can be opened; this one has 65 MB", said(figure, "huge.dcm"))
