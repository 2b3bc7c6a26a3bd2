"""Exercises of the chapter *The multitask model*."""

import numpy as np
from scipy.special import expit

from nodule_lesson.chapters.exercise import Exercise
from nodule_lesson.networks.blocks import ResidualUnit

# --- the paper's Eq. (7) -------------------------------------------------------------------------


def _case(spread):
    """Logits (3, 6, 5), masks, the classifier's logits (3,), has_nodule: one mask is empty.

    And the weights alpha and beta.
    """
    random = np.random.default_rng(20154)
    masks = (random.random((3, 6, 5)) < 0.4).astype(float)
    masks[2] = 0
    logits = spread * random.normal(size=masks.shape)
    return logits, masks, spread * np.array([0.8, -0.3, 0.5]), np.array([1.0, 1.0, 0.0]), 0.7, 1.6


def _dice(p, y, smooth=1.0, power=1, axes=(1, 2)):
    overlap, total = (p * y).sum(axes), (p**power).sum(axes) + (y**power).sum(axes)
    return 1 - np.mean((2 * overlap + smooth) / (total + smooth))


def _cross_entropy(z, y):
    return (np.logaddexp(0, z) - y * z).mean()


def _entropies(z, y, v, w, a, b):
    return a * _cross_entropy(z, y) + b * _cross_entropy(v, w)


def _loss(dice=lambda z, y: _dice(expit(z), y), entropies=_entropies):
    return lambda z, y, *rest: dice(z, y) + entropies(z, y, *rest)


# loss(logits, masks, nodule_logits, has_nodule, alpha, beta) -> the paper's Eq. (7), for
# arrays of the shapes (N, H, W), (N, H, W), (N,) and (N,). Dice as in
# `nodule_lesson.training.dice_loss`.
eq7 = Exercise(
    ask=_case(1.5),
    right=_loss(),
    mistakes={
        "alpha belongs to the pixels and beta to the classifier; here they are swapped.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, b, a),
        "alpha and beta are missing. They are 1 in the paper; here they are arguments.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, 1, 1),
        "the cross entropy of the pixels is a mean; this is a sum.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, a * y.size, b),
        "the cross entropy of the classifier is a mean over samples; this is a sum.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, a, b * w.size),
        "this adds the Dice score; the loss is one minus it.":
            _loss(lambda z, y: 1 - _dice(expit(z), y)),
        "this Dice pools the pixels of the batch; it is one per sample, then the mean.":
            _loss(lambda z, y: _dice(expit(z), y, axes=None)),
        "the smooth 1 in the Dice fraction is missing, so an empty mask costs all of it.":
            _loss(lambda z, y: _dice(expit(z), y, smooth=0)),
        "this Dice has squares in its denominator; ours has none.":
            _loss(lambda z, y: _dice(expit(z), y, power=2)),
        "this Dice is of the mask cut at 0.5: it has no gradient. Take the probabilities.":
            _loss(lambda z, y: _dice(z > 0, y)),
        "this Dice is of logits; it wants probabilities.": _loss(_dice),
        "the Dice term is missing.": _entropies,
        "the term of the classifier is missing.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, a, 0),
        "the term of the pixels is missing.": lambda z, y, v, w, a, b: _loss()(z, y, v, w, 0, b),
        "the cross entropies have the wrong sign.":
            lambda z, y, v, w, a, b: _loss()(z, y, v, w, -a, -b),
        "the cross entropies have y and 1 - y exchanged.":
            _loss(entropies=lambda z, y, v, w, a, b: _entropies(z, 1 - y, v, 1 - w, a, b)),
    },
    then=Exercise(
        ask=_case(400.0),
        right=_loss(),
        faults={
            "right for moderate logits, wrong for large ones: there a probability has become 0 or "
            "1 (or was clipped). Write the cross entropy with the logits, z and |z|.":
                lambda loss: True,
        },
    ),
)  # fmt: skip

# --- sizes ---------------------------------------------------------------------------------------

_BLOCKS = [f"S{k}" for k in range(1, 10)] + [f"C{k}" for k in range(1, 6)]
_IMAGES = [(64, 128), (8, 64), (24, 80)]  # width of the network, side of the image


def _encoder(k):
    """Channels at width 64 of S1 to S5, and how often the side was halved."""
    return 64 * 2 ** (k - 1), k - 1


def _classifier(k):
    """The same of C1 to C5."""
    return (64, 1) if k == 1 else (256 * 2 ** (k - 2), k)


def _shape(encoder=_encoder, classifier=_classifier, floor=16, mirror=10, slim=True, up=True):
    """mirror: the sum of the numbers of two blocks S of the same shape; None if there are none.

    up: whether a side that is odd is halved upwards.
    """

    def shape(name, width, side):
        letter, number = name[0], int(name[1])
        if mirror and letter == "S" and number > 5:
            number = mirror - number
        channels, halved = (encoder if letter == "S" else classifier)(number)
        halves = -(-side // 2**halved) if up else side // 2**halved
        return max(floor, round(channels * (width if slim else 64) / 64)), halves

    return shape


# function(name, width, side) -> (channels, side) of a block's output.
shapes = Exercise(
    ask=[(name, *image) for image in _IMAGES for name in _BLOCKS],
    right=_shape(),
    mistakes={
        "channels come first, then the side.": lambda *block: _shape()(*block)[::-1],
        "sides are multiples of 16, and C5 is halved five times: it rounds up.": _shape(up=False),
        "the width is missing: a network of width 8 has an eighth of the channels, down to 16.":
            _shape(slim=False),
        "S6 to S9 do not go on downwards: each doubles the side and halves the channels.":
            _shape(mirror=None),
        "no layer has fewer than 16 channels, however slim the network is.": _shape(floor=1),
        "S1 keeps the size of the image; the first to halve it is S2.":
            _shape(lambda k: (64 * 2 ** (k - 1), k)),
        "S6 doubles the size of S5, and has the channels of S4: the decoder begins one up.":
            _shape(mirror=11),
        "C1 ends before the maximum pooling: half the size of the image, not a quarter.":
            _shape(classifier=lambda k: (_classifier(k)[0], max(k, 2))),
        "C2 to C5 end in four times the channels of their 3x3 convolutions: 256, not 64.":
            _shape(classifier=lambda k: (64 * 2 ** max(k - 2, 0), k)),
        "C1 has 64 channels: there is no bottleneck yet that would quadruple them.":
            _shape(classifier=lambda k: (256 * 2 ** max(k - 2, 0), k)),
        "C2 and C1 differ in size: the maximum pooling stands between them.":
            _shape(classifier=lambda k: (_classifier(k)[0], max(k - 1, 1))),
    },
)  # fmt: skip

# --- the residual unit ---------------------------------------------------------------------------


def _count(formula):
    """formula(i, o, new): new is whether the shortcut is a convolution."""
    return lambda i, o, stride: formula(i, o, i != o or stride != 1)


# count(inputs, outputs, stride) -> the number of parameters of a `ResidualUnit`.
unit_parameters = Exercise(
    ask=[(64, 128, 2), (128, 128, 1), (192, 64, 1)],
    right=lambda *unit: sum(p.numel() for p in ResidualUnit(*unit).parameters()),
    mistakes={
        "both normalisations are missing: two numbers per channel, a scale and a shift.":
            _count(lambda i, o, new: 9 * i + i * o + 9 * o * o + new * i * o),
        "a normalisation has a scale and a shift: two numbers per channel, not one.":
            _count(lambda i, o, new: 10 * i + i * o + o + 9 * o * o + new * i * o),
        "the first normalisation acts on the inputs, before the convolution.":
            _count(lambda i, o, new: 9 * i + i * o + 4 * o + 9 * o * o + new * i * o),
        "the shortcut is missing: a 1x1 convolution where the shape changes.":
            _count(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o),
        "where the shape stays the shortcut is the identity, and costs nothing.":
            _count(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o + i * o),
        "here the shortcut has a normalisation; ours is a bare 1x1 convolution.":
            _count(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o + new * (i * o + 2 * o)),
        "the first convolution is depthwise separable: 9 weights per channel, then a 1x1.":
            _count(lambda i, o, new: 2 * i + 9 * i * o + 2 * o + 9 * o * o + new * i * o),
        "only the first convolution is separable; the second is dense.":
            _count(lambda i, o, new: 11 * i + i * o + 11 * o + o * o + new * i * o),
        "the convolutions have no biases here.":
            _count(lambda i, o, new: 12 * i + i * o + 4 * o + 9 * o * o + new * (i * o + o)),
        "a separable convolution has a 1x1 behind its 3x3, from inputs to outputs.":
            _count(lambda i, o, new: 11 * i + 2 * o + 9 * o * o + new * i * o),
    },
)  # fmt: skip
