"""The four networks that the paper compares with: UNet, ResUNet, ResUNet++ and DeepLabv3+.

Each follows its own paper, for images of one channel, and uses the blocks of `networks.blocks`
where they are the same. width=64 is the published size; all channels scale with it, and no
convolution has fewer than 16. All take (N, 1, H, W), H and W multiples of 16, and return an
`Output` whose `nodule` is None: the mask is a plain sigmoid of u. Parameters at width 64, and the
published numbers:

    UNet        31.04 million    31.03 as drawn in 2015
    ResUNet      8.22 million    7.8 in its paper, 8.2 elsewhere
    ResUNet++    4.06 million    4.06 in its authors' code
    DeepLabv3+  40.34 million    40.3, or 39.8 with one layer less, in public code with a ResNet-50

Each class explains the difference.
"""

import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.networks.blocks import BRC, ResidualUnit, conv3x3, resnet_stages, scaled
from nodule_lesson.networks.detection_guided import (
    DecoderStage,
    Output,
    check_image,
    check_type,
    check_width,
)


class _Segmenter(nn.Module):
    """The base class of the four: it checks the image and ends with a plain sigmoid.

    A subclass has `logits`, (N, 1, H, W) -> u (N, 1, H, W), and `last`, a convolution.
    """

    def __init__(self, width):
        super().__init__()
        check_width(width)

    def forward(self, image):
        check_image(image)
        check_type(image, self.last.weight)
        u = self.logits(image)
        u = u if u.dtype == torch.float64 else u.float()
        return Output(torch.sigmoid(u), u, u)


def _normalised(convolution):
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )


# --- UNet ----------------------------------------------------------------------------------------


class UNet(_Segmenter):
    """Ronneberger, Fischer and Brox, *U-Net* (MICCAI 2015).

    It has five scales of two 3x3 convolutions. Maximum pooling halves the size, a 2x2 transposed
    convolution doubles it, and skip connections bring the features of each scale to the decoder.

    E1 64, E2 128, E3 256, E4 512, E5 1024, D4 512, D3 256, D2 128, D1 64 channels. Differences
    from 2015: borders are padded, so that the mask is as large as the image; batch normalisation
    replaces the biases and dropout; there is one logit per pixel instead of two classes. Without
    normalisation, with biases, it would have 31,030,593 parameters; normalisation adds 5,888.
    """

    def __init__(self, width=64):
        super().__init__(width)
        c1, c2, c3, c4, c5 = (scaled(64 * 2**k, width) for k in range(5))
        self.E1 = _double(1, c1)
        self.E2 = nn.Sequential(nn.MaxPool2d(2), _double(c1, c2))
        self.E3 = nn.Sequential(nn.MaxPool2d(2), _double(c2, c3))
        self.E4 = nn.Sequential(nn.MaxPool2d(2), _double(c3, c4))
        self.E5 = nn.Sequential(nn.MaxPool2d(2), _double(c4, c5))
        self.D4 = UpStage(c5, c4)
        self.D3 = UpStage(c4, c3)
        self.D2 = UpStage(c3, c2)
        self.D1 = UpStage(c2, c1)
        self.last = nn.Conv2d(c1, 1, 1)

    def logits(self, image):
        e1 = self.E1(image)
        e2 = self.E2(e1)
        e3 = self.E3(e2)
        e4 = self.E4(e3)
        x = self.D4(self.E5(e4), e4)
        x = self.D3(x, e3)
        x = self.D2(x, e2)
        return self.last(self.D1(x, e1))


def _double(inputs, outputs):
    return nn.Sequential(
        _normalised(conv3x3(inputs, outputs)), _normalised(conv3x3(outputs, outputs))
    )


class UpStage(nn.Module):
    """Double the size by a transposed convolution, concatenate the skip, two 3x3 convolutions."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.convolutions = _double(2 * outputs, outputs)

    def forward(self, x, skip):
        return self.convolutions(torch.cat([skip, self.up(x)], 1))


# --- ResUNet -------------------------------------------------------------------------------------


class ResUNet(_Segmenter):
    """Zhang, Liu and Wang, *Road extraction by deep residual U-Net* (GRSL 2018).

    It is a U-Net of pre-activation residual units on four scales. A strided convolution halves the
    size, repeating pixels doubles it. The lung paper's U-Net has one scale more.

    E1 64, E2 128, E3 256, bridge 512, D3 256, D2 128, D1 64 channels. Its paper counts 7.8 million
    parameters, those of the 3x3 convolutions alone (7,778,880). With the 1x1 convolutions of the
    shortcuts (430,144) and the normalisation there are the 8.2 million that others count.
    """

    def __init__(self, width=64):
        super().__init__(width)
        c1, c2, c3, c4 = (scaled(64 * 2**k, width) for k in range(4))
        self.E1 = ResidualUnit(1, c1, first=True)
        self.E2 = ResidualUnit(c1, c2, stride=2, separable=False)
        self.E3 = ResidualUnit(c2, c3, stride=2, separable=False)
        self.bridge = ResidualUnit(c3, c4, stride=2, separable=False)
        self.D3 = DecoderStage(c4, c3, c3, separable=False)
        self.D2 = DecoderStage(c3, c2, c2, separable=False)
        self.D1 = DecoderStage(c2, c1, c1, separable=False)
        self.last = nn.Conv2d(c1, 1, 1)

    def logits(self, image):
        e1 = self.E1(image)
        e2 = self.E2(e1)
        e3 = self.E3(e2)
        x = self.D3(self.bridge(e3), e3)
        x = self.D2(x, e2)
        return self.last(self.D1(x, e1))


# --- ResUNet++ -----------------------------------------------------------------------------------


class ResUNetPlusPlus(_Segmenter):
    """Jha et al., *ResUNet++* (ISM 2019).

    It is a ResUNet of a quarter of the width with three additions: squeeze-and-excitation after
    each unit, an attention block before each upsampling, and ASPP as the bridge and at the end.

    E1 16, E2 32, E3 64, E4 128, bridge 256, D3 128, D2 64, D1 32, ASPP 16 channels, those of the
    authors' public code (github.com/DebeshJha/ResUNetPlusPlus), which for three input channels has
    4,062,993 parameters. Ours has no biases before a normalisation, and no normalisation of the
    shortcuts.
    """

    def __init__(self, width=64):
        super().__init__(width)
        c1, c2, c3, c4, c5 = (scaled(16 * 2**k, width) for k in range(5))
        self.E1 = SqueezedUnit(1, c1, first=True)
        self.E2 = SqueezedUnit(c1, c2, stride=2)
        self.E3 = SqueezedUnit(c2, c3, stride=2)
        self.E4 = SqueezedUnit(c3, c4, stride=2)
        self.bridge = SummedASPP(c4, c5)
        self.D3 = AttentionStage(c5, c3, c4)
        self.D2 = AttentionStage(c4, c2, c3)
        self.D1 = AttentionStage(c3, c1, c2)
        self.ASPP = SummedASPP(c2, c1)
        self.last = nn.Conv2d(c1, 1, 1)

    def logits(self, image):
        e1 = self.E1(image)
        e2 = self.E2(e1)
        e3 = self.E3(e2)
        x = self.D3(self.bridge(self.E4(e3)), e3)
        x = self.D2(x, e2)
        return self.last(self.ASPP(self.D1(x, e1)))


class SqueezeExcite(nn.Module):
    """Multiply each channel by a number in (0, 1) that depends on all means (Hu et al. 2018).

    (N, channels, H, W) -> the same. Two linear layers, with an eighth of the channels in between,
    compute the factors from the channels' means.
    """

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, channels // 8, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // 8, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)[..., None, None]


class SqueezedUnit(nn.Sequential):
    """A residual unit of dense convolutions, followed by squeeze-and-excitation."""

    def __init__(self, inputs, outputs, stride=1, first=False):
        super().__init__(
            ResidualUnit(inputs, outputs, stride, separable=False, first=first),
            SqueezeExcite(outputs),
        )


class SummedASPP(nn.Module):
    """The ASPP of ResUNet++: a sum of normalised, dilated 3x3 convolutions, then a 1x1."""

    def __init__(self, inputs, outputs, rates=(1, 6, 12, 18)):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(conv3x3(inputs, outputs, dilation=rate), nn.BatchNorm2d(outputs))
            for rate in rates
        )
        self.project = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x):
        return self.project(sum(branch(x) for branch in self.branches))


class AttentionStage(nn.Module):
    """Multiply x by attention weights, double its size, concatenate the skip, a residual unit.

    The weights are a map for each channel, computed at x's size from x and from the skip after
    2x2 maximum pooling. As published they have no sigmoid: they may be negative or large.
    """

    def __init__(self, inputs, skip, outputs):
        super().__init__()
        self.from_skip = nn.Sequential(BRC(skip, conv3x3(skip, inputs)), nn.MaxPool2d(2))
        self.from_x = BRC(inputs, conv3x3(inputs, inputs))
        self.weight = BRC(inputs, nn.Conv2d(inputs, inputs, 3, padding=1))
        self.unit = SqueezedUnit(inputs + skip, outputs)

    def forward(self, x, skip):
        x = x * self.weight(self.from_skip(skip) + self.from_x(x))
        return self.unit(torch.cat([F.interpolate(x, scale_factor=2), skip], 1))


# --- DeepLabv3+ ----------------------------------------------------------------------------------


class DeepLabV3Plus(_Segmenter):
    """Chen et al., *Encoder-decoder with atrous separable convolution* (ECCV 2018), on ResNet-50.

    A dilated ResNet reduces the size to 1/16, followed by ASPP with a mean over the image. A small
    decoder concatenates the features of 1/4 of the size (C2), its only skip connection.

    C1 64, C2 256, C3 512, C4 1024, C5 2048 (dilated), ASPP 256, low 48, decoder 256 channels. Its
    rates are 6, 12 and 18. Its own paper has a ResNet-101; the lung paper does not say which it
    used, and its classifier is a ResNet-50. Convolutions are dense; separable ones belong to the
    version with Xception. The decoder has two 3x3 convolutions, as in ECCV 2018; public code with
    one has 39.8 million parameters. There are no ImageNet weights and no dropout, one input
    channel and one logit. Raises ValueError in training for a batch of one image, whose global
    mean cannot be normalised.
    """

    def __init__(self, width=64):
        super().__init__(width)
        c2, c5, features, low = (scaled(n, width) for n in (256, 2048, 256, 48))
        self.C1, self.C2, self.C3, self.C4, self.C5 = resnet_stages(width, dilated=True)
        self.ASPP = PooledASPP(c5, features)
        self.low = _normalised(nn.Conv2d(c2, low, 1, bias=False))
        self.decoder = _double(features + low, features)
        self.last = nn.Conv2d(features, 1, 1)

    def logits(self, image):
        if self.training and len(image) == 1:
            raise ValueError("DeepLabv3+ trains on batches of at least 2 images, found 1.")
        quarter = self.C2(self.C1(image))
        x = self.ASPP(self.C5(self.C4(self.C3(quarter))))
        x = torch.cat([_enlarged(x), self.low(quarter)], 1)
        return _enlarged(self.last(self.decoder(x)))


def _enlarged(x):
    return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


class PooledASPP(nn.Module):
    """The ASPP of DeepLabv3: a 1x1 convolution, three dilated 3x3 ones and the image's mean.

    (N, inputs, H, W) -> (N, outputs, H, W). They are concatenated, then a 1x1 convolution follows.
    """

    def __init__(self, inputs, outputs, rates=(6, 12, 18)):
        super().__init__()
        self.branches = nn.ModuleList(
            [_normalised(nn.Conv2d(inputs, outputs, 1, bias=False))]
            + [_normalised(conv3x3(inputs, outputs, dilation=rate)) for rate in rates]
        )
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), _normalised(nn.Conv2d(inputs, outputs, 1, bias=False))
        )
        self.project = _normalised(nn.Conv2d((len(rates) + 2) * outputs, outputs, 1, bias=False))

    def forward(self, x):
        features = [branch(x) for branch in self.branches]
        features.append(self.pooled(x).expand_as(features[0]))
        return self.project(torch.cat(features, 1))
