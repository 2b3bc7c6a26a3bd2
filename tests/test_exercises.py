"""Every exercise: right answers pass, each mistake gets its own hint, and nothing raises."""

import copy
import functools
import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.polynomial import Polynomial
from scipy import stats
from scipy.optimize import brentq
from scipy.spatial import KDTree
from scipy.special import expit
from skimage.filters import threshold_otsu
from torch import nn

from nodule_lesson import chapters, std
from nodule_lesson.chapters.exercise import Exercise, numbers
from nodule_lesson.chapters.learning_through_the_loop.exercises import _SIGMA
from nodule_lesson.data import contours
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation import measures
from nodule_lesson.evaluation.statistics import detectable
from nodule_lesson.experiments.claims import misses_and_contours
from nodule_lesson.networks.blocks import CombinationBlock, DepthwiseSeparableConv, conv3x3
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet, Output
from nodule_lesson.training.losses import dice_loss, multitask_loss


def exercises():
    for path in sorted(Path(chapters.__file__).parent.glob("*/exercises.py")):
        module = importlib.import_module(f"nodule_lesson.chapters.{path.parent.name}.exercises")
        for name, exercise in vars(module).items():
            if isinstance(exercise, Exercise):
                yield f"{path.parent.name}.{name}", exercise


EXERCISES = dict(exercises())
each_exercise = pytest.mark.parametrize("name", EXERCISES)

# --- right answers that share nothing with those of the package ---------------------------------

INDEPENDENT = {}


def independent(*names):
    """Note a function as the right answer to the exercises of these names."""

    def note(function):
        INDEPENDENT.update(dict.fromkeys(names, function))
        return function

    return note


@independent("against_the_classics.otsu")
def otsu_of_skimage(values):
    return threshold_otsu(values.astype(int))


@independent("against_the_classics.bound")
def bound_by_counting(crop, truth):
    shares = []
    for t in [-1, *np.unique(crop)]:
        pairs = list(zip(crop.ravel() > t, truth.ravel(), strict=True))
        shares.append(2 * pairs.count((True, True)) / (sum(map(sum, pairs))))
    return max(shares)


@independent("against_the_classics.walker")
def walker_by_equations(weights):
    n = len(weights)
    matrix, right = np.eye(n + 1), np.zeros(n + 1)
    right[0] = 1
    for i in range(1, n):
        matrix[i, i - 1 : i + 2] = -weights[i - 1], weights[i - 1] + weights[i], -weights[i]
    return np.linalg.solve(matrix, right)


@independent("boundary_length.estimated_length")
def length_pair_by_pair(x, blur, sigma):
    pairs = zip(x.ravel().tolist(), blur(1 - x).ravel().tolist(), strict=True)
    return math.sqrt(2 * math.pi) / sigma * math.fsum(a * b for a, b in pairs)


@independent("boundary_length.two_parts")
def parts_by_squares(x, blur):
    """Roughness as a sum over pairs of pixels, with a blur that knows no border."""
    impulse = np.zeros_like(x)
    impulse[0, 0] = 1
    squares = [
        weight * ((x - np.roll(x, shift, (0, 1))) ** 2).sum()
        for shift, weight in np.ndenumerate(blur(impulse))
    ]
    return [0.25 * x.size - ((x - 0.5) ** 2).sum(), sum(squares) / 2]


@independent("boundary_length.weight_for_price")
def weight_by_root(price, sigma):
    return brentq(lambda weight: weight * sigma / math.sqrt(2 * math.pi) - price, 0, 10)


@independent("combination_block.block_parameters")
def counted_in_the_block(S, C):
    return sum(p.numel() for p in CombinationBlock(S, C).parameters())


@independent("combination_block.dense_kernel")
def kernel_tap_by_tap(A, k, P):
    kernel = np.zeros((len(P), A.shape[1], 3, 3))
    for row, column in np.ndindex(3, 3):
        kernel[:, :, row, column] = P @ np.diag(k[:, row, column]) @ A
    return kernel


@independent("combination_block.hiding_change")
def hidden_by_least_squares(A, S, d):
    step, *_ = np.linalg.lstsq(A[:, :S], A @ np.concatenate([np.zeros(S), -d]), rcond=None)
    return step


@independent("convolutions.separable_costs")
def counted_in_layers(kernel, inputs, outputs, height, width, stride):
    weights, products = [], []
    for layer in (
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        DepthwiseSeparableConv(inputs, outputs, kernel, stride),
    ):
        image = torch.zeros(1, inputs, height, width)
        weights.append(sum(p.numel() for p in layer.parameters()))
        products.append(0)
        for part in layer if isinstance(layer, nn.Sequential) else [layer]:
            image = part(image)
            products[-1] += part.weight.numel() * image.shape[-2:].numel()
    return weights + products


@independent("convolutions.live_taps")
def taps_by_convolution(height, width, rate):
    convolution = conv3x3(1, 1, dilation=rate)
    nn.init.ones_(convolution.weight)
    return convolution(torch.ones(1, 1, height, width))[0, 0]


@independent("convolutions.receptive_field")
def extent_of_the_gradient(layers):
    stack = nn.Sequential(
        *(nn.Conv2d(1, 1, k, s, d * (k // 2), d, bias=False).double() for k, s, d in layers)
    )
    for weight in stack.parameters():
        nn.init.ones_(weight)
    image = torch.ones(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    output = stack(image)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], image)
    rows = np.flatnonzero(gradient[0, 0].sum(1))
    return rows[-1] - rows[0] + 1


@independent("detection_prior.prior_step")
def prior_step_in_torch(x, u, blur, lambda1, lambda2, c, epsilon):
    """The energy's own gradient, without the entropy's, decides."""
    x = torch.as_tensor(x).requires_grad_()
    energy = ((lambda2 * (1 - c) - torch.as_tensor(u)) * x).sum()
    energy = energy + lambda1 * (x * blur(1 - x)).sum()
    (slope,) = torch.autograd.grad(energy, x)
    return torch.sigmoid(-slope / epsilon)


@independent("detection_prior.equivalent_threshold")
def threshold_by_root(c, lambda2, epsilon):
    def gap(p, price):
        return epsilon * math.log(p / (1 - p)) - price

    return [brentq(gap, 0.01, 0.999, lambda2 * (1 - value)) for value in c]


@independent("detection_prior.break_even_c")
def break_even_by_root(radius, logit, sigma, lambda1, lambda2):
    def energy(c):
        gain = np.pi * radius**2 * (logit - lambda2 * (1 - c))
        return lambda1 * 2 * np.pi * radius * sigma / np.sqrt(2 * np.pi) - gain

    return brentq(energy, -10, 10)


@independent("learning_through_the_loop.one_step_gradient")
def gradient_by_autograd(g, x0, u, blur, lambda1, epsilon):
    u = torch.as_tensor(u).requires_grad_()
    settings = {"sigma": _SIGMA, "lambda1": lambda1, "epsilon": epsilon, "iterations": 1}
    x = std.soft_threshold_dynamics(u, **settings)
    return torch.autograd.grad((x * torch.as_tensor(g)).sum(), u)[0]


@independent("learning_through_the_loop.adjoint")
def adjoint_by_iterating(g, x, blur, lambda1, epsilon):
    w = g
    for _ in range(100):
        w = g + x * (1 - x) * 2 * lambda1 / epsilon * blur(w)
    return w


@independent("learning_through_the_loop.same_fixed_point")
def rescaled(factor, u, sigma, *weights):
    return [factor * u, sigma, *(factor * weight for weight in weights)]


@independent("lung_nodules_in_ct.hounsfield")
def line_through_air_and_water(mu, water, air):
    return Polynomial.fit([air, water], [-1000, 0], 1)(mu)


@independent("lung_nodules_in_ct.window")
def window_by_interpolation(hu, level, width):
    return np.interp(hu, [level - width / 2, level + width / 2], [0, 1])


independent("lung_nodules_in_ct.eq6")(normalise)


@independent("lung_nodules_in_ct.consensus")
def consensus_by_digits(bits, readers):
    return [[2 * bin(b).count("1") >= readers for b in row] for row in bits]


@independent("lung_nodules_in_ct.mutual_dice")
def dice_by_sets(masks):
    sets = [set(zip(*np.nonzero(mask), strict=True)) for mask in masks]
    pairs = itertools.combinations(sets, 2)
    return np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in pairs])


@independent("measuring_a_segmentation.contour")
def contour_of_the_package(mask):
    contour = np.zeros_like(mask)
    _, rows, columns = measures._contour(mask[None])
    contour[rows, columns] = True
    return contour


@independent("measuring_a_segmentation.assd")
def assd_by_trees(x, y, spacing):
    x, y = x * spacing, y * spacing
    return np.mean([*KDTree(y).query(x)[0], *KDTree(x).query(y)[0]])


@independent("measuring_a_segmentation.misses")
def misses_by_root(dice, iou):
    """The d at which both means give one share, found by search."""

    def share(d, j):
        return 1 - d / brentq(lambda x: d / x - j / (x / (2 - x)), 0.01, 1.99)

    return np.array([share(d, j) for d, j in zip(dice, iou, strict=True)])


@independent("multitask_model.eq7")
def loss_of_the_package(z, y, v, w, a, b):
    z, y, v, w = (torch.as_tensor(part) for part in (z, y, v, w))
    output = Output(torch.sigmoid(z)[:, None], z[:, None], z[:, None], torch.sigmoid(v), v)
    return multitask_loss(output, y[:, None], w, a, b)


@functools.cache
def shapes_in_a_network(width, side):
    net, shapes = DetectionGuidedNet(**{**SLIM, "width": width}).eval(), {}
    for name, part in net.named_children():
        part.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: output.shape[1:]})
        )
    with torch.no_grad():
        net(torch.zeros(1, 1, side, side))
    return shapes


@independent("multitask_model.shapes")
def shape_in_a_network(name, width, side):
    shape = shapes_in_a_network(width, side)[name]
    return shape[0], shape[-1]


@independent("multitask_model.unit_parameters")
def unit_layer_by_layer(inputs, outputs, stride):
    layers = [
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Conv2d(outputs, outputs, 3, bias=False),
    ]
    if inputs != outputs or stride != 1:
        layers.append(nn.Conv2d(inputs, outputs, 1, bias=False))
    return sum(p.numel() for layer in layers for p in layer.parameters())


@independent("on_real_scans.voxel_of_point")
def index_by_simpleitk(world, origin, spacing, direction):
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetOrigin(origin.tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image.TransformPhysicalPointToContinuousIndex(world.tolist())


def around(points):
    """The points of a rectangle's outline, in the order in which a pen passes them."""
    centred = points - points.mean(0)
    half = np.abs(centred).max(0)
    angle = np.arctan2(centred[:, 1] / half[1], centred[:, 0] / half[0])
    return points[np.argsort(angle)]


@independent("on_real_scans.nodule_of_outlines")
def nodule_filled_by_the_package(filled, points, hole, hole_points):
    """It is told the outlines alone."""
    return contours.rasterise([around(points)], [around(hole_points)], filled.shape)


@independent("on_real_scans.patient_split")
def split_by_patient(patients, part, generator):
    names = np.unique(patients)
    tested = generator.choice(names, round(part * len(names)), replace=False)
    return np.isin(patients, tested)


@independent("reading_the_tables.one_draw")
def draw_by_weights(values, patients, drawn):
    return np.average(values, weights=(patients[:, None] == drawn).sum(axis=1))


@independent("reading_the_tables.lesions_needed")
def lesions_by_detectable(difference, sd):
    return next(n for n in range(2, 10_000) if detectable(sd, n) <= difference)


independent("reading_the_tables.split")(misses_and_contours)


def entropy(x):
    """x ln x + (1 - x) ln(1 - x), one number at a time."""
    return np.vectorize(lambda p: sum(q * math.log(q) for q in (p, 1 - p) if q > 0))(x)


@independent("sigmoid.energy")
def energy_coin_by_coin(x, u, epsilon):
    return np.vdot(-u, x) + epsilon * entropy(x).sum()


@independent("sigmoid.minimum")
def minimum_in_torch(u, epsilon):
    return -epsilon * nn.functional.softplus(torch.as_tensor(u) / epsilon).sum()


@independent("sigmoid.softmax_minimiser")
def softmax_in_torch(u, epsilon):
    return torch.softmax(torch.as_tensor(u) / epsilon, 1)


@independent("sigmoid.relu_minimiser")
def relu_in_torch(u, epsilon):
    return torch.relu(torch.as_tensor(u)) / epsilon


@independent("soft_threshold_dynamics.std_step")
def std_step_in_torch(x, u, blur, lambda1, epsilon):
    return prior_step_in_torch(x, u, blur, lambda1, 0, 0, epsilon)


@independent("soft_threshold_dynamics.boundary_term")
def term_pair_by_pair(x, blur):
    return length_pair_by_pair(x, blur, math.sqrt(2 * math.pi))


@independent("soft_threshold_dynamics.printed_fixed_point")
def fixed_point_by_root():
    return brentq(lambda x: expit(3 * x - 1) - x, 0.5, 1)


@independent("taking_apart.area")
def area_by_ranks(inside, empty):
    ranks = stats.mannwhitneyu(inside, empty, alternative="greater")
    return ranks.statistic / (len(inside) * len(empty))


@independent("taking_apart.missed_and_marked")
def shares_slice_by_slice(nodule, c, shift, lambda2):
    marked = [lambda2 * (1 - p) < s for p, s in zip(c, shift, strict=True)]
    missed = [not on for inside, on in zip(nodule, marked, strict=True) if inside]
    false = [on for inside, on in zip(nodule, marked, strict=True) if not inside]
    return [sum(missed) / len(missed), sum(false) / len(false)]


@independent("taking_apart.fair_share")
def shapley_by_weights(scores, part):
    """Shapley's formula: each subset of the others has the weight |S|! (n - |S| - 1)! / n!."""
    factorial = math.factorial
    return sum(
        factorial(len(subset) - 1) * factorial(3 - len(subset)) / 6
        * (score - scores[subset - {part}])
        for subset, score in scores.items() if part in subset
    )  # fmt: skip


@independent("training_the_model.step")
def step_without_optimiser(model, optimiser, loss, images, masks):
    """Gradients by torch.autograd.grad, moved with the rate that the optimiser names."""
    model.train()
    value = loss(model(images), masks)
    weights = list(model.parameters())
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(value, weights), strict=True):
            weight -= optimiser.param_groups[0]["lr"] * slope
    return value.item()


@independent("training_the_model.rates")
def rates_of_torch(first, decay, every, epochs):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=first)
    scheduler, rates = torch.optim.lr_scheduler.StepLR(optimiser, every, decay), []
    for _ in range(epochs):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return rates


@independent("training_the_model.pull")
def pull_by_autograd(p, area, pixels, smooth):
    slopes = []
    for size in area.astype(int):
        chance = torch.tensor(p, dtype=torch.float64, requires_grad=True)
        mask = (torch.arange(pixels) < size).double()[None]
        dice_loss(chance.expand(1, pixels), mask, smooth).backward()
        slopes.append(chance.grad.item())
    return slopes


@independent("transfer_learning.fine_tune")
def tuned_by_autograd(features, wanted, start, rate, steps, moving):
    """torch's own gradient and optimiser; frozen weights in a tensor of their own."""
    x, y, w, moving = map(torch.from_numpy, (features, wanted, start, moving))
    own = nn.Parameter(w[moving])
    optimiser = torch.optim.SGD([own], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        ((x[:, moving] @ own + x[:, ~moving] @ w[~moving] - y) ** 2).mean().div(2).backward()
        optimiser.step()
    w[moving] = own.detach()
    return w


@independent("transfer_learning.statistics_after")
def statistics_of_a_layer(mean, variance, batches, momentum):
    layer = nn.BatchNorm1d(1, momentum=momentum, dtype=torch.float64)
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    for batch in batches:
        layer(torch.from_numpy(batch)[:, None])
    return layer.running_mean.item(), layer.running_var.item()


@independent("transfer_learning.honest")
def honest_lesion_by_lesion(scores, patient):
    chosen = []
    for lesion, mine in enumerate(patient):
        others = [k for k, name in enumerate(patient) if name != mine]
        means = [sum(row[k] for k in others) / len(others) for row in scores]
        chosen.append(scores[means.index(max(means))][lesion])
    return sum(chosen) / len(chosen)


# --- answers with a fault that no single wrong answer stands for --------------------------------


def xlogx_with_nan(x):
    return x * np.log(x) + (1 - x) * np.log(1 - x)


def softmax_with_nan(u, epsilon):
    return np.exp(u / epsilon) / np.exp(u / epsilon).sum(1, keepdims=True)


def saturated_loss(least):
    def cross_entropy(z, y):
        p = np.clip(expit(z), least, 1 - least)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    def loss(z, y, v, w, a, b):
        dice = dice_loss(*map(torch.as_tensor, (expit(z), y))).item()
        return dice + a * cross_entropy(z, y) + b * cross_entropy(v, w)

    return loss


def split_by_lesion(patients, part, generator):
    """Two halves of each patient's slices stand for two lesions."""
    lesions = np.array([f"{patient} {k % 2}" for k, patient in enumerate(patients)])
    return split_by_patient(lesions, part, generator)


def split_by_rank(patients, part, generator):
    names = np.unique(patients)
    return np.isin(patients, names[: round(part * len(names))])


def split_by_names(patients, part, generator, *, of_slices=False):
    """Names may be drawn with repeats, so that fewer are tested."""
    names = np.unique(patients)
    count = round(part * len(names))
    return np.isin(patients, generator.choice(patients if of_slices else names, count))


FAULTY = [
    ("sigmoid.energy", "0 ln 0", lambda x, u, e: (-u * x + e * xlogx_with_nan(x)).sum()),
    ("sigmoid.energy", "0 ln 0", lambda x, u, e: -u * x + e * xlogx_with_nan(x)),
    ("sigmoid.minimum", "overflows", lambda u, e: -e * np.log(1 + np.exp(u / e)).sum()),
    ("sigmoid.softmax_minimiser", "e^800 overflows", softmax_with_nan),
    ("multitask_model.eq7", "wrong for large ones", saturated_loss(0)),
    ("multitask_model.eq7", "(or was clipped)", saturated_loss(1e-12)),
] + [
    ("on_real_scans.patient_split", hint, split)
    for hint, split in [
        ("these are row numbers", lambda p, part, g: g.choice(len(p), 9, replace=False)),
        ("for each slice.", lambda *a: split_by_patient(*a).astype(float)),
        ("for each slice.", lambda p, part, g: np.unique(p)[:6]),
        ("no slice is tested", lambda p, part, g: np.zeros(len(p), bool)),
        ("every slice is tested", lambda p, part, g: np.ones(len(p), bool)),
        ("it leaks", lambda p, part, g: g.random(len(p)) < part),
        ("it leaks", split_by_lesion),
        ("that is the training part", lambda *a: ~split_by_patient(*a)),
        ("another number", lambda p, part, g: split_by_patient(p, 2 * part, g)),
        ("each drawn once", split_by_names),
        ("each drawn once", functools.partial(split_by_names, of_slices=True)),
        (
            "the same generator should",
            lambda p, part, g: split_by_patient(p, part, np.random.default_rng()),
        ),
        ("every generator", split_by_rank),
    ]
]

# --- the tests ----------------------------------------------------------------------------------


def verdict(exercise, function, capsys):
    """What an exercise prints: one line, which says the same as what it returns."""
    result = exercise(function)
    said = capsys.readouterr().out
    assert said == "Correct.\n" if result is True else said.startswith("Not yet: "), said
    assert result in (True, False) and said.count("\n") == 1
    return said.rstrip("\n")


def right_answer(name):
    return EXERCISES[name].right or INDEPENDENT[name]


@each_exercise
def test_right_answers_pass(name, capsys):
    """The exercise's own, and one that shares nothing with it."""
    for function in (right_answer(name), INDEPENDENT[name]):
        assert verdict(EXERCISES[name], function, capsys) == "Correct."


STYLES = {
    "list": lambda answer: np.asarray(answer).tolist(),
    "array": np.array,
    "tensor": lambda answer: torch.tensor(np.array(answer)),
    "float32": lambda answer: np.array(answer, np.float32),
}


@pytest.mark.parametrize("style", STYLES)
@each_exercise
def test_a_right_answer_passes_in_every_style(name, style, capsys):
    exercise = EXERCISES[name]

    def styled(*arguments):
        answer = right_answer(name)(*arguments)
        if isinstance(answer, tuple):
            return tuple(STYLES[style](part) for part in answer)
        return STYLES[style](answer)

    said = verdict(exercise, styled, capsys)
    if name == "training_the_model.step" and style == "tensor":
        assert "keeps the whole step in memory" in said
    elif name == "on_real_scans.patient_split" and style == "float32":
        assert "wanted True or False" in said
    elif exercise.tolerance >= 1e-7 or style != "float32":
        assert said == "Correct."


@each_exercise
def test_each_mistake_gets_its_own_hint(name, capsys):
    """So no two mistakes of an exercise coincide, and none with the right answer."""
    for hint, functions in EXERCISES[name].mistakes.items():
        for function in functions if isinstance(functions, tuple) else (functions,):
            assert verdict(EXERCISES[name], function, capsys) == f"Not yet: {hint}"


@pytest.mark.parametrize("name, hint, function", FAULTY)
def test_each_fault_gets_its_hint(name, hint, function, capsys):
    said = verdict(EXERCISES[name], function, capsys).removeprefix("Not yet: ")
    stages = EXERCISES[name], EXERCISES[name].then
    assert hint in said and any(said in stage.faults for stage in stages if stage)


def test_no_fault_and_no_independent_answer_is_forgotten():
    faults = [set(stage.faults) for exercise in EXERCISES.values()
              for stage in (exercise, exercise.then) if stage]  # fmt: skip
    for fault in set().union(*faults):
        assert any(hint in fault for _, hint, _ in FAULTY), fault
    assert set(INDEPENDENT) == set(EXERCISES) and len(EXERCISES) >= 48
    assert all(exercise.mistakes or exercise.faults for exercise in EXERCISES.values())


@each_exercise
def test_an_answer_that_is_none_gets_one_line(name, capsys):
    exercise, right = EXERCISES[name], INDEPENDENT[name]
    said = verdict(exercise, lambda *arguments: None, capsys)
    assert said == "Not yet: the function returns nothing so far."
    strange = {
        "text": lambda *arguments: "much",
        "a number as text": lambda *arguments: "0.5",
        "numbers of no shape": lambda *arguments: [[1, 2], [3]],
        "another shape": lambda *arguments: np.zeros((2, 3, 5, 7)),
        "NaN": lambda *arguments: numbers(right(*arguments)) * np.nan,
        "infinity": lambda *arguments: numbers(right(*arguments)) + np.inf,
        "NaN, a number": lambda *arguments: np.nan,
        "complex": lambda *arguments: 1j,
        "an object": lambda *arguments: object(),
    }
    if name == "learning_through_the_loop.same_fixed_point":  # its answer is of several shapes
        del strange["NaN"], strange["infinity"]
    for what, function in strange.items():
        assert verdict(exercise, function, capsys) != "Correct.", what


@each_exercise
def test_an_error_of_the_reader_is_told_in_one_sentence(name, capsys):
    def broken(*arguments):
        raise ValueError("two\n  lines.")

    said = verdict(EXERCISES[name], broken, capsys)
    assert said.startswith("Not yet: the call broken(")
    assert said.endswith(") ended with ValueError: two lines.")

    def stopped(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EXERCISES[name](stopped)


def test_the_call_that_failed_is_described(capsys):
    exercise = Exercise(ask=[(2, np.ones(3)), (0, np.ones((4, 5)))], right=lambda n, a: a / n)
    said = verdict(exercise, lambda n, a: a * (1 // n), capsys)
    assert "the call <lambda>(0, array of shape (4, 5)) ended with ZeroDivisionError: " in said
    assert verdict(exercise, lambda n: n, capsys).count("TypeError") == 1


@each_exercise
def test_a_function_that_changes_its_arguments_does_no_harm(name, capsys):
    def vandal(*arguments):
        answer = copy.deepcopy(right_answer(name)(*arguments))
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument[...] = argument.flat[0]
        return answer

    for function in (vandal, right_answer(name)):
        assert verdict(EXERCISES[name], function, capsys) == "Correct."


def test_a_value_in_the_place_of_a_function(capsys):
    """An exercise asks for one or for the other."""
    value = EXERCISES["soft_threshold_dynamics.printed_fixed_point"]
    for right in (0.80415, torch.tensor(0.80415), np.array(0.80415)):
        assert verdict(value, right, capsys) == "Correct."
    assert "returns nothing" in verdict(value, None, capsys)
    assert "found str" in verdict(value, "0.80415", capsys)
    function = EXERCISES["sigmoid.energy"]
    assert "wanted a function, found float" in verdict(function, 1.0, capsys)
    assert "wanted a function, found NoneType" in verdict(function, None, capsys)


def test_what_a_wrong_answer_is_told_where_no_hint_fits(capsys):
    exercise = Exercise(ask=(), right=lambda: np.zeros(3))
    assert verdict(exercise, [0, 0.25, 0], capsys) == ("Not yet: the answer is off by up to 0.25.")
    assert verdict(exercise, [0, 0], capsys) == "Not yet: wanted the shape (3,), found (2,)."
    assert verdict(exercise, [0, np.nan, 0], capsys) == (
        "Not yet: the answer holds NaN or infinity."
    )
    assert verdict(exercise, ["a"], capsys) == "Not yet: wanted numbers, found list."


def test_some_outputs_see_all_nine_taps():
    exercise = EXERCISES["convolutions.live_taps"]
    assert exercise.right(*exercise.ask).max() == 9
