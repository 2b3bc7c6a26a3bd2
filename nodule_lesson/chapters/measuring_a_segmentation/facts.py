"""Numbers in the text on measuring a segmentation. Each function returns texts by name."""

import numpy as np

from nodule_lesson.chapters.measuring_a_segmentation import live
from nodule_lesson.evaluation import measures


def slices_and_pixels(truth, spacing):
    """How many slices there are, how many of them are empty, and how large pixels are in mm.

    Holds the sentences on a mask that is empty everywhere, on distances in pixels, and on the
    slices without an outline.
    truth: (N, H, W), boolean. spacing: (N, 2), height and width of a pixel in mm.
    """
    smallest, largest = spacing.min(), spacing.max()
    return {
        "accuracy-of-nothing": f"{1 - truth.mean():.1%}",
        "slices-all": f"{len(truth):d}",
        "slices-empty": f"{(~truth.any((1, 2))).sum():d}",
        "smallest-pixel": f"{smallest:.2f}",
        "largest-pixel": f"{largest:.2f}",
        "pixel-ratio": f"{largest / smallest:.1f}",
    }


def answers_of_the_figure():
    """What the live figure shows for its four questions. Holds the answers below it."""
    start = {control.name: control.value for control in live.CONTROLS}

    def shown(**moved):
        return live.compute(start | moved)["measures"]

    shifts = range(live.REACH + 1)
    half = min(shifts, key=lambda shift: abs(shown(right=shift)["dice"] - 0.5))
    states = {
        "half": shown(right=half),
        "large-nodule": shown(),
        "small-nodule": shown(truth="small nodule"),
        "clean": shown(right=0),
        "speck": shown(right=0, speck="1 pixel"),
    }
    large, small, clean, speck = (states[name] for name in list(states)[1:])
    assert small["dice"] < large["dice"] / 2, "change the text"
    assert abs(small["hausdorff_distance"] / large["hausdorff_distance"] - 1) < 0.2
    assert speck["hausdorff_distance"] > 5 * clean["hausdorff_distance"], "change the text"
    wrong, right = (shown(truth="empty slice", size=size) for size in (1.0, 0.0))
    undefined = {name for name, value in wrong.items() if np.isnan(value)}
    assert undefined == {"sensitivity", "hausdorff_distance", "assd"}, "change the text"
    assert np.isnan(list(right.values())).all(), "change the text"
    texts = {"half-shift": f"{half:d}"}
    for state, values in states.items():
        texts |= {f"{state}-{name}": f"{values[name]:.3f}" for name in ("dice", "iou")}
        texts[f"{state}-hd"] = f"{values['hausdorff_distance']:.1f}"
        texts[f"{state}-assd"] = f"{values['assd']:.1f}"
    return texts


def paper_rows(paper):
    """What the means of the paper's rows say of their units: misses, and the Dice of the rest.

    Holds the sentences that no row satisfies the harmonic mean, the inference on the proposed
    model and UNet, and the paragraph on their distances.
    paper: for each row precision, sensitivity, Dice, IoU, HD and ASSD (mm).
    """
    p, s, D, J, HD, ASSD = np.array(list(paper.values())).T
    harmonic, found = 2 * p * s / (p + s), 2 - D / J
    missed = 1 - D / found
    assert (D < harmonic).all() and (J > D / (2 - D)).all()
    unet, proposed = (list(paper).index(name) for name in ("UNet", "proposed"))
    return {
        "unet-parts": f"{harmonic[unet]:.3f}",
        "unet-dice": f"{D[unet]:.3f}",
        "unet-missed": f"{missed[unet]:.0%}",
        "unet-found": f"{found[unet]:.2f}",
        "proposed-missed": f"{missed[proposed]:.0%}",
        "proposed-found": f"{found[proposed]:.2f}",
        "paper-hd": f"{HD[proposed]:.3f}",
        "paper-assd": f"{ASSD[proposed]:.3f}",
        "paper-ratio-low": f"{(HD / ASSD).min():.0f}",
        "paper-ratio-high": f"{(HD / ASSD).max():.0f}",
    }


def readers_by_contour(first, second, package, by_contour):
    """Dice and distances of two readers, and what becomes of the ASSD with other contours.

    Holds the two paragraphs below the table of the contours, and the one on the yardstick.
    first, second: (pairs, H, W), boolean. package: the package's mean HD and ASSD in mm.
    by_contour: for each contour the means of points, HD, ASSD and mean of means.
    """
    hd, assd = package
    _, hd_of_all, assd_of_all, _ = by_contour["all pixels"]
    return {
        "readers-dice": f"{measures.dice(first, second).mean():.2f}",
        "readers-hd": f"{hd:.2f}",
        "readers-assd": f"{assd:.2f}",
        "readers-ratio": f"{hd / assd:.1f}",
        "all-assd": f"{assd_of_all:.2f}",
        "all-ratio": f"{hd_of_all / assd_of_all:.0f}",
        "eight-assd": f"{by_contour['8 neighbours'][2]:.2f}",
        "outside-assd": f"{by_contour['first outside'][2]:.2f}",
    }


def five_values(five):
    """The Dice of readers 1 and 4, by lesion and pooled, and the range of reader 1.

    Holds the caption of the figure of the five values and the paragraph below it: by lesion
    reader 1 is last, level with the threshold; pooled, the same reader is second of five and
    better than reader 4.
    five: for each name five values of Dice, the last two by lesion and pooled.
    """
    one, four = five["reader 1"], five["reader 4"]
    assert one[3] < four[3] and one[4] > four[4], "the ranking no longer turns"
    assert min(one) == one[3] and max(one) == one[4]
    assert one[3] == min(values[3] for values in five.values())
    assert abs(one[3] - five["threshold"][3]) < 0.01
    assert sorted((values[4] for values in five.values()), reverse=True).index(one[4]) == 1
    return {
        "five-low": f"{min(one):.2f}",
        "five-high": f"{max(one):.2f}",
        "one-lesion": f"{one[3]:.2f}",
        "four-lesion": f"{four[3]:.2f}",
        "one-pooled": f"{one[4]:.2f}",
        "four-pooled": f"{four[4]:.2f}",
    }


LARGE = 500  # pixels of a slice


def why_lines_cross(readers, truth, lesions):
    """What readers 1 and 4 miss, and how well they outline the large slices.

    Holds the paragraph on the crossing lines: reader 1 misses more lesions than reader 4, of few
    pixels, and is better where most pixels are.
    readers: of four, (N, H, W), 0 or 1. lesions: (N,) names, "" for none.
    """
    area, lesions = truth.sum((1, 2)), np.asarray(lesions)
    large, names = area > LARGE, sorted(set(lesions) - {""})
    lost, share, dice = {}, {}, {}
    for name, reader in (("one", readers[0]), ("four", readers[3])):
        found = (reader & truth).any((1, 2))
        lost[name] = sum(not found[lesions == lesion].any() for lesion in names)
        share[name] = area[~found].sum() / area.sum()
        dice[name] = measures.dice(reader, truth)[large].mean()
    of_large = area[large].sum() / area.sum()
    assert lost["one"] > lost["four"] and dice["one"] > dice["four"], "change the text"
    assert share["one"] < 0.1 and of_large > 0.5, "change the text"
    return {
        "one-lost": f"{lost['one']:d}",
        "four-lost": f"{lost['four']:d}",
        "lesions-all": f"{len(names):d}",
        "one-lost-pixels": f"{share['one']:.0%}",
        "large-share": f"{of_large:.0%}",
        "one-large": f"{dice['one']:.2f}",
        "four-large": f"{dice['four']:.2f}",
    }


def smallest_and_largest(dice, assd, fifth):
    """Dice and ASSD of two readers, for the smallest and the largest fifth of the pairs.

    Holds the paragraph below the figure of the sizes: by Dice readers agree least on the small
    ones, by millimetres most.
    dice, assd: (pairs,), the latter in mm. fifth: (pairs,), 0 for the smallest to 4.
    """
    (small_dice, small_assd), (large_dice, large_assd) = (
        (dice[fifth == k].mean(), assd[fifth == k].mean()) for k in (0, 4)
    )
    assert small_dice < large_dice and small_assd < large_assd
    return {
        "small-dice": f"{small_dice:.2f}",
        "large-dice": f"{large_dice:.2f}",
        "small-assd": f"{small_assd:.2f}",
        "large-assd": f"{large_assd:.2f}",
    }


def real_readers(counts):
    """The mean Dice of two real readers. Holds the paragraph on the yardstick.

    counts: what results/lidc_counts.json holds.
    """
    return {"real-readers": f"{counts['dice']['mean']:.2f}"}
