"""Numbers in the text on the detection prior. Each function returns texts by name."""

import numpy as np

from nodule_lesson import std
from nodule_lesson.chapters.detection_prior.live import CROP_NAMES, areas


def veto(lambda2):
    """The highest threshold on the sigmoid that the prior can set, with epsilon = 1 and c = 0.

    Holds the answer to "can the classifier veto?".
    """
    return {"veto": f"{1 / (1 + np.exp(-lambda2)):.2f}"}


def lost_areas(table):
    """Shares of the area that doubt takes, the false pixels that it leaves, and Dice.

    Holds the three points below the table of the crops, and the section on a wrong classifier.
    table: for each name of a crop and each c the pixels around the nodule, the pixels elsewhere,
    and Dice.
    """
    strong, empty, faint = CROP_NAMES
    return {
        "lost-strong-half": f"{_lost(table, strong, 0.5):.0%}",
        "lost-strong-none": f"{_lost(table, strong, 0.0):.0%}",
        "lost-vessel-half": f"{_lost(table, strong, 0.5, elsewhere=True):.0%}",
        "lost-faint-half": f"{_lost(table, faint, 0.5):.0%}",
        "lost-twin-half": f"{_lost(table, faint, 0.5, elsewhere=True):.0%}",
        "lost-faint-none": f"{_lost(table, faint, 0.0):.0%}",
        "left-empty-none": f"{table[empty, 0.0][1]:d}",
        "left-empty-half": f"{table[empty, 0.5][1]:d}",
        "left-empty-one": f"{table[empty, 1.0][1]:d}",
        "dice-strong-one": f"{table[strong, 1.0][2]:.3f}",
        "dice-strong-none": f"{table[strong, 0.0][2]:.3f}",
        "dice-faint-one": f"{table[faint, 1.0][2]:.3f}",
        "dice-faint-none": f"{table[faint, 0.0][2]:.3f}",
    }


def _lost(table, name, c, elsewhere=False):
    """The share of the area at c = 1 that is gone at this c."""
    return 1 - table[name, c][elsewhere] / table[name, 1.0][elsewhere]


def rims(table, crops, settings):
    """What the soft rims of the faint nodule and of the vessel's section lose without neighbours.

    Holds the sentences that most of the difference is the rims, and that the boundary term adds
    nothing for the nodule and the rest for the small section.
    table: as in `lost_areas`. crops: logits, truth and part around the nodule by name. settings:
    the parameters of the layer by name.
    """
    faint = CROP_NAMES[-1]
    u, truth, part = crops[faint]
    alone = {
        (faint, c): areas(
            std.soft_threshold_dynamics(u, c=c, **{**settings, "lambda1": 0.0}), truth, part
        )
        for c in (1.0, 0.5)
    }
    nodule, section = (_lost(alone, faint, 0.5, elsewhere) for elsewhere in (False, True))
    added = _lost(table, faint, 0.5, elsewhere=True) - section
    assert section - nodule > added > 0
    assert abs(_lost(table, faint, 0.5) - nodule) < 0.005
    return {
        "rim-faint-half": f"{nodule:.0%}",
        "rim-twin-half": f"{section:.0%}",
        "rim-added": f"{100 * added:.0f}",
    }


def table_3(without, with_prior):
    """The paper's sensitivity and precision without the prior and with it.

    Holds the sentence below the rows of the paper's Table 3.
    """
    return {
        "paper-sensitivity-off": f"{without['sensitivity']:.3f}",
        "paper-sensitivity-on": f"{with_prior['sensitivity']:.3f}",
        "paper-precision-off": f"{without['precision']:.3f}",
        "paper-precision-on": f"{with_prior['precision']:.3f}",
    }


def jumps(values, down, up):
    """The size of the disc before it vanishes, and the c at which it goes and at which it returns.

    Holds the sentences below the figure of the two answers, for lambda1 = 3.
    values: rising values of c. down, up: areas in pixels while c falls and while it rises.
    """
    down, up = np.array(down), np.array(up)
    return {
        "jump-size": f"{down[down > 0].min():d}",
        "jump-down": f"{values[down > 0].min():.2f}",
        "jump-up": f"{values[up > 0].min():.2f}",
    }
