"""Every network of the lesson by name, a summary of its blocks, and the trained networks.

from nodule_lesson import build_model, load_pretrained
model = build_model("proposed")                  # the paper's network, 90 million parameters
model = load_pretrained("slim")                  # a small one that has learned, 0.7 million
"""

import copy
import hashlib
import json
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load
from torch import nn

from nodule_lesson.networks.baselines import DeepLabV3Plus, ResUNet, ResUNetPlusPlus, UNet
from nodule_lesson.networks.detection_guided import DetectionGuidedNet
from nodule_lesson.std import STDSigmoid

_TRAINED_SIDES = (64, 128)  # of the crops that the networks were trained on
_WEIGHTS = Path(__file__).parent / "weights"
PRETRAINED = ("slim", "slim-plain", "slim-real", "slim-real-plain")

MODELS = {
    "proposed": DetectionGuidedNet,
    # The rows of the paper's Table 3. The backbone has the classifier, but does not use it.
    "backbone": partial(DetectionGuidedNet, combine=False, regularisation="none"),
    "backbone+combination": partial(DetectionGuidedNet, regularisation="none"),
    "std": partial(DetectionGuidedNet, regularisation="std"),
    "std+prior": DetectionGuidedNet,
    # The rivals of its Table 1.
    "unet": UNet,
    "resunet": ResUNet,
    "resunet++": ResUNetPlusPlus,
    "deeplabv3+": DeepLabV3Plus,
}


def build_model(name, width=64, **options):
    """A network by its name, with random weights.

    name: one of MODELS; "proposed" and "std+prior" are the same. width: channels at full size, 64
    as published. options: more arguments of its class. `forward(image)` on (N, 1, H, W), H and W
    multiples of 16, returns an `Output`; its `nodule` is None if there is no classifier.
    Raises ValueError for an unknown name.
    """
    _check_name(name, MODELS)
    return MODELS[name](width=width, **options)


# --- summaries -----------------------------------------------------------------------------------


class Row(NamedTuple):
    """One block: its output's shape (channels, H, W) for one image, parameters, multiply-adds."""

    name: str
    shape: tuple
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """A network's blocks, in the order in which they run; printed as a table."""

    rows: tuple
    parameters: int
    multiply_adds: int

    def _cells(self):
        yield "block", "output", "parameters", "multiply-adds"
        for row in self.rows:
            shape = " x ".join(map(str, row.shape))
            yield row.name, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}"
        yield "all", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"

    def __repr__(self):
        return "\n".join(f"{a:10} {b:>16} {c:>12} {d:>16}" for a, b, c, d in self._cells())

    def _repr_markdown_(self):
        head, *rows = (f"| {' | '.join(cells)} |" for cells in self._cells())
        return "\n".join([head, "|:--|--:|--:|--:|", *rows])


def summary(model, side=128):
    """Output shape, parameters and multiply-adds of each block, for one image of side x side.

    Returns a `Summary`. Blocks are the direct submodules of the model under their own names, and
    the elements of lists and dictionaries of modules; "S2 + C1" is the combination of those two.
    Any module will do, with or without `STDSigmoid`. Multiply-adds of convolutions, linear layers
    and STD's Gaussian are counted, those of normalisation, ReLU and additions are not. Nothing is
    computed: a copy of the model runs with shapes alone. Raises TypeError if it is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, found {type(model).__name__}.")
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, STDSigmoid):
                setattr(parent, name, _STDPlaceholder(child))
    names = _blocks(model)
    owners = {module: block for block in names for module in block.modules()}
    rows, counts = {}, {}

    def count(module, inputs, output):
        uses = 0
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            # Each weight is used once per pixel of the output (if transposed: of the input).
            shape = inputs[0].shape if isinstance(module, nn.ConvTranspose2d) else output.shape
            uses = module.weight.numel() * (shape[-2:].numel() if len(shape) == 4 else 1)
        if isinstance(module, _STDPlaceholder):
            # Each step multiplies by one matrix from the left and by another from the right.
            uses = module.std.iterations * output.numel() * sum(output.shape[-2:])
        if module in owners:
            counts[owners[module]] = counts.get(owners[module], 0) + uses
        if module in names:
            rows[module] = tuple((output[0] if isinstance(output, tuple) else output).shape[1:])

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.empty(1, 1, side, side, device="meta"))
    rows = tuple(
        Row(
            names[block],
            shape,
            sum(p.numel() for p in block.parameters()),
            counts[block],
        )
        for block, shape in rows.items()
    )
    return Summary(rows, sum(p.numel() for p in model.parameters()), sum(counts.values()))


class _STDPlaceholder(nn.Module):
    """It replaces STDSigmoid in a model that has only shapes: STDSigmoid needs sigma's value."""

    def __init__(self, std):
        super().__init__()
        self.std = std

    def forward(self, u, c=None):
        return u

    def logits(self, u, c=None):
        return self(u, c)


def _blocks(model):
    """The blocks of a model, each with its name in the summary."""
    names = {}
    for name, child in model.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            names |= {element: f"{name}.{key}" for key, element in child.named_children()}
        else:
            names[child] = name
    if isinstance(model, DetectionGuidedNet):
        for stage, block in model.combination.items():
            names[block] = f"{stage} + C{int(stage[1]) - (not model.upsampled)}"
    return names


# --- trained networks ----------------------------------------------------------------------------


def load_pretrained(name="slim"):
    """A trained slim `DetectionGuidedNet`, in evaluation mode, on the CPU.

    "slim" was trained on simulated slices, "slim-real" on real ones of LIDC-IDRI; "slim-plain" and
    "slim-real-plain" have a plain sigmoid instead. They are for slices of 128x128, scaled by the
    paper's Eq. (6), and for 64x64 cut from these; on other sizes, even between these two, they
    outline little, and the model warns. `model_card(name)` has their recipe and their scores at
    both sizes. For teaching, not for clinical use. Raises ValueError for an unknown name and for
    weights that do not match the card. The model raises ValueError for an image outside [0, 1],
    such as one in Hounsfield units.
    """
    card = model_card(name)
    path = _WEIGHTS / f"{name}.safetensors"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise ValueError(f"The weights {path.name} are damaged: install the package again.")
    model = DetectionGuidedNet(**card["model"])
    # Convolutions are stored in half precision; the network computes in single precision.
    model.load_state_dict({key: value.float() for key, value in load(data).items()})
    model.register_forward_pre_hook(_check_image)
    return model.eval()


def _check_image(model, inputs):
    """Warn about sizes that the weights were not trained on, and refuse images outside [0, 1]."""
    image = inputs[0]
    if not torch.is_tensor(image) or image.is_meta or torch.compiler.is_compiling():
        return
    if image.shape[-1] != image.shape[-2] or image.shape[-1] not in _TRAINED_SIDES:
        warnings.warn(
            "these weights are for images of 64x64 and 128x128; found "
            f"{image.shape[-2]}x{image.shape[-1]}, on which the masks mean little.",
            stacklevel=2,
        )
    low, high = image.min().item(), image.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            "these weights are for images in [0, 1], scaled by nodule_lesson.data.normalise; "
            f"found values from {low:.4g} to {high:.4g}."
        )


def model_card(name="slim"):
    """Data, recipe, seed, scores and checksum of a pretrained network: a dictionary."""
    _check_name(name, PRETRAINED)
    return json.loads((_WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))


def _check_name(name, names):
    if name not in tuple(names):
        raise ValueError(f"name must be one of {', '.join(names)}; found {name!r}.")
