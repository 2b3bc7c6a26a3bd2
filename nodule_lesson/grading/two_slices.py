"""Assignment 1, *A layer from an energy*: two neighbouring slices whose outlines should agree.

The judges compute with the energy alone, in float64: its slopes come from automatic
differentiation, and no formula of the step is written anywhere.
"""

import numpy as np
import torch

from nodule_lesson.grading.questions import Check, Question, Written, as_numbers
from nodule_lesson.std import gaussian_blur

TITLE = "A layer from an energy"
WRITTEN = {
    "derivation": Written(
        (2, "Each term of the price is differentiated; it is said why a field that stands in a "
            "term twice counts twice, and where the symmetry of $K$ is used."),
        (2, "With $y$ held, the price is shown to be concave in $x$: its tangent lies above it."),
        (2, "The bound is written down and its derivative set to zero; the step follows, and it "
            "is said why this zero is the minimum."),
        (2, "The chain of inequalities from the energy before a step to that after both of its "
            r"halves is complete, for every $\mu \ge 0$."),
    ),
    "misprint": Written(
        (1, "The wrong line is named, and put right."),
        (2, "The right statement is proved: the sign of a quadratic form, for all pairs of "
            "fields."),
        (2, "It is said why the printed line fails, with numbers of one's own: the energy before "
            "and after."),
        (1, "It is said why a step of one slice after the other does not need the condition."),
        (1, "It is said how a reader could have noticed: a limit, a symmetry, an experiment."),
    ),
}  # fmt: skip
STEPS = 40


# --- the energy, printed in the sheet ------------------------------------------------------------


def price(x, y, *, sigma, lambda1, mu):
    """What outlines cost: lambda1 for the length of each, mu where they disagree."""
    outside_x, outside_y = gaussian_blur(1 - x, sigma), gaussian_blur(1 - y, sigma)
    length = (x * outside_x + y * outside_y).sum()
    disagreement = (x * outside_y + y * outside_x).sum()
    return lambda1 * length + mu * disagreement


def energy(x, y, u, v, *, sigma, lambda1, mu, epsilon):
    """The energy of two slices with logits u and v, fields (H, W) in [0, 1]; a 0-d tensor."""
    evidence = (u * x).sum() + (v * y).sum()
    entropy = sum((torch.xlogy(z, z) + torch.xlogy(1 - z, 1 - z)).sum() for z in (x, y))
    return -evidence + epsilon * entropy + price(x, y, sigma=sigma, lambda1=lambda1, mu=mu)


# --- what a seed chooses -------------------------------------------------------------------------


def _fields(random, low=5, high=9):
    """Two slices, wider than high or higher than wide, so that exchanged axes are noticed."""
    height, width = random.choice(np.arange(low, high + 1), size=2, replace=False)
    u = random.normal(0.0, 2.0, (height, width))
    v = 0.5 * u + random.normal(0.0, 1.5, (height, width))
    return {"u": u, "v": v}


def _start(u, random):
    return {name: random.uniform(0.05, 0.95, u.shape) for name in ("x", "y")}


def _constants(random, most):
    """sigma and three weights, with (lambda1 + mu) / epsilon below `most`."""
    epsilon = random.uniform(0.6, 1.4)
    lambda1, mu = epsilon * most * random.dirichlet([3.0, 3.0]) * random.uniform(0.75, 1.0)
    return {"sigma": random.uniform(0.7, 1.6), "lambda1": lambda1, "mu": mu, "epsilon": epsilon}


def _slopes_inputs(random):
    fields = _fields(random)
    constants = _constants(random, 3.0)
    del constants["epsilon"]
    return {**_start(fields["u"], random), **constants}


def _step_inputs(random):
    fields = _fields(random)
    return {**_start(fields["u"], random), **fields, **_constants(random, 3.0)}


def _descent_inputs(random):
    fields = _fields(random)
    # Below 2, so that the step contracts, and so many of them come to rest.
    constants = _constants(random, 1.2)
    return {**_start(fields["u"], random), **fields, **constants, "steps": STEPS}


def _layer_inputs(random):
    fields = _fields(random, 4, 6)
    weights = {f"weight_{z}": random.normal(size=fields["u"].shape) for z in "xy"}
    return {**fields, **weights, **_constants(random, 1.2), "steps": STEPS}


def _counterexample_inputs(random):
    constants = _constants(random, 1.0)
    constants["sigma"] = random.uniform(0.6, 1.0)
    # Below lambda1 + 2 epsilon a step of both at once cannot raise the energy.
    constants["mu"] = constants["lambda1"] + constants["epsilon"] * random.uniform(4.0, 6.0)
    return {"shape": [int(n) for n in random.integers(10, 16, 2)], **constants}


# --- what is asked, beside the student's code ----------------------------------------------------


def _tensors(inputs):
    return {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}


def _ask_pair(student, **inputs):
    x, y = student(**_tensors(inputs))
    return {"x": x, "y": y}


def _ask_descent(student, **inputs):
    return {"fields": list(student(**_tensors(inputs)))}


def _ask_counterexample(student, shape, **constants):
    x, y, u, v = student(tuple(shape), **constants)
    return {"x": x, "y": y, "u": u, "v": v}


def _ask_layer(student, u, v, weight_x, weight_y, **constants):
    layer = student(**constants)
    x, y = layer(torch.tensor(u), torch.tensor(v))
    loss = (torch.tensor(weight_x) * x + torch.tensor(weight_y) * y).sum()
    learned = list(layer.parameters())
    answers = {
        "x": x,
        "y": y,
        "mu": _now(layer.mu),
        "learned": float(sum(one.numel() for one in learned)),
        "gradient": _slope(loss, learned),
        "slope_of_mu": _slope(layer.mu, learned),
        "mus": [],
        "slopes_of_mus": [],
    }
    for value in (-10.0, -1.0, 0.0, 1.0, 10.0):  # wherever an optimiser may bring it
        with torch.no_grad():
            for one in learned:
                one.fill_(value)
        answers["mus"].append(_now(layer.mu))
        answers["slopes_of_mus"].append(_slope(layer.mu, learned))
    return answers


def _now(value):
    """A copy, for the attribute may be the parameter itself, which is changed afterwards."""
    return as_numbers(value).copy()


def _slope(value, parameters):
    """The derivative for the one parameter; 0 if the value does not depend on it."""
    if not parameters or not value.requires_grad:
        return 0.0
    (slope,) = torch.autograd.grad(value.sum(), parameters[:1], allow_unused=True)
    return 0.0 if slope is None else slope.sum()


# --- the judges ----------------------------------------------------------------------------------


def _of_price(x, y, sigma, lambda1, mu):
    """The slopes of the price at (x, y), by automatic differentiation."""
    at = [torch.tensor(z, requires_grad=True) for z in (x, y)]
    value = price(*at, sigma=sigma, lambda1=lambda1, mu=mu)
    return [slope.numpy() for slope in torch.autograd.grad(value, at)]


def _price_constants(inputs):
    return {name: inputs[name] for name in ("sigma", "lambda1", "mu")}


def _inside(*fields):
    return all(((z > 0) & (z < 1)).all() for z in fields)


def _minimises(z, logits, slope, epsilon):
    """Whether z minimises -<logits, z> + epsilon (entropy of z) + <slope, z> over 0 <= z <= 1.

    It is convex: the derivative must vanish. Divided by the curvature it is the distance to go.
    """
    if not _inside(z):
        return False
    derivative = -logits + epsilon * (np.log(z) - np.log1p(-z)) + slope
    return np.abs(derivative * z * (1 - z) / epsilon).max() < 1e-5


def _is_slope_in(place):
    def holds(inputs, x, y):
        wanted = _of_price(inputs["x"], inputs["y"], **_price_constants(inputs))[place]
        return np.allclose((x, y)[place], wanted, rtol=1e-5, atol=1e-5)

    return holds


def _x_minimises(inputs, x, y):
    slope, _ = _of_price(inputs["x"], inputs["y"], **_price_constants(inputs))
    return _minimises(x, inputs["u"], slope, inputs["epsilon"])


def _y_minimises(inputs, x, y):
    _, slope = _of_price(x, inputs["y"], **_price_constants(inputs))
    return _minimises(y, inputs["v"], slope, inputs["epsilon"])


def _stands_still(inputs, x, y):
    slopes = _of_price(x, y, **_price_constants(inputs))
    return all(
        _minimises(z, logits, slope, inputs["epsilon"])
        for z, logits, slope in zip((x, y), (inputs["u"], inputs["v"]), slopes, strict=True)
    )


def _starts(inputs, fields):
    return np.allclose(fields[0], [inputs["x"], inputs["y"]], atol=1e-6)


def _energies(inputs, pairs):
    constants = _price_constants(inputs) | {"epsilon": inputs["epsilon"]}
    logits = [torch.tensor(inputs[name]) for name in ("u", "v")]
    return np.array([float(energy(*map(torch.tensor, pair), *logits, **constants))
                     for pair in pairs])  # fmt: skip


def _falls(inputs, fields):
    if not ((fields >= 0) & (fields <= 1)).all() or not _starts(inputs, fields):
        return False
    energies = _energies(inputs, fields)
    slack = 1e-7 * (1 + np.abs(energies).max())
    return (np.diff(energies) <= slack).all() and energies[-1] < energies[0] - slack


def _comes_to_rest(inputs, fields):
    return _stands_still(inputs, *fields[-1])


def _one_is_learned(inputs, mu, learned, **others):
    return learned == 1 and abs(mu - inputs["mu"]) < 1e-5


def _stays_positive(inputs, learned, mus, slopes_of_mus, **others):
    return learned == 1 and (mus > 0).all() and (slopes_of_mus != 0).all()


def _layer_stands_still(inputs, x, y, mu, **others):
    return _stands_still({**inputs, "mu": float(mu)}, x, y) if mu > 0 else False


def _is_gradient(inputs, x, y, gradient, slope_of_mu, **others):
    """Whether gradient / slope_of_mu is d(loss) / d(mu) at the point where the fields stand still.

    There the slopes G(z, mu) of the energy vanish, so dz/dmu = -(dG/dz)^-1 dG/dmu.
    """
    if not _layer_stands_still(inputs, x, y, np.array(inputs["mu"])) or slope_of_mu == 0:
        return False
    logits = [torch.tensor(inputs[name]) for name in ("u", "v")]
    constants = {name: inputs[name] for name in ("sigma", "lambda1", "epsilon")}
    count = x.size

    def of(z, mu):
        halves = [half.reshape(x.shape) for half in (z[:count], z[count:])]
        return energy(*halves, *logits, mu=mu, **constants)

    z = torch.tensor(np.concatenate([x.ravel(), y.ravel()]), requires_grad=True)
    mu = torch.tensor(inputs["mu"], dtype=torch.float64, requires_grad=True)
    curvature = torch.autograd.functional.hessian(lambda z: of(z, mu), z)
    slope = torch.autograd.grad(of(z, mu), z, create_graph=True)[0]
    weights = np.concatenate([inputs["weight_x"].ravel(), inputs["weight_y"].ravel()])
    adjoint = torch.linalg.solve(curvature, torch.tensor(weights))
    wanted = -float(torch.autograd.grad(slope @ adjoint, mu)[0])
    return abs(gradient / slope_of_mu - wanted) < 1e-4 * (1 + abs(wanted))


def _energy_rises(inputs, x, y, u, v):
    """Whether the energy rises when both slices minimise their bounds at once, from (x, y)."""
    if not _inside(x, y) or max(np.abs(u).max(), np.abs(v).max()) > 100:
        return False
    slopes = _of_price(x, y, **_price_constants(inputs))
    moved = [torch.sigmoid(torch.tensor((logits - slope) / inputs["epsilon"])).numpy()
             for logits, slope in zip((u, v), slopes, strict=True)]  # fmt: skip
    before, after = _energies({**inputs, "u": u, "v": v}, [(x, y), moved])
    return after > before + 1e-6 * (1 + abs(before))


def _pair(u=None, x=None, **inputs):
    shape = (x if u is None else u).shape
    return {"x": shape, "y": shape}


def _layer_shapes(u, **inputs):
    numbers = {name: () for name in ("mu", "learned", "gradient", "slope_of_mu")}
    return {"x": u.shape, "y": u.shape, **numbers, "mus": (5,), "slopes_of_mus": (5,)}


QUESTIONS = (
    Question(
        "slopes", _slopes_inputs, _ask_pair, _pair,
        (
            Check("the first field is the slope of the price in x", 2, _is_slope_in(0)),
            Check("the second field is the slope of the price in y", 2, _is_slope_in(1)),
        ),
    ),
    Question(
        "step", _step_inputs, _ask_pair, _pair,
        (
            Check("the new x minimises its bound, with the old y", 3, _x_minimises),
            Check("the new y minimises its bound, with the new x", 3, _y_minimises),
        ),
    ),
    Question(
        "descent", _descent_inputs, _ask_descent,
        lambda x, steps, **inputs: {"fields": (steps + 1, 2, *x.shape)},
        (
            Check("the first pair is the start", 1, _starts),
            Check("the energy never rises, and is lower at the end", 2, _falls),
            Check("the last pair stands still: no slope of the energy is left", 2, _comes_to_rest),
        ),
    ),
    Question(
        "TwoSlices", _layer_inputs, _ask_layer, _layer_shapes,
        (
            Check("one number is learned, and mu starts at the given value", 1, _one_is_learned),
            Check("mu stays positive and can be learned, wherever its parameter is", 2,
                  _stays_positive),
            Check("the fields stand still", 1, _layer_stands_still),
            Check("the gradient of mu is that of the fields", 2, _is_gradient),
        ),
    ),
    Question(
        "counterexample", _counterexample_inputs, _ask_counterexample,
        lambda shape, **inputs: dict.fromkeys(("x", "y", "u", "v"), shape),
        (
            Check("the energy rises when both slices take their steps at once", 4, _energy_rises),
        ),
    ),
)  # fmt: skip
