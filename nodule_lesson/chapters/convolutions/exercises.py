"""Exercises of the chapter *Convolutions that see wide and cost little*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _costs(
    separable=lambda taps, i, o: taps * i + i * o,
    places=lambda h, w, s: h // s * (w // s),
    taps=lambda k: k * k,
):
    """The four numbers, given how to count the parts."""

    def costs(k, i, o, h, w, s):
        weights = [taps(k) * i * o, separable(taps(k), i, o)]
        return weights + [count * places(h, w, s) for count in weights]

    return costs


def _depthwise_at_full_size(k, i, o, h, w, s):
    places = h // s * (w // s)
    return [*_costs()(k, i, o, h, w, s)[:3], k * k * i * h * w + i * o * places]


def _biased_costs(k, i, o, h, w, s):
    dense, separable, *products = _costs()(k, i, o, h, w, s)
    return [dense + o, separable + i + o, *products]


# costs(kernel, inputs, outputs, height, width, stride) -> four numbers: weights of the dense
# convolution and of the depthwise separable one, then multiply-adds of both. height and width are
# those of the input, multiples of the stride; the size is kept but for the stride; no bias.
separable_costs = Exercise(
    ask=(5, 6, 11, 14, 10, 2),
    right=_costs(),
    mistakes={
        "the multiply-adds forget the stride: each weight is used once for each place of the "
        "output.": _costs(places=lambda h, w, s: h * w),
        "the stride counts in both directions: the output has height/stride times "
        "width/stride places.": _costs(places=lambda h, w, s: h * w // s),
        "the depthwise convolution has the stride as well: it is computed at the places of "
        "the output alone.": _depthwise_at_full_size,
        "a kernel has kernel x kernel taps.": _costs(taps=lambda k: k),
        "the depthwise convolution has one kernel for each channel of the input, not of the "
        "output.": _costs(lambda taps, i, o: taps * o + i * o),
        "the depthwise convolution keeps channels apart: it has kernel x kernel x inputs "
        "weights.": _costs(lambda taps, i, o: taps * i * i + i * o),
        "the two convolutions come one after the other: their weights are added, not "
        "multiplied.": _costs(lambda taps, i, o: taps * i * i * o),
        "the 1x1 convolution is missing.": _costs(lambda taps, i, o: taps * i),
        "these convolutions have no bias.": _biased_costs,
        "the pairs are the wrong way round: dense first, then separable.":
            lambda *sizes: np.take(_costs()(*sizes), [1, 0, 3, 2]),
        "the order is weights of both, then multiply-adds of both.":
            lambda *sizes: np.take(_costs()(*sizes), [0, 2, 1, 3]),
    },
)  # fmt: skip


def _largest(n, level=0.5**0.5, whole=np.floor):
    """The largest rate whose share along an axis, (1 + 2 (1 - d / n)) / 3, is the level."""
    return whole(n * (3 - 3 * level) / 2)


# largest_rate(n) -> the largest rate of a 3x3 convolution for which at least half of its products
# meet a map of n x n pixels, an integer.
largest_rate = Exercise(
    ask=[(n,) for n in (8, 12, 16, 21, 30, 64)],
    right=_largest,
    mistakes={
        "half of all products: the share in the brackets is that of one axis, and is squared.":
            lambda n: _largest(n, 1 / 2),
        "that is half the side; there a bit less than half of the products meet the map.":
            lambda n: n // 2,
        "that is the largest rate with living taps; half of all products are wanted.":
            lambda n: n - 1,
        "rounded up: at this rate less than half of the products meet the map.":
            (lambda n: _largest(n, whole=np.ceil), lambda n: _largest(n, whole=np.round)),
        "a rate is a whole number: round down.": lambda n: _largest(n, whole=float),
        "that is d/n: multiply by n.": lambda n: _largest(1, whole=float),
        "that is n - d, the rows that find the map.": lambda n: n - _largest(n),
        "the share falls with d: the smallest rate always passes.": lambda n: 1,
    },
)  # fmt: skip


def _extent(layers, taps=-1, strides=lambda jump, stride: jump * stride, own_stride=False):
    side, jump = 1, 1
    for kernel, stride, dilation in layers:
        after = strides(jump, stride)
        side += (kernel + taps) * dilation * (after if own_stride else jump)
        jump = after
    return side


# extent(layers) -> the side of the receptive field in pixels of the input. layers: (kernel,
# stride, dilation) of each, the one next to the input first.
receptive_field = Exercise(
    ask=[
        ([(3, 1, 1), (3, 1, 1), (3, 1, 1)],),
        ([(3, 1, 1), (3, 1, 2), (3, 1, 5)],),
        ([(7, 2, 1), (3, 2, 1), (3, 1, 1)],),
        ([(3, 2, 1), (5, 1, 3), (1, 2, 1), (3, 1, 4), (3, 1, 1)],),
    ],
    right=_extent,
    mistakes={
        "the 1 is missing: before any layer, the field is one pixel.":
            lambda layers: _extent(layers) - 1,
        "a layer's own stride does not spread its own taps, only those of the layers after "
        "it.": lambda layers: _extent(layers, own_stride=True),
        "the strides are missing: behind a stride, neighbours on the map lie further apart in "
        "the image.": lambda layers: _extent(layers, strides=lambda jump, stride: 1),
        "the dilations are missing.": lambda layers: _extent([(k, s, 1) for k, s, d in layers]),
        "the layers are taken from the wrong end: the first is next to the input.":
            lambda layers: _extent(layers[::-1]),
        "a kernel of k taps has k - 1 gaps between them.": lambda layers: _extent(layers, taps=0),
        "strides multiply; they do not add.":
            lambda layers: _extent(layers, strides=lambda jump, stride: jump + stride - 1),
        "that is how far it reaches to one side.": lambda layers: (_extent(layers) - 1) / 2,
    },
)  # fmt: skip
