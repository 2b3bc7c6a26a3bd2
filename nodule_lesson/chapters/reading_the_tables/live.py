"""Draw your own eleven: what a small test says of a difference that a large test knows."""

import functools
from pathlib import Path

import numpy as np
from scipy import stats

from nodule_lesson.evaluation.statistics import t_interval
from nodule_lesson.live import arrays
from nodule_lesson.live.drawing import COLOURS, LINES, new_figure
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import uniform

FEWEST, MOST = 3, 200
DRAWS = 1000
TICKS = (3, 5, 11, 30, 100, 200)
STEP = 1e-4  # differences are stored in ten-thousandths of Dice
# Rows of the experiments, as readers know them: the first minus the second.
PAIRS = {
    "proposed − ResUNet++": ("proposed", "resunet++"),
    "proposed − UNet": ("proposed", "unet"),
    "STD − plain sigmoid": ("std", "backbone+combination"),
    "prior − no prior": ("proposed", "std"),
    "pre-trained − from scratch": ("transfer", "proposed"),
    "all free − S1 frozen": ("transfer", "freeze S1"),
    "all free − S9 frozen": ("transfer", "freeze S9"),
}
CAPTION = (
    "<strong>Live.</strong> Networks of two methods have outlined the same lesions, many of them, "
    "so we know which are better on these (dotted green). You test only a few: each point is one "
    "of yours, its Dice by the first method minus that by the second, means over three seeds. The "
    "bar is your mean with its 95 % interval. Press “Draw others” a few times, and watch what you "
    "would say. Lower left, the means of 1,000 such tests, red where they have the wrong sign; "
    "lower right, how many of the 1,000 would name the better method, or the worse one, for each "
    "number of lesions."
)
ALT = (
    "Above, points along an axis of Dice differences with a bar for their mean and its interval "
    "across zero. Below left, a histogram of a thousand means, part of it on the wrong side of "
    "zero. Below right, over the number of lesions, a rising curve of right verdicts and a low "
    "one of wrong verdicts."
)


# --- the lesions --------------------------------------------------------------------------------


def pack(results=None, source="of Dice, simulated scans"):
    """Write live.npz: paired Dice differences on the large simulated test.

    To be called again when the results have changed. Means over the seeds of each row; pairs with
    a row that has not been run are left out.
    """
    if results is None:
        from nodule_lesson import experiments  # no other figure's page needs it

        results = experiments.read("simulated")
    pairs = {name: rows for name, rows in PAIRS.items() if set(rows) <= set(results.rows)}
    gaps = {name: _difference(results, *rows) for name, rows in pairs.items()}
    np.savez_compressed(
        Path(__file__).with_suffix(".npz"),
        source=np.array(source),
        names=np.array(list(gaps)),
        differences=np.stack([np.round(gap / STEP).astype("<i2") for gap in gaps.values()]),
    )


def _difference(results, row, other):
    ours, theirs = (np.asarray(results.scores(name)).mean(axis=0) for name in (row, other))
    return ours - theirs


@functools.cache
def _stored():
    """Differences by the name of their pair, in multiples of STEP, and what they are of."""
    stored = arrays.stored(__file__)
    names = stored["names"].tolist()
    return dict(zip(names, stored["differences"], strict=True)), str(stored["source"])


def differences(pair):
    """Dice of the first method minus that of the second, one number per lesion, (N,).

    Raises ValueError for a pair that is not there.
    """
    if pair not in _stored()[0]:
        raise ValueError(f"pair must be one of {', '.join(_stored()[0])}; found {pair!r}.")
    return _stored()[0][pair] * STEP


def lesions_of(draw, total, count=MOST):
    """Which of `total` lesions a draw has: (count,) numbers, or (draws, count) for an array.

    With replacement, as from a hospital that never runs out of patients. A longer test begins with
    the lesions of a shorter one.
    """
    first = np.asarray(draw, dtype=np.uint32)[..., None] * np.uint32(256)
    return (total * uniform(first + np.arange(count, dtype=np.uint32))).astype(int)


# --- the figure ---------------------------------------------------------------------------------


def _controls():
    gaps, source = _stored()
    names = tuple(gaps)
    return (
        Choice("pair", "difference", names, names[0], source),
        Slider("count", "lesions", FEWEST, MOST, 1, 11, "in your test"),
        Slider("draw", "draw", 1, DRAWS, 1, 7, "which lesions you happen to get"),
    )


CONTROLS = _controls()


def eleven_lesions(**initial):
    """The live figure of small tests; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    packed = {name: arrays.packed(gaps) for name, gaps in _stored()[0].items()}
    options = {"pairs": packed, "t": students_t()}
    return LiveFigure("eleven_lesions", __name__, controls, compute, draw, CAPTION, ALT, options)


def students_t():
    """Half of a 95 % interval's width in standard errors, for FEWEST to MOST lesions."""
    return stats.t.isf(0.025, np.arange(FEWEST, MOST + 1) - 1)


@functools.cache
def tests_of(pair):
    """All draws of a pair: their means and their verdicts, both (DRAWS, MOST), by count.

    The verdict is 1 where the interval of the mean lies above 0, -1 where it lies below, else 0;
    it is 0 for fewer than FEWEST lesions.
    """
    values = differences(pair)
    drawn = values[lesions_of(np.arange(1, DRAWS + 1), len(values))]
    count = np.arange(1, MOST + 1)
    means = drawn.cumsum(axis=1) / count
    squares = (drawn**2).cumsum(axis=1) - count * means**2
    verdicts = np.zeros(means.shape, int)
    enough = np.s_[:, FEWEST - 1 :]
    count = count[FEWEST - 1 :]
    half = students_t() * np.sqrt(squares[enough].clip(min=0) / (count - 1) / count)
    verdicts[enough] = (means[enough] > half).astype(int) - (means[enough] < -half)
    return means, verdicts


def bins_of(values):
    """Edges for means of these values: whole multiples of a width, so that 0 is an edge."""
    mean, sd = values.mean(), values.std(ddof=1)
    width = sd / 16
    return width * np.arange(
        np.floor((mean - 1.2 * sd) / width), np.ceil((mean + 1.2 * sd) / width) + 1
    )


def compute(parameters):
    """input: the drawn differences; field: their mean after the first, the second, ... of them."""
    pair, count = parameters["pair"], parameters["count"]
    values = differences(pair)
    drawn = values[lesions_of(parameters["draw"], len(values), count)]
    means, verdicts = tests_of(pair)
    truth = values.mean()
    side = int(np.sign(truth))
    edges = bins_of(values)
    now = means[:, count - 1]
    return {
        "input": drawn,
        "field": drawn.cumsum() / np.arange(1, count + 1),
        "interval": t_interval(drawn),
        "truth": truth,
        "lesions": len(values),
        # The outermost bars hold all that is beyond them.
        "histogram": np.histogram(now.clip(edges[0], edges[-1]), edges)[0],
        "edges": edges,
        "right": (verdicts * side > 0).mean(axis=0)[FEWEST - 1 :],
        "wrong": (verdicts * side < 0).mean(axis=0)[FEWEST - 1 :],
        "wrong_side": (now * side < 0).mean(),
    }


def reach_of(values):
    """How far the axis of the points goes to either side."""
    return np.ceil(10 * np.abs(values).max()) / 10


def verdict(pair, low, high):
    """What a reader would say of a pair by its interval."""
    first, second = pair.split(" − ")
    if low > 0:
        return f"{first} is better"
    return f"{second} is better" if high < 0 else "cannot tell"


def draw(parameters, result):
    figure = new_figure(5.6)
    axes = figure.subplot_mosaic([["tests", "tests"], ["means", "shares"]], height_ratios=(1, 1.1))
    tests, means, shares = (axes[name] for name in ("tests", "means", "shares"))
    drawn, (low, high) = result["input"], result["interval"]
    height = 1 + np.arange(len(drawn)) % 11
    tests.plot(drawn, height, "o", **LINES["muted"], markersize=4, alpha=0.7)
    tests.plot([low, high], [0, 0], **LINES["first"], linewidth=3)
    tests.plot(drawn.mean(), 0, "o", **LINES["first"], markersize=8)
    for plot in (tests, means):
        plot.axvline(0, **LINES["cursor"])
        plot.axvline(result["truth"], **LINES["third"])
        plot.set_xlabel("difference of Dice")
    reach = reach_of(differences(parameters["pair"]))
    tests.set(xlim=(-reach, reach), ylim=(-1, 12), yticks=[])
    text = verdict(parameters["pair"], low, high)
    mean = f"{drawn.mean():+.3f}".replace("-", "−")
    tests.set_title(f"{len(drawn)} lesions, mean {mean}: {text}")
    edges, bars = result["edges"], result["histogram"]
    wrong = (edges[:-1] + edges[1:]) * result["truth"] < 0
    colours = np.where(wrong, COLOURS["contour"], COLOURS["first"])
    means.bar(edges[:-1], bars, np.diff(edges), align="edge", color=colours)
    means.set(ylabel="tests of 1,000")
    means.set_title(f"means: {result['wrong_side']:.0%} have the wrong sign")
    counts = np.arange(FEWEST, MOST + 1)
    shares.plot(counts, 100 * result["right"], **LINES["first"], label="name the better one")
    shares.plot(counts, 100 * result["wrong"], **LINES["contour"], label="name the worse one")
    shares.axvline(parameters["count"], **LINES["cursor"])
    shares.set_xscale("log")
    shares.set_xticks(TICKS, [str(tick) for tick in TICKS], minor=False)
    shares.set_xticks([], minor=True)
    shares.set(xlabel="lesions", ylabel="% of tests", ylim=(0, 100))
    shares.legend(frameon=False, loc="upper left")
    return figure
