"""A long training: the steps of `loop`, with precision, processes, checkpoints and logs.

The paper trains with Adam, learning rate 1e-3, weight decay 1e-8, batches of 10 and random flips.
`fit` takes any iterable of batches, as `PatchSet.batch` makes them, and any loss of (output,
masks, has_nodule).

What is for CUDA, MPS or several GPUs has never been run on such a device. The tests run its parts
on the CPU: 16 bits, a scaler, losses that are read every READ_EVERY steps, a fused Adam, a
compiled network, and two processes.
"""

import hashlib
import inspect
import json
import math
import time
import warnings
from functools import cached_property, partial
from itertools import islice
from numbers import Integral
from types import SimpleNamespace

import numpy as np
import torch
from tqdm.auto import tqdm

from nodule_lesson.files import plain_number
from nodule_lesson.training.loop import update_weights

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
READ_EVERY = 10  # on CUDA, losses are read every 10 steps: each read synchronises


def shuffled(count, size, seed=0):
    """Endless batches of row numbers: every row once before any comes again.

    count: number of rows, at least 1. size: rows per batch, at least 1; a batch may reach over the
    end of one round into the next, so all have this size. seed: an integer or a numpy Generator.
    Yields integer arrays of the shape (size,). Raises ValueError for other counts and sizes.
    """
    for name, value in (("count", count), ("size", size)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, found {value!r}.")
    return _shuffled(count, size, np.random.default_rng(seed))


def _shuffled(count, size, random):
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield waiting[:size]
        waiting = waiting[size:]


class Batches:
    """Endless batches of (images, masks, has_nodule), every slice once before any comes again.

    images, masks: (N, 1, H, W) tensors. has_nodule: (N,) of the same device, on which the batches
    are cut and flipped. size: slices per batch. seed: of the order and the flips. flip: each
    slice, and its mask with it, left to right and top to bottom with probability one half each.
    Raises ValueError for counts that differ, or a size below 1.
    """

    def __init__(self, images, masks, has_nodule, size=10, seed=0, flip=True):
        if not len(images) == len(masks) == len(has_nodule):
            raise ValueError(
                "images, masks and has_nodule must be equally many, found "
                f"{len(images)}, {len(masks)} and {len(has_nodule)}."
            )
        self.data, self.size, self.flip = (images, masks, has_nodule), size, flip
        self.seed, self.taken = seed, 0
        self.rows = shuffled(len(images), size, seed)
        self.coins = np.random.default_rng([1, seed])

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        rows = self._to_device(next(self.rows))
        images, masks, has_nodule = (part.index_select(0, rows) for part in self.data)
        if self.flip:
            turned = self._to_device(self.coins.random((2, self.size, 1, 1, 1)) < 0.5)
            for axis, coin in zip((-1, -2), turned, strict=True):
                images = torch.where(coin, images.flip(axis), images)
                masks = torch.where(coin, masks.flip(axis), masks)
        return images, masks, has_nodule

    def _to_device(self, numbers):
        """As a tensor on the slices' device; copied from pinned memory, a GPU does not wait."""
        tensor, device = torch.from_numpy(numbers), self.data[0].device
        if device.type != "cuda":
            return tensor.to(device)
        return tensor.pin_memory().to(device, non_blocking=True)

    def state_dict(self):
        """How many batches have been taken, and of which slices, for `Checkpoint`."""
        return {
            "taken": self.taken,
            "seed": int(self.seed),
            "size": int(self.size),
            "flip": bool(self.flip),
            "shape": list(self.data[0].shape),
            "sha256": self._checksum,
        }

    @cached_property
    def _checksum(self):
        digest = hashlib.sha256()
        for part in self.data:
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def load_state_dict(self, state):
        """Continue at that place. Raises ValueError for a state of other batches."""
        if (own := {**self.state_dict(), "taken": state["taken"]}) != state:
            raise ValueError(f"the batches were {state}, these are {own}.")
        # Draw row numbers and coins again: microseconds per batch, and no state of NumPy to keep.
        self.rows = shuffled(len(self.data[0]), self.size, self.seed)
        self.coins = np.random.default_rng([1, self.seed])
        for _ in range(state["taken"]):
            next(self.rows)
            if self.flip:
                self.coins.random((2, self.size))
        self.taken = state["taken"]


def fit(
    model,
    batches,
    loss,
    *,
    steps,
    learning_rate=1e-3,
    weight_decay=1e-8,
    schedule=None,
    parameters=None,
    watch=None,
    precision="float32",
    compiled=False,
    checkpoint=None,
    log=None,
    fabric=None,
    label="training",
    progress=True,
):
    """Train a model in place with Adam, with the steps of `loop.train`, and return the losses.

    model: any module; it is left in training mode. batches: an iterable of (images, masks,
    has_nodule) on the model's device, at least `steps` of them. loss: a function of
    (model(images), masks, has_nodule) that returns a 0-d tensor. schedule: None for a constant
    learning rate, or a function from the optimiser to one of torch.optim.lr_scheduler, whose
    step() is called without arguments after every batch (so not ReduceLROnPlateau). parameters:
    what is trained, as Adam takes it: tensors, or groups such as {"params": [...], "lr": 1e-2};
    None for all of the model's. watch: called as watch(step, loss) after every step, from 1 on; on
    CUDA after every READ_EVERY steps, once for each of them. precision: one of PRECISIONS, see
    `best_precision`. compiled: whether to use torch.compile, which takes minutes before the first
    step. If the forward pass cannot be compiled, a warning says so and the network runs as it is;
    a failure in the backward pass ends the training. label, progress: the words beside the
    progress bar, and whether there is one.

    checkpoint: None, or a `nodule_lesson.training.Checkpoint`. Where its file exists, training
    resumes from it. batches then need state_dict and load_state_dict, as `Batches` have; a watch
    that has them is kept too. On the CPU the same weights, batches and random state of torch give
    the same bits, resumed or not. log: None, or a folder for TensorBoard: loss and learning rate
    of each step, sigma and lambda2 of a network that ends with STD.

    fabric: None, or a launched `lightning_fabric.Fabric`. Each of its processes draws the same
    batches, takes its share of each, and computes in the Fabric's precision; the gradients are
    averaged. Batch norm sees only a process's share, and the first process's averages are kept,
    unless torch.nn.SyncBatchNorm has replaced it. Only the first process watches, logs and saves
    checkpoints; after resuming, all have its random state.

    Returns the list of the `steps` losses. Raises ValueError if steps is not a positive integer,
    if the schedule's step() needs an argument, if the checkpoint does not fit, if the batches run
    out, and for a loss or weight that is not finite; before the first step TypeError for a state
    that a checkpoint cannot hold, and OSError for a folder that cannot be written. If a loss is
    not finite, a CPU stops before that step: the weights are good, but the running averages of
    batch norm have seen the batch. CUDA stops up to READ_EVERY steps later. Weights are checked
    before each save and after the last step, so a saved checkpoint is always finite.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1, found {steps!r}.")
    if fabric:
        fabric.to_device(model)
    device = next(model.parameters()).device
    if device.type == "cuda":
        # channels_last: fast for CUDA's 16-bit convolutions, slow on a CPU
        model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(
        model.parameters() if parameters is None else parameters,
        lr=learning_rate,
        weight_decay=weight_decay,
        **({"fused": True} if device.type == "cuda" else {"foreach": True}),
    )
    scheduler = schedule(optimiser) if schedule else None
    if scheduler:
        _check_schedule(scheduler)
    backend = _Backend(model, optimiser, precision, compiled, fabric)
    history = _History(steps, watch, checkpoint, log, backend)
    history.resume(
        {"batches": batches, "model": model, "optimiser": optimiser, "scheduler": scheduler},
        {
            "steps": int(steps),
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "rates": [group["lr"] for group in optimiser.param_groups],
            "schedule": _as_json(scheduler.state_dict()) if scheduler else None,
        },
    )
    model.train()
    bar_options = {"desc": label, "unit": "step", "disable": not progress or backend.rank > 0}
    with history, tqdm(total=steps, initial=len(history), **bar_options) as bar:
        for batch in islice(batches, steps - len(history)):
            images, masks, has_nodule = backend.share(*batch)
            value = loss(backend.forward(images), masks, has_nodule)
            history.record(value)  # raises where it is not finite
            backend.update_weights(value)
            if scheduler:
                scheduler.step()
            history.after_step(bar)
    if len(history) < steps:
        raise ValueError(f"the batches ran out: {len(history)} found, {steps} steps are wanted.")
    return history.losses


def _match_layout(optimiser):
    """Give Adam's moments the strides of their weights, which a file does not keep.

    With other strides the fused Adam fails on CUDA, and takes the wrong numbers on a CPU.
    """
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.ndim > 1:
                state[name] = torch.empty_like(weight).copy_(value)


def _check_schedule(scheduler):
    """Raise ValueError for a schedule whose step() needs an argument."""
    try:
        inspect.signature(scheduler.step).bind()
    except TypeError as error:
        raise ValueError(
            "schedule must give one whose step() needs nothing; "
            f"that of {type(scheduler).__name__} is {error}."
        ) from None


def _as_json(state):
    """The state as JSON gives it back; the name of the type for what JSON cannot hold."""

    def number_or_type(value):
        try:
            return plain_number(value)
        except TypeError:
            return type(value).__name__

    return json.loads(json.dumps(state, default=number_or_type))


class _Backend:
    """In how many bits a step computes, and in how many processes."""

    def __init__(self, model, optimiser, precision, compiled, fabric):
        if precision not in PRECISIONS:
            names = ", ".join(PRECISIONS)
            raise ValueError(f"precision must be one of {names}; found {precision!r}.")
        self.device, self.dtype = next(model.parameters()).device, PRECISIONS[precision]
        if fabric and precision != "float32":
            raise ValueError(
                "with a Fabric, the precision is the Fabric's: Fabric(precision=...)."
            )
        if precision == "fp16" and self.device.type != "cuda":
            raise ValueError(f"fp16 is for CUDA; on {self.device.type} take float32.")
        self.precision, self.fabric, self.rank, self.world = precision, fabric, 0, 1
        self.model, self.optimiser = _Compiled(model) if compiled else model, optimiser
        if fabric:
            self.precision = fabric.strategy.precision.precision
            self.rank, self.world = fabric.global_rank, fabric.world_size
            self.model, self.optimiser = fabric.setup(self.model, optimiser)
        # fp16 rounds what is below 3e-8 to 0: multiply the loss, divide the gradients.
        self.scaler = torch.amp.GradScaler("cuda") if precision == "fp16" else None
        self.network = model  # as it was given; a Fabric renames the weights of its own
        # A buffer may hold infinity from the beginning, as a mask for attention does.
        weights = dict(model.named_parameters())
        stored = {**weights, **dict(model.named_buffers())}
        self.to_check = [
            name
            for name, value in model.state_dict().items()
            if name in weights or (name in stored and _is_real(value) and _all_finite(value))
        ]

    def share(self, *parts):
        """This process's part of a batch: the whole, where there is one process."""
        if self.world == 1:
            return parts
        if len(parts[0]) % self.world:
            raise ValueError(f"{len(parts[0])} slices do not divide among {self.world} processes.")
        return tuple(part[self.rank :: self.world] for part in parts)

    def forward(self, images):
        """The model's output, computed in this precision."""
        if self.dtype is None:
            return self.model(images)
        with torch.autocast(self.device.type, self.dtype):
            return self.model(images)

    def update_weights(self, value):
        """`loop.update_weights`, by way of the Fabric or the scaler where there is one."""
        optimiser = self.optimiser
        if self.fabric:  # it scales the loss, and averages the gradients of all processes
            value = SimpleNamespace(backward=partial(self.fabric.backward, value))
        elif self.scaler:
            value, optimiser = self.scaler.scale(value), _ScaledOptimiser(optimiser, self.scaler)
        update_weights(optimiser, value)

    def is_finite(self):
        """Whether all weights are finite, and all buffers that were so at the beginning."""
        state = self.network.state_dict()
        return bool(torch.stack([_all_finite(state[name]) for name in self.to_check]).all())

    def mean_over_processes(self, value):
        """The loss of the whole batch, detached."""
        value = value.detach()
        return self.fabric.all_reduce(value, reduce_op="mean") if self.world > 1 else value


class _ScaledOptimiser:
    """An optimiser that gets the gradients of a loss multiplied by a scaler."""

    def __init__(self, optimiser, scaler):
        self.zero_grad, self.optimiser, self.scaler = optimiser.zero_grad, optimiser, scaler

    def step(self):
        self.scaler.step(self.optimiser)  # skips the step if a gradient overflowed
        self.scaler.update()


def _is_real(tensor):
    return tensor.is_floating_point() and tensor.layout == torch.strided


def _all_finite(tensor):
    if tensor.itemsize == 1:  # torch cannot tell whether a float in 8 bits is finite
        tensor = tensor.float()
    return tensor.isfinite().all()


class _Compiled(torch.nn.Module):
    """A network that torch.compile has compiled, or the network itself where that fails."""

    def __init__(self, model):
        super().__init__()
        cuda = next(model.parameters()).device.type == "cuda"
        self.model = model
        self.fast = torch.compile(model, mode="reduce-overhead" if cuda else None)

    def forward(self, images):
        if self.fast is None:
            return self.model(images)
        try:
            return self.fast(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            warnings.warn(
                f"torch.compile failed, training goes on without: {reason}", stacklevel=2
            )
            self.fast = None
            return self.model(images)


class _History:
    """The losses so far, and the watch, log and checkpoint that receive them."""

    def __init__(self, steps, watch, checkpoint, log, backend):
        self.losses, self.unread, self.rates = [], [], []
        self.steps, self.watch, self.checkpoint, self.backend = steps, watch, checkpoint, backend
        self.log, self.writer = log, None
        self.read_every = READ_EVERY if backend.device.type == "cuda" else 1
        self.saved = self.reported = 0  # steps

    def __len__(self):
        """Steps whose loss has been computed, read or not."""
        return len(self.losses) + len(self.unread)

    def resume(self, parts, configuration):
        """Resume from the checkpoint, where there is one."""
        fabric = self.backend.fabric
        scaler = fabric.strategy.precision if fabric else self.backend.scaler
        parts |= {"scaler": scaler}
        if hasattr(self.watch, "state_dict"):
            parts["watch"] = self.watch
        self.parts = {name: part for name, part in parts.items() if part is not None}
        computed = {"precision": self.backend.precision, "processes": self.backend.world}
        self.configuration = configuration | computed
        if self.checkpoint:
            for name, part in self.parts.items():
                if not hasattr(part, "load_state_dict"):
                    raise ValueError(
                        f"with a checkpoint, {name} must have state_dict and load_state_dict, as "
                        f"Batches have; found {type(part).__name__}."
                    )
            self.checkpoint.rehearse(self.parts, self.configuration)
            self.losses = self.checkpoint.load(self.parts, self.configuration)
            self.saved = self.reported = len(self.losses)
            _match_layout(self.parts["optimiser"])

    def __enter__(self):
        if self.log is not None and self.backend.rank == 0 and len(self) < self.steps:
            from torch.utils.tensorboard import SummaryWriter  # slow, and an optional package

            # Remove what a killed process logged after its last checkpoint.
            self.writer = SummaryWriter(self.log, purge_step=len(self) + 1)

    def __exit__(self, *error):
        if self.writer:
            self.writer.close()

    def record(self, value):
        """Read the loss, on CUDA every READ_EVERY steps. Raises ValueError if it is not finite."""
        self.unread.append(self.backend.mean_over_processes(value))
        self.rates.append(float(self.parts["optimiser"].param_groups[0]["lr"]))
        if len(self) % self.read_every and len(self) not in (1, self.steps):
            return
        new_losses, self.unread = torch.stack(self.unread).tolist(), []
        for new_loss in new_losses:
            self.losses.append(new_loss)
            if not math.isfinite(new_loss):
                raise ValueError(self.error_message(f"the loss became {new_loss}"))

    def after_step(self, bar):
        """Progress bar, watch, log, checkpoint."""
        if self.unread:
            return
        bar.set_postfix(loss=f"{self.losses[-1]:.3f}", refresh=False)
        bar.update(len(self) - self.reported)
        new_steps, self.reported = range(self.reported, len(self)), len(self)
        rates, self.rates = self.rates, []
        save_due = len(self) == self.steps or (
            self.checkpoint and len(self) - self.saved >= self.checkpoint.every
        )
        # Every process checks, so that none waits for one that has stopped.
        if save_due and not self.backend.is_finite():
            raise ValueError(self.error_message("a weight is no number any more"))
        if self.backend.rank == 0:
            self.report(new_steps, rates, save_due)
        if save_due:
            self.saved = len(self)

    def report(self, new_steps, rates, save_due):
        """Call the watch, log the scalars, and save the checkpoint when it is due."""
        if self.watch:
            for step in new_steps:
                self.watch(step + 1, self.losses[step])
        if self.writer:
            self.log_scalars(new_steps, rates)
        if self.checkpoint and save_due:
            self.checkpoint.save(self.parts, self.losses, self.configuration)

    def log_scalars(self, new_steps, rates):
        """Write TensorBoard's scalars; sigma and lambda2 as they are after the newest step."""
        for step, rate in zip(new_steps, rates, strict=True):
            self.writer.add_scalar("loss", self.losses[step], step + 1)
            self.writer.add_scalar("learning rate", rate, step + 1)
        std = getattr(self.parts["model"], "std", None)
        for name in ("sigma", "lambda2") if std is not None else ():
            self.writer.add_scalar(name, getattr(std, name).item(), len(self))

    def error_message(self, what):
        """What went wrong, at which step, and what to do."""
        rate = self.parts["optimiser"].param_groups[0]["lr"]
        last = ""
        if self.checkpoint:
            last = (
                f" {self.checkpoint.path.name} holds step {self.saved}: delete it to begin anew."
            )
            if not self.saved:
                last = " No checkpoint had been written yet."
        return (
            f"{what} at step {len(self.losses)} of {self.steps}: look at that batch, or lower "
            f"the learning rate ({float(rate):g}).{last}"
        )


# --- device, precision and plot ------------------------------------------------------------------


def best_device():
    """Where to compute: CUDA, Apple's MPS or the CPU, the first that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_precision(device):
    """The fastest precision that a device has hardware for: one of PRECISIONS.

    bf16 where CUDA hardware has it, fp16 on older cards such as a T4 (which would emulate bf16,
    slowly), float32 elsewhere. STD, the loss and the weights stay in 32 bits with all of them.
    """
    if torch.device(device).type != "cuda":
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class LossPlot:
    """A watch for `fit` that draws the losses in a notebook while they come in.

    seconds: the shortest time between two drawings. window: steps of the running mean. Outside a
    notebook it draws nothing. Call `draw()` once more when the training has ended.
    """

    def __init__(self, seconds=0.5, window=10):
        self.seconds, self.window = seconds, window
        self.losses, self.drawn_at, self.display = [], -math.inf, None

    def __call__(self, step, loss):
        self.losses.append((step, loss))
        if time.monotonic() - self.drawn_at >= self.seconds:
            self.draw()

    def draw(self):
        """Draw now; the new drawing replaces the last one."""
        self.drawn_at = time.monotonic()
        if not self.losses or not _in_notebook():
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        from nodule_lesson import plots

        steps, losses = np.array(self.losses).T
        window = min(self.window, len(losses))
        figure, axes = plt.subplots(figsize=(6, 2.6))
        axes.plot(steps, losses, ".", color=plots.MUTED, markersize=3, label="each step")
        mean = np.convolve(losses, np.full(window, 1 / window), "valid")
        axes.plot(steps[window - 1 :], mean, color=plots.BLUE, label=f"mean of {window}")
        axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
        axes.legend()
        if self.display is None:
            self.display = display(figure, display_id=True)
        else:
            self.display.update(figure)
        plt.close(figure)


def _in_notebook():
    """Whether a kernel shows what is displayed: Jupyter's, Colab's, not a terminal's."""
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return False
    return hasattr(get_ipython(), "kernel")
