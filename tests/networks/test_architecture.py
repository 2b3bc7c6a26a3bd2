"""The drawn architecture against the model itself: nothing missing, nothing invented."""

import io
import re
import warnings

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import nn

from nodule_lesson import plots
from nodule_lesson.networks.detection_guided import SLIM, STAGES, DetectionGuidedNet
from nodule_lesson.networks.drawing import COMBINATIONS, draw_architecture, trace

KINDS = {
    "as the paper": {},
    "one block": {"combine": ("S4",), "regularisation": "std"},
    "no block": {"combine": False, "regularisation": "none"},
    "concatenation": {"combine": "concatenation"},
    "linear": {"combine": "linear"},
    "upsampled": {"combine": "upsampled"},
    "one encoder": {"combine": "shared", "std": {"iterations": 3}},
}


@pytest.fixture(params=KINDS)
def model(request):
    torch.manual_seed(0)
    return DetectionGuidedNet(**SLIM, **KINDS[request.param]).eval()


def drawn(figure):
    """Boxes {name: patch} and arrows {(source, target): patch} of a figure."""
    (axes,) = figure.axes
    boxes = {p.get_gid(): p for p in axes.patches if isinstance(p, FancyBboxPatch)}
    arrows = {
        tuple(p.get_gid().split("->")): p for p in axes.patches if isinstance(p, FancyArrowPatch)
    }
    return boxes, arrows


def words_in(figure, patch):
    box = patch.get_bbox()
    return {
        text.get_text()
        for text in figure.axes[0].texts
        if box.x0 <= text.get_position()[0] <= box.x1
        and box.y0 <= text.get_position()[1] <= box.y1
    }


def ran(model, side):
    """Shapes by hooks on the model itself: a real forward, other than in `trace`."""
    shapes = {}

    def hook(name):
        return lambda module, inputs, output: shapes.update({name: tuple(output.shape[1:])})

    parts = {n: m for n, m in model.named_children() if n not in ("combination", "std")}
    parts |= {f"combination.{stage}": block for stage, block in model.combination.items()}
    hooks = [part.register_forward_hook(hook(name)) for name, part in parts.items()]
    with torch.no_grad():
        model(torch.rand(1, 1, side, side))
    for each in hooks:
        each.remove()
    return shapes


@pytest.mark.parametrize("side", [64, 96])
def test_every_block_is_there_with_its_live_channels(model, side):
    figure = draw_architecture(model, side)
    boxes, _ = drawn(figure)
    shapes = ran(model, side)
    ends = {"image", "mask"} | ({"std"} if model.std else set())
    assert set(boxes) == set(shapes) | ends
    for name, shape in shapes.items():
        words = words_in(figure, boxes[name])
        if name not in ("FC", "last"):
            numbers = {int(n) for word in words for n in re.findall(r"\b\d+$", word)}
            assert numbers == {shape[0]}, name
        if name[0] in "CS" and name != "combination":
            assert any(word.startswith(name) for word in words) or name == "FC"
        aspp = any(type(part).__name__ == "ASPP" for part in model.get_submodule(name).modules())
        assert any("ASPP" in word for word in words) == aspp
    # Bands are named for the sizes that occur.
    sizes = {int(t.get_text().split("×")[0]) for t in figure.axes[0].texts
             if re.fullmatch(r"(\d+)×\1", t.get_text())}  # fmt: skip
    assert sizes == {shape[-1] for name, shape in shapes.items() if name[0] in "CS"}


def receivers(model, side=32):
    """{source: blocks whose output changes when that of the source does}, ways through others cut.

    In a second run every block hands on what it gave in the first, but for the source: so only
    those that take directly from it compute something else.
    """
    parts = {n: m for n, m in model.named_children() if n not in ("combination", "std")}
    parts |= {f"combination.{stage}": block for stage, block in model.combination.items()}
    image, first, changed, source = torch.rand(1, 1, side, side), {}, {}, None

    def hook(name):
        def run(module, inputs, output):
            if name not in first:
                first[name] = output
            elif not torch.equal(output, first[name]):
                changed[source].add(name)
            return first[name] + (name == source)

        return run

    for name, part in parts.items():
        part.register_forward_hook(hook(name))
    with torch.no_grad():
        model(image)
        for source in parts:
            changed[source] = set()
            model(image)
    return changed


def test_arrows_are_where_information_flows(model):
    """By cutting the model, not by asking who was called with what."""
    _, arrows = drawn(draw_architecture(model, 32))
    inside = {pair for pair in arrows if not {"image", "std", "mask"} & set(pair)}
    flows = receivers(model)
    assert inside == {(source, target) for source, targets in flows.items() for target in targets}


def test_the_ends_of_the_picture(model):
    _, arrows = drawn(draw_architecture(model))
    starts = {target for source, target in arrows if source == "image"}
    assert starts == ({"S1"} if model.shared else {"S1", "C1"})
    last = {pair for pair in arrows if pair[1] in ("std", "mask")}
    if model.std is None:
        assert last == {("last", "mask")}
    elif model.std.lambda2 > 0:
        assert last == {("last", "std"), ("FC", "std"), ("std", "mask")}
    else:
        assert last == {("last", "std"), ("std", "mask")}


def test_one_block_draws_one_green_arrow():
    figure = draw_architecture(DetectionGuidedNet(**SLIM, combine=("S4",)))
    boxes, arrows = drawn(figure)
    into = [pair for pair in arrows if pair[1].startswith("combination.")]
    assert sorted(into) == [("C3", "combination.S4"), ("S4", "combination.S4")]
    assert [name for name in boxes if name.startswith("combination.")] == ["combination.S4"]


def test_equal_sizes_meet_on_one_level():
    """An arrow into the paper's block is level: no resampling; into "upsampled" it rises."""

    def rises(combine):
        boxes, _ = drawn(draw_architecture(DetectionGuidedNet(**SLIM, combine=combine)))
        middle = {name: box.get_bbox().y0 + box.get_bbox().height / 2
                  for name, box in boxes.items()}  # fmt: skip
        pairs = zip(STAGES, ("C2", "C3", "C4", "C5") if combine == "upsampled"
                    else ("C1", "C2", "C3", "C4"), strict=True)  # fmt: skip
        return [middle[f"combination.{s}"] - middle[c] for s, c in pairs]

    assert rises(True) == pytest.approx([0] * 4, abs=1e-9)
    assert min(rises("upsampled")) > 0.3


def test_nothing_overlaps_and_no_text_is_small(model):
    figure = draw_architecture(model, 128)
    boxes, arrows = drawn(figure)
    around = {name: box.get_bbox() for name, box in boxes.items()}
    for one, first in around.items():
        for other, second in around.items():
            assert one == other or not first.overlaps(second), (one, other)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    page = figure.bbox
    for text in figure.axes[0].texts:
        # Shown 480 pixels wide, and 360 on a telephone: there it must still have 8 points.
        assert text.get_fontsize() * 360 / 96 / figure.get_figwidth() >= 7.6
        box = text.get_window_extent(renderer)
        assert page.x0 <= box.x0 and box.x1 <= page.x1, text.get_text()
        for name, patch in boxes.items():
            edge = patch.get_window_extent(renderer)
            if edge.contains(*box.get_points().mean(0)):
                assert edge.x0 <= box.x0 and box.x1 <= edge.x1, (name, text.get_text())


def test_the_widest_numbers_fit_too():
    figure = draw_architecture(DetectionGuidedNet(**{**SLIM, "width": 64}))
    boxes, _ = drawn(figure)
    assert "2048" in words_in(figure, boxes["C5"]) and "1024" in words_in(figure, boxes["S5"])


def test_it_is_drawn_in_the_style_of_a_chapter_without_a_complaint():
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.use_style()
        figure = draw_architecture(DetectionGuidedNet(**SLIM), 64)
        figure.savefig(io.BytesIO(), bbox_inches="tight")  # as a notebook shows it


def test_the_model_is_left_as_it_was():
    model = DetectionGuidedNet(**SLIM).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    draw_architecture(model)
    assert model.training and model.std is not None
    assert not any(part._forward_hooks for part in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert trace(model.double()) == trace(model.float())


def test_every_kind_of_combination_has_a_word():
    kinds = {
        type(block)
        for options in KINDS.values()
        for block in DetectionGuidedNet(**SLIM, **options).combination.values()
    }
    assert kinds == set(COMBINATIONS)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="^model must be a DetectionGuidedNet, found Linear.$"):
        draw_architecture(nn.Linear(1, 1))
