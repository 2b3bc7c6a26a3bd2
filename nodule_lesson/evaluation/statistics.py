"""The uncertainty of a mean: intervals by patient, paired differences, seeds, and power of a test.

Values are one number per unit, usually one Dice per lesion. Lesions of one patient are not
independent: they share the scanner, the dose and the lung. So intervals are bootstrapped by
*cluster*: whole patients are drawn with replacement, as many as there are, each with all of its
lesions (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). With few
clusters such intervals are too short; `tests/evaluation/test_statistics.py` and the chapter
*Reading the tables* measure by how much.

nan is an undefined value, such as the distance to an empty outline. It is left out, and so is a
pair with a nan.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

# The bootstrap draws at most so many numbers at a time, so that it needs little memory.
_MAX_DRAWN = 4_000_000


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, its interval (low, high), their sd and their number.

    sd: the standard deviation of the differences, with count - 1 in the denominator; nan for fewer
    than two.
    """

    mean: float
    low: float
    high: float
    sd: float
    count: int

    @property
    def sign(self):
        """1 or -1 if the whole interval is above or below 0; otherwise, or for nan, 0."""
        return int(self.low > 0) - int(self.high < 0)


def interval(values, clusters=None, level=0.95, draws=2000, seed=0):
    """(low, high): percentile bootstrap of the mean, whole clusters drawn with replacement.

    values: (N,). clusters: (N,) names, values with the same name are one cluster; None makes each
    value a cluster. Each draw takes as many clusters as there are, with replacement, and the mean
    of all their values; low and high cut off (1 - level) / 2 of the draws on either side. The same
    seed gives the same interval. Both are nan for fewer than two clusters, since one patient does
    not show how patients differ. Raises ValueError for another shape, infinite values, a level
    outside (0, 1) and fewer than one draw.
    """
    values = _values(values, "values")
    if clusters is None:
        clusters = np.arange(len(values))
    clusters = np.asarray(clusters)
    if clusters.shape != values.shape:
        raise ValueError(
            f"clusters must be one name per value, shape {values.shape}; found {clusters.shape}."
        )
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}.")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, found {draws}.")
    known = ~np.isnan(values)
    _, cluster = np.unique(clusters[known], return_inverse=True)
    count = np.bincount(cluster)
    if len(count) < 2:
        return np.nan, np.nan
    total = np.bincount(cluster, values[known])
    # The mean of a draw needs only the sum, the size and the number of draws of each cluster.
    random = np.random.default_rng(seed)
    share = np.full(len(count), 1 / len(count))
    means, at_a_time = [], max(1, _MAX_DRAWN // len(count))
    for first in range(0, draws, at_a_time):
        times = random.multinomial(len(count), share, size=min(at_a_time, draws - first))
        means.append((times @ total) / (times @ count))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def t_interval(values, level=0.95):
    """(low, high): Student's interval of the mean, for independent values (N,), nan left out.

    mean -+ t sd / sqrt(N), with t of N - 1 degrees of freedom. Both are nan for fewer than two
    values. Raises ValueError for another shape, infinite values, and a level outside (0, 1).
    """
    values = _values(values, "values")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}.")
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.isf((1 - level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def paired(a, b, clusters=None, level=0.95, draws=2000, seed=0):
    """`Difference` of a - b, values of the same units (N,), with the interval of `interval`.

    Pairs with a nan are left out. Raises ValueError as `interval` does, and if the shapes of a and
    b differ.
    """
    a, b = _values(a, "a"), _values(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"a and b must be of the same units, found {len(a)} and {len(b)} values.")
    differences = a - b
    low, high = interval(differences, clusters, level, draws, seed)
    differences = differences[~np.isnan(differences)]
    mean = float(differences.mean()) if len(differences) else np.nan
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else np.nan
    return Difference(mean, low, high, sd, len(differences))


@dataclass(frozen=True)
class Crossed:
    """A mean over trainings and patients: its interval, two-sided p, and parts of its variance.

    of_trainings, of_patients: the two parts of the variance of the mean. freedom: degrees of
    freedom of Student's t.
    """

    mean: float
    low: float
    high: float
    p: float
    of_trainings: float
    of_patients: float
    freedom: float


def crossed(values, patients, clinics=None, level=0.95):
    """`Crossed` of values (runs, N): a mean for other trainings and other patients.

    values: one row per training run, one column per lesion, usually paired differences; a lesion
    that is nan in any run is left out. patients: (N,) names. clinics: (runs,) names of the data
    that each run was trained on; None if each run has its own. Clinics, runs in a clinic, and
    patients are samples; every run is scored on every patient. The mean m, in which all clinics
    have the same weight, has the variance V = V_t + V_p. With P patients and d_p the sum, over the
    lesions of patient p, of a lesion's mean minus m, divided by N,

        V_p = P / (P - 1) sum_p d_p^2,   P - 1 degrees of freedom;

    V_t = var(clinic means) / C for C clinics, with C - 1 degrees of freedom. If that is less than
    the variance of the runs within clinics implies, both are pooled, which is the estimate of a
    mixed model by REML for a balanced design. The interval is m -+ t sqrt(V), with
    V^2 / (V_t^2 / f_t + V_p^2 / f_p) degrees of freedom (Satterthwaite 1946).
    `studies/coverage.py` measures how often it contains the true mean. Raises ValueError for other
    shapes, and for fewer than two clinics or patients.
    """
    values, patients = np.asarray(values, dtype=float), np.asarray(patients)
    if values.ndim != 2 or patients.shape != values.shape[1:]:
        raise ValueError(
            "values must be (runs, N) and patients (N,), found "
            f"{values.shape} and {patients.shape}."
        )
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}.")
    clinics = np.arange(len(values)) if clinics is None else np.asarray(clinics)
    if clinics.shape != values.shape[:1]:
        raise ValueError(
            f"clinics must be one name per run, shape {values.shape[:1]}; found {clinics.shape}."
        )
    known = ~np.isnan(values).any(0)
    values = values[:, known]
    names, patient = np.unique(patients[known], return_inverse=True)
    runs_of = [values[clinics == name] for name in np.unique(clinics)]
    if len(runs_of) < 2 or len(names) < 2:
        raise ValueError(
            f"at least two clinics and two patients are needed, found {len(runs_of)} and "
            f"{len(names)}."
        )
    lesions = np.mean([runs.mean(0) for runs in runs_of], axis=0)
    mean, of_patients = _of_patients(lesions, patient, len(names))
    of_trainings, freedom = _of_trainings([runs.mean(1) for runs in runs_of])
    return _crossed(mean, of_trainings, of_patients, freedom, len(names) - 1, level)


def clustered(values, patients, level=0.95):
    """`Crossed` of one training: a mean for other patients, and for no other training.

    - values: (N,), one per lesion, usually paired differences; nan is left out.
    - patients: (N,) names.

    It is `crossed` with V_t = 0, Student's interval with P - 1 degrees of freedom; with one lesion
    per patient it is the t-test of the mean. Raises ValueError for other shapes, and for fewer
    than two patients. For example

        >>> found = clustered([0.1, 0.2, 0.3], ["ann", "bob", "eve"])
        >>> round(found.low, 3), round(found.high, 3)
        (-0.048, 0.448)
    """
    values, patients = _values(values, "values"), np.asarray(patients)
    if patients.shape != values.shape:
        raise ValueError(
            f"patients must be one name per value, shape {values.shape}; found {patients.shape}."
        )
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}.")
    known = ~np.isnan(values)
    names, patient = np.unique(patients[known], return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"at least two patients are needed, found {len(names)}.")
    mean, of_patients = _of_patients(values[known], patient, len(names))
    return _crossed(mean, 0.0, of_patients, 1, len(names) - 1, level)


def _of_patients(lesions, patient, count):
    """The mean of lesions, and its variance over `count` patients."""
    mean = lesions.mean()
    share = np.bincount(patient, lesions - mean) / len(lesions)
    return mean, count / (count - 1) * (share**2).sum()


def _crossed(mean, of_trainings, of_patients, freedom, freedom_of_patients, level):
    variance = of_trainings + of_patients
    if variance == 0:
        return Crossed(mean, mean, mean, float(mean == 0), 0.0, 0.0, np.inf)
    freedom = variance**2 / (of_trainings**2 / freedom + of_patients**2 / freedom_of_patients)
    half = stats.t.isf((1 - level) / 2, freedom) * np.sqrt(variance)
    p = 2 * stats.t.sf(abs(mean) / np.sqrt(variance), freedom)
    numbers = (mean, mean - half, mean + half, p, of_trainings, of_patients, freedom)
    return Crossed(*map(float, numbers))


def _of_trainings(means):
    """The variance of the mean over clinics, and its degrees of freedom.

    means: for each clinic the means of its runs.
    """
    count, runs = len(means), len(means[0])
    between = np.var([of_clinic.mean() for of_clinic in means], ddof=1) / count
    if runs == 1 or any(len(of_clinic) != runs for of_clinic in means):
        return between, count - 1
    within = np.mean([of_clinic.var(ddof=1) for of_clinic in means]) / (count * runs)
    if between > within:
        return between, count - 1
    freedom_between, freedom_within = count - 1, count * (runs - 1)
    freedom = freedom_between + freedom_within
    return (freedom_between * between + freedom_within * within) / freedom, freedom


def holm(p):
    """p-values corrected for multiple comparisons (Holm 1979), in the given order: an array.

    The smallest of k is multiplied by k, the next by k - 1, and so on; none is less than the one
    before it, and none exceeds 1. Raises ValueError for values that are not probabilities.
    """
    p = np.asarray(p, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p must be probabilities, shape (k,); found {p}.")
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def power(difference, sd, count, level=0.05):
    """The probability that a two-sided paired t-test of `count` pairs detects a mean difference.

    difference, sd: mean and standard deviation of normal differences, in the same unit; numbers or
    arrays. It is P(|T| > t) for a noncentral t variable T with count - 1 degrees of freedom and
    parameter difference sqrt(count) / sd, and the critical value t. Raises ValueError for sd <= 0,
    fewer than two pairs and a level outside (0, 1).
    """
    if not np.all(np.asarray(sd) > 0):
        raise ValueError(f"sd must be positive, found {sd}.")
    if not np.all(np.asarray(count) >= 2):
        raise ValueError(f"count must be at least 2, found {count}.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}.")
    freedom = np.asarray(count) - 1
    critical = stats.t.isf(level / 2, freedom)
    shift = np.abs(difference) * np.sqrt(count) / sd
    # The lower tail is the upper tail of the mirrored variable; scipy's cdf can be nan far out.
    chance = stats.nct.sf(critical, freedom, shift) + stats.nct.sf(critical, freedom, -shift)
    return float(chance) if np.ndim(chance) == 0 else chance


def detectable(sd, count, power=0.8, level=0.05):
    """The mean difference that a paired t-test of `count` pairs detects with probability `power`.

    sd: standard deviation of the differences. This is the inverse of the function `power`. Raises
    ValueError as that does, and for a power that is not between level and 1.
    """
    if not level < power < 1:
        raise ValueError(f"power must lie between the level, {level}, and 1; found {power}.")
    if not sd > 0:
        raise ValueError(f"sd must be positive, found {sd}.")

    def excess(effect):
        return _power(effect, 1.0, count, level) - power

    top = 1.0
    while excess(top) < 0:
        top *= 2
    return float(sd * optimize.brentq(excess, 0, top, xtol=1e-12, rtol=1e-12))


def seed_band(by_seed):
    """(low, high): the smallest and the largest mean of the seeds.

    by_seed: (seeds, N), one row of values per seed, nan left out; or (seeds,), their means. Raises
    ValueError for other shapes and for no seed.
    """
    by_seed = np.asarray(by_seed, dtype=float)
    if by_seed.ndim not in (1, 2) or not by_seed.size:
        raise ValueError(f"by_seed must be (seeds, values) or (seeds,), found {by_seed.shape}.")
    means = [row[~np.isnan(row)].mean() for row in by_seed.reshape(len(by_seed), -1)
             if not np.isnan(row).all()]  # fmt: skip
    return (float(min(means)), float(max(means))) if means else (np.nan, np.nan)


_power = power  # the argument of `detectable` has the same name


def _values(values, name):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"{name} must be one number per unit, shape (N,); found {values.shape}.")
    if np.isinf(values).any():
        raise ValueError(f"{name} must be finite or nan, found an infinite one.")
    return values
