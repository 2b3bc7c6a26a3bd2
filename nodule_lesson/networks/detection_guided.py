"""The network of the paper: a classifier and a residual U-Net for the same crop.

    image (N, 1, H, W) --> C1 .. C5 -> FC ---------------> c, the probability of a nodule
                      \\--> S1 .. S9 -> 1x1 -> u -> STD(u, c) -> the mask

The classifier's features C1 .. C4 enter the U-Net at S2 .. S5 through combination blocks. Its
output c enters the last layer through the detection prior, Eq. (4) of arXiv 2410.20154.
"""

from numbers import Integral
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.networks.blocks import (
    ASPP,
    CombinationBlock,
    Concatenation,
    Head,
    LinearCombination,
    ResidualUnit,
    UpsampledCombination,
    resnet_stages,
    scaled,
)
from nodule_lesson.std import STDSigmoid

STAGES = ("S2", "S3", "S4", "S5")  # those that may have a combination block
COMBINATIONS = ("concatenation", "linear", "upsampled", "shared")
REGULARISATIONS = ("std+prior", "std", "none")
# Arguments that make the network small enough for a laptop: 0.7 million parameters.
SLIM = {"width": 8, "classifier_blocks": (1, 1, 1, 1), "separable_aspp": True}


class Output(NamedTuple):
    """What every network of the lesson returns.

    mask: (N, 1, H, W) in [0, 1]; a pixel is on from 0.5. logits: the argument of the last STD
    step, sigmoid(logits) is the mask; the loss uses it since it does not saturate. u: the map
    before STD. nodule: (N,) in [0, 1], and nodule_logits: (N,); both are None for a network
    without a classifier.
    """

    mask: torch.Tensor
    logits: torch.Tensor
    u: torch.Tensor
    nodule: torch.Tensor | None = None
    nodule_logits: torch.Tensor | None = None


def check_image(image):
    """Raise TypeError or ValueError unless it is (N, 1, H, W), H and W multiples of 16."""
    if not torch.is_tensor(image) or not image.is_floating_point():
        found = image.dtype if torch.is_tensor(image) else type(image).__name__
        raise TypeError(f"image must be a floating-point tensor, found {found}.")
    if image.ndim != 4 or image.shape[1] != 1 or image.shape[0] == 0:
        raise ValueError(f"image must have the shape (N, 1, H, W), found {tuple(image.shape)}.")
    if any(side == 0 or side % 16 for side in image.shape[-2:]):
        height, width = image.shape[-2:]
        raise ValueError(f"the sides of an image must be multiples of 16, found {height}x{width}.")


def check_type(image, weight):
    """Raise TypeError for an image of another type than the weights, unless autocast converts."""
    if image.dtype != weight.dtype and not torch.is_autocast_enabled(image.device.type):
        raise TypeError(
            f"image must have the type of the weights, {weight.dtype}, found {image.dtype}."
        )


class DecoderStage(nn.Module):
    """Double the size, concatenate the encoder's skip, then a residual unit; S9 adds an ASPP."""

    def __init__(self, inputs, skip, outputs, upsampling="nearest", separable=True, aspp=None):
        super().__init__()
        self.upsampling = upsampling
        self.unit = ResidualUnit(inputs + skip, outputs, separable=separable)
        self.aspp = aspp or nn.Identity()

    def forward(self, x, skip):
        smooth = {} if self.upsampling == "nearest" else {"align_corners": False}
        x = F.interpolate(x, scale_factor=2, mode=self.upsampling, **smooth)
        return self.aspp(self.unit(torch.cat([x, skip], 1)))


class DetectionGuidedNet(nn.Module):
    """Classifier, residual U-Net, combination blocks, and STD with the detection prior.

    `forward(image)` on (N, 1, H, W), H and W multiples of 16, returns an `Output`. Submodules have
    the paper's names: S1 .. S9 (S5 and S9 with their ASPP), C1 .. C5 and FC.

    width: channels of S1, 64 in the paper; all others scale with it, but none is less than 16.
    combine: True for the paper's block at S2 (with C1), S3 (C2), S4 (C3) and S5 (C4); False for
    none; some of these stages' names, such as ("S4", "S5"); or an alternative that the paper
    argues against: "concatenation", "linear" (at S3 to S5, where the channels agree), "upsampled"
    (each stage with the next smaller feature, C2 to C5, enlarged), "shared" (one encoder, S1 to
    S5; FC on S5).
    regularisation: "std+prior", "std" (lambda2 = 0) or "none", a plain sigmoid.

    What the paper leaves open, each with our reading as its default:
    classifier_blocks: units in C2 .. C5; (3, 4, 6, 3) is ResNet-50.
    rates: the dilations of both ASPP. separable_aspp: their convolutions are depthwise separable.
    separable_units: the first convolution of each residual unit is.
    activation: normalisation and ReLU inside the combination block.
    upsampling: "nearest" or "bilinear", in the decoder.
    std: a dictionary of arguments of `STDSigmoid`, such as {"sigma": 2.0, "iterations": 5}.

    Raises ValueError for unknown names, invalid counts, std without STD, and an image of another
    shape; TypeError for an image of another type than the weights.
    """

    def __init__(
        self,
        width=64,
        combine=True,
        regularisation="std+prior",
        *,
        classifier_blocks=(3, 4, 6, 3),
        rates=(1, 5, 10, 15),
        separable_aspp=False,
        separable_units=True,
        activation=False,
        upsampling="nearest",
        std=None,
    ):
        super().__init__()
        check_width(width)
        _check_choice("regularisation", regularisation, REGULARISATIONS)
        _check_choice("upsampling", upsampling, ("nearest", "bilinear"))
        if std and regularisation == "none":
            raise ValueError(f"std needs a regularisation to set, found 'none' and {std}.")
        stages = _combined_stages(combine)
        self.shared = combine == "shared"
        self.upsampled = combine == "upsampled"

        s1, s2, s3, s4, s5 = (scaled(64 * 2**k, width) for k in range(5))
        c1, c2, c3, c4, c5 = (scaled(n, width) for n in (64, 256, 512, 1024, 2048))

        # The classifier.
        if not self.shared:
            self.C1, self.C2, self.C3, self.C4, self.C5 = resnet_stages(width, classifier_blocks)
        self.FC = Head(s5 if self.shared else c5)

        # Combinations of S_k with C_(k-1), or with the smaller C_k.
        partners = (c2, c3, c4, c5) if self.upsampled else (c1, c2, c3, c4)
        self.combination = nn.ModuleDict()
        for name, s, c in zip(STAGES, (s2, s3, s4, s5), partners, strict=True):
            if name in stages:
                self.combination[name] = _combination(combine, s, c, activation)
        t2, t3, t4, t5 = (
            self.combination[name].out_channels if name in self.combination else s
            for name, s in zip(STAGES, (s2, s3, s4, s5), strict=True)
        )

        # The encoder of the U-Net halves the size at each stage, the decoder doubles it.
        def unit(inputs, outputs):
            return ResidualUnit(inputs, outputs, stride=2, separable=separable_units)

        def aspp(channels):
            return ASPP(channels, channels, rates, separable_aspp)

        def decoder(*channels, aspp=None):
            return DecoderStage(*channels, upsampling, separable_units, aspp)

        self.S1 = ResidualUnit(1, s1, first=True)
        self.S2 = unit(s1, s2)
        self.S3 = unit(t2, s3)
        self.S4 = unit(t3, s4)
        self.S5 = nn.Sequential(unit(t4, s5), aspp(s5))
        self.S6 = decoder(t5, t4, s4)
        self.S7 = decoder(s4, t3, s3)
        self.S8 = decoder(s3, t2, s2)
        self.S9 = decoder(s2, s1, s1, aspp=aspp(s1))
        self.last = nn.Conv2d(s1, 1, 1)
        self.std = None
        if regularisation != "none":
            prior = {} if regularisation == "std+prior" else {"lambda2": 0, "learn_lambda2": False}
            self.std = STDSigmoid(**{**(std or {}), **prior})

    def forward(self, image):
        check_image(image)
        check_type(image, self.last.weight)
        s1, s2, s3, s4, s5, nodule_logits = self.encode(image)
        x = self.S6(s5, s4)
        x = self.S7(x, s3)
        x = self.S8(x, s2)
        x = self.S9(x, s1)
        u = self.last(x)
        u = u if u.dtype == torch.float64 else u.float()
        nodule_logits = nodule_logits.to(u.dtype)
        nodule = torch.sigmoid(nodule_logits)
        # STDSigmoid detaches c: no gradient flows through the prior, as in the paper.
        logits = u if self.std is None else self.std.logits(u, nodule)
        return Output(torch.sigmoid(logits), logits, u, nodule, nodule_logits)

    def encode(self, image):
        """Features s1 .. s5 after combination, and the classifier's logits (N,)."""
        if self.shared:
            c = [None] * 5
        else:
            c = [self.C1(image)]
            for stage in (self.C2, self.C3, self.C4, self.C5):
                c.append(stage(c[-1]))
        s1 = self.S1(image)
        s2 = self.combined("S2", self.S2(s1), c)
        s3 = self.combined("S3", self.S3(s2), c)
        s4 = self.combined("S4", self.S4(s3), c)
        s5 = self.combined("S5", self.S5(s4), c)
        return s1, s2, s3, s4, s5, self.FC(s5 if self.shared else c[-1])

    def combined(self, name, s, c):
        """s, combined with the classifier's feature if the stage has a combination block."""
        if name not in self.combination:
            return s
        return self.combination[name](s, c[STAGES.index(name) + self.upsampled])


# --- checks --------------------------------------------------------------------------------------


def _combination(combine, s, c, activation):
    if combine == "concatenation":
        return Concatenation(s, c)
    if combine == "linear":
        return LinearCombination(s, c)
    kind = UpsampledCombination if combine == "upsampled" else CombinationBlock
    return kind(s, c, activation)


def _combined_stages(combine):
    """The stages that `combine` names."""
    if combine is True or combine in ("concatenation", "upsampled"):
        return STAGES
    if combine is False or combine == "shared":
        return ()
    if combine == "linear":
        return STAGES[1:]
    names = tuple(combine) if isinstance(combine, (tuple, list, set)) else ()
    if not names or any(names.count(n) > 1 or n not in STAGES for n in names):
        raise ValueError(
            f"combine must be True, False, some of {', '.join(STAGES)}, or one of "
            f"{', '.join(COMBINATIONS)}; found {combine!r}."
        )
    return names


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}.")


def check_width(width):
    """Raise ValueError for a width that is not a positive integer."""
    if not isinstance(width, Integral) or isinstance(width, bool) or width < 1:
        raise ValueError(f"width must be an integer of at least 1, found {width!r}.")
