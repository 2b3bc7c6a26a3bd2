"""Numbers in the text on the boundary length. Each function returns texts by name.

The chapter's own measures are handed over: `disc_errors(r, sigma, places)`, relative errors of the
estimated length of a disc of the radius r with its centre at several places; and
`edge_error(degrees, sigma)`, the same for a straight edge.
"""

import numpy as np

from nodule_lesson.chapters.boundary_length import exercises as checks
from nodule_lesson.chapters.boundary_length.live import length_density, shape, true_length


def answers():
    """The numbers in the answers to the tasks of the live figure, in per cent of the true length.

    Holds what the answers say of them.
    """

    def error(name, size, sigma):
        estimate = float(length_density(shape(name, size), sigma).sum())
        return 100 * (estimate / true_length(name, size) - 1)

    sigmas = np.arange(3, 121) / 10  # those of the slider
    large = np.array([error("disc", 24, sigma) for sigma in sigmas])
    good = sigmas[abs(large) < 2]
    assert (np.diff(good) < 0.11).all()  # one interval
    small = np.array([error("disc", 6, sigma) for sigma in sigmas])
    square, tilted = ([error(name, 24, s) for s in (0.6, 3.0)] for name in
                      ("square", "tilted square"))  # fmt: skip
    assert square[0] < tilted[0] - 10 and abs(square[1] - tilted[1]) < 1
    strip = {sigma: error("half-plane", 3, sigma) for sigma in (1.0, 6.0)}
    # If the border counted, it would pay as much as the edge beside it.
    assert -11 < strip[1.0] < 0 and strip[6.0] < -50
    return {
        "turn-from": f"{good[0]:.1f}",
        "turn-to": f"{good[-1]:.0f}",
        "turn-narrow": f"{-error('disc', 24, 0.4):.0f}",
        "turn-wide": f"{-large[-1]:.1f}",
        "turn-small": f"{-small.max():.1f}",
        "turn-small-sigma": f"{sigmas[small.argmax()]:.1f}",
        "turn-square": f"{-square[0]:.0f}",
        "turn-tilted": f"{-tilted[0]:.0f}",
        "turn-square-wide": f"{-square[1]:.1f}",
        "turn-tilted-wide": f"{-tilted[1]:.1f}",
        "turn-strip": f"{-strip[1.0]:.0f}",
        "turn-strip-wide": f"{-strip[6.0]:.0f}",
    }


def window_of_sigma(disc_errors):
    """The worst mean error, in per cent, for 2 <= sigma <= r / 4.

    Holds the sentence on the window below the figure of the discs.
    """
    errors = [abs(disc_errors(r, s).mean()) for r in (8, 16, 32, 64) for s in (2, r / 4)]
    return {"length-window-worst": f"{100 * max(errors):.1f}"}


def small_discs(disc_errors):
    """The range of the mean errors of discs with a radius of 3 to 5 pixels, in per cent.

    Holds the sentence on small nodules, that their outline is too short on average.
    """
    errors = [
        100 * disc_errors(r, sigma, places=4).mean() for r in (3, 4, 5) for sigma in (1, 1.5, 2)
    ]
    assert max(errors) < 0
    return {"length-small-low": f"{-max(errors):.0f}", "length-small-high": f"{-min(errors):.0f}"}


def tiny_sigma(edge_error, sigma=0.4):
    """The share of its length that an edge along the rows reports at a tiny sigma, in per cent."""
    return {"length-tiny": f"{100 * (1 + edge_error(0, sigma)):.0f}"}


def smallest_discs(radii, rule, exact, soft, sharp, sigma=2.0):
    """The heights that discs of the radii 2, 4 and 10 need: by the rule and in the layer.

    Holds what the text says of the figure. Arguments as in `figures.smallest_discs`.
    """
    for r, by_rule, energy, some, most, jump, all_there in zip(
        radii, rule, exact, *soft, *sharp, strict=True
    ):
        assert energy < 1 and energy < by_rule  # never more than lambda1, and less than the rule
        if r >= 2 * sigma:
            assert by_rule < 1.1 * energy
            assert some < 0.7 * energy  # the soft layer keeps a part of what is not worth keeping
            assert 0.9 * by_rule / 2 < jump < 0.8 * by_rule
            assert most > 1.2 * by_rule  # the rim is lost for longer
        assert all_there - jump < 0.015  # none or all
    at = {r: i for i, r in enumerate(radii)}
    return {
        "disc-rule": f"{rule[at[4]]:.2f}",
        "disc-some": f"{soft[0][at[4]]:.2f}",
        "disc-most": f"{soft[1][at[4]]:.2f}",
        "disc-large-rule": f"{rule[at[10]]:.2f}",
        "disc-large-some": f"{soft[0][at[10]]:.2f}",
        "disc-large-most": f"{soft[1][at[10]]:.2f}",
        "disc-tiny-rule": f"{rule[at[2]]:.2f}",
        "disc-tiny": f"{exact[at[2]]:.2f}",
    }


def thin_walls():
    """What walls as thick as sigma and twice sigma report per pixel, in the solution."""
    return {f"wall-{name}": f"{checks.wall.right(w, 1.0):.2f}" for name, w in
            (("one", 1.0), ("two", 2.0))}  # fmt: skip
