"""Numbers in the text on simulated scans. Each function returns texts by name, except for
`judges_table` and `training_table`, which return a table.

realism: what results/simulated_realism.json holds. result: what results/simulated_to_real.json
holds.
"""

import numpy as np

from nodule_lesson.chapters.simulated_scans.computations import (
    CONDITIONS,
    mean_difference,
    rows_by_condition,
)
from nodule_lesson.glue import signed

AIM = 0.75  # the Dice that was set as the aim of the simulator
SMALL, LARGE = 40, 150  # pixels of a nodule in a slice


# --- can they be told apart? -------------------------------------------------------------------


def judges_table(realism):
    """What share of real and of simulated slices each judge calls right: a text of several lines.

    In the results, each judge has said "real" of so many real and so many simulated slices.
    """
    of_real, of_simulated = realism["setting"]["counts_real_simulated"]["tested"]
    lines = [f"{'called right':38}    real  simulated  balanced     AUC"]
    for row in realism["judges"]:
        real, simulated = row["said_real_of_real_simulated"]
        score = "-" if row["auc"] is None else f"{row['auc']:.2f}"
        lines.append(
            f"{row['judge']:38} {real / of_real:7.0%} {1 - simulated / of_simulated:10.0%}"
            f" {row['balanced_accuracy']:9.2f} {score:>7}"
        )
    lines.append(
        f"\n{of_real} real and {of_simulated} simulated slices of patients "
        "that no judge was fitted on"
    )
    return "\n".join(lines)


def judges(realism):
    """How good the judges are, and how dense ground glass is.

    Holds the paragraph below the table of judges: two nearest neighbours, a logistic regression
    and a network, in this order.
    """
    glass = {row["number"]: row for row in realism["hounsfield"]}["ground glass core"]
    *nearest, logistic, network = realism["judges"]
    shares = [row["balanced_accuracy"] for row in nearest]
    assert len(nearest) == 2
    best = max(realism["numbers"], key=lambda row: abs(row["auc"] - 0.5))
    return {
        "glass-simulated": signed(glass["simulated"][2], ".0f"),
        "glass-real": signed(glass["measured"][2], ".0f"),
        "glass-slices": f"{len(glass['values']):d}",
        "judge-network": f"{network['auc']:.2f}",
        "judge-network-share": f"{network['balanced_accuracy']:.2f}",
        "judge-logistic": f"{logistic['auc']:.2f}",
        "judge-nearest-low": f"{min(shares):.2f}",
        "judge-nearest-high": f"{max(shares):.2f}",
        "judge-number": best["number"],
        "judge-number-auc": f"{max(best['auc'], 1 - best['auc']):.2f}",
    }


# --- does a network learn from them? -----------------------------------------------------------


def setting_of_training(result):
    """What was trained and tested: parameters, steps, slices, nodules, patients, readers.

    Holds the two paragraphs above the figure of the trainings. The figure's caption and its text
    for those who do not see it name the steps and the seven patients.
    """
    setting, tuned, unseen = result["setting"], result["data"], result["blind"]
    steps, times = setting["steps"], setting["times_longer"]
    few, many = setting["few_and_many_nodules"]
    assert (steps, times, unseen["test_patients"]) == (900, 4, 7)
    return {
        "teach-parameters": f"{setting['parameters']:,d}",
        "teach-steps": f"{steps:d}",
        "teach-times": f"{times:d}",
        "teach-longer": f"{times * steps:,d}",
        "teach-simulated": f"{setting['simulated_slices']:,d}",
        "teach-few": f"{few:d}",
        "teach-many": f"{many:d}",
        "teach-slices": f"{tuned['test_slices']:d}",
        "teach-patients": f"{tuned['test_patients']:d}",
        "teach-consensus": f"{tuned['readers_dice_with_consensus']:.2f}",
        "teach-mutual": f"{tuned['readers_mutual_dice']:.2f}",
        "teach-lifted": f"{np.mean(tuned['lifted_of_slice']):.0%}",
        "teach-small": f"{np.mean(np.array(tuned['area_of_slice']) < SMALL):.0%}",
        "blind-nodules": f"{unseen['test_nodules']:d}",
        "blind-patients": f"{unseen['test_patients']:d}",
    }


def dice_by_training(result):
    """Mean Dice of each training, and of the long ones on parts of the patients tuned on.

    Holds the three paragraphs below the table of the trainings: after the short trainings,
    simulated slices are worth as much as a few real nodules, and miss the aim; after the long
    ones they meet it in every seed, few real nodules have given all they had, and the order is
    few real, simulated, many real; all lose on patients never looked at.
    """
    trained, times = rows_by_condition(result), result["setting"]["times_longer"]
    keys = {
        "threshold, central part": "threshold",
        "simulated": "simulated",
        "simulated, few real": "both",
        "few real": "few",
        "many real": "many",
        f"simulated, {times} times": "simulated-longer",
        f"few real, {times} times": "few-longer",
        f"many real, {times} times": "many-longer",
    }
    rows = {key: trained[condition] for condition, key in keys.items()}
    alone, longer = rows["simulated"]["mean_dice"], rows["simulated-longer"]
    assert alone < AIM < min(longer["by_seed"])
    assert longer["blind"]["mean_dice"] < AIM
    assert abs(alone - rows["few"]["mean_dice"]) < 0.005
    assert rows["few-longer"]["mean_dice"] < rows["few"]["mean_dice"] + 0.005
    assert all(row["blind"]["mean_dice"] < row["mean_dice"] for row in trained.values())
    order = [rows[key] for key in ("few-longer", "simulated-longer", "many-longer")]
    for tested in (order, [row["blind"] for row in order]):
        means = [row["mean_dice"] for row in tested]
        assert means == sorted(means)
    texts = {"dice-simulated-longer-least": f"{min(longer['by_seed']):.3f}"}
    for key, row in rows.items():
        texts[f"dice-{key}"] = f"{row['mean_dice']:.3f}"
        texts[f"dice-{key}-blind"] = f"{row['blind']['mean_dice']:.3f}"
    for key in ("simulated-longer", "many-longer"):
        group = rows[key]["by_group"]
        texts[f"dice-{key}-lifted"] = f"{group['lung lifted']:.2f}"
        texts[f"dice-{key}-dark"] = f"{group['lung dark']:.3f}"
        texts[f"dice-{key}-small"] = f"{group['below 40 pixels']:.2f}"
        texts[f"dice-{key}-large"] = f"{group['150 pixels and more']:.2f}"
    return texts


def behind_many_real(result):
    """How far simulated slices are behind many real nodules, and what each size adds to it.

    Holds the point on the simulator: small nodules take next to nothing, large ones more than
    half. A size takes from the mean its share of the slices times what it lacks there.
    """
    trained, times = rows_by_condition(result), result["setting"]["times_longer"]
    simulated, many = (trained[f"{name}, {times} times"] for name in ("simulated", "many real"))
    area = np.array(result["data"]["area_of_slice"])
    sizes = {
        "below 40 pixels": area < SMALL,
        "40 to 150 pixels": (area >= SMALL) & (area < LARGE),
        "150 pixels and more": area >= LARGE,
    }
    small, middle, large = (
        part.mean() * (many["by_group"][name] - simulated["by_group"][name])
        for name, part in sizes.items()
    )
    gap = many["mean_dice"] - simulated["mean_dice"]
    assert abs(small + middle + large - gap) < 5e-4
    assert small < 0.005 and large > gap / 2
    return {
        "gap": f"{gap:.3f}",
        "gap-small": f"{small:.3f}",
        "gap-middle": f"{middle:.3f}",
        "gap-large": f"{large:.3f}",
    }


def training_table(result):
    """Mean Dice of each training, their differences, and parts: a text of several lines."""
    trained, tuned, unseen = rows_by_condition(result), result["data"], result["blind"]
    longer = {f"{name}, 4 times": f"{title}, 4 times" for name, title in CONDITIONS.items()}
    titles = {name: title for name, title in (CONDITIONS | longer).items() if name in trained}
    lines = [f"{'':25}tuned on (3 seeds)        95 %       blind  95 %"]
    for name, title in titles.items():
        row, blind = trained[name], trained[name]["blind"]
        seeds = " ".join(f"{mean:.3f}" for mean in row["by_seed"])
        seeds = f"({seeds})" if len(row["by_seed"]) > 1 else ""
        here, there = (
            "{:.2f}-{:.2f}".format(*test["interval_by_patient"]) for test in (row, blind)
        )
        lines.append(
            f"{title:24} {row['mean_dice']:.3f} {seeds:19} {here}"
            f"  {blind['mean_dice']:.3f}  {there}"
        )
    readers = {"two readers": "mutual_dice", "a reader and consensus": "dice_with_consensus"}
    for title, key in readers.items():
        here, there = (test[f"readers_{key}"] for test in (tuned, unseen))
        lines.append(f"{title:24} {here:.3f} {'':30} {there:.3f}")
    lines.append(f"\n{'mean difference by slice':31}{'tuned on':25}blind")
    for ending in ("", ", 4 times"):
        for other in (f"few real{ending}", f"many real{ending}"):
            here, there = (
                "{:+.3f} ({:+.3f}, {:+.3f})".format(
                    *mean_difference(result, f"simulated{ending}", other, test)
                )
                for test in ("data", "blind")
            )
            lines.append(f"simulated - {other:18} {here}  {there}")
    lines.append("\nmean Dice on parts of the patients tuned on")
    lines.append(f"{'':24} below 40  40-149  >= 150 pixels  lung dark  lifted")
    for name, title in titles.items():
        small, middle, large, dark, up = trained[name]["by_group"].values()
        lines.append(f"{title:24} {small:8.3f} {middle:7.3f} {large:14.3f} {dark:10.3f} {up:7.3f}")
    return "\n".join(lines)
