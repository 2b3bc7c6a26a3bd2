"""A curve learned from a few points, from nothing and from what another data set has taught."""

import numpy as np

from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live.drawing import LINES, new_figure
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import normal, uniform

WAVES, COARSE = 16, 4  # features; the first COARSE of them are the coarse ones
NOISE, RATE = 0.2, 1 / 32
DRAWS = 20
POINTS = 201
GRID = np.linspace(0, 1, POINTS)  # brightness
COUNTS = (2, 4, 8, 16, 32, 64)
MOST_STEPS, STEP = 300, 5  # of gradient descent; the curves have a point for every fifth step
BUMP, WIDTH, MOVE = 0.55, 0.1, 0.3  # place and width of A's bump; how far a shift of 1 moves it
PLACE, COARSE_WAVES, FINE_WAVES = "the bump's place", "coarse waves", "fine waves"
# How the clinic's answer may differ from A's, as weights of the waves, before they are scaled.
CHANGES = {
    COARSE_WAVES: (0.4, 0.3, -0.3, 0.2),
    FINE_WAVES: (0,) * COARSE + (0.3, -0.25, 0.2, 0.2, -0.15, 0.1, 0.1, -0.1, *[0.05, -0.05] * 2),
}
NOTHING = "nothing"
FROZEN = (NOTHING, COARSE_WAVES, FINE_WAVES)

CONTROLS = (
    Choice("change", "B differs in", (PLACE, *CHANGES), COARSE_WAVES),
    Slider("shift", "shift", 0, 1.5, 0.05, 0.4, "how far B is from A"),
    Slider("count", "points", COUNTS[0], COUNTS[-1], 1, 6, "of B, to learn from"),
    Slider("steps", "steps", 0, MOST_STEPS, STEP, 100, "of gradient descent"),
    Choice("frozen", "frozen", FROZEN, NOTHING, "of the weights from A"),
    Slider("draw", "draw", 1, DRAWS, 1, 3, "other points"),
)
CAPTION = (
    "<strong>Live.</strong> Above, the answer of data set B (dotted), a few noisy points of it, "
    "and two curves of 16 waves, fitted to these points by the same steps: one began at zero "
    "(dashed), one at the answer of data set A (grey). Below left, how far each is from B "
    "after every number of steps; right, after the chosen number, over the number of points, as a "
    "mean over 20 draws. Between the points the start is all there is."
)
ALT = (
    "A plot of curves over brightness with a few points: the curve that began at A passes near "
    "the points and keeps A's bump between them, the one from zero sinks towards zero. Below, two "
    "plots of error over steps and over points, in which the curve from A lies lower."
)
# Both starts: kind of line and label.
STARTS = {"scratch": ("second", "from zero"), "warm": ("first", "from A")}


def fine_tuning(**initial):
    """The live figure of a start from another data set; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("fine_tuning", __name__, controls, compute, draw, CAPTION, ALT)


def waves(brightness):
    """The features, (n, WAVES): 1 and sqrt(2) cos(pi k s), orthonormal on [0, 1]."""
    features = np.sqrt(2) * np.cos(np.pi * np.outer(brightness, np.arange(WAVES)))
    features[:, 0] = 1
    return features


def bump(place):
    """Weights of the waves for a bump at a brightness, by the rule of midpoints."""
    middles = (np.arange(512) + 0.5) / 512
    return waves(middles).T @ np.exp(-((middles - place) ** 2) / (2 * WIDTH**2)) / 512


def answers(change=COARSE_WAVES, shift=0.0):
    """The weights of A, and of a B that far away."""
    a = bump(BUMP)
    if change == PLACE:
        return a, bump(BUMP - MOVE * shift)
    direction = np.zeros(WAVES)
    direction[: len(CHANGES[change])] = CHANGES[change]
    return a, a + shift * np.linalg.norm(a) / np.linalg.norm(direction) * direction


def points(draw, count):
    """The first points of a draw: brightness in [0, 1], standard normal noise; (count,) each."""
    counter = np.arange(count, dtype=np.uint32) * np.uint32(3) + np.uint32(4096 * draw + 1)
    return uniform(counter), normal(counter + np.uint32(1), counter + np.uint32(2))


def free(frozen):
    """Which weights may move, (WAVES,) boolean."""
    coarse = np.arange(WAVES) < COARSE
    return {NOTHING: coarse | True, COARSE_WAVES: ~coarse, FINE_WAVES: coarse}[frozen]


def descend(features, wanted, start, steps, moving):
    """The weights after each of `steps`, numbers of gradient steps: (len(steps), WAVES).

    What is minimised is half the mean squared error; `moving` says which weights are not frozen.
    Not by stepping, but in closed form along the eigenvectors of the Gram matrix.
    """
    start = np.asarray(start, dtype=float)
    x = features[:, moving]
    pull = x.T @ (wanted - features[:, ~moving] @ start[~moving]) / len(x)
    curvature, axes = np.linalg.eigh(x.T @ x / len(x))
    curvature = np.maximum(curvature, 0)
    kept = (1 - RATE * curvature) ** np.asarray(steps)[:, None]
    gained = RATE * np.broadcast_to(np.asarray(steps, dtype=float)[:, None], kept.shape).copy()
    np.divide(1 - kept, curvature, out=gained, where=curvature > 1e-9)
    weights = np.tile(start, (len(kept), 1))
    weights[:, moving] = (kept * (axes.T @ start[moving]) + gained * (axes.T @ pull)) @ axes.T
    return weights


def learned(parameters, steps, draw=None, count=None):
    """{"scratch", "warm"}: the weights after each of `steps`, for these points or for others."""
    p = parameters
    a, b = answers(p["change"], p["shift"])
    brightness, noise = points(draw or p["draw"], count or p["count"])
    features = waves(brightness)
    wanted = features @ b + NOISE * noise
    starts = {"scratch": (0 * a, free(NOTHING)), "warm": (a, free(p["frozen"]))}
    return {
        name: descend(features, wanted, start, steps, moving)
        for name, (start, moving) in starts.items()
    }


def errors(weights, b):
    """Root of the mean squared distance of the curves over all brightness: exact, by Parseval."""
    return np.linalg.norm(weights - b, axis=-1)


def over_counts(parameters):
    """{"scratch", "warm"}: the mean error over all draws for each of COUNTS."""
    _, b = answers(parameters["change"], parameters["shift"])
    means = {name: [] for name in STARTS}
    for count in COUNTS:
        draws = [learned(parameters, [parameters["steps"]], d + 1, count) for d in range(DRAWS)]
        for name in STARTS:
            means[name].append(np.mean([errors(weights[name], b) for weights in draws]))
    return means


def compute(parameters):
    """input: B's curve; field: what was learned from A; and the errors of both."""
    steps = np.arange(0, MOST_STEPS + 1, STEP)
    _, b = answers(parameters["change"], parameters["shift"])
    weights = learned(parameters, steps)
    now = int(parameters["steps"]) // STEP
    curves = {name: waves(GRID) @ rows[now] for name, rows in weights.items()}
    truth = waves(GRID) @ b
    return {
        "input": truth,
        "field": curves["warm"],
        "scratch": curves["scratch"],
        "steps": steps,
        "errors": {name: errors(rows, b) for name, rows in weights.items()},
        # A brightness is called nodule where the answer is above one half.
        "dice": {
            name: float(metrics.dice(curve[None] > 0.5, truth[None] > 0.5))
            for name, curve in curves.items()
        },
    }


def draw(parameters, result):
    figure = new_figure(5.6)
    axes = figure.subplot_mosaic([["curves", "curves"], ["steps", "points"]])
    curves, over_steps, over_points = (axes[name] for name in ("curves", "steps", "points"))
    brightness, noise = points(parameters["draw"], parameters["count"])
    a, b = answers(parameters["change"], parameters["shift"])
    curves.plot(GRID, waves(GRID) @ a, **LINES["muted"], label="A")
    curves.plot(GRID, result["input"], **LINES["third"], label="B")
    for name, values in (("scratch", result["scratch"]), ("warm", result["field"])):
        kind, label = STARTS[name]
        curves.plot(GRID, values, **LINES[kind], label=label)
    learned_from = waves(brightness) @ b + NOISE * noise
    curves.plot(brightness, learned_from, "o", **LINES["cursor"], markersize=4)
    curves.set(xlabel="brightness", ylabel="answer", ylim=(-1, 2))
    curves.legend(frameon=False, ncols=4, loc="upper left")
    means, now = over_counts(parameters), int(parameters["steps"]) // STEP
    for name, (kind, _) in STARTS.items():
        error = result["errors"][name]
        over_steps.plot(result["steps"], error, **LINES[kind])
        over_steps.plot(parameters["steps"], error[now], "o", **LINES[kind])
        over_points.plot(COUNTS, means[name], **LINES[kind])
    over_steps.set(xlabel="steps", ylabel="error", ylim=0)
    over_points.set(xlabel=f"points, {DRAWS} draws", ylabel="error", ylim=0)
    over_points.set_xscale("log", base=2)
    over_points.set_xticks(COUNTS, [str(count) for count in COUNTS])
    over_points.axvline(parameters["count"], **LINES["cursor"])
    for plot in axes.values():
        plot.grid(**LINES["grid"])
    return figure
