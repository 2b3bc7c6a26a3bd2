"""The chapter *The multitask model*: the numbers of its text and its tables."""

import ast
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nodule_lesson import networks
from nodule_lesson.chapters.multitask_model import facts
from nodule_lesson.networks import DetectionGuidedNet, Output, build_model, load_pretrained
from nodule_lesson.networks.drawing import Call
from nodule_lesson.networks.registry import Row, Summary
from nodule_lesson.std import soft_threshold_dynamics

WEIGHTS = Path(networks.__file__).parent / "weights"

# --- the network --------------------------------------------------------------------------------


def definitions(name):
    """The classes and functions of a file of the networks, by name, and their lines."""
    tree = ast.parse((Path(networks.__file__).parent / name).read_text(encoding="utf-8"))
    kinds = ast.ClassDef | ast.FunctionDef
    return {n.name: n.end_lineno - n.lineno + 1 for n in tree.body if isinstance(n, kinds)}


def test_the_parts_are_where_the_table_says_and_as_long():
    _, _, *rows = facts.parts_of_the_network().splitlines()
    whole = 0
    for row in rows:
        _, names, file, lines, _ = (cell.strip() for cell in row.strip("|").split("|"))
        found = definitions(file.strip("`"))
        lengths = [found[name.strip("` ")] for name in names.split(",")]
        assert list(map(int, lines.split("+"))) == lengths
        whole += sum(lengths)
    texts = facts.lines_of_the_class()
    length = definitions("detection_guided.py")["DetectionGuidedNet"]
    assert texts == {"class-lines": f"{length}", "parts-lines": f"{whole}"}


def test_every_module_of_the_network_is_of_a_named_part():
    """But for those of PyTorch, the layer, and what the named parts are made of."""
    made = {maker.__name__ for _, makers, _ in facts.PARTS for maker in makers}
    with torch.device("meta"):
        net = build_model("proposed")
    own = {type(m).__name__ for m in net.modules() if type(m).__module__.startswith("nodule")}
    assert own - made == {"STDSigmoid", "DepthwiseSeparableConv", "DepthwiseConv"}


def test_numbers_inside_are_counted_in_images():
    shapes = {"image": (1, 16, 16), "S1": (8, 16, 16), "S5": (128, 2, 2)}
    calls = {name: Call(shape, ()) for name, shape in shapes.items()}
    texts = facts.numbers_inside(calls)
    assert texts == {"blow-up": "8", "bottom": "2"}


def test_costs_are_shares_of_the_whole():
    costs = {"C1": (1, 2), "C5": (9, 3), "FC": (0, 0), "S5": (60, 25), "S5 + C4": (6, 2)}
    costs |= {"S9": (4, 25), "C2": (0, 0), "C3": (0, 0), "C4": (0, 0), "S2 + C1": (2, 1)}
    rows = tuple(Row(name, (1, 1, 1), *both) for name, both in costs.items())
    net = SimpleNamespace(S5=[None, nn.Linear(5, 10, bias=False)])
    texts = facts.costs(net, Summary(rows, 100, 50))
    # Dense pyramids made separable: 1024 channels at S5, 64 at S9, four rates each.
    with torch.device("meta"):
        whole = sum(p.numel() for p in build_model("proposed").parameters())
    saved = sum(4 * (9 * n * n - (9 * n + n * n)) for n in (1024, 64))
    assert texts.pop("light-parameters") == f"{(whole - saved) / 1e6:.1f}"
    assert 5 < float(texts.pop("light-adds")) < 15
    assert texts == {
        "parameters": "0.0",
        "adds": "0.0",
        "s5-parameters": "60%",
        "s5-aspp": "50%",
        "s5-s9-adds": "100%",
        "classifier-parameters": "10%",
        "classifier-adds": "10%",
        "blocks-parameters": "8%",
    }


def test_costs_of_the_slim_network_by_pytorchs_own_counter():
    slim = load_pretrained("slim")
    parameters = sum(p.numel() for p in slim.parameters())
    texts = facts.costs_of_slim(slim, Summary((), 100 * parameters, 0))
    assert texts["slim-parameters"] == f"{parameters / 1e6:.2f}"
    assert texts["times-fewer"] == "100"
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        slim.to("meta")(torch.empty(1, 1, 64, 64, device="meta"))
    # A multiplication and an addition each.
    assert float(texts["slim-adds"]) == pytest.approx(counter.get_total_flops() / 2e6, rel=0.02)


def test_the_rivals_are_counted_and_the_largest_is_last():
    _, rows = facts.rivals(Summary((), 90_400_000, 15_100_000_000))
    assert [row[0].strip("`") for row in rows] == list(facts.PUBLISHED)
    assert rows[-1][1:3] == ["90.40", "15.1"]
    for name, millions, *_ in rows[:-1]:
        with torch.device("meta"):
            net = build_model(name.strip("`"))
        assert millions == f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f}"
    with pytest.raises(AssertionError):
        facts.rivals(Summary((), 50_000_000, 0))


def test_every_open_choice_has_a_row(monkeypatch):
    _, rule, *lines = facts.open_choices().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    wanted = inspect.getfullargspec(DetectionGuidedNet.__init__)
    assert [row[0] for row in rows] == [f"`{name}`" for name in wanted.kwonlyargs]
    assert [row[1] for row in rows] == [
        f"`{wanted.kwonlydefaults[name]}`" for name in wanted.kwonlyargs
    ]
    assert rule == "|:--|:--|:--|" and all(len(row[2]) > 20 for row in rows)
    monkeypatch.delitem(facts.OPEN_CHOICES, "rates")
    with pytest.raises(AssertionError):
        facts.open_choices()


# --- the trained networks -----------------------------------------------------------------------


def test_the_table_of_the_cards_has_their_numbers():
    head, rows = facts.scores_of_the_cards()
    assert len(rows) == 8 and all(len(row) == len(head) for row in rows)
    for name, world, *texts in rows:
        card = json.loads((WEIGHTS / f"{name.strip('`')}.json").read_text(encoding="utf-8"))
        scores = card["scores"][f"{world} patients"]
        low, high = map(float, texts[1].split("–"))
        shown = [float(texts[0]), low, high, float(texts[2].strip("%")) / 100]
        wanted = [scores["mean_dice"], *scores["interval_by_patient"], scores["missed_share"]]
        assert shown == pytest.approx(wanted, abs=0.0051)
        wide = card["scores at 128x128"][f"{world} patients"]["mean_dice"]
        wanted = [scores["false_positive_pixels"], scores["auc_of_c"], wide]
        assert [float(text) for text in texts[3:]] == pytest.approx(wanted, abs=0.051)


@pytest.fixture
def cards(monkeypatch):
    """Made-up cards: the layer has fewer false pixels in three of four, more misses in one."""

    def scores(mean, missed, false):
        card = {"mean_dice": mean, "missed_share": missed, "false_positive_pixels": false}
        return card | {"interval_by_patient": [0.5, 0.75], "patients": 40, "median_dice": 0.875}

    simulated, real = facts.WORLDS
    both = {
        "slim": {simulated: scores(0.625, 0.25, 1), real: scores(0.5, 0.125, 5)},
        "slim-plain": {simulated: scores(0.75, 0.125, 2), real: scores(0.5, 0.25, 4)},
        "slim-real": {simulated: scores(0.5, 0.125, 3), real: scores(0.5, 0.125, 3)},
        "slim-real-plain": {simulated: scores(0.5, 0.125, 4), real: scores(0.5, 0.125, 4)},
    }
    both["slim-real"][real]["patients"] = 70
    made_up = {name: {"scores": each} for name, each in both.items()}
    made_up["slim"]["std"] = {"sigma": 0.8, "lambda2": 2.5}
    monkeypatch.setattr(facts, "model_card", made_up.get)
    return made_up


def test_a_difference_of_two_networks_is_told_with_its_sign(cards):
    texts = facts.uncertainty_of_the_cards()
    assert texts == {
        "patients-simulated": "40",
        "patients-real": "70",
        "width-of-interval": "0.12",
        "dice-difference": "0.12",
        "winner": "plain sigmoid",
    }
    cards["slim"]["scores"]["simulated patients"]["mean_dice"] = 0.875
    assert facts.uncertainty_of_the_cards() == texts | {"winner": "layer"}


def test_the_layer_and_its_twin_are_compared_four_times(cards):
    assert facts.layer_against_its_twin() == {"fewer-false": "three", "more-missed": "one"}


def test_the_scores_of_slim(cards):
    texts = {"card-median": "0.88", "card-mean": "0.62", "card-missed": "25%"}
    assert facts.scores_of_slim() == texts


def test_what_the_layer_has_learned_is_on_its_card(cards):
    assert facts.learned_layer() == {"card-sigma": "0.80", "card-lambda2": "2.50"}


# --- the live figure ----------------------------------------------------------------------------


def test_the_opening_of_the_figure_by_the_plain_sigmoid_of_its_crop():
    u, _, truth, c = facts.live.crop(facts.live.START)
    texts = facts.opening_of_the_figure()
    assert texts["play-c"] == f"{c:.2f}"
    assert texts["play-plain-area"] == f"{(u > 0).sum()}"
    overlap = 2 * ((u > 0) & truth).sum() / ((u > 0).sum() + truth.sum())
    assert texts["play-plain"] == f"{overlap:.3f}"
    assert texts["play-dice"] < texts["play-plain"]
    sure = soft_threshold_dynamics(torch.as_tensor(u), sigma=facts.live.SIGMA) > 0.5
    assert texts["play-sure-area"] == f"{int(sure.sum())}"


def test_the_answers_below_the_figure_by_its_logits():
    texts = facts.answers_of_the_figure()
    worst, false, changed, median = (
        facts.live.crop(name)[0]
        for name in ("worst Dice", "no nodule, most marked", facts.live.START, "median Dice")
    )
    assert texts["worst-logit"] == f"\N{MINUS SIGN}{-worst.max():.1f}"
    assert texts["false-logit"] == f"{false.max():.1f}"
    assert int(texts["false-pushed"]) <= (false > 7).sum()  # the boundary term adds at most 1
    assert texts["changed-undecided"] == f"{(np.abs(changed) < 1).sum()}"
    assert texts["median-undecided"] == f"{(np.abs(median) < 1).sum()}"


# --- the crops of the demo set ------------------------------------------------------------------


def output(u, c):
    """An `Output` with these logits (N, H, W) before STD, and these answers."""
    u = torch.as_tensor(u, dtype=torch.float32)[:, None]
    return Output(torch.sigmoid(u), u, u, torch.tensor(c), None)


def test_moved_pixels_are_those_of_crops_with_a_nodule():
    truth = np.zeros((12, 4, 4), bool)
    truth[0, 0], truth[1, :2], truth[2:11, :3] = True, True, True  # 4, 8 and 12 pixels
    u = np.full((12, 4, 4), -5.0)
    u[1, 0, :3] = 0.5  # 3 pixels are undecided
    u[11] = 0.1  # and all of the crop without a nodule
    plain = u > 0
    mask = plain.copy()
    mask[1, 0, :3], mask[2, 0, 0], mask[11] = False, True, False  # 3, 1 and 16 pixels move
    answer = output(u, [0.9, 0.75] + 9 * [1.0] + [0.1])
    assert facts.moved_pixels(truth, mask, plain, answer) == {
        "undecided": f"{3 / (11 * 16):.1%}",
        "changed-nine-of-ten": "1",
        "changed-most": "3",
        "changed-c": "0.75",
        "area-median": "12",
    }


def test_a_low_dice_is_excused_by_a_miss_or_a_small_nodule():
    truth = np.zeros((9, 10, 10), bool)
    areas = [50, 4, 60, 50, 50, 50, 50, 50, 0]
    for row, area in enumerate(areas):
        truth[row].flat[:area] = True
    scores = np.array([0.0, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75, 0.5, np.nan])
    for ranked, excused in (([0, 1, 2, 3, 7, 4, 5, 6], "2"), ([0, 2, 1, 3, 7, 4, 5, 6], "1")):
        texts = facts.lowest_quarter(truth, scores, np.array(ranked))
        assert texts == {
            "demo-nodules": "8",
            "demo-mean": "0.50",
            "demo-missed": "1",
            "lowest": "2",
            "lowest-excused": excused,
        }


def test_marked_crops_are_those_without_a_nodule():
    truth, mask = np.zeros((8, 2, 2), bool), np.zeros((8, 2, 2), bool)
    truth[:4, 0, 0] = True
    mask[[0, 4, 5, 6], 0, 0] = True
    c = [0.5, 0.95, 0.8, 0.99, 0.125, 0.25, 0.875, 0.0]
    answer = output(np.zeros((8, 2, 2)), c)
    texts = facts.marked_empty_crops(truth, mask, answer)
    assert texts == {"empty-marked": "3", "empty-all": "4", "empty-c": "0.25"}


def test_sizes_between_and_below_have_to_fail():
    by_side = {32: (0.0, 0.5), 48: (0.4, 0.5), 64: (0.8, 1.0), 96: (0.3, 0.5), 128: (0.9, 1.0)}
    assert list(facts.known_sizes(by_side).values()) == ["0.00", "0.80", "0.30", "0.90"]
    with pytest.raises(AssertionError, match="change the text"):
        facts.known_sizes(by_side | {96: (0.41, 0.5)})
