"""Every network of the lesson by name, what it is made of, and the trained ones that ship with it.

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

_SIDES = (64, 128)  # of the crops that the trained networks have seen
_WEIGHTS = Path(__file__).parent / "weights"
PRETRAINED = ("slim", "slim-plain", "slim-real", "slim-real-plain")

MODELS = {
    "proposed": DetectionGuidedNet,
    # The rows of the paper's Table 3. The backbone's classifier is there, unconnected.
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
    """A network by its name, with new random weights.

    name: one of MODELS; "proposed" and "std+prior" are the same. width: channels at full size, 64
    as published. options: further arguments of its class. `forward(image)` on (N, 1, H, W), sides
    multiples of 16, gives an `Output`, whose `nodule` is None where there is no classifier.
    Raises ValueError for an unknown name.
    """
    _check_name(name, MODELS)
    return MODELS[name](width=width, **options)


# --- what a network is made of -------------------------------------------------------------------


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
    """What each block of a model gives, holds and costs for one image of side x side: a `Summary`.

    Blocks are the model's direct submodules under their own names, and what a list or dictionary
    of them holds; "S2 + C1" is the combination of those two. A network of your own will do, with
    `STDSigmoid` in it or without. Multiply-adds are those of convolutions, linear layers and STD's
    Gaussian; what normalisation, ReLU and additions take is not counted. Nothing is computed:
    shapes alone travel through a copy of the model. Raises TypeError for what is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, found {type(model).__name__}.")
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, STDSigmoid):
                setattr(parent, name, _InPlaceOfSTD(child))
    names = _blocks(model)
    owners = {part: block for block in names for part in block.modules()}
    rows, counts = {}, {}

    def count(module, inputs, output):
        uses = 0
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            # Each weight is used once for each place of the output (transposed: of the input).
            shape = inputs[0].shape if isinstance(module, nn.ConvTranspose2d) else output.shape
            uses = module.weight.numel() * (shape[-2:].numel() if len(shape) == 4 else 1)
        if isinstance(module, _InPlaceOfSTD):
            # Each step multiplies by one matrix from the left, and by one from the right.
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


class _InPlaceOfSTD(nn.Module):
    """What stands in the layer's place where there are shapes alone: it asks for no numbers."""

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
            names |= {part: f"{name}.{key}" for key, part in child.named_children()}
        else:
            names[child] = name
    if isinstance(model, DetectionGuidedNet):
        for stage, block in model.combination.items():
            names[block] = f"{stage} + C{int(stage[1]) - (not model.upsampled)}"
    return names


# --- what ships with the package -----------------------------------------------------------------


def load_pretrained(name="slim"):
    """A slim `DetectionGuidedNet` that has been trained, in evaluation mode, on the CPU.

    "slim" and "slim-real" were trained on simulated slices, and on real ones of LIDC-IDRI; "slim-
    plain" and "slim-real-plain" are their twins with a plain sigmoid. They know slices of 128x128,
    scaled by the paper's Eq. (6), and 64x64 cut from these; on other sizes, even on those between,
    they outline little, and the model warns. `model_card(name)` says how they were made and what
    they reach at both. For teaching, not for clinical use. Raises ValueError for an unknown name,
    and for weights that are not those of the card; the model raises it for an image that does not
    lie in [0, 1], such as one in Hounsfield units.
    """
    card = model_card(name)
    path = _WEIGHTS / f"{name}.safetensors"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise ValueError(f"The weights {path.name} are damaged: install the package again.")
    model = DetectionGuidedNet(**card["model"])
    # Convolutions are stored in half precision, and computed with in single.
    model.load_state_dict({key: value.float() for key, value in load(data).items()})
    model.register_forward_pre_hook(_check_image)
    return model.eval()


def _check_image(model, inputs):
    """Trained weights know images of the paper's Eq. (6) in two sizes, and fail on others."""
    image = inputs[0]
    if not torch.is_tensor(image) or image.is_meta or torch.compiler.is_compiling():
        return
    if image.shape[-1] != image.shape[-2] or image.shape[-1] not in _SIDES:
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
