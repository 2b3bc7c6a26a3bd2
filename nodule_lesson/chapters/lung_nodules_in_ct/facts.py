"""Numbers in the text on lung nodules in CT. Each function returns texts by name, except for
`judges_table` and `training_table`, which return a table.

realism: what results/simulated_realism.json holds. result: what results/simulated_to_real.json
holds.
"""

import numpy as np

from nodule_lesson.chapters.lung_nodules_in_ct.computations import (
    CONDITIONS,
    mean_difference,
    rows_by_condition,
)
from nodule_lesson.chapters.lung_nodules_in_ct.live import AIR_AND_TISSUE
from nodule_lesson.glue import signed

AIM = 0.75  # the Dice that was set as the aim of the simulator
SMALL, LARGE = 40, 150  # pixels of a nodule in a slice


def lung_level(images, masks):
    """The median of lung in HU, and the share of tissue that makes it.

    Holds the paragraph below the mixtures of air and tissue.
    images: (N, H, W), HU. masks: the same shape, not 0 in nodules. Lung is what lies below -500
    HU and in no nodule; tissue has 40 HU.
    """
    level = float(np.median(images[(images < AIR_AND_TISSUE) & (masks == 0)]))
    return {"lung-median": signed(level, ".0f"), "lung-tissue": f"{(level + 1000) / 1040:.0%}"}


def brightest_voxels(profile):
    """The brightest voxel of solid balls of 4 and 2 mm, in thin and in thick slices, HU.

    Holds the sentence below the figure of partial volume.
    profile: the chapter's function of a diameter and a thickness in mm.
    """
    balls = {"peak-thin": (4, 1.0), "peak-thick": (4, 5.0), "peak-tiny": (2, 5.0)}
    return {name: signed(profile(*ball).max(), ".0f") for name, ball in balls.items()}


def one_threshold(found_by_type):
    """What a threshold of -500 HU finds, and how much of what it marks is nodule at most.

    Holds the first two sentences below the table of the types.
    found_by_type: for each type the share found and the share right.
    """
    return {
        "ggo-found": f"{found_by_type['ground glass (GGO)'][0]:.0%}",
        "calcific-found": f"{found_by_type['calcific'][0]:.0%}",
        "most-right": f"{max(right for _, right in found_by_type.values()):.1%}",
    }


def any_threshold(images, masks, types):
    """How much of what a threshold marks is nodule, for the best one and the best of the types.

    Holds the sentence that no other number mends both columns.
    images: (N, H, W), HU. masks: the same shape, not 0 in the nodule. types: (N,), one name per
    slice. Slices without an outline do not count.
    """
    shares = []
    for kind in np.unique(types):
        rows = (types == kind) & masks.any((1, 2))
        hu, truth = images[rows], masks[rows] > 0
        for threshold in range(-900, 401, 25):
            marked = hu > threshold
            shares.append((marked & truth).sum() / max(1, marked.sum()))
    return {"best-right": f"{max(shares):.0%}"}


def few_slices(images, masks, types):
    """The juxtapleural and the cavitary slices: how many, how large, and the former's median HU.

    Holds the two remarks in brackets below the table of the types.
    images, masks, types: as for `any_threshold`.
    """
    at_wall = types == "juxtapleural"
    areas = masks[at_wall | (types == "cavitary")].sum((1, 2), dtype=int)
    return {
        "wall-median": signed(np.median(images[at_wall][masks[at_wall] > 0]), ".0f"),
        "tiny-count": f"{len(areas):d}",
        "tiny-least": f"{areas.min():d}",
        "tiny-most": f"{areas.max():d}",
    }


def contrast_lost(contrasts):
    """What a rib takes from the contrast of ground glass, by hand and in a crop; and padding.

    Holds the answer of the question before the table of contrasts, and the text below it.
    contrasts: of the crop as it is, with bone and with padding, in this order, by name.
    """
    before, bone, padding = contrasts.values()
    return {
        "predicted-loss": f"{1 - (250 / 1760) / (250 / 1020):.0%}",
        "contrast-lost": f"{1 - bone / before:.0%}",
        "contrast-padded": f"{1 - padding / before:.0%}",
    }


def scales_of_slices(low, high, solid):
    """How much a value means after the paper's Eq. (6), slice by slice and for the data set.

    Holds the two paragraphs on each slice and on the data set.
    low, high: (N,), the extremes of each slice in HU. solid: the values of solid tissue, one per
    slice.
    """
    half, span = (low + high) / 2, high.max() - low.min()
    return {
        "solid-low": f"{np.percentile(solid, 5):.2f}",
        "solid-high": f"{np.percentile(solid, 95):.2f}",
        "half-low": signed(np.percentile(half, 5), ".0f"),
        "half-high": signed(np.percentile(half, 95), ".0f"),
        "set-contrast": f"{250 / span:.2f}",
        "slice-contrast": f"{np.median(250 / (high - low)):.2f}",
        "set-step": f"{span / 255:.0f}",
    }


def discs_one_pixel_apart():
    """Dice of two concentric discs, one of them a pixel wider all around, of radius 4 and 20.

    Holds the answer to "what does one pixel cost?".
    """
    return {f"ring-{r}": f"{2 * r**2 / (r**2 + (r + 1) ** 2):.2f}" for r in (4, 20)}


def agreement_of_readers(values, areas, others, bits):
    """Mean Dice of two readers, of small and of large nodules, and of one against the rest.

    Holds the paragraph below the question what one pixel costs.
    values, areas: of each pair of readers who drew a slice its Dice and its mean area. others:
    Dice of one reader and the consensus of the others. bits: (N, H, W), bit r where reader r drew,
    for all slices in which somebody drew.
    """
    small, large = np.quantile(areas, (1 / 3, 2 / 3))
    drew = ((bits[..., None] >> np.arange(4)) & 1).any((1, 2)).sum(1)
    with_zeros = len(values) + (drew * (4 - drew)).sum()  # pairs of which one alone drew
    return {
        "readers-mean": f"{values.mean():.2f}",
        "readers-rest": f"{np.mean(others):.2f}",
        "readers-strict": f"{values.sum() / with_zeros:.2f}",
        "readers-small": f"{values[areas <= small].mean():.2f}",
        "readers-large": f"{values[areas >= large].mean():.2f}",
    }


def real_readers(counts):
    """Mean and quartiles of the Dice of two real readers, and over how many nodules.

    Holds the sentence on LIDC-IDRI in the same paragraph.
    counts: what results/lidc_counts.json holds.
    """
    real = counts["dice"]
    return {
        "real-readers": f"{real['mean']:.2f}",
        "real-low": f"{real['quartiles'][0]:.2f}",
        "real-high": f"{real['quartiles'][-1]:.2f}",
        "real-nodules": f"{real['nodules']:,}",
    }


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
