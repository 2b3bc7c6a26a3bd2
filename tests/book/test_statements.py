"""Statements of the book that the code can check: where they hold, and where they do not."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nodule_lesson import std
from nodule_lesson.chapters.detection_prior.live import areas, crop
from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live.scenes import scene
from nodule_lesson.networks import blocks
from nodule_lesson.networks import registry as models
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.training.losses import multitask_loss

ROOT = Path(__file__).resolve().parents[2]


# --- numbers of equations ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "book").glob("*.md")))
def test_an_equation_of_the_paper_is_called_the_papers(name):
    """A bare "Eq. (6)" could be the book's own (6), (6.6) or the paper's."""
    text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    for module in (ROOT / "nodule_lesson" / "chapters" / name).glob("*.py"):
        text += module.read_text(encoding="utf-8")
    text = " ".join(text.split())
    bare = re.findall(r"(?<!paper's )(?<!normalises with its )\bEqs?\. \(\d+\)", text)
    assert not bare


def test_what_three_dimensions_mean_is_said_where_one_looks():
    """A volume or the classes of one image would be taken for a batch without a word."""
    chapter = (ROOT / "book" / "soft_threshold_dynamics.md").read_text(encoding="utf-8")
    for text in (chapter, std.soft_threshold_dynamics.__doc__):
        text = " ".join(text.replace("(", "").split())
        assert re.search("Three dimensions.{0,40} are always a batch of", text)
        assert "volume" in text and "classes" in text


# --- one answer or several -----------------------------------------------------------------------


def limits(u, **parameters):
    """Where the iteration ends from x = 0 and from x = 1; every fixed point lies between."""
    ends = [std.iterates(u, start=start, iterations=400, **parameters)[-1] for start in (0, 1)]
    assert (ends[1] >= ends[0] - 1e-12).all()
    return ends


def test_lambda1_below_two_epsilon_is_sufficient_for_one_answer_but_not_necessary():
    strong = {"sigma": 2.0, "lambda1": 3.0, "epsilon": 1.0}
    low, high = limits(torch.full((64, 64), 2.5, dtype=torch.float64), **strong)
    assert float((high - low).max()) < 1e-9
    # In the middle it solves x = Sig(u - lambda1 (1 - 2x)), here by halving.
    below, above = 0.5, 1.0
    for _ in range(60):
        x = (below + above) / 2
        below, above = (x, above) if 1 / (1 + math.exp(-2.5 + 3 * (1 - 2 * x))) > x else (below, x)
    assert float(low[32, 32]) == pytest.approx(x, abs=1e-9)
    # The disc of the chapter has one answer as well; without evidence there are two.
    low, high = limits(torch.as_tensor(scene("noisy disc")).double(), **strong)
    assert float((high - low).max()) < 1e-9
    low, high = limits(torch.zeros(64, 64, dtype=torch.float64), **strong)
    assert float((high - low)[32, 32]) > 0.5


def test_past_two_epsilon_the_haze_of_the_explorer_keeps_shrinking_after_ten_steps():
    haze = torch.as_tensor(scene("ground-glass haze")).double()

    def area(lambda1, iterations):
        x = std.soft_threshold_dynamics(haze, sigma=8.0, lambda1=lambda1, iterations=iterations)
        return int((x > 0.5).sum())

    assert abs(area(1.0, 10) - area(1.0, 30)) <= 5
    assert area(4.0, 30) < area(4.0, 10) / 2 < area(4.0, 5)


# --- the price of an outline ---------------------------------------------------------------------


def test_a_soft_outline_costs_nothing_from_epsilon_of_half_lambda1_on():
    """x(1 - x) plus the entropy is convex there: one phase, so no outline between two."""
    x = np.linspace(0.001, 0.999, 1999)
    entropy = x * np.log(x) + (1 - x) * np.log(1 - x)
    for epsilon, convex in ((0.3, False), (0.45, False), (0.5, True), (1.0, True)):
        bends = np.diff(x * (1 - x) + epsilon * entropy, 2)
        assert (bends > -1e-12).all() == convex

    def outline(epsilon, n=200, sigma=4.0):
        """Energy of one edge between two phases on a ring, over that of a hard edge."""
        weights = np.exp(-((np.arange(-n // 2, n // 2)) ** 2) / (2 * sigma**2))
        spectrum = np.fft.fft(np.fft.ifftshift(weights / weights.sum())).real

        def blur(f):
            return np.fft.ifft(spectrum * np.fft.fft(f)).real

        energies = []
        for x in (np.where(np.arange(n) < n // 2, 0.99, 0.01), np.full(n, 0.99)):
            for _ in range(800):
                x = 1 / (1 + np.exp(blur(1 - 2 * x) / epsilon))
            entropy = x * np.log(x) + (1 - x) * np.log(1 - x)
            energies.append((epsilon * entropy + x * blur(1 - x)).sum())
        return (energies[0] - energies[1]) / 2 * math.sqrt(2 * math.pi) / sigma

    known = {0.05: 0.985, 0.1: 0.946, 0.2: 0.773, 0.3: 0.500, 0.4: 0.202}
    for epsilon, value in known.items():
        assert outline(epsilon) == pytest.approx(value, abs=0.003)
    assert outline(0.6) == pytest.approx(0, abs=1e-9)
    assert outline(1.0) == pytest.approx(0, abs=1e-9)


def test_the_smallest_disc_holds_for_hard_masks_larger_than_sigma():
    """r > 2 mu / u0 decides for r = 10, sigma = 2, and is wrong for r = 2, sigma = 4."""

    def energy(r, sigma, u0):
        y, x = np.indices((64, 64)) - 31.5
        disc = torch.as_tensor(np.hypot(y, x) < r).double()
        term = float((disc * std.gaussian_blur(1 - disc, sigma)).sum())
        assert term <= float(disc.sum())  # never more than the area
        return term - u0 * float(disc.sum())

    for r, sigma, share, kept in ((10, 2.0, 1.1, True), (10, 2.0, 0.9, False)):
        threshold = 2 * sigma / math.sqrt(2 * math.pi) / r  # u0 at which r = 2 mu / u0
        assert (energy(r, sigma, share * threshold) < 0) == kept
    assert 2 < 2 * 4.0 / math.sqrt(2 * math.pi) / 1.2 and energy(2, 4.0, 1.2) < 0


def test_half_of_what_a_square_lacks_are_corners_and_half_are_pixels():
    x = torch.zeros(96, 96, dtype=torch.float64)
    x[28:68, 28:68] = 1
    found = float((x * std.gaussian_blur(1 - x, 2.0)).sum()) * math.sqrt(2 * math.pi) / 2.0
    corners = 4 * 2.0 / math.sqrt(2 * math.pi)
    pixels = 160 / (12 * 2.0**2)
    assert 160 - found == pytest.approx(corners + pixels, abs=0.15)
    assert corners < 0.55 * (160 - found)


# --- the prior -----------------------------------------------------------------------------------


def test_soft_rims_do_more_than_the_boundary_term_to_the_two_faint_blobs():
    u, truth, part = crop("faint nodule")
    u = torch.as_tensor(u).double()

    def lost(lambda1):
        rest = {"sigma": 2.0, "lambda1": lambda1, "lambda2": 2.0}
        one, half = (
            areas(std.soft_threshold_dynamics(u, c=c, **rest), truth, part)[:2] for c in (1.0, 0.5)
        )
        return [1 - b / a for a, b in zip(one, half, strict=True)]

    (nodule, vessel), (plain_nodule, plain_vessel) = lost(1.0), lost(0.0)
    assert nodule == pytest.approx(plain_nodule, abs=0.01)
    assert (plain_vessel - plain_nodule) > (vessel - plain_vessel) > 0.05


# --- gradients -----------------------------------------------------------------------------------


def test_the_gradient_to_u_is_the_shares_over_epsilon_and_what_is_left_at_the_start():
    """The sum that the chapter prints, by its own recursion, against PyTorch."""
    torch.manual_seed(0)
    u, g = torch.randn(2, 9, 7, dtype=torch.float64)
    sigma, lambda1, epsilon, steps = 1.4, 0.9, 0.8, 3
    parameters = {"sigma": sigma, "lambda1": lambda1, "epsilon": epsilon}
    fields = std.iterates(u, iterations=steps, **parameters)
    back = fields[-1] * (1 - fields[-1]) * g  # the gradient of <g, x_T> to z_T
    total = torch.zeros_like(u)
    for x in fields[-2::-1]:
        total = total + back
        back = x * (1 - x) * (2 * lambda1 / epsilon) * std.gaussian_blur(back, sigma)
    u.requires_grad_()
    x = std.soft_threshold_dynamics(u, iterations=steps, **parameters)
    (x * g).sum().backward()
    torch.testing.assert_close(u.grad, total / epsilon + back, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("combine, heard", [(True, False), ("upsampled", True)])
def test_c5_hears_the_outline_only_where_features_are_enlarged(combine, heard):
    torch.manual_seed(0)
    net = DetectionGuidedNet(**SLIM, combine=combine)
    masks = (torch.rand(2, 1, 64, 64) < 0.1).float()
    output = net(torch.rand(2, 1, 64, 64))
    multitask_loss(output, masks, torch.tensor([1.0, 0.0]), lambda2=0).backward()

    def hears(part):
        return any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())

    assert hears(net.C4)
    assert hears(net.C5) == heard
    assert not hears(net.FC)


# --- counts and averages -------------------------------------------------------------------------


def test_eight_of_the_26_convolutions_of_the_u_net_are_separable():
    with torch.device("meta"):
        net = models.build_model("backbone+combination")
    stages = [getattr(net, f"S{number}") for number in range(1, 10)]
    found = [
        part
        for stage in stages
        for part in stage.modules()
        if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)
    ]
    pairs = [
        part
        for stage in stages
        for part in stage.modules()
        if isinstance(part, blocks.DepthwiseSeparableConv)
    ]
    assert (len(found), len(pairs)) == (26, 8)


def test_no_gap_between_mean_dice_and_the_harmonic_mean_proves_nothing():
    """Two units, precision = sensitivity = 0.9 and 0.1: as unlike as can be, and no gap."""
    prediction, truth = np.zeros((2, 2, 4, 10), bool)
    truth[:, 0] = True
    prediction[0, 0, :9] = prediction[0, 1, :1] = True
    prediction[1, 0, :1] = prediction[1, 1, :9] = True
    p, s, d, j = (
        measure(prediction, truth).mean()
        for measure in (metrics.precision, metrics.sensitivity, metrics.dice, metrics.iou)
    )
    assert d == pytest.approx(0.5)
    assert 2 * p * s / (p + s) == pytest.approx(d)
    assert 2 * j / (1 + j) > d + 0.1  # from Dice and IoU one sees it


def test_pooled_dice_is_a_mean_by_size_and_hears_of_false_alarms():
    rng = np.random.default_rng(3)
    truth = rng.random((6, 12, 12)) < 0.3
    truth[4:] = False
    prediction = truth ^ (rng.random(truth.shape) < 0.1)
    pooled = metrics.summarise(prediction, truth, per="pooled").mean["dice"]
    weight = (prediction.sum((1, 2)) + truth.sum((1, 2))).astype(float)
    assert pooled == pytest.approx(np.average(metrics.dice(prediction, truth), weights=weight))
    quiet = prediction.copy()
    quiet[4:] = False
    assert metrics.summarise(quiet, truth, per="pooled").mean["dice"] > pooled
    skipped = [
        metrics.summarise(one, truth, empty="skip").mean["dice"] for one in (prediction, quiet)
    ]
    assert skipped[0] == skipped[1]
