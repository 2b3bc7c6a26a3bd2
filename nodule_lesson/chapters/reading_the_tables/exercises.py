"""Checkers of the chapter *Reading the tables*."""

import numpy as np
from scipy import stats

from nodule_lesson.chapters.verdict import verdict
from nodule_lesson.evaluation.statistics import power


def one_draw(function):
    """function(values, patients, drawn) -> the mean of one draw of the bootstrap by patient.

    values, patients: (N,), one number and one name a lesion. drawn: names of the drawn patients,
    with repeats. All lesions of a drawn patient count, as often as the patient was drawn.
    """
    patients = np.array(["a", "a", "a", "b", "c", "c", "d"])
    values = np.array([0.9, 0.85, 0.7, 0.1, 0.55, 0.65, 0.3])
    drawn = np.array(["a", "b", "b", "c", "c"])
    answer = function(values.copy(), patients.copy(), drawn.copy())
    parts = [values[patients == name] for name in drawn]
    there = np.isin(patients, drawn)
    wrong = [
        ("a patient who was drawn twice counts once here: np.isin loses the repeats.",
         values[there].mean()),
        ("this is the mean of the patients' means: a patient with many lesions has as many votes.",
         np.mean([part.mean() for part in parts])),
        ("this is the mean of all lesions; only those of the drawn patients belong.",
         values.mean()),
        ("this is the sum: divide it by the number of lesions drawn.", sum(map(sum, parts))),
        ("this divides by the number of patients drawn, not of lesions.",
         sum(map(sum, parts)) / len(drawn)),
        ("this divides by the number of all lesions, not of those drawn.",
         sum(map(sum, parts)) / len(values)),
        ("this takes one lesion of each drawn patient; all of them come along.",
         np.mean([part[0] for part in parts])),
    ]  # fmt: skip
    return verdict(answer, np.concatenate(parts).mean(), wrong)


def lesions_needed(function):
    """function(difference, sd) -> the fewest lesions with which 80 % of tests find the difference.

    Two-sided paired t-test at 5 %; the first count at which `statistics.power` reaches 0.8. The
    checker calls it with numbers, three times.
    """
    cases = [(0.05, 0.1), (0.02, 0.1), (0.2, 0.15)]
    given = [function(*case) for case in cases]
    answer = None if all(one is None for one in given) else given

    def fewest(wanted=0.8, level=0.05, factor=1.0):
        return np.array([
            next(n for n in range(2, 10_000)
                 if power(difference, factor * sd, n, level) >= wanted)
            for difference, sd in cases
        ])  # fmt: skip

    effect = np.array([difference / sd for difference, sd in cases])
    normal = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / effect) ** 2
    right = fewest()
    wrong = [
        ("one lesion short: with that many, power is still below 0.8.", right - 1),
        ("one lesion too many: with one fewer, power is at 0.8 already.", right + 1),
        ("this takes the normal distribution for Student's t: too few for small tests.",
         np.ceil(normal)),
        ("this takes the normal distribution for Student's t, and is not a whole number.",
         normal),
        ("this is a power of one half: the difference equals half an interval.", fewest(0.5)),
        ("this is a power of 90 %; 80 % are asked for.", fewest(0.9)),
        ("this is one-sided: half of 5 % belongs to either side.", fewest(level=0.1)),
        ("this is for two groups of different lesions; here the same lesions are paired.",
         fewest(factor=np.sqrt(2))),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def split(function):
    """function(a, b) -> (misses, contours), the parts of mean(a) - mean(b).

    a, b: Dice of the same lesions by two methods, 0 where a lesion was missed. With mean = (1 - m)
    d each: misses is (m_b - m_a) times the mean of both d, contours is (d_a - d_b) times the mean
    of both 1 - m.
    """
    a = np.array([0.9, 0.8, 0.0, 0.7, 0.6, 0.85, 0.75, 0.0])
    b = np.array([0.8, 0.0, 0.0, 0.75, 0.0, 0.9, 0.5, 0.0])
    answer = function(a.copy(), b.copy())
    d_a, d_b = a[a > 0].mean(), b[b > 0].mean()
    f_a, f_b = (a > 0).mean(), (b > 0).mean()
    misses, contours = (f_a - f_b) * (d_a + d_b) / 2, (d_a - d_b) * (f_a + f_b) / 2
    both = (a > 0) & (b > 0)
    wrong = [
        ("misses and contours are swapped.", (contours, misses)),
        ("the sign is off: a minus b is asked for.", (-misses, -contours)),
        ("the parts are weighted by sums; they want means of the two methods' factors.",
         (2 * misses, 2 * contours)),
        ("the misses are weighted by a's d, the contours by b's share: a sum that is right, "
         "with parts that depend on the order.", ((f_a - f_b) * d_a, (d_a - d_b) * f_b)),
        ("the misses are weighted by b's d, the contours by a's share: a sum that is right, "
         "with parts that depend on the order.", ((f_a - f_b) * d_b, (d_a - d_b) * f_a)),
        ("these are the changes of m and d themselves; each wants the other as its weight.",
         (f_a - f_b, d_a - d_b)),
        ("the means d go over all lesions, with zeros: only what was found belongs.",
         ((f_a - f_b) * (a.mean() + b.mean()) / 2, (a.mean() - b.mean()) * (f_a + f_b) / 2)),
        ("d is taken over the lesions that both found; each method has its own.",
         ((f_a - f_b) * (a[both].mean() + b[both].mean()) / 2,
          (a[both].mean() - b[both].mean()) * (f_a + f_b) / 2)),
    ]  # fmt: skip
    return verdict(answer, (misses, contours), wrong)
