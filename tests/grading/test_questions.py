"""The judges of assignment 1 accept what has the property, and nothing else."""

import textwrap

import class_1
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from nodule_lesson.grading import check, questions, two_slices

SEED = 31


def defined(answers):
    """The objects of a student's answers, by name."""
    names = {"torch": torch, "price": two_slices.price}
    for source in answers.values():
        exec(textwrap.dedent(source), names)
    return {name: names[name] for name in class_1.NAMES}


RIGHT = defined(class_1.AUTOMATIC)


def held(name, student, seed=SEED):
    return questions.held(1, name, student, seed)


def held_by(name, case, **answers):
    """For each check whether it holds of these answers in this case."""
    answers = {key: np.array(value) for key, value in answers.items()}
    return questions.verdicts(questions.question(1, name), [case], [answers])


# --- the energy against sums by hand -------------------------------------------------------------


def blur_by_hand(field, sigma):
    height, width = field.shape
    taps = {n: np.exp(-0.5 * (np.arange(-n + 1, n) / sigma) ** 2) for n in (height, width)}
    result = np.zeros_like(field)
    for i in range(height):
        for j in range(width):
            for k in range(height):
                for m in range(width):
                    weight = taps[height][k - i + height - 1] / taps[height].sum()
                    weight *= taps[width][m - j + width - 1] / taps[width].sum()
                    result[i, j] += weight * field[k, m]
    return result


def test_the_energy_is_the_one_of_the_sheet():
    random = np.random.default_rng(4)
    x, y, u, v = random.uniform(0.01, 0.99, (4, 4, 6))
    total = -(u * x).sum() - (v * y).sum()
    for z in (x, y):
        total += 0.8 * (z * np.log(z) + (1 - z) * np.log(1 - z)).sum()
        total += 0.5 * (z * blur_by_hand(1 - z, 1.2)).sum()
    total += 0.9 * (x * blur_by_hand(1 - y, 1.2)).sum()
    total += 0.9 * (y * blur_by_hand(1 - x, 1.2)).sum()
    found = two_slices.energy(*map(torch.tensor, (x, y, u, v)),
                              sigma=1.2, lambda1=0.5, mu=0.9, epsilon=0.8)  # fmt: skip
    assert float(found) == pytest.approx(total, rel=1e-12)


def test_a_general_minimiser_finds_the_step_that_the_judge_accepts():
    """L-BFGS on the bound, with nothing in common with the judge but the energy."""
    case = questions.cases(1, "step", SEED)[0]
    weights = {name: case[name] for name in ("sigma", "lambda1", "mu")}
    x, y = torch.tensor(case["x"]), torch.tensor(case["y"])

    def lowest(place, logits):
        slope = RIGHT["slopes"](x, y, **weights)[place].numpy().ravel()

        def bound(z):
            """The bound and its derivative as functions of z, where x = Sig(z)."""
            value, log = expit(z), np.logaddexp(0, z)
            entropy = value * (z - log) - (1 - value) * log
            linear = slope - logits.ravel()
            derivative = (linear + case["epsilon"] * z) * value * (1 - value)
            return (linear * value + case["epsilon"] * entropy).sum(), derivative

        options = {"ftol": 1e-16, "gtol": 1e-9, "maxiter": 10**4}
        found = minimize(bound, np.zeros(logits.size), jac=True, method="L-BFGS-B",
                         options=options)  # fmt: skip
        return torch.tensor(expit(found.x).reshape(logits.shape))

    new_x = lowest(0, case["u"])
    x = new_x
    assert held_by("step", case, x=new_x, y=lowest(1, case["v"])) == [True, True]


# --- right and wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", class_1.NAMES)
def test_right_answers_have_all_points_whatever_the_seed(name, seed):
    assert all(held(name, RIGHT[name], seed))


def changed_slopes(change):
    return lambda x, y, **weights: change(*RIGHT["slopes"](x, y, **weights))


@pytest.mark.parametrize(
    "change, wanted",
    [
        (lambda a, b: (b, a), [False, False]),
        (lambda a, b: (a, -b), [True, False]),
        (lambda a, b: (1.001 * a, b), [False, True]),
        (lambda a, b: (a.T, b.T), [False, False]),
        (lambda a, b: (a + 1e-7, b), [True, True]),
        (lambda a, b: (a.float(), b.float()), [True, True]),
    ],
)
def test_slopes_are_judged_as_such(change, wanted):
    assert held("slopes", changed_slopes(change)) == wanted


def step_with(slopes=RIGHT["slopes"], at_once=False, twice=False, scale=1.0):
    def step(x, y, u, v, *, epsilon, **weights):
        new = torch.sigmoid((scale * u - slopes(x, y, **weights)[0]) / epsilon)
        other = slopes(x if at_once else new, y, **weights)[1]
        return new, torch.sigmoid((v - other) / epsilon)

    return step


@pytest.mark.parametrize(
    "step, wanted",
    [
        (step_with(), [True, True]),
        (step_with(at_once=True), [True, False]),
        (step_with(changed_slopes(lambda a, b: (a / 2, b))), [False, True]),
        (step_with(changed_slopes(lambda a, b: (-a, -b))), [False, False]),
        (step_with(scale=1.01), [False, True]),
        (lambda x, y, u, v, **constants: (torch.sigmoid(u), torch.sigmoid(v)), [False, False]),
        (lambda x, y, u, v, **constants: (u, v), [False, False]),
        (lambda x, y, u, v, **constants: (torch.ones_like(u),) * 2, [False, False]),
    ],
)
def test_a_step_is_judged_by_its_two_bounds(step, wanted):
    assert held("step", step) == wanted


def test_a_printed_path_that_does_not_rest_or_rises_loses_that_alone():
    def descent(change):
        return lambda *fields, **constants: change(RIGHT["descent"](*fields, **constants))

    backwards = descent(lambda pairs: pairs[::-1])
    assert held("descent", backwards) == [False, False, False]
    early = descent(lambda pairs: pairs[:2] + pairs[1:2] * (len(pairs) - 2))
    assert held("descent", early) == [True, True, False]
    rising = descent(lambda pairs: pairs[:1] + pairs[5:6] + pairs[1:2] + pairs[3:])
    assert held("descent", rising) == [True, False, True]
    short = descent(lambda pairs: pairs[1:])
    assert held("descent", short) == [False, False, False]


def layer_with(**members):
    return type("TwoSlices", (RIGHT["TwoSlices"],), members)


@pytest.mark.parametrize(
    "layer, wanted",
    [
        (layer_with(mu=property(lambda self: self.log)), [False, False, False, False]),
        (layer_with(mu=property(lambda self: self.log.exp().detach())),
         [True, False, True, False]),
        (layer_with(mu=property(lambda self: self.log.exp().clamp(min=0.01))),
         [True, False, True, True]),
        (layer_with(mu=property(lambda self: torch.nn.functional.softplus(self.log))),
         [False, True, True, False]),
        (layer_with(more=None, __init__=lambda self, *a, **k: [
            RIGHT["TwoSlices"].__init__(self, *a, **k),
            self.register_parameter("other", torch.nn.Parameter(torch.tensor(1.0)))] and None),
         [False, False, True, True]),
    ],
)  # fmt: skip
def test_a_layer_is_judged_by_its_weight_its_fields_and_its_gradient(layer, wanted):
    assert held("TwoSlices", layer) == wanted


def test_the_gradient_that_the_judge_wants_is_a_difference_quotient():
    """Of the loss at two weights near each other, each with fields at rest."""
    case = questions.cases(1, "TwoSlices", SEED)[0]
    constants = {name: case[name] for name in ("sigma", "lambda1", "epsilon")}
    h, losses = 1e-5, []
    for mu in (case["mu"] + h, case["mu"] - h):
        layer = RIGHT["TwoSlices"](mu=mu, steps=200, **constants).double()
        layer.log.data = torch.tensor(mu, dtype=torch.float64).log()
        x, y = layer(torch.tensor(case["u"]), torch.tensor(case["v"]))
        losses.append(float((x.detach().numpy() * case["weight_x"]).sum()
                            + (y.detach().numpy() * case["weight_y"]).sum()))  # fmt: skip
    quotient = (losses[0] - losses[1]) / (2 * h)
    answers = questions.answers_of(questions.question(1, "TwoSlices"), RIGHT["TwoSlices"], case)
    answers["gradient"], answers["slope_of_mu"] = np.array(quotient), np.array(1.0)
    assert two_slices._is_gradient(case, **answers)
    answers["gradient"] = np.array(1.01 * quotient + 0.01)
    assert not two_slices._is_gradient(case, **answers)


def test_a_counterexample_must_raise_the_energy():
    def fields(a, b, logits=0.0):
        return lambda shape, **constants: [
            torch.full(shape, value, dtype=torch.float64) for value in (a, b, logits, logits)
        ]

    assert held("counterexample", fields(0.4, 0.6)) == [True]
    assert held("counterexample", fields(0.4, 0.4)) == [False]  # the slices agree
    assert held("counterexample", fields(0.5, 0.5)) == [False]
    assert held("counterexample", fields(0.0, 1.0)) == [False]  # not inside
    assert held("counterexample", fields(0.4, 0.6, 1e6)) == [False]


def test_below_the_right_bound_no_step_at_once_raises_the_energy():
    """So what the sheet asks for exists because of its misprint alone."""
    random = np.random.default_rng(8)
    for _ in range(200):
        u, v = 3 * random.normal(size=(2, 6, 8))
        x, y = random.uniform(0.01, 0.99, (2, 6, 8))
        mu, rest = random.uniform(0.1, 3, 2)
        inputs = {"sigma": random.uniform(0.5, 2), "lambda1": mu + rest, "mu": mu}
        inputs["epsilon"] = random.uniform(0.1, 1)
        assert not two_slices._energy_rises(inputs, x, y, u, v)


# --- seeds, shapes, and the student's check ------------------------------------------------------


def test_a_seed_chooses_sizes_inputs_and_constants():
    def of(seed):
        return [case for name in class_1.NAMES for case in questions.cases(1, name, seed)]

    for first, again, other in zip(of(2**100), of(2**100), of(2**100 + 1), strict=True):
        for key, value in first.items():
            np.testing.assert_array_equal(value, again[key])
        assert any(not np.array_equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("answer", [{}, {"x": 1.0}, {"x": "a", "y": 1.0}, None])
def test_no_judge_computes_with_an_answer_of_another_shape(answer):
    asked, cases = questions.question(1, "step"), questions.cases(1, "step", 0)
    if answer is not None and any(isinstance(v, str) for v in answer.values()):
        with pytest.raises(ValueError):
            questions.as_numbers(answer["x"])
        return
    answer = answer and {k: np.array(v) for k, v in answer.items()}
    assert questions.verdicts(asked, cases, [answer] * len(cases)) == [False, False]


def test_the_students_check_says_what_holds_and_that_it_is_not_the_mark(capsys):
    assert check(1, "step", RIGHT["step"])
    assert capsys.readouterr().out.count("holds") == 2
    assert not check(1, "step", step_with(at_once=True))
    said = capsys.readouterr().out
    assert "does NOT    the new y minimises" in said and "not the mark" in said
    assert not check(1, "slopes", lambda x, y, **weights: (x[:1], y))
    assert "should have the shape" in capsys.readouterr().out

    def unwritten(*fields, **weights):
        raise NotImplementedError

    assert not check(1, "slopes", unwritten)
    assert capsys.readouterr().out == "slopes is not written yet.\n"
    assert not check(1, "slopes", lambda x, y, **weights: 1 / 0)
    assert "ZeroDivisionError" in capsys.readouterr().out
    with pytest.raises(ValueError, match="asks for slopes"):
        check(1, "slope", RIGHT["slopes"])
    with pytest.raises(ValueError, match="the assignments are"):
        check(9, "slopes", RIGHT["slopes"])
