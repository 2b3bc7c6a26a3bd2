"""Checkers of the chapter *The multitask model*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict
from nodule_lesson.networks.blocks import ResidualUnit

_LAMBDA1, _LAMBDA2 = 0.7, 1.6
_UNITS = ((64, 128, 2), (128, 128, 1), (192, 64, 1))
_BLOCKS = tuple(f"S{k}" for k in range(1, 10)) + tuple(f"C{k}" for k in range(1, 6))
_IMAGES = ((64, 128), (8, 64), (24, 96))  # width of the network, side of the image


# --- the paper's Eq. (7) -------------------------------------------------------------------------


def _case(spread):
    """Logits (3, 6, 5), masks, the classifier's logits (3,), has_nodule: one mask is empty."""
    generator = np.random.default_rng(20154)
    masks = (generator.random((3, 6, 5)) < 0.4).astype(float)
    masks[2] = 0
    logits = spread * generator.normal(size=masks.shape)
    return logits, masks, spread * np.array([0.8, -0.3, 0.5]), np.array([1.0, 1.0, 0.0])


def _cross_entropy(z, y):
    return np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))


def _sigmoid(z):
    return 0.5 * (1 + np.tanh(z / 2))  # without overflow


def _dice(p, y, smooth=1.0, power=1, axes=(1, 2)):
    overlap, total = (p * y).sum(axes), (p**power).sum(axes) + (y**power).sum(axes)
    return 1 - np.mean((2 * overlap + smooth) / (total + smooth))


def eq7(loss):
    """loss(logits, masks, nodule_logits, has_nodule, lambda1, lambda2) -> the paper's Eq. (7).

    Called with arrays of the shapes (N, H, W), (N, H, W), (N,) and (N,): once with moderate
    logits, once with logits of some hundreds. Dice as in `nodule_lesson.training.dice_loss`.
    """
    cases = [_case(spread) for spread in (1.5, 400.0)]
    with np.errstate(all="ignore"):
        given = [loss(*(part.copy() for part in c), _LAMBDA1, _LAMBDA2) for c in cases]
    if any(value is None for value in given):
        return verdict(None, 0)

    def both(term):
        return np.array([term(*case) for case in cases])

    dice = both(lambda z, y, v, w: _dice(_sigmoid(z), y))
    pixels = both(lambda z, y, v, w: _cross_entropy(z, y).mean())
    samples = both(lambda z, y, v, w: _cross_entropy(v, w).mean())
    right = dice + _LAMBDA1 * pixels + _LAMBDA2 * samples
    rest = _LAMBDA1 * pixels + _LAMBDA2 * samples
    wrong = [
        ("lambda1 belongs to the pixels and lambda2 to the classifier; here they are swapped.",
         dice + _LAMBDA2 * pixels + _LAMBDA1 * samples),
        ("lambda1 and lambda2 are missing. They are 1 in the paper; here they are arguments.",
         dice + pixels + samples),
        ("the cross entropy of the pixels is a mean; this is a sum.",
         dice + _LAMBDA1 * pixels * cases[0][1].size + _LAMBDA2 * samples),
        ("the cross entropy of the classifier is a mean over samples; this is a sum.",
         dice + _LAMBDA1 * pixels + _LAMBDA2 * samples * 3),
        ("this adds the Dice score; the loss is one minus it.", 1 - dice + rest),
        ("this Dice pools the pixels of the batch; it is one per sample, then the mean.",
         both(lambda z, y, v, w: _dice(_sigmoid(z), y, axes=None)) + rest),
        ("the smooth 1 in the Dice fraction is missing, so an empty mask costs all of it.",
         both(lambda z, y, v, w: _dice(_sigmoid(z), y, smooth=1e-300)) + rest),
        ("this Dice has squares in its denominator; ours has none.",
         both(lambda z, y, v, w: _dice(_sigmoid(z), y, power=2)) + rest),
        ("this Dice is of the mask cut at 0.5: it has no gradient. Take the probabilities.",
         both(lambda z, y, v, w: _dice((z > 0).astype(float), y)) + rest),
        ("this Dice is of logits; it wants probabilities.",
         both(lambda z, y, v, w: _dice(z, y)) + rest),
        ("the Dice term is missing.", rest),
        ("the term of the classifier is missing.", dice + _LAMBDA1 * pixels),
        ("the term of the pixels is missing.", dice + _LAMBDA2 * samples),
        ("the cross entropies have the wrong sign.", dice - rest),
        ("the cross entropies have y and 1 - y exchanged.",
         dice + _LAMBDA1 * both(lambda z, y, v, w: _cross_entropy(z, 1 - y).mean())
         + _LAMBDA2 * both(lambda z, y, v, w: _cross_entropy(v, 1 - w).mean())),
    ]  # fmt: skip
    try:
        answer = np.nan_to_num(np.array(given, dtype=float), nan=1e9, posinf=1e9, neginf=1e9)
    except (TypeError, ValueError):
        return verdict(given[0], right[0])  # not a number: it says so
    if answer.shape == right.shape:
        saturated = (
            "right for moderate logits, wrong for large ones: there a probability has become 0 or "
            "1 (or was clipped). Write the cross entropy with the logits, z and |z|.",
            np.array([right[0], answer[1]]),
        )
        wrong.append(saturated)
    return verdict(answer, right, wrong)


# --- sizes ---------------------------------------------------------------------------------------


def shapes(function):
    """function(name, width, side) -> (channels, side) of a block's output.

    Called for "S1" to "S9" and "C1" to "C5", several widths of the network and sides of the image.
    """
    given = [[function(name, *image) for name in _BLOCKS] for image in _IMAGES]
    if any(value is None for row in given for value in row):
        return verdict(None, 0)

    def all_of(encoder, classifier, floor=16, mirror=10, slim=True):
        """encoder(k) and classifier(k): channels at width 64, and how often halved."""

        def of(name, width, side):
            letter, number = name[0], int(name[1])
            rule = encoder if letter == "S" else classifier
            number = mirror - number if mirror and letter == "S" and number > 5 else number
            channels, halved = rule(number)
            width = width if slim else 64
            return max(floor, round(channels * width / 64)), side // 2**halved

        return [[of(name, *image) for name in _BLOCKS] for image in _IMAGES]

    def encoder(k):
        return 64 * 2 ** (k - 1), k - 1

    def classifier(k):
        return (64, 1) if k == 1 else (256 * 2 ** (k - 2), k)

    right = all_of(encoder, classifier)
    wrong = [
        ("channels come first, then the side.", np.array(right)[..., ::-1]),
        ("the width is missing: a network of width 8 has an eighth of the channels, down to 16.",
         all_of(encoder, classifier, slim=False)),
        ("S6 to S9 do not go on downwards: each doubles the side and halves the channels.",
         all_of(encoder, classifier, mirror=None)),
        ("no layer has fewer than 16 channels, however slim the network is.",
         all_of(encoder, classifier, floor=1)),
        ("S1 keeps the size of the image; the first to halve it is S2.",
         all_of(lambda k: (64 * 2 ** (k - 1), k), classifier)),
        ("S6 doubles the size of S5, and has the channels of S4: the decoder begins one up.",
         all_of(encoder, classifier, mirror=11)),
        ("C1 ends before the maximum pooling: half the size of the image, not a quarter.",
         all_of(encoder, lambda k: (classifier(k)[0], max(k, 2)))),
        ("C2 to C5 end in four times the channels of their 3x3 convolutions: 256, not 64.",
         all_of(encoder, lambda k: (64 * 2 ** max(k - 2, 0), k))),
        ("C1 has 64 channels: there is no bottleneck yet that would quadruple them.",
         all_of(encoder, lambda k: (256 * 2 ** max(k - 2, 0), k))),
        ("C2 and C1 differ in size: the maximum pooling stands between them.",
         all_of(encoder, lambda k: (classifier(k)[0], max(k - 1, 1)))),
    ]  # fmt: skip
    return verdict(given, right, wrong)


# --- the residual unit ---------------------------------------------------------------------------


def unit_parameters(count):
    """count(inputs, outputs, stride) -> the number of parameters of a `ResidualUnit`."""
    given = [count(*unit) for unit in _UNITS]
    answer = None if any(value is None for value in given) else given

    def of(formula):
        return [formula(i, o, i != o or s != 1) for i, o, s in _UNITS]

    right = [sum(p.numel() for p in ResidualUnit(*unit).parameters()) for unit in _UNITS]
    wrong = [
        ("both normalisations are missing: two numbers per channel, a scale and a shift.",
         of(lambda i, o, new: 9 * i + i * o + 9 * o * o + new * i * o)),
        ("a normalisation has a scale and a shift: two numbers per channel, not one.",
         of(lambda i, o, new: 10 * i + i * o + o + 9 * o * o + new * i * o)),
        ("the first normalisation acts on the inputs, before the convolution.",
         of(lambda i, o, new: 9 * i + i * o + 4 * o + 9 * o * o + new * i * o)),
        ("the shortcut is missing: a 1x1 convolution where the shape changes.",
         of(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o)),
        ("where the shape stays the shortcut is the identity, and costs nothing.",
         of(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o + i * o)),
        ("here the shortcut has a normalisation; ours is a bare 1x1 convolution.",
         of(lambda i, o, new: 11 * i + i * o + 2 * o + 9 * o * o + new * (i * o + 2 * o))),
        ("the first convolution is depthwise separable: 9 weights per channel, then a 1x1.",
         of(lambda i, o, new: 2 * i + 9 * i * o + 2 * o + 9 * o * o + new * i * o)),
        ("only the first convolution is separable; the second is dense.",
         of(lambda i, o, new: 11 * i + i * o + 11 * o + o * o + new * i * o)),
        ("the convolutions have no biases here.",
         of(lambda i, o, new: 12 * i + i * o + 4 * o + 9 * o * o + new * (i * o + o))),
        ("a separable convolution has a 1x1 behind its 3x3, from inputs to outputs.",
         of(lambda i, o, new: 11 * i + 2 * o + 9 * o * o + new * i * o)),
    ]  # fmt: skip
    return verdict(answer, right, wrong)
