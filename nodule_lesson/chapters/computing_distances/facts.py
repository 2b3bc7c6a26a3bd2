"""Numbers in the text on how distances are computed."""


def speed_of_distances(speed):
    """Microseconds of the package for a pair of outlines, and how much longer MONAI takes.

    Holds the paragraph below the figure of milliseconds.
    speed: what results/metrics_speed.json holds.
    """
    nodules = {
        row["contender"]: row
        for row in speed["rows"]
        if row["pixels"] == "square pixels" and row["masks"] == "nodules"
    }
    ours = [row["ms"] for row in speed["lengths"] if row["contender"] == "ours, two calls"]
    return {
        "speed-ratio": f"{nodules['MONAI']['times_ours']:.0f}",
        "speed-ours": f"{1000 * nodules['ours, two calls']['ms']:.0f}",
        "speed-six": f"{1000 * nodules['ours, all six measures']['ms']:.0f}",
        "speed-pairs": f"{speed['setting']['pairs']:,}",
        "speed-longest": f"{max(ours):.1f}",
    }
