"""What lets us look on: TensorBoard's files, read back, and the plot in a notebook."""

import pytest
import torch

from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.networks.registry import build_model
from nodule_lesson.training import fitting as training
from nodule_lesson.training.checkpoints import Checkpoint
from nodule_lesson.training.fitting import Batches, LossPlot, fit
from nodule_lesson.training.losses import multitask_loss

# --- TensorBoard ---------------------------------------------------------------------------------


def train(model, steps=6, rate=0.01, **arguments):
    images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    batches = Batches(images, (images > 0.8).float(), (torch.arange(8) % 2).float(), size=2)
    return fit(
        model,
        batches,
        multitask_loss,
        steps=steps,
        learning_rate=rate,
        schedule=lambda adam: torch.optim.lr_scheduler.StepLR(adam, 2, 0.5),
        progress=False,
        **arguments,
    )


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def network():
    torch.manual_seed(0)
    return DetectionGuidedNet(**SLIM)


def test_tensorboard_reads_back_what_happened(tmp_path):
    model, std = network(), []
    losses = train(
        model,
        log=tmp_path,
        watch=lambda *now: std.append((model.std.sigma.item(), model.std.lambda2.item())),
    )
    found = scalars(tmp_path)
    assert set(found) == {"loss", "learning rate", "sigma", "lambda2"}
    rates = [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    sigma, lambda2 = zip(*std, strict=True)
    for name, values in zip(found, (losses, rates, sigma, lambda2), strict=True):
        assert [step for step, _ in found[name]] == [1, 2, 3, 4, 5, 6]
        assert [value for _, value in found[name]] == pytest.approx(list(values), rel=1e-6)
    # Who looks on changes nothing.
    assert train(network()) == losses


def test_a_network_without_std_logs_loss_and_rate_alone(tmp_path):
    torch.manual_seed(0)
    train(build_model("unet", width=4), steps=1, log=tmp_path)
    assert set(scalars(tmp_path)) == {"loss", "learning rate"}


class Cut(Exception):
    pass


def test_after_a_resume_no_step_is_logged_twice(tmp_path):
    """The checkpoint is of step 4, the log knows step 5: TensorBoard forgets the latter."""

    def cut(step, loss):
        if step == 6:
            raise Cut

    path, folder = tmp_path / "one.safetensors", tmp_path / "log"
    with pytest.raises(Cut):
        train(network(), log=folder, checkpoint=Checkpoint(path, every=4), watch=cut)
    assert [step for step, _ in scalars(folder)["loss"]] == [1, 2, 3, 4, 5]
    losses = train(network(), log=folder, checkpoint=Checkpoint(path, every=4))
    found = scalars(folder)["loss"]
    assert [step for step, _ in found] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in found] == pytest.approx(losses, rel=1e-6)
    files = list(folder.iterdir())
    train(network(), log=folder, checkpoint=Checkpoint(path, every=4))  # finished
    assert list(folder.iterdir()) == files


# --- the plot in a notebook ----------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    """A notebook's display: what is shown first, and what then takes its place."""
    import IPython.display

    found = []

    class Place:
        def update(self, figure):
            found.append(("again", figure))

    def display(figure, display_id):
        found.append(("first", figure))
        return Place()

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(training, "_in_notebook", lambda: True)
    return found


def test_the_plot_shows_every_loss_in_one_place(shown):
    plot = LossPlot(seconds=0, window=3)
    for step, loss in enumerate([4.0, 3.0, 2.0, 1.0], start=1):
        plot(step, loss)
    assert [kind for kind, _ in shown] == ["first", "again", "again", "again"]
    each, mean = shown[-1][1].axes[0].lines
    assert each.get_xdata().tolist() == [1, 2, 3, 4]
    assert each.get_ydata().tolist() == [4, 3, 2, 1]
    assert mean.get_xdata().tolist() == [3, 4]
    assert mean.get_ydata().tolist() == pytest.approx([3, 2])


def test_it_draws_a_few_times_a_second_and_once_more_when_asked(shown, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    plot = LossPlot()
    for step in range(1, 101):
        plot(step, 1.0)
        now[0] += 0.02  # fifty steps per second
    assert 3 <= len(shown) <= 5
    plot.draw()
    assert len(shown[-1][1].axes[0].lines[0].get_xdata()) == 100


def test_outside_a_notebook_it_is_quiet(capsys):
    plot = LossPlot(seconds=0)
    plot(1, 2.0)
    plot.draw()
    assert capsys.readouterr() == ("", "") and plot.losses == [(1, 2.0)]


def test_before_the_first_step_there_is_nothing_to_draw(shown):
    LossPlot().draw()
    assert not shown


def test_a_kernel_is_a_notebook_and_a_terminal_is_none(monkeypatch):
    import IPython

    assert not training._in_notebook()

    class Shell:
        pass

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    assert not training._in_notebook()  # IPython in a terminal
    Shell.kernel = None
    assert training._in_notebook()
