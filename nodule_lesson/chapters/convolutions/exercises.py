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


def _taps(height, width, rate, low=0, high=0):
    """Of each output, the taps of a row and of a column that lie on the map.

    low, high: by how much the first and the last index on the map are mistaken.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)
    return [1 + (i - rate >= low) + (i + rate < size + high)
            for i, size in ((rows, height), (columns, width))]  # fmt: skip


def _live(height, width, rate, **mistaken):
    down, across = _taps(height, width, rate, **mistaken)
    return down * across


def _pixels_under_the_kernel(height, width, rate):
    rows, columns = np.arange(height)[:, None], np.arange(width)
    down, across = (
        np.minimum(i + rate, size - 1) - np.maximum(i - rate, 0) + 1
        for i, size in ((rows, height), (columns, width))
    )
    return down * across


# count(height, width, rate) -> taps on the map for each output, (height, width), of a 3x3
# convolution of that dilation rate, padded so that the size is kept. The map is not square, so
# that transposed axes show, and the middle row's outputs see all nine taps.
live_taps = Exercise(
    ask=(9, 11, 4),
    right=_live,
    mistakes={
        "off by one: a tap at index height or width is already padding.":
            lambda h, w, r: _live(h, w, r, high=1),
        "off by one: index 0 is a pixel of the map.": lambda h, w, r: _live(h, w, r, low=1),
        "the middle tap is missing; it always sees the map.": lambda h, w, r: _live(h, w, r) - 1,
        "these are the taps of one row and one column of the kernel; the corners are missing.":
            lambda h, w, r: sum(_taps(h, w, r)) - 1,
        "the middle tap counts twice, and the corners are missing: rows and columns multiply.":
            lambda h, w, r: sum(_taps(h, w, r)),
        "this counts each pixel under the kernel; between its taps it has holes.":
            _pixels_under_the_kernel,
        "these are the taps in the padding; the others are wanted.":
            lambda h, w, r: 9 - _live(h, w, r),
        "a dilation of rate puts the taps rate apart, not rate + 1.":
            lambda h, w, r: _live(h, w, r + 1),
        "this is a rate of 1: the dilation is missing.": lambda h, w, r: _live(h, w, 1),
        "the axes are transposed.": lambda h, w, r: _live(h, w, r).T,
        "that is a share; the number of taps is wanted.": lambda h, w, r: _live(h, w, r) / 9,
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
