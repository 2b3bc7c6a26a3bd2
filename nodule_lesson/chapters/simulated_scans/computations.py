"""What the page on simulated scans computes from results/simulated_to_real.json."""

import numpy as np

# What a network was trained on, in the results file and on the page.
CONDITIONS = {
    "threshold, central part": "best threshold",
    "simulated, few real": "simulated, then few real",
    "simulated": "simulated alone",
    "few real": "few real alone",
    "many real": "many real",
}


def rows_by_condition(result):
    """The rows of the table of a results file, by the name of what was trained on."""
    return {row["condition"]: row for row in result["table"]}


def mean_difference(result, one, other, test):
    """Mean over slices of Dice less Dice, and its 95 % interval: patients drawn with replacement.

    result: what the file holds. one, other: what was trained on; the Dice of a slice is the mean
    over the seeds. test: "data" for the patients tuned on, "blind" for those never looked at.
    Returns three numbers: mean, low, high.
    """

    def scores(name):
        runs = [run for run in result["runs"] if run["condition"] == name]
        return np.mean([(run if test == "data" else run[test])["dice"] for run in runs], 0)

    less, patient = scores(one) - scores(other), result[test]["patient_of_slice"]
    sums, counts = np.bincount(patient, less), np.bincount(patient)
    drawn = np.random.default_rng(0).integers(0, len(counts), (2000, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return less.mean(), *np.percentile(means, (2.5, 97.5))
