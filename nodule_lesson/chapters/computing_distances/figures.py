"""The figure of the page on how distances are computed."""

import matplotlib.pyplot as plt


def milliseconds(speed):
    """Draw how long HD and ASSD of a pair take over the length of the contours, for four programs.

    speed: what results/metrics_speed.json holds.
    """
    square = [row for row in speed["rows"] if row["pixels"] == "square pixels"]
    measured = square + speed["lengths"]
    figure, axes = plt.subplots(figsize=(6, 3.4))
    for name in ("ours, two calls", "MONAI", "k-d tree", "distance transform"):
        points = sorted(
            (row.get("mean_contour", row.get("contour_pixels")), row["ms"])
            for row in measured
            if row["contender"] == name
        )
        axes.loglog(*zip(*points, strict=True), label=name.replace("ours", "this package"))
    axes.set(xlabel="pixels of a contour", ylabel="ms per pair")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
