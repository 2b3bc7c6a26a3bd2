"""Training: one loop, short enough to read before it is run.

The paper trains with Adam, learning rate 1e-3, weight decay 1e-8, batches of 10 and random flips.
The loop knows neither where the slices come from nor what is minimised: it takes any iterable of
batches, as `PatchSet.batch` makes them, and any loss of (output, masks, has_nodule).
"""

import hashlib
import inspect
import json
import math
import time
import warnings
from functools import cached_property
from itertools import islice
from numbers import Integral

import numpy as np
import torch
from tqdm.auto import tqdm

from nodule_lesson.files import plain_number

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
READ_EVERY = 10  # steps on a GPU between two looks at the losses: each look waits for it


def shuffled(count, size, seed=0):
    """Endless batches of row numbers: every row once before any comes again.

    count: number of rows, at least 1. size: rows a batch, at least 1; a batch may reach over the
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
        rows = self._sent(next(self.rows))
        images, masks, has_nodule = (part.index_select(0, rows) for part in self.data)
        if self.flip:
            turned = self._sent(self.coins.random((2, self.size, 1, 1, 1)) < 0.5)
            for axis, coin in zip((-1, -2), turned, strict=True):
                images = torch.where(coin, images.flip(axis), images)
                masks = torch.where(coin, masks.flip(axis), masks)
        return images, masks, has_nodule

    def _sent(self, numbers):
        """On the slices' device; from pinned memory the copy does not make a GPU wait."""
        tensor, device = torch.from_numpy(numbers), self.data[0].device
        if device.type != "cuda":
            return tensor.to(device)
        return tensor.pin_memory().to(device, non_blocking=True)

    def state_dict(self):
        """How far the batches have come, and of which slices, for `Checkpoint`."""
        told = {"taken": self.taken, "seed": int(self.seed), "size": int(self.size)}
        told["flip"] = bool(self.flip)
        return told | {"shape": list(self.data[0].shape), "sha256": self._checksum}

    @cached_property
    def _checksum(self):
        digest = hashlib.sha256()
        for part in self.data:
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def load_state_dict(self, state):
        """Go on at that place. Raises ValueError for a state of other batches."""
        if (unlike := {**self.state_dict(), "taken": state["taken"]}) != state:
            raise ValueError(f"the batches were {state}, these are {unlike}.")
        # Row numbers and coins are drawn again: microseconds a batch, and no state of NumPy's.
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
    """Train a model in place with Adam, one step per batch, and return the losses.

    model: any module; it is left in training mode. batches: an iterable of (images, masks,
    has_nodule), at least `steps` of them; tensors on the model's device. loss: a function of
    (model(images), masks, has_nodule) that returns a 0-d tensor. schedule: None for a constant
    learning rate, or a function from the optimiser to one of torch.optim.lr_scheduler, stepped
    after every batch and told nothing (so not ReduceLROnPlateau). parameters: what is trained, as
    Adam takes it: tensors, or groups such as {"params": [...], "lr": 1e-2}; None for all of the
    model's. watch: called after every step as watch(step, loss), from 1 on; on a GPU after every
    READ_EVERY steps, once for each of them. precision: one of PRECISIONS, see `best_precision`.
    compiled: whether torch.compile makes fewer, larger kernels of the network's, and of these one
    CUDA graph; it takes minutes first. Where the forward pass cannot be compiled, a warning says
    so and the network runs as it is; a failure in the backward pass ends the training.
    checkpoint: None, or a `nodule_lesson.training.Checkpoint`: where its file is there,
    training goes on from it. batches then need state_dict and load_state_dict, as `Batches` have;
    a watch that has them is kept too. What a checkpoint cannot hold, and a folder that cannot be
    written, are told before the first step. log: None, or a folder for TensorBoard: loss and
    learning rate of each step, sigma and lambda2 of a network that ends with STD. label, progress:
    the words beside the progress bar, and whether there is one.

    fabric: None, or a launched `lightning_fabric.Fabric`: each of its processes draws the same
    batches, takes its share of each, and computes in the Fabric's precision; the gradients'
    mean moves all of them alike. Batch norm sees a process's share alone, and keeps the first
    one's averages, unless torch.nn.SyncBatchNorm has replaced it. The first process alone
    watches, logs and writes checkpoints; resumed, all have its random state.

    On the CPU the same weights, batches and random state of torch give the same bits, killed and
    resumed or not. No GPU was at hand when this was written: what is said of one is untried.

    Returns the list of the `steps` losses. Raises ValueError where steps is not a positive
    integer, where the schedule wants to be told more, where the checkpoint does not fit, where the
    batches run out, and where a loss is not finite; TypeError for a state that a checkpoint cannot
    hold. At a loss that is not finite the CPU stops before that step: the parameters are good, but
    the running averages of batch norm have seen the batch. A GPU stops up to READ_EVERY steps
    later. Before a checkpoint is written, and after the last step, the weights are looked at, too:
    the last checkpoint is good in all cases.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1, found {steps!r}.")
    if fabric:
        fabric.to_device(model)
    place = next(model.parameters()).device
    if place.type == "cuda":  # how its 16-bit convolutions read images; a CPU is slower with it
        model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(
        model.parameters() if parameters is None else parameters,
        lr=learning_rate,
        weight_decay=weight_decay,
        **({"fused": True} if place.type == "cuda" else {"foreach": True}),
    )
    scheduler = schedule(optimiser) if schedule else None
    if scheduler:
        _check_schedule(scheduler)
    machine = _Machine(model, optimiser, precision, compiled, fabric)
    record = _Record(steps, watch, checkpoint, log, machine)
    record.resume(
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
    shown = {"desc": label, "unit": "step", "disable": not progress or machine.rank > 0}
    with record, tqdm(total=steps, initial=len(record), **shown) as bar:
        for images, masks, has_nodule in islice(batches, steps - len(record)):
            images, masks, has_nodule = machine.share(images, masks, has_nodule)
            value = loss(machine.answer(images), masks, has_nodule)
            record.note(value)  # raises where it is not finite
            optimiser.zero_grad()
            machine.backward(value)
            machine.step()
            if scheduler:
                scheduler.step()
            record.show(bar)  # and watch, log, write the checkpoint
    if len(record) < steps:
        raise ValueError(f"the batches ran out: {len(record)} found, {steps} steps are wanted.")
    return record.losses


def _match_layout(optimiser):
    """Give Adam's moments the strides of their weights, which a file does not keep.

    Of other strides, the fused Adam of CUDA takes none, and that of a CPU takes the wrong numbers.
    """
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.ndim > 1:
                state[name] = torch.empty_like(weight).copy_(value)


def _check_schedule(scheduler):
    """Raise ValueError for a schedule that wants to be told something at each step."""
    try:
        inspect.signature(scheduler.step).bind()
    except TypeError as error:
        raise ValueError(
            "schedule must give one whose step() needs nothing; "
            f"that of {type(scheduler).__name__} is {error}."
        ) from None


def _as_json(state):
    """As it comes back from a file; of what JSON cannot hold, the kind."""

    def kind(one):
        try:
            return plain_number(one)
        except TypeError:
            return type(one).__name__

    return json.loads(json.dumps(state, default=kind))


class _Machine:
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
        trained = dict(model.named_parameters())
        kept = {**trained, **dict(model.named_buffers())}
        self.finite = [
            name
            for name, value in model.state_dict().items()
            if name in trained or (name in kept and _is_real(value) and _all_finite(value))
        ]

    def share(self, *parts):
        """This process's part of a batch: the whole, where there is one process."""
        if self.world == 1:
            return parts
        if len(parts[0]) % self.world:
            raise ValueError(f"{len(parts[0])} slices do not divide among {self.world} processes.")
        return tuple(part[self.rank :: self.world] for part in parts)

    def answer(self, images):
        if self.dtype is None:
            return self.model(images)
        with torch.autocast(self.device.type, self.dtype):
            return self.model(images)

    def backward(self, value):
        if self.fabric:
            self.fabric.backward(value)  # and the mean of the processes' gradients
        elif self.scaler:
            self.scaler.scale(value).backward()
        else:
            value.backward()

    def step(self):
        if self.scaler:
            self.scaler.step(self.optimiser)  # not where a gradient has overflowed
            self.scaler.update()
        else:
            self.optimiser.step()

    def is_finite(self):
        """Whether all weights are numbers, and all averages that were so in the beginning."""
        state = self.network.state_dict()
        return bool(torch.stack([_all_finite(state[name]) for name in self.finite]).all())

    def mean(self, value):
        """The loss of the whole batch, detached."""
        value = value.detach()
        return self.fabric.all_reduce(value, reduce_op="mean") if self.world > 1 else value


def _is_real(tensor):
    return tensor.is_floating_point() and tensor.layout == torch.strided


def _all_finite(tensor):
    if tensor.itemsize == 1:  # of a float in 8 bits, torch does not say whether it is finite
        tensor = tensor.float()
    return tensor.isfinite().all()


class _Compiled(torch.nn.Module):
    """A network as torch.compile makes it; where that fails, as it was."""

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
            said = " ".join(str(error).split())[:200]
            warnings.warn(f"torch.compile failed, training goes on without: {said}", stacklevel=2)
            self.fast = None
            return self.model(images)


class _Record:
    """The losses so far, who watches them, and the checkpoint."""

    def __init__(self, steps, watch, checkpoint, log, machine):
        self.losses, self.waiting, self.rates = [], [], []
        self.steps, self.watch, self.checkpoint, self.machine = steps, watch, checkpoint, machine
        self.log, self.writer = log, None
        self.every = READ_EVERY if machine.device.type == "cuda" else 1  # reading makes one wait
        self.saved = self.seen = 0

    def __len__(self):
        return len(self.losses) + len(self.waiting)

    def resume(self, parts, configuration):
        """Go on from the checkpoint, where there is one."""
        machine = self.machine
        scaler = machine.fabric.strategy.precision if machine.fabric else machine.scaler
        parts |= {"scaler": scaler}
        if hasattr(self.watch, "state_dict"):
            parts["watch"] = self.watch
        self.parts = {name: part for name, part in parts.items() if part is not None}
        how = {"precision": self.machine.precision, "processes": self.machine.world}
        self.configuration = configuration | how
        if self.checkpoint:
            for name, part in self.parts.items():
                if not hasattr(part, "load_state_dict"):
                    raise ValueError(
                        f"with a checkpoint, {name} must have state_dict and load_state_dict, as "
                        f"Batches have; found {type(part).__name__}."
                    )
            self.checkpoint.rehearse(self.parts, self.configuration)
            self.losses = self.checkpoint.load(self.parts, self.configuration)
            self.saved = self.seen = len(self.losses)
            _match_layout(self.parts["optimiser"])

    def __enter__(self):
        if self.log is not None and self.machine.rank == 0 and len(self) < self.steps:
            from torch.utils.tensorboard import SummaryWriter  # slow, and not for everyone

            # What was logged between the checkpoint and the end of a killed process is left out.
            self.writer = SummaryWriter(self.log, purge_step=len(self) + 1)

    def __exit__(self, *error):
        if self.writer:
            self.writer.close()

    def note(self, value):
        """Read the loss, on a GPU every READ_EVERY steps. Raises ValueError where not finite."""
        self.waiting.append(self.machine.mean(value))
        self.rates.append(float(self.parts["optimiser"].param_groups[0]["lr"]))
        if len(self) % self.every and len(self) not in (1, self.steps):
            return
        read, self.waiting = torch.stack(self.waiting).tolist(), []
        for one in read:
            self.losses.append(one)
            if not math.isfinite(one):
                raise ValueError(self.stopped(f"the loss became {one}"))

    def show(self, bar):
        """After the step: progress bar, watch, log, checkpoint."""
        if self.waiting:
            return
        bar.set_postfix(loss=f"{self.losses[-1]:.3f}", refresh=False)
        bar.update(len(self) - self.seen)
        new, self.seen = range(self.seen, len(self)), len(self)
        rates, self.rates = self.rates, []
        due = len(self) == self.steps or (
            self.checkpoint and len(self) - self.saved >= self.checkpoint.every
        )
        # All processes look, so that none waits for one that has stopped.
        if due and not self.machine.is_finite():
            raise ValueError(self.stopped("a weight is no number any more"))
        if self.machine.rank == 0:
            self.tell(new, rates, due)
        if due:
            self.saved = len(self)

    def tell(self, new, rates, due):
        """Watch, log, and write the checkpoint when it is due."""
        if self.watch:
            for step in new:
                self.watch(step + 1, self.losses[step])
        if self.writer:
            self.write(new, rates)
        if self.checkpoint and due:
            self.checkpoint.save(self.parts, self.losses, self.configuration)

    def write(self, new, rates):
        """TensorBoard's scalars; sigma and lambda2 as they are after the newest step."""
        for step, rate in zip(new, rates, strict=True):
            self.writer.add_scalar("loss", self.losses[step], step + 1)
            self.writer.add_scalar("learning rate", rate, step + 1)
        std = getattr(self.parts["model"], "std", None)
        for name in ("sigma", "lambda2") if std is not None else ():
            self.writer.add_scalar(name, getattr(std, name).item(), len(self))

    def stopped(self, what):
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


# --- where, and watching ------------------------------------------------------------------------


def best_device():
    """Where to compute: CUDA, Apple's MPS or the CPU, the first that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_precision(device):
    """How many bits a device takes in its stride: one of PRECISIONS.

    bf16 where CUDA hardware has it, fp16 on older cards such as a T4 (which would emulate bf16,
    slowly), float32 elsewhere. STD, the loss and the weights are kept in 32 bits with all of them.
    """
    if torch.device(device).type != "cuda":
        return "float32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class LossPlot:
    """A watch for `fit` that draws the losses in a notebook while they come in.

    seconds: at least so long between two drawings. window: steps of the running mean. Outside a
    notebook it draws nothing. `draw()` once more when the training has ended.
    """

    def __init__(self, seconds=0.5, window=10):
        self.seconds, self.window = seconds, window
        self.losses, self.drawn, self.place = [], -math.inf, None

    def __call__(self, step, loss):
        self.losses.append((step, loss))
        if time.monotonic() - self.drawn >= self.seconds:
            self.draw()

    def draw(self):
        """Draw now, in the place of the last drawing."""
        self.drawn = time.monotonic()
        if not self.losses or not _in_notebook():
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        from nodule_lesson import plots

        steps, losses = np.array(self.losses).T
        window = min(self.window, len(losses))
        figure, axes = plt.subplots(figsize=(6, 2.6))
        axes.plot(steps, losses, ".", color=plots.MUTED, markersize=3, label="a step")
        mean = np.convolve(losses, np.full(window, 1 / window), "valid")
        axes.plot(steps[window - 1 :], mean, color=plots.BLUE, label=f"mean of {window}")
        axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
        axes.legend()
        if self.place is None:
            self.place = display(figure, display_id=True)
        else:
            self.place.update(figure)
        plt.close(figure)


def _in_notebook():
    """Whether a kernel shows what is displayed: Jupyter's, Colab's, not a terminal's."""
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return False
    return hasattr(get_ipython(), "kernel")
