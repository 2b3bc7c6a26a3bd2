"""The live figure of the shipped network: its stored logits, the rules of its crops, its page."""

import importlib
from functools import partial

import numpy as np
import pytest
import torch
from live_figures import HOMES, make, page_states, parameters_of
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nodule_lesson.data.demo import open_demo
from nodule_lesson.networks.registry import load_pretrained, model_card

slim = importlib.import_module("nodule_lesson.chapters.multitask_model.live")
setting = partial(parameters_of, "slim_network")


@pytest.fixture(scope="module")
def run():
    """Images, masks and types of the demo set, and what the shipped network says of them."""
    images, masks, types = slim.demo_crops()
    with torch.no_grad():
        return images, masks, types, load_pretrained("slim")(images)


@pytest.fixture(scope="module")
def stored():
    with np.load(HOMES["slim_network"] / "live.npz", allow_pickle=False) as file:
        return dict(file)


def test_crops_are_the_middles_of_slices_scaled_as_a_whole(run):
    images, masks, types, _ = run
    demo = open_demo("luna_like")
    assert images.shape == masks.shape == (len(demo), 1, 64, 64)
    for row in (0, 17, 143):
        hu = np.asarray(demo.images[row], dtype=np.float64)
        scaled = (hu - hu.min()) / (hu.max() - hu.min())
        np.testing.assert_allclose(images[row, 0], scaled[32:96, 32:96], atol=1e-6)
        np.testing.assert_array_equal(masks[row, 0], demo.masks[row][32:96, 32:96] > 0)
        assert types[row] == demo.slices["type"][row]


def test_the_stored_logits_are_those_of_the_shipped_weights(run, stored):
    """Where this fails after new weights: call chapters.multitask_model.live.pack()."""
    images, masks, _, output = run
    rows = stored["rows"]
    # Stored in thousandths; and no two machines add up in the same order.
    np.testing.assert_allclose(stored["u"] / 1000, output.u[rows, 0], rtol=1e-3, atol=6e-3)
    np.testing.assert_allclose(stored["c"], output.nodule[rows], atol=1e-3)
    np.testing.assert_allclose(stored["image"] / 255, images[rows, 0], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(stored["truth"], masks[rows, 0])
    card = model_card("slim")["std"]
    assert stored["sigma"] == pytest.approx(card["sigma"], abs=1e-4)
    assert stored["lambda2"] == pytest.approx(card["lambda2"], abs=1e-4)


def by_hand(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def test_crops_are_chosen_by_the_rules_that_their_names_say(run, stored):
    _, masks, types, output = run
    on, plain = (output.mask[:, 0] > 0.5).numpy(), (output.u[:, 0] > 0).numpy()
    truth, rows = masks[:, 0].numpy(), [int(row) for row in stored["rows"]]
    named = dict(zip(slim.CROP_NAMES, rows, strict=True))
    assert len(set(rows)) == len(rows)
    nodule = [row for row in range(len(truth)) if truth[row].any()]
    empty = [row for row in range(len(truth)) if not truth[row].any()]
    scores = {row: by_hand(on[row], truth[row]) for row in nodule}
    ranks = sorted(scores.values())
    assert scores[named["median Dice"]] == pytest.approx(np.median(ranks), abs=0.02)
    assert scores[named["worst Dice"]] == min(scores[row] for row in nodule)
    changed = {row: (on[row] != plain[row]).sum() for row in nodule}
    assert changed[named["most changed by STD"]] == max(changed.values())
    assert types[named["ground glass"]] == "ggo"
    assert named["no nodule"] in empty
    marked = {row: on[row].sum() for row in empty}
    assert marked[named["no nodule, most marked"]] == max(marked.values())


def test_the_file_is_small_and_so_is_the_page():
    assert (HOMES["slim_network"] / "live.npz").stat().st_size < 100_000
    assert len(make("slim_network").page()) < 250_000


def test_unknown_crops_are_refused():
    with pytest.raises(ValueError, match="^crop must be one of median Dice, .*; found 'best'.$"):
        slim.crop("best")


@pytest.mark.parametrize("name", slim.CROP_NAMES)
@pytest.mark.parametrize("change", [{}, {"source": "the slider", "c": 0.2, "sigma": 2.0}])
def test_the_field_is_that_of_scipy(name, change):
    p = setting(crop=name, **change)
    result = slim.compute(p)
    u, _, truth, c = slim.crop(name)
    c = c if p["source"] == slim.CLASSIFIER else p["c"]
    x = expit(u.astype(np.float64))
    for _ in range(p["iterations"]):
        blurred = gaussian_filter(1 - 2 * x, p["sigma"], mode="constant", radius=63)
        x = expit(u - p["lambda1"] * blurred - p["lambda2"] * (1 - c))
    np.testing.assert_allclose(result["field"], x, atol=1e-6)
    assert result["c"] == c and result["area"] == (x > 0.5).sum()
    if truth.any():
        assert result["dice"] == pytest.approx(by_hand(x > 0.5, truth))
        assert result["plain_dice"] == pytest.approx(by_hand(u > 0, truth))
    else:
        assert np.isnan(result["dice"]) and np.isnan(result["plain_dice"])


def test_the_figure_starts_where_training_has_ended():
    start, learned = setting(), model_card("slim")["std"]
    assert abs(start["sigma"] - learned["sigma"]) <= 0.026
    assert abs(start["lambda2"] - learned["lambda2"]) <= 0.026
    assert start["lambda1"] == learned["lambda1"] and start["iterations"] == learned["iterations"]
    assert learned["epsilon"] == 1
    # The rounded layer makes what the network makes, but for pixels on the edge.
    with torch.no_grad():
        images, _, _ = slim.demo_crops()
        mask = load_pretrained("slim")(images).mask[:, 0].numpy()
    with np.load(HOMES["slim_network"] / "live.npz") as file:
        rows = file["rows"]
    for name, row in zip(slim.CROP_NAMES, rows, strict=True):
        x = slim.compute(setting(crop=name))["field"]
        np.testing.assert_allclose(x, mask[row], atol=0.05, err_msg=name)


# --- the page's script in node -------------------------------------------------------------------


def test_the_page_computes_what_the_package_does(node):
    settings = [
        setting(crop=name, **change)
        for name in slim.CROP_NAMES
        for change in (
            {},
            {"source": "the slider", "c": 0.0, "lambda1": 0.0, "iterations": 1},
            {"source": "the slider", "c": 0.37, "sigma": 6.0, "lambda1": 4.0, "iterations": 20},
        )
    ]
    page = page_states(
        node, "slim_network", settings, "(listeners.c.call(), { states, listeners, set })"
    )
    # Moving c, and c alone, takes it from the slider before anything is computed.
    assert page["listeners"] == {"c": {"kind": "input", "capture": True}}
    assert page["set"]["source"] == slim.BY_HAND
    for p, state in zip(settings, page["states"], strict=True):
        result = slim.compute(p)
        shape = (state["height"], state["width"])
        np.testing.assert_allclose(np.reshape(state["input"], shape), result["input"], atol=1e-6)
        np.testing.assert_allclose(np.reshape(state["field"], shape), result["field"], atol=1e-5)
        _, _, truth, c = slim.crop(p["crop"])
        if p["source"] == slim.CLASSIFIER:  # the slider shows the c that is used
            assert state["set"].pop("c") == pytest.approx(c, abs=0.0051)
        assert set(state["set"]) <= {"source"}
        score, plain, areas, shown_c = state["texts"]
        assert areas == f"{result['area']} and {truth.sum()} px"
        assert float(shown_c) == pytest.approx(c, abs=0.0051)
        for text, value in ((score, result["dice"]), (plain, result["plain_dice"])):
            if truth.any():
                assert float(text) == pytest.approx(value, abs=5.1e-4)
            else:
                assert text == "no truth"
