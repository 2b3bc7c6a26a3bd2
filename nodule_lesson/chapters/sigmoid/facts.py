"""Numbers in the text of the chapter on the sigmoid. Each function returns texts by name."""

import math

import numpy as np
import torch

from nodule_lesson.chapters.sigmoid.live import compute


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


def live_answers():
    """What the live figure shows at the settings that its tasks ask for.

    Holds the answers below it: no lowest point at an end, and the same place for the same ratio.
    """
    low, high = (compute({"u": u, "epsilon": 1.0})["minimiser"] for u in (-6.0, 6.0))
    half, whole = (compute({"u": 2 * e, "epsilon": e}) for e in (0.5, 1.0))
    assert 0 < low < high < 1 and half["minimiser"] == whole["minimiser"]
    return {
        "live-low": f"{low:.4f}",
        "live-high": f"{high:.4f}",
        "live-cold": f"{1 - compute({'u': 0.5, 'epsilon': 0.05})['minimiser']:.1e}",
        "live-same": f"{half['minimiser']:.4f}",
        "live-half": f"{half['minimum']:.4f}".replace("-", "\N{MINUS SIGN}"),
        "live-whole": f"{whole['minimum']:.4f}".replace("-", "\N{MINUS SIGN}"),
    }


def saturation():
    """The logit beyond which 1 + exp(-u) is rounded to 1 in 32 bits: 24 ln 2.

    Holds the sentence on the pixel that will never be corrected.
    """
    return {"saturation": f"{24 * math.log(2):.1f}"}
