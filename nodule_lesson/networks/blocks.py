"""The blocks from which the networks of the lesson are built, each a few lines.

All map (N, channels, H, W) to (N, channels, H, W). They follow the paper, arXiv 2410.20154, to the
letter; what it leaves open is an argument.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import nn
from torch.nn import functional as F


class DepthwiseConv(nn.Conv2d):
    """A convolution within each channel, without bias; on a CPU fast with dilation, too.

    (N, channels, H, W) -> (N, channels, H / stride, W / stride), rounded up, for an odd kernel.
    The result is that of `nn.Conv2d`, whose CPU kernels for dilated depthwise convolutions are
    slow, especially in the backward pass. But a convolution with dilation d treats every d-th row
    and column separately: it is an ordinary convolution of d d small images. On a CPU it is
    computed in this way.
    """

    def __init__(self, channels, kernel=3, stride=1, dilation=1):
        padding = dilation * (kernel // 2)
        super().__init__(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        )

    def forward(self, x):
        plain = self.dilation == (1, 1) or self.stride != (1, 1)
        if plain or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        n, c, height, width = x.shape
        d, middle = self.dilation[0], self.kernel_size[0] // 2
        if d >= max(height, width):  # all other taps lie outside the image
            return x * self.weight[:, 0, middle, middle, None, None]
        rows, columns = -(-height // d), -(-width // d)
        x = F.pad(x.movedim(1, -1), (0, 0, 0, columns * d - width, 0, rows * d - height))
        x = x.view(n, rows, d, columns, d, c).permute(0, 2, 4, 1, 3, 5)
        x = x.reshape(n * d * d, rows, columns, c).movedim(-1, 1)
        x = F.conv2d(x, self.weight, padding=middle, groups=c).movedim(1, -1)
        x = x.view(n, d, d, rows, columns, c).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(n, rows * d, columns * d, c)[:, :height, :width].movedim(-1, 1)


class DepthwiseSeparableConv(nn.Sequential):
    """A k x k convolution within each channel, then a 1x1 one across channels (Chollet 2017).

    (N, inputs, H, W) -> (N, outputs, H / stride, W / stride), rounded up, for an odd k. It has
    k k inputs + inputs outputs weights; a dense convolution has k k inputs outputs. It has no
    bias, since a batch normalisation behind it would remove it.
    """

    def __init__(self, inputs, outputs, kernel=3, stride=1, dilation=1):
        super().__init__(
            DepthwiseConv(inputs, kernel, stride, dilation),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )


def conv3x3(inputs, outputs, stride=1, dilation=1, separable=False):
    """A 3x3 convolution without bias that keeps the size, or divides it by the stride."""
    if separable:
        return DepthwiseSeparableConv(inputs, outputs, 3, stride, dilation)
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)


class BRC(nn.Sequential):
    """Batch normalisation, ReLU, convolution: half a residual unit."""

    def __init__(self, inputs, convolution):
        super().__init__(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), convolution)


class ResidualUnit(nn.Module):
    """x -> shortcut(x) + BRC(BRC(x)): the pre-activation unit of ResUNet (Zhang et al. 2018).

    (N, inputs, H, W) -> (N, outputs, H / stride, W / stride). The first convolution has the stride
    and is depthwise separable, as in the paper; separable=False gives the dense one of ResUNet.
    The shortcut is a 1x1 convolution if the shape changes, otherwise the identity. first=True is
    for the unit whose input is the image: there is no normalisation and no ReLU before its first
    convolution, which is dense, since the image has one channel.
    """

    def __init__(self, inputs, outputs, stride=1, separable=True, first=False):
        super().__init__()
        convolution = conv3x3(inputs, outputs, stride, separable=separable and not first)
        self.residual = nn.Sequential(
            convolution if first else BRC(inputs, convolution),
            BRC(outputs, conv3x3(outputs, outputs)),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )

    def forward(self, x):
        return self.shortcut(x) + self.residual(x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017): 3x3 convolutions at several dilations.

    (N, inputs, H, W) -> (N, outputs, H, W). Each branch is convolution, batch normalisation, ReLU;
    their concatenated outputs go through a 1x1 convolution, normalisation and ReLU. The rates 1,
    5, 10, 15 are the paper's. Our choices where it is silent: the branches have `outputs`
    channels, are dense (separable=True: depthwise separable) and none of them is a global mean.
    Raises ValueError for rates that are not one or more integers of at least 1.
    """

    def __init__(self, inputs, outputs, rates=(1, 5, 10, 15), separable=False):
        super().__init__()
        if not _all_counts(rates) or len(rates) == 0:
            raise ValueError(f"rates must be one or more integers of at least 1, found {rates!r}.")
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv3x3(inputs, outputs, dilation=rate, separable=separable),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )
            for rate in rates
        )
        self.project = nn.Sequential(
            nn.Conv2d(len(rates) * outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.project(torch.cat([branch(x) for branch in self.branches], 1))


# --- how features of the classifier enter the U-Net ----------------------------------------------
#
# Each takes a feature s of the U-Net (N, segmentation, H, W) and a feature f of the classifier (N,
# classification, H, W). Its output (N, out_channels, H, W) feeds the next stage and the skip.


class CombinationBlock(nn.Module):
    """The paper's block: 1x1 on f, concatenation with s, 1x1 to s's channels, 3x3 separable.

    The paper names three convolutions and nothing between them, so by default the block is linear.
    activation=True adds batch normalisation and ReLU behind both 1x1 convolutions.
    """

    def __init__(self, segmentation, classification, activation=False):
        super().__init__()
        self.translate = _pointwise(classification, classification, activation)
        self.fuse = _pointwise(segmentation + classification, segmentation, activation)
        self.spread = DepthwiseSeparableConv(segmentation, segmentation)
        self.out_channels = segmentation

    def forward(self, s, f):
        return self.spread(self.fuse(torch.cat([s, self.translate(f)], 1)))


def _pointwise(inputs, outputs, activation):
    convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
    if not activation:
        return convolution
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Concatenation(nn.Module):
    """The concatenation of s and f, left to the next layer: the simplest alternative."""

    def __init__(self, segmentation, classification):
        super().__init__()
        self.out_channels = segmentation + classification

    def forward(self, s, f):
        return torch.cat([s, f], 1)


class LinearCombination(nn.Module):
    """a s + b f with two learned numbers per channel, half a cross-stitch unit (Misra 2016).

    It is half a unit, since the classifier gets nothing back. The initial values are a = 0.9 and
    b = 0.1. Raises ValueError unless s and f have the same number of channels.
    """

    def __init__(self, segmentation, classification):
        super().__init__()
        if segmentation != classification:
            raise ValueError(
                "a linear combination needs equal numbers of channels, found "
                f"{segmentation} and {classification}."
            )
        self.a = nn.Parameter(torch.full((segmentation, 1, 1), 0.9))
        self.b = nn.Parameter(torch.full((segmentation, 1, 1), 0.1))
        self.out_channels = segmentation

    def forward(self, s, f):
        return self.a * s + self.b * f


class UpsampledCombination(CombinationBlock):
    """The paper's block for an f of half the size, which is enlarged by repeating its pixels."""

    def forward(self, s, f):
        return super().forward(s, F.interpolate(f, size=s.shape[-2:]))


# --- the residual network ------------------------------------------------------------------------


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, each with batch normalisation: ResNet-50's unit (He et al. 2016).

    (N, inputs, H, W) -> (N, outputs, H / stride, W / stride); the 3x3 convolution has `inner`
    channels, the stride and the dilation. In 2016 the first 1x1 convolution had the stride, and
    ignored three pixels of four; in later public code the 3x3 has it, with as many parameters.
    """

    def __init__(self, inputs, inner, outputs, stride=1, dilation=1):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            conv3x3(inner, inner, stride, dilation),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.residual(x))


def scaled(channels, width):
    """Channels in a network of this width (64 is the published one), at least 16.

    With fewer than 16, PyTorch's CPU kernels crash in some layouts, and networks learn little.
    """
    return max(16, round(channels * width / 64))


def _all_counts(values):
    """Whether this is a sequence of integers of at least 1."""
    whole = isinstance(values, Sequence) and all(isinstance(n, Integral) for n in values)
    return whole and all(n >= 1 for n in values)


def resnet_stages(width=64, blocks=(3, 4, 6, 3), dilated=False):
    """C1 .. C5 of a ResNet for one channel, a list of modules; blocks=(3, 4, 6, 3) is ResNet-50.

    For an input of 128x128 and width 64 their outputs are 64@64, 256@32, 512@16, 1024@8 and
    2048@4: C1 ends before the maximum pooling, with which C2 begins. dilated=True is for
    DeepLabv3+: C5 keeps the size of C4, and a dilation of 2 after its first unit compensates for
    the missing stride: at every second row and column the values are the same (Chen et al. 2017).
    Raises ValueError for blocks that are not four counts.
    """
    if not _all_counts(blocks) or len(blocks) != 4:
        raise ValueError(f"blocks must be four counts of at least 1, found {blocks!r}.")
    channels = scaled(64, width)
    first = nn.Sequential(
        nn.Conv2d(1, channels, 7, 2, 3, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
    stages = [first]
    for number, count in enumerate(blocks):
        inner, outputs = (scaled(base * 2**number, width) for base in (64, 256))
        units = [] if number else [nn.MaxPool2d(3, 2, 1)]
        widened = dilated and number == len(blocks) - 1
        for unit in range(count):
            stride = 2 if number and unit == 0 and not widened else 1
            dilation = 2 if widened and unit else 1
            units.append(Bottleneck(channels, inner, outputs, stride, dilation))
            channels = outputs
        stages.append(nn.Sequential(*units))
    return stages


class Head(nn.Sequential):
    """FC: the mean of each channel, then one number per sample, (N, channels, H, W) -> (N,)."""

    def __init__(self, channels):
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1), nn.Flatten(0)
        )
