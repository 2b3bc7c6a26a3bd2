"""The loops: equal bits for equal seeds, Adam as it is written down, and clear stops."""

import ast
import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nodule_lesson.training import fitting as training
from nodule_lesson.training import loop
from nodule_lesson.training.fitting import fit, shuffled


def loss(logits, masks, has_nodule):
    return F.binary_cross_entropy_with_logits(logits, masks)


def batches(seed, size=4):
    """Bright squares in noise, and where they are."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.zeros(32, 1, 16, 16)
    masks[:16, :, 4:12, 4:12] = 1
    images = 0.5 * masks + 0.3 * torch.rand(masks.shape, generator=random)
    for rows in shuffled(32, size, seed):
        yield images[rows], masks[rows], (masks[rows].flatten(1).sum(1) > 0).float()


def network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )


def train(seed, steps=30, **arguments):
    torch.manual_seed(seed)
    model = network()
    losses = fit(model, batches(seed), loss, steps=steps, progress=False, **arguments)
    return model, losses


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    (first, losses), (second, again), (third, _) = train(0), train(0), train(1)
    assert losses == again
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first[0].weight, third[0].weight)


def bare(steps, seed=0):
    """The bare loop, with the Adam that is `fit`'s default."""
    torch.manual_seed(seed)
    model = network()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-8)
    return model, loop.train(model, batches(seed), loss, adam, steps)


def test_fit_and_the_bare_loop_give_the_same_bits(tmp_path):
    """The same losses, weights and running averages, and the losses that are logged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model, losses = bare(steps=20)
    fitted, again = train(0, steps=20, log=tmp_path)
    assert again == losses and len(losses) == 20
    assert list(fitted.state_dict()) == list(model.state_dict())
    for name, value in fitted.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    logged = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in logged] == list(enumerate(losses, start=1))


def test_the_bare_loop_is_short():
    """What the chapter prints, without the docstrings."""
    tree = ast.parse(inspect.getsource(loop))
    for part in ast.walk(tree):
        if isinstance(part, (ast.Module, ast.FunctionDef)) and ast.get_docstring(part):
            del part.body[0]
    functions = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
    assert [part.name for part in functions] == ["train", "update_weights"]
    assert sum(len(ast.unparse(part).splitlines()) for part in functions) <= 25


def test_every_step_of_fit_is_one_of_the_loop(monkeypatch):
    values = []

    def counted(optimiser, value, update=loop.update_weights):
        values.append(value.item())
        update(optimiser, value)

    monkeypatch.setattr(training, "update_weights", counted)
    assert train(0, steps=5)[1] == values


def test_the_bare_loop_can_go_on_where_it_stopped():
    """Twice five steps are ten: no batch is drawn and thrown away."""
    expected = bare(steps=10)[1]
    torch.manual_seed(0)
    model, source = network().eval(), batches(0)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-8)
    losses = [value for _ in range(2) for value in loop.train(model, source, loss, adam, 5)]
    assert losses == expected
    assert model.training


def test_a_nan_loss_stops_the_bare_loop_before_it_harms_the_weights():
    model = network()
    image, mask = torch.rand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    good, bad = (image, mask, None), (image * math.nan, mask, None)
    adam = torch.optim.Adam(model.parameters())
    loop.train(model, [good], loss, adam, 1)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="loss became nan at step 1 of 2"):
        loop.train(model, [bad, good], loss, adam, 2)
    assert all(map(torch.equal, before, model.parameters()))


def test_it_learns():
    model, losses = train(0, steps=150, learning_rate=1e-2)
    assert len(losses) == 150 and all(math.isfinite(value) for value in losses)
    assert np.mean(losses[-10:]) < 0.25 * np.mean(losses[:3])
    assert model.training


def test_steps_are_adams():
    """One weight, gradients written down by hand, Adam from its paper (Kingma and Ba, 2015)."""
    gradients, rate, decay = [0.3, -0.2, 0.7, 0.1], 0.05, 0.01
    w = expected = 2.0
    first = second = 0.0
    for step, gradient in enumerate(gradients, start=1):
        gradient += decay * expected
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        moved = (first / (1 - 0.9**step)) / (math.sqrt(second / (1 - 0.999**step)) + 1e-8)
        expected -= rate * 0.5 ** (step - 1) * moved
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, w)
    given = [(torch.tensor([[g]], dtype=torch.float64), None, None) for g in gradients]
    fit(
        model,
        given,
        lambda output, masks, has_nodule: output.sum(),
        steps=4,
        learning_rate=rate,
        weight_decay=decay,
        schedule=lambda adam: torch.optim.lr_scheduler.ExponentialLR(adam, 0.5),
        progress=False,
    )
    assert model.weight.item() == pytest.approx(expected, abs=1e-12)


def test_groups_of_parameters_have_their_own_rate_and_others_stay():
    """Adam's first step is its rate long, whatever the gradient is."""
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
    before = model.bias.item()
    batch = [(torch.ones(1, 3), None, None)]
    groups = [{"params": [model.weight], "lr": 0.25}]
    fit(model, batch, lambda out, *_: out.sum(), steps=1, parameters=groups, progress=False)
    assert model.weight.tolist()[0] == pytest.approx([0.75] * 3, abs=1e-5)
    assert model.bias.item() == before


def test_a_nan_loss_stops_before_it_harms_the_weights():
    model = network()
    image, mask = torch.rand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    good, bad = (image, mask, None), (image * math.nan, mask, None)
    seen = []

    def watched():
        for batch in (good, good, bad, good):
            seen.append([p.detach().clone() for p in model.parameters()])
            yield batch

    with pytest.raises(ValueError, match="loss became nan at step 3 of 4"):
        fit(model, watched(), loss, steps=4, progress=False)
    assert len(seen) == 3
    assert all(map(torch.equal, seen[-1], model.parameters()))
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("steps", [0, -1, 2.5, "10", None])
def test_steps_must_be_a_positive_integer(steps):
    with pytest.raises(ValueError, match="steps must be an integer of at least 1"):
        fit(network(), batches(0), loss, steps=steps)


def test_batches_that_run_out_are_no_success():
    few = itertools.islice(batches(0), 3)
    with pytest.raises(ValueError, match="batches ran out: 3 found, 5 steps are wanted"):
        fit(network(), few, loss, steps=5, progress=False)


def test_no_batch_is_drawn_and_thrown_away():
    """So that a second stage goes on where the first one stopped."""
    source = batches(0)
    fit(network(), source, loss, steps=3, progress=False)
    fresh = batches(0)
    fourth = next(itertools.islice(fresh, 3, None))
    assert torch.equal(next(source)[0], fourth[0])


def test_the_progress_bar_shows_the_label_and_the_time_left(capsys):
    fit(network(), batches(0), loss, steps=3, label="a short run")
    shown = capsys.readouterr().err
    assert "a short run" in shown and "3/3" in shown and "<" in shown
    fit(network(), batches(0), loss, steps=3, progress=False)
    assert capsys.readouterr().err == ""


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 5))
def test_every_row_comes_once_before_any_comes_again(count, size, seed):
    drawn = np.concatenate(list(itertools.islice(shuffled(count, size, seed), 5)))
    assert len(drawn) == 5 * size
    for start in range(0, len(drawn), count):
        part = drawn[start : start + count]
        assert len(np.unique(part)) == len(part)
        assert set(part) <= set(range(count))
    again = np.concatenate(list(itertools.islice(shuffled(count, size, seed), 5)))
    assert np.array_equal(drawn, again)


@pytest.mark.parametrize("arguments, name", [((0, 4), "count"), ((4, 0), "size"), ((4.0, 1), "c")])
def test_shuffled_refuses_what_cannot_be_drawn(arguments, name):
    with pytest.raises(ValueError, match=name):
        shuffled(*arguments)


@pytest.mark.parametrize(
    "cuda, mps, expected", [(1, 0, "cuda"), (1, 1, "cuda"), (0, 1, "mps"), (0, 0, "cpu")]
)
def test_the_best_device_is_the_first_that_is_there(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert training.best_device().type == expected


def test_batches_go_on_where_they_were():
    data = torch.rand(7, 1, 4, 4), torch.rand(7, 1, 4, 4), torch.arange(7.0)
    first, second = (training.Batches(*data, size=3, seed=5) for _ in range(2))
    for _ in range(4):
        next(first)
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        assert all(map(torch.equal, next(first), next(second)))
    with pytest.raises(ValueError, match="the batches were"):
        training.Batches(*data, size=2, seed=5).load_state_dict(first.state_dict())
