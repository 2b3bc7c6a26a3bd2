"""The checkers of the chapter on convolutions: right, typically wrong, and empty answers."""

import numpy as np
import pytest
import torch
from torch import nn

from nodule_lesson.chapters.convolutions import exercises as checks
from nodule_lesson.networks.blocks import DepthwiseSeparableConv, conv3x3

# Written out one by one, as a reader would write them: the checker's own code is not used.


def costs(kernel, inputs, outputs, height, width, stride, **change):
    dense = kernel**2 * inputs * outputs
    separable = change.get("separable", kernel**2 * inputs + inputs * outputs)
    places = change.get("places", (height // stride) * (width // stride))
    return [dense, separable, dense * places, separable * places]


def depthwise_at_full_size(kernel, inputs, outputs, height, width, stride):
    places = (height // stride) * (width // stride)
    dense, _, all_dense, _ = costs(kernel, inputs, outputs, height, width, stride)
    full = kernel**2 * inputs * height * width + inputs * outputs * places
    return [dense, kernel**2 * inputs + inputs * outputs, all_dense, full]


def with_bias(k, i, o, h, w, s):
    dense, separable, *rest = costs(k, i, o, h, w, s)
    return [dense + o, separable + i + o, *rest]


WRONG_COSTS = {
    "forget the stride": lambda k, i, o, h, w, s: costs(k, i, o, h, w, s, places=h * w),
    "in both directions": lambda k, i, o, h, w, s: costs(k, i, o, h, w, s, places=h * w // s),
    "has the stride as well": depthwise_at_full_size,
    "kernel x kernel taps": lambda k, i, o, h, w, s: [
        k * i * o,
        k * i + i * o,
        k * i * o * (h // s) * (w // s),
        (k * i + i * o) * (h // s) * (w // s),
    ],
    "not of the output": lambda k, i, o, h, w, s: costs(
        k, i, o, h, w, s, separable=k * k * o + i * o
    ),
    "keeps channels apart": lambda k, i, o, h, w, s: costs(
        k, i, o, h, w, s, separable=k * k * i * i + i * o
    ),
    "added, not multiplied": lambda k, i, o, h, w, s: costs(
        k, i, o, h, w, s, separable=k * k * i * i * o
    ),
    "1x1 convolution is missing": lambda k, i, o, h, w, s: costs(
        k, i, o, h, w, s, separable=k * k * i
    ),
    "no bias": with_bias,
    "wrong way round": lambda k, i, o, h, w, s: [
        costs(k, i, o, h, w, s)[place] for place in (1, 0, 3, 2)
    ],
    "the order is": lambda k, i, o, h, w, s: [
        costs(k, i, o, h, w, s)[place] for place in (0, 2, 1, 3)
    ],
}


def taps(height, width, rate, *, low=0, high=0, far=None):
    far = rate if far is None else far
    count = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            for y in (row - far, row, row + far):
                for x in (column - far, column, column + far):
                    count[row, column] += low <= y < height + high and low <= x < width + high
    return count


def cross(height, width, rate):
    count = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            count[row, column] += sum(0 <= y < height for y in (row - rate, row, row + rate))
            count[row, column] += sum(0 <= x < width for x in (column - rate, column + rate))
    return count


def window(height, width, rate):
    inside = torch.ones(1, 1, height, width)
    ones = torch.ones(1, 1, 2 * rate + 1, 2 * rate + 1)
    return nn.functional.conv2d(inside, ones, padding=rate)[0, 0].numpy()


def first_row_off(height, width, rate):
    """y > 0 where y >= 0 is meant, for the far taps alone."""
    count = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            rows = 1 + (row - rate > 0) + (row + rate < height)
            count[row, column] = rows * (1 + (column - rate > 0) + (column + rate < width))
    return count


WRONG_TAPS = {
    "already padding": lambda h, w, d: taps(h, w, d, high=1),
    "index 0 is a pixel": first_row_off,
    "middle tap is missing": lambda h, w, d: taps(h, w, d) - 1,
    "of one row and one column": cross,
    "counts twice": lambda h, w, d: cross(h, w, d) + 1,
    "each pixel under the kernel": window,
    "taps in the padding": lambda h, w, d: 9 - taps(h, w, d),
    "not rate + 1": lambda h, w, d: taps(h, w, d, far=d + 1),
    "this is a rate of 1": lambda h, w, d: taps(h, w, d, far=1),
    "transposed": lambda h, w, d: taps(h, w, d).T,
    "that is a share": lambda h, w, d: taps(h, w, d) / 9,
}


def extent(layers):
    side, jump = 1, 1
    for kernel, stride, dilation in layers:
        side += (kernel - 1) * dilation * jump
        jump *= stride
    return side


def own_stride(layers):
    side, jump = 1, 1
    for kernel, stride, dilation in layers:
        jump *= stride
        side += (kernel - 1) * dilation * jump
    return side


def k_gaps(layers):
    side, jump = 1, 1
    for kernel, stride, dilation in layers:
        side += kernel * dilation * jump
        jump *= stride
    return side


def added_strides(layers):
    side, jump = 1, 1
    for kernel, stride, dilation in layers:
        side += (kernel - 1) * dilation * jump
        jump += stride - 1
    return side


WRONG_EXTENTS = {
    "1 is missing": lambda layers: extent(layers) - 1,
    "own stride": own_stride,
    "strides are missing": lambda layers: extent([(k, 1, d) for k, _, d in layers]),
    "dilations are missing": lambda layers: extent([(k, s, 1) for k, s, _ in layers]),
    "wrong end": lambda layers: extent(layers[::-1]),
    "k - 1 gaps": k_gaps,
    "strides multiply": added_strides,
    "to one side": lambda layers: (extent(layers) - 1) / 2,
}

WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.separable_costs, WRONG_COSTS),
        (checks.live_taps, WRONG_TAPS),
        (checks.receptive_field, WRONG_EXTENTS),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


# --- right answers, read off PyTorch's own layers ------------------------------------------------


def counted(kernel, inputs, outputs, height, width, stride):
    weights, products = [], []
    for layer in (
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        DepthwiseSeparableConv(inputs, outputs, kernel, stride),
    ):
        image = torch.zeros(1, inputs, height, width)
        weights.append(sum(p.numel() for p in layer.parameters()))
        products.append(0)
        for part in layer if isinstance(layer, nn.Sequential) else [layer]:
            image = part(image)
            products[-1] += part.weight.numel() * image.shape[-2:].numel()
    return weights + products


def convolved(height, width, rate):
    convolution = conv3x3(1, 1, dilation=rate)
    nn.init.ones_(convolution.weight)
    return convolution(torch.ones(1, 1, height, width))[0, 0].detach()


def measured(layers):
    """The extent of the gradient of one output, all weights 1."""
    stack = nn.Sequential(
        *(nn.Conv2d(1, 1, k, s, d * (k // 2), d, bias=False).double() for k, s, d in layers)
    )
    for weight in stack.parameters():
        nn.init.ones_(weight)
    image = torch.ones(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    output = stack(image)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], image)
    rows = np.flatnonzero(gradient[0, 0].sum(1))
    return rows[-1] - rows[0] + 1


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.separable_costs, counted),
        (checks.live_taps, convolved),
        (checks.receptive_field, measured),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize(
    "checker", [checks.separable_costs, checks.live_taps, checks.receptive_field]
)
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


def test_some_outputs_see_all_nine_taps(capsys):
    assert checks.live_taps(lambda h, w, d: np.minimum(taps(h, w, d), 8)) is False
