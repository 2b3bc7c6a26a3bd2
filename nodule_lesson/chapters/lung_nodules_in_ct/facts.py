"""Numbers in the text on lung nodules in CT. Each function returns texts by name."""

import numpy as np

from nodule_lesson.chapters.lung_nodules_in_ct import live
from nodule_lesson.glue import signed


def live_answers():
    """What the live figure shows in the three tasks, and that the answers to them are true.

    Holds the answers below the figure.
    """
    glass, lung_window, tissue_window = "ground glass (GGO)", (-600, 1500), (40, 400)

    def shown(nodule, display=live.WINDOW, window=lung_window):
        level, width = window
        result = live.compute(
            {"nodule": nodule, "display": display, "level": level, "width": width}
        )
        return result | {"contrast": result["nodule"] - result["lung"]}

    gone, start = shown(glass, window=tissue_window), shown(glass)
    best, calcific = shown(glass, window=(-700, 300)), shown("calcific", live.SLICE)
    assert gone["lung"] < 5e-4 and gone["low"] == -160
    assert shown("calcific")["high"] == 150
    hu, outline = live.crop("calcific")
    whole = live.compute({"nodule": "calcific", "display": live.SET, "level": 0, "width": 1})
    assert outline.flat[hu.argmax()] and hu.max() == calcific["high"] < whole["high"]
    lung = [shown(name, live.SLICE)["lung"] for name in live.TYPES]
    in_window = [shown(name)["lung"] for name in live.TYPES]
    assert max(lung) / min(lung) > 1.5 and max(in_window) / min(in_window) < 1.1
    return {
        "live-glass-tissue": f"{gone['nodule']:.3f}",
        "live-glass-best": f"{best['contrast']:.2f}",
        "live-glass-lung": f"{start['contrast']:.2f}",
        "live-calcific-window": f"{shown('calcific')['nodule']:.3f}",
        "live-calcific-slice": f"{calcific['nodule']:.3f}",
        "live-calcific-set": f"{whole['nodule']:.3f}",
        "live-calcific-slice-white": f"{calcific['high']:d}",
        "live-calcific-set-white": f"{whole['high']:,d}",
        "live-lung-least": f"{min(lung):.3f}",
        "live-lung-most": f"{max(lung):.3f}",
        "live-lung-window-least": f"{min(in_window):.3f}",
        "live-lung-window-most": f"{max(in_window):.3f}",
    }


def lung_level(images, masks):
    """The median of lung in HU, and the share of tissue that makes it.

    Holds the paragraph below the mixtures of air and tissue.
    images: (N, H, W), HU. masks: the same shape, not 0 in nodules. Lung is what lies below -500
    HU and in no nodule; tissue has 40 HU.
    """
    level = float(np.median(images[(images < live.AIR_AND_TISSUE) & (masks == 0)]))
    return {"lung-median": signed(level, ".0f"), "lung-tissue": f"{(level + 1000) / 1040:.0%}"}


def brightest_voxels(brightest):
    """The brightest voxel of solid balls of 4 and 2 mm, in thin and in thick slices, HU.

    Holds the sentence below the figure of partial volume.
    brightest: the chapter's function of a diameter and a thickness in mm.
    """
    balls = {"peak-thin": (4, 1.0), "peak-thick": (4, 5.0), "peak-tiny": (2, 5.0)}
    return {name: signed(brightest(*ball), ".0f") for name, ball in balls.items()}


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


def any_threshold(images, masks, types, kinds):
    """A whole percentage that the share of what a threshold marks that is nodule stays below.

    Holds the sentence that another number in the place of -500 does not help.
    images: (N, H, W), HU. masks: the same shape, not 0 in the nodule. types: (N,), one name per
    slice. kinds: the names that count; slices without an outline do not.
    """
    shares = []
    for kind in kinds:
        rows = (types == kind) & masks.any((1, 2))
        hu, truth = images[rows], masks[rows] > 0
        for threshold in range(-1000, 1001, 10):
            marked = hu > threshold
            shares.append((marked & truth).sum() / max(1, marked.sum()))
    return {"best-right": f"{np.floor(100 * max(shares) + 1):.0f}%"}


def few_slices(masks, types, kinds):
    """How many outlined slices there are of all other types than kinds.

    Holds the remark in brackets above the table of the types.
    """
    return {"few-slices": f"{(masks.any((1, 2)) & ~np.isin(types, kinds)).sum():d}"}


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


def agreement_of_readers(values, areas, bits):
    """Mean Dice of two readers who both drew, and of all pairs of which one drew.

    Holds the first row of the table of agreements, the remark below it, the take-away: small
    nodules have the lower Dice, and that a consensus is empty where only one reader drew.
    values, areas: of each pair of readers who drew a slice its Dice and its mean area. bits:
    (N, H, W), bit r where reader r drew, for all slices in which somebody drew.
    """
    small, large = np.quantile(areas, (1 / 3, 2 / 3))
    assert values[areas <= small].mean() < values.mean() < values[areas >= large].mean()
    drew = ((bits[..., None] >> np.arange(4)) & 1).any((1, 2)).sum(1)
    with_zeros = len(values) + (drew * (4 - drew)).sum()  # pairs of which one alone drew
    votes = sum((bits >> reader) & 1 for reader in range(4))
    empty = (votes < 2).all((1, 2))
    assert (empty == (drew == 1)).all()
    return {
        "readers-mean": f"{values.mean():.2f}",
        "readers-strict": f"{values.sum() / with_zeros:.2f}",
        "readers-alone": f"{empty.sum():d}",
    }


def real_readers(counts, trained):
    """Mean Dice of two real readers, per nodule and per slice, and over how many of them.

    Holds the last two rows of the table of agreements.
    counts: what results/lidc_counts.json holds. trained: what results/simulated_to_real.json does.
    """
    nodules, of_slices = counts["dice"], trained["data"]
    return {
        "real-readers": f"{nodules['mean']:.2f}",
        "real-nodules": f"{nodules['nodules']:,}",
        "real-readers-slice": f"{of_slices['readers_mutual_dice']:.2f}",
        "real-slices": f"{of_slices['test_slices']:d}",
    }
