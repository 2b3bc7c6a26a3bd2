"""A curve learned from a few points, from nothing and from what another data set has taught."""

import numpy as np
from matplotlib.figure import Figure

from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import uniform

WAVES, COARSE = 16, 4  # features; the first COARSE of them are the coarse ones
NOISE, RATE = 0.2, 1 / 32
DRAWS = 20
GRID = np.linspace(0, 1, 201)
COUNTS = (2, 4, 8, 16, 32, 64)
MOST_STEPS = 300
PLACE, COARSE_WAVES, FINE_WAVES = "the bump's place", "coarse waves", "fine waves"
# How the clinic's answer may differ from A's, as weights of the waves, before they are scaled.
CHANGES = {
    COARSE_WAVES: (0.4, 0.3, -0.3, 0.2),
    FINE_WAVES: (0,) * COARSE + (0.3, -0.25, 0.2, 0.2, -0.15, 0.1, 0.1, -0.1, *[0.05, -0.05] * 2),
}
FROZEN = ("nothing", COARSE_WAVES, FINE_WAVES)

CONTROLS = (
    Choice("change", "B differs in", (PLACE, *CHANGES), COARSE_WAVES),
    Slider("shift", "shift", 0, 1.5, 0.05, 0.4, "how far B is from A"),
    Slider("count", "points", 2, 64, 1, 6, "of B, to learn from"),
    Slider("steps", "steps", 0, MOST_STEPS, 5, 100, "of gradient descent"),
    Choice("frozen", "frozen", FROZEN, "nothing", "of the weights from A"),
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
STYLES = {"scratch": ("#b4480d", "--", "from zero"), "warm": ("#1f5fa8", "-", "from A")}


def fine_tuning(**initial):
    """The live figure of a start that somebody else has paid for; `initial` sets its values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("fine_tuning", __file__, controls, compute, draw, CAPTION, ALT)


def waves(brightness):
    """The features, (n, WAVES): 1 and sqrt(2) cos(pi k s), orthonormal on [0, 1]."""
    features = np.sqrt(2) * np.cos(np.pi * np.outer(brightness, np.arange(WAVES)))
    features[:, 0] = 1
    return features


def bump(place):
    """Weights of the waves for a bump at a brightness, by the rule of midpoints."""
    middles = (np.arange(512) + 0.5) / 512
    return waves(middles).T @ np.exp(-((middles - place) ** 2) / (2 * 0.1**2)) / 512


def answers(change=COARSE_WAVES, shift=0.0):
    """The weights of A, and of a B that far away."""
    a = bump(0.55)
    if change == PLACE:
        return a, bump(0.55 - 0.3 * shift)
    moved = np.zeros(WAVES)
    moved[: len(CHANGES[change])] = CHANGES[change]
    return a, a + shift * np.linalg.norm(a) / np.linalg.norm(moved) * moved


def points(draw, count):
    """The first points of a draw: brightness in [0, 1], standard normal noise; (count,) each."""
    counter = np.arange(count, dtype=np.uint32) * np.uint32(3) + np.uint32(4096 * draw + 1)
    radius = np.sqrt(-2 * np.log(1 - uniform(counter + np.uint32(1))))
    return uniform(counter), radius * np.cos(2 * np.pi * uniform(counter + np.uint32(2)))


def free(frozen):
    """Which weights may move, (WAVES,) boolean."""
    coarse = np.arange(WAVES) < COARSE
    return {"nothing": coarse | True, COARSE_WAVES: ~coarse, FINE_WAVES: coarse}[frozen]


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
    starts = {"scratch": (0 * a, free("nothing")), "warm": (a, free(p["frozen"]))}
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
    found = {"scratch": [], "warm": []}
    for count in COUNTS:
        draws = [learned(parameters, [parameters["steps"]], d + 1, count) for d in range(DRAWS)]
        for name, means in found.items():
            means.append(np.mean([errors(one[name], b) for one in draws]))
    return found


def compute(parameters):
    """input: B's curve; field: what was learned from A; and the errors of both."""
    steps = np.arange(0, MOST_STEPS + 1, 5)
    _, b = answers(parameters["change"], parameters["shift"])
    weights = learned(parameters, steps)
    now = int(parameters["steps"]) // 5
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
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    parts = figure.subplot_mosaic([["answer", "answer"], ["steps", "points"]])
    answer, a = parts["answer"], waves(GRID) @ answers()[0]
    brightness, noise = points(parameters["draw"], parameters["count"])
    _, b = answers(parameters["change"], parameters["shift"])
    answer.plot(GRID, a, color="#55606e", linewidth=1.2, label="A")
    answer.plot(GRID, result["input"], color="#2b7446", linestyle=":", label="B")
    for name, values in (("scratch", result["scratch"]), ("warm", result["field"])):
        colour, style, label = STYLES[name]
        answer.plot(GRID, values, color=colour, linestyle=style, label=label)
    answer.plot(brightness, waves(brightness) @ b + NOISE * noise, "o", color="#1c2430", ms=4)
    answer.set(xlabel="brightness", ylabel="answer", ylim=(-1, 2))
    answer.legend(frameon=False, ncols=4, loc="upper left")
    means, now = over_counts(parameters), int(parameters["steps"]) // 5
    for name, (colour, style, _) in STYLES.items():
        line = {"color": colour, "linestyle": style}
        parts["steps"].plot(result["steps"], result["errors"][name], **line)
        parts["steps"].plot(parameters["steps"], result["errors"][name][now], "o", color=colour)
        parts["points"].plot(COUNTS, means[name], **line)
    parts["steps"].set(xlabel="steps", ylabel="error", ylim=0)
    parts["points"].set(xlabel="points, 20 draws", ylabel="error", ylim=0)
    parts["points"].set_xscale("log", base=2)
    parts["points"].set_xticks(COUNTS, [str(count) for count in COUNTS])
    parts["points"].axvline(parameters["count"], color="#1c2430", linewidth=1)
    for one in parts.values():
        one.grid(color="#d5dae1", linewidth=0.6)
    return figure
