"""Checkers of the chapter *Convolutions that see wide and cost little*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict

_COST = 5, 6, 11, 14, 10, 2  # kernel, inputs, outputs, height, width, stride
_MAP = 9, 11, 4  # height, width, rate: the middle row's outputs see all nine taps, too
# (kernel, stride, dilation) of each layer; the first stack is 3x3 convolutions and nothing else.
_STACKS = (
    ((3, 1, 1), (3, 1, 1), (3, 1, 1)),
    ((3, 1, 1), (3, 1, 2), (3, 1, 5)),
    ((7, 2, 1), (3, 2, 1), (3, 1, 1)),
    ((3, 2, 1), (5, 1, 3), (1, 2, 1), (3, 1, 4), (3, 1, 1)),
)


def separable_costs(costs):
    """costs(kernel, inputs, outputs, height, width, stride) -> four numbers.

    Weights of the dense convolution and of the depthwise separable one, then multiply-adds of
    both. height and width are those of the input, multiples of the stride; the size is kept but
    for the stride; no bias.
    """
    k, i, o, h, w, s = _COST
    answer = costs(*_COST)
    places = (h // s) * (w // s)
    dense, separable = k * k * i * o, k * k * i + i * o
    right = [dense, separable, dense * places, separable * places]
    wrong = [
        (
            "the multiply-adds forget the stride: each weight is used once for each place of the "
            "output.",
            [dense, separable, dense * h * w, separable * h * w],
        ),
        (
            "the stride counts in both directions: the output has height/stride times "
            "width/stride places.",
            [dense, separable, dense * h * w // s, separable * h * w // s],
        ),
        (
            "the depthwise convolution has the stride as well: it is computed at the places of "
            "the output alone.",
            [dense, separable, dense * places, k * k * i * h * w + i * o * places],
        ),
        (
            "a kernel has kernel x kernel taps.",
            [k * i * o, k * i + i * o, k * i * o * places, (k * i + i * o) * places],
        ),
        (
            "the depthwise convolution has one kernel for each channel of the input, not of the "
            "output.",
            [dense, k * k * o + i * o, dense * places, (k * k * o + i * o) * places],
        ),
        (
            "the depthwise convolution keeps channels apart: it has kernel x kernel x inputs "
            "weights.",
            [
                dense,
                k * k * i * i + i * o,
                dense * places,
                (k * k * i * i + i * o) * places,
            ],
        ),
        (
            "the two convolutions come one after the other: their weights are added, not "
            "multiplied.",
            [dense, dense * i, dense * places, dense * i * places],
        ),
        (
            "the 1x1 convolution is missing.",
            [dense, k * k * i, dense * places, k * k * i * places],
        ),
        (
            "these convolutions have no bias.",
            [dense + o, separable + i + o, dense * places, separable * places],
        ),
        (
            "the pairs are the wrong way round: dense first, then separable.",
            [separable, dense, separable * places, dense * places],
        ),
        (
            "the order is weights of both, then multiply-adds of both.",
            [dense, dense * places, separable, separable * places],
        ),
    ]
    return verdict(answer, right, wrong)


def live_taps(count):
    """count(height, width, rate) -> taps on the map for each output, (height, width).

    A 3x3 convolution of that dilation rate, padded so that the size is kept. The checker's map is
    not square, so that transposed axes show.
    """
    answer = count(*_MAP)
    height, width, rate = _MAP
    rows, columns = np.arange(height), np.arange(width)

    def axis(i, size, far=rate):
        return 1 + (i - far >= 0) + (i + far < size)

    down, across = axis(rows, height)[:, None], axis(columns, width)
    right = down * across
    wrong = [
        (
            "off by one: a tap at index height or width is already padding.",
            (1 + (rows - rate >= 0) + (rows + rate <= height))[:, None]
            * (1 + (columns - rate >= 0) + (columns + rate <= width)),
        ),
        (
            "off by one: index 0 is a pixel of the map.",
            (1 + (rows - rate > 0) + (rows + rate < height))[:, None]
            * (1 + (columns - rate > 0) + (columns + rate < width)),
        ),
        ("the middle tap is missing; it always sees the map.", right - 1),
        (
            "these are the taps of one row and one column of the kernel; the corners are missing.",
            down + across - 1,
        ),
        (
            "the middle tap counts twice, and the corners are missing: rows and columns multiply.",
            down + across,
        ),
        (
            "this counts each pixel under the kernel; between its taps it has holes.",
            (np.minimum(rows + rate, height - 1) - np.maximum(rows - rate, 0) + 1)[:, None]
            * (np.minimum(columns + rate, width - 1) - np.maximum(columns - rate, 0) + 1),
        ),
        ("these are the taps in the padding; the others are wanted.", 9 - right),
        (
            "a dilation of rate puts the taps rate apart, not rate + 1.",
            axis(rows, height, rate + 1)[:, None] * axis(columns, width, rate + 1),
        ),
        (
            "this is a rate of 1: the dilation is missing.",
            axis(rows, height, 1)[:, None] * axis(columns, width, 1),
        ),
        ("the axes are transposed.", right.T),
        ("that is a share; the number of taps is wanted.", right / 9),
    ]
    return verdict(answer, right, wrong)


def receptive_field(extent):
    """extent(layers) -> the side of the receptive field in pixels of the input.

    layers: (kernel, stride, dilation) of each, the one next to the input first. The checker asks
    for several stacks.
    """
    answers = [extent([tuple(layer) for layer in layers]) for layers in _STACKS]
    answer = None if any(one is None for one in answers) else answers

    def walk(start=1, before=True, strides=True, dilations=True, order=1, taps=-1, adding=False):
        found = []
        for layers in _STACKS:
            side, jump = start, 1
            for kernel, stride, dilation in layers[::order]:
                step = stride if strides else 1
                if not before:
                    jump *= step
                side += (kernel + taps) * (dilation if dilations else 1) * jump
                if before:
                    jump = jump + step - 1 if adding else jump * step
            found.append(side)
        return found

    wrong = [
        ("the 1 is missing: before any layer, the field is one pixel.", walk(start=0)),
        (
            "a layer's own stride does not spread its own taps, only those of the layers after "
            "it.",
            walk(before=False),
        ),
        (
            "the strides are missing: behind a stride, neighbours on the map lie further apart in "
            "the image.",
            walk(strides=False),
        ),
        ("the dilations are missing.", walk(dilations=False)),
        (
            "the layers are taken from the wrong end: the first is next to the input.",
            walk(order=-1),
        ),
        ("a kernel of k taps has k - 1 gaps between them.", walk(taps=0)),
        ("strides multiply; they do not add.", walk(adding=True)),
        ("that is how far it reaches to one side.", [(side - 1) / 2 for side in walk()]),
    ]
    return verdict(answer, walk(), wrong)
