"""The coverage of the intervals of the evidence, and the power of its design.

Simulated are three clinics with three seeds each, scored on the lesions of the real large test. A
paired difference of Dice is the sum of random effects of the clinic, the run, the patient and the
lesion, and noise of each run on each lesion. `coverage`: how often the 95 % interval of
`statistics.crossed` contains the true mean, for large and small effects. `power`: how often a true
difference is decided, alone and as the first of eight comparisons (Holm), with the effects
estimated from the laptop's runs on real slices. The effect of a clinic was unknown before the
runs: power is given for none, and for one as large as that of a seed. `null`, with --null: how
many pairs of seeds of one method among the finished runs are called different.

    python studies/coverage.py --out book/results/experiments/coverage.json
    python studies/coverage.py --null --out book/results/experiments/coverage.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

from nodule_lesson.evaluation.statistics import crossed
from nodule_lesson.experiments import evidence, results
from nodule_lesson.experiments.grid import PROFILES, STAGES
from nodule_lesson.files import write_json
from nodule_lesson.provenance import provenance

CLINICS, SEEDS = PROFILES["night"].clinics, STAGES["1"].seeds
CLINIC_OF_RUN = np.repeat(np.arange(CLINICS), SEEDS)
DRAWS = 4000
# Standard deviations of the effects on a difference of Dice.
CLINIC_SDS, RUN_SDS, PATIENT_SDS = (0.0, 0.01, 0.02), (0.01, 0.03), (0.03, 0.08)
LESION_SD, NOISE_SD = 0.08, 0.10
DIFFERENCES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10)
COMPARISONS = 8
PAIRS = (("proposed", "unet"), ("backbone+combination", "backbone"), ("proposed", "std"))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--null", action="store_true", help="also compare pairs of finished runs")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    patients = patients_of_the_test()
    random = np.random.default_rng(0)
    measured = components()
    result = {
        "what": "Coverage and power of the crossed intervals of the evidence, by simulation.",
        "design": {
            "clinics": CLINICS,
            "seeds": SEEDS,
            "lesions": len(patients),
            "patients": len(np.unique(patients)),
            "draws": options.draws,
        },
        "coverage": coverage(random, patients, options.draws),
        "components": measured,
        "power": power(random, patients, measured, options.draws),
        "provenance": provenance("python studies/coverage.py", ("numpy", "scipy")),
    }
    if options.null:
        result["null"] = null_pairs()
    for section in ("coverage", "power"):
        for row in result[section]:
            print(section, row)
    print("null", result.get("null"))
    if options.out:
        write_json(options.out, result)


def patients_of_the_test():
    file = results.results_folder() / "real-night" / "lesions-clinic1.json"
    return np.array(json.loads(file.read_text(encoding="utf-8"))["large"]["patient"])


def sample(random, patients, clinic, run, patient, lesion=LESION_SD, noise=NOISE_SD):
    """Differences of runs, (clinics x seeds, lesions), whose true mean is 0.

    clinic, run, patient, lesion, noise: standard deviations of the effects.
    """
    index = np.unique(patients, return_inverse=True)[1]
    shape = (CLINICS, SEEDS, len(patients))
    values = clinic * random.standard_normal((CLINICS, 1, 1))
    values = values + run * random.standard_normal((CLINICS, SEEDS, 1))
    values = values + patient * random.standard_normal(index.max() + 1)[index]
    values = values + lesion * random.standard_normal(len(patients))
    return (values + noise * random.standard_normal(shape)).reshape(-1, len(patients))


def coverage(random, patients, draws):
    rows = []
    for clinic in CLINIC_SDS:
        for run in RUN_SDS:
            for patient in PATIENT_SDS:
                samples = (sample(random, patients, clinic, run, patient) for _ in range(draws))
                intervals = [crossed(values, patients, CLINIC_OF_RUN) for values in samples]
                held = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
                half = np.median([(interval.high - interval.low) / 2 for interval in intervals])
                rows.append(
                    {
                        **{"clinic": clinic, "run": run, "patient": patient},
                        **{"held": round(float(held), 4), "half_width": round(float(half), 4)},
                    }
                )
    return rows


def components():
    """Standard deviations of the effects in the laptop's runs on real slices, over all PAIRS."""
    laptop, variances = results.read("real", "laptop"), []
    patients = laptop.lesions["large"]["patient"]
    index = np.unique(patients, return_inverse=True)[1]
    size = np.bincount(index)
    for row, other in PAIRS:
        values = laptop.scores(row) - laptop.scores(other)  # (seeds, lesions)
        lesions = values.mean(0)
        means = np.bincount(index, lesions) / size
        within = ((lesions - means[index]) ** 2).sum() / (len(lesions) - len(size))
        between = (size * (means - lesions.mean()) ** 2).sum() / (len(size) - 1)
        typical = (len(lesions) - (size**2).sum() / len(lesions)) / (len(size) - 1)
        noise = (values - lesions - values.mean(1, keepdims=True) + values.mean()).var(ddof=1)
        variances.append(
            {
                "run": values.mean(1).var(ddof=1),
                "patient": max(0.0, (between - within) / typical),
                "lesion": max(0.0, within - noise / len(values)),
                "noise": noise,
            }
        )
    return {
        effect: round(float(np.sqrt(np.mean([of_pair[effect] for of_pair in variances]))), 4)
        for effect in variances[0]
    }


def power(random, patients, sds, draws):
    """The share of draws in which a true difference is decided. sds: as `components` returns."""
    rows = []
    for clinic in (0.0, sds["run"]):
        samples = [sample(random, patients, clinic, **sds) for _ in range(draws)]
        for difference in DIFFERENCES:
            p = np.array([crossed(v + difference, patients, CLINIC_OF_RUN).p for v in samples])
            rows.append(
                {
                    **{"clinic": clinic, "difference": difference},
                    "alone": round(float((p < 0.05).mean()), 3),
                    "first_of_eight": round(float((p < 0.05 / COMPARISONS).mean()), 3),
                }
            )
    return rows


def null_pairs():
    pairs = evidence.read("real").null_pairs()
    rejected = [pair for pair in pairs if pair[3].p < 0.05]
    return {"pairs": len(pairs), "rejected": len(rejected)}


if __name__ == "__main__":
    main()
