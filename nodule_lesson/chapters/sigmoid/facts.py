"""Numbers in the text of the chapter on the sigmoid. Each function returns texts by name."""

import math

import numpy as np
import torch


def wrong_pixels(field):
    """The share of pixels away from the disc's edge whose logit has the wrong sign.

    Holds the sentences on noise after the shuffled disc: the share for a normal distribution of
    the same mean and standard deviation, and the share counted.
    field: (128, 128), float64 logits; the disc has the radius 30 and stands in the middle.
    """
    row, column = np.indices(field.shape) + 0.5
    distance = torch.as_tensor(np.hypot(row - 64, column - 64))
    side = torch.where(distance < 30, 1.0, -1.0).double()
    clear = (distance - 30).abs() > 5  # away from the edge, where the logits change
    votes = (side * field)[clear]
    measured = float((votes < 0).double().mean())
    expected = 0.5 * math.erfc(float(votes.mean() / votes.std()) / math.sqrt(2))
    return {"wrong-measured": f"{measured:.1%}", "wrong-theory": f"{expected:.1%}"}


def saturation():
    """The logit beyond which 1 + exp(-u) is rounded to 1 in 32 bits: 24 ln 2.

    Holds the sentence on the pixel that will never be corrected.
    """
    return {"saturation": f"{24 * math.log(2):.1f}"}
