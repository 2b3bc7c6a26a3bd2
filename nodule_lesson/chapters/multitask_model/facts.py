"""Numbers in the text and the tables of the chapter on the multitask model.

A function for the text returns texts by name, one for a table its head and its rows. In the
functions for the crops of the demo set, `truth`, `mask` and `plain` are booleans, (N, 64, 64): the
nodule, the network's mask, and the plain sigmoid of the same logits; `output` is the network's
`Output`, `scores` the Dice of each crop, and `ranked` the numbers of the crops with a nodule, the
worst first.
"""

import inspect
import math
from pathlib import Path

import numpy as np
import torch

from nodule_lesson.chapters.multitask_model import live
from nodule_lesson.networks import (
    PRETRAINED,
    DetectionGuidedNet,
    blocks,
    build_model,
    detection_guided,
    model_card,
    summary,
)

# --- the network -------------------------------------------------------------------------------


# Part of the network, what makes it, and the chapter that prints it.
PARTS = (
    ("C1 to C5", (blocks.resnet_stages, blocks.Bottleneck), "this one"),
    ("FC", (blocks.Head,), "this one"),
    ("S1 to S5", (blocks.ResidualUnit, blocks.BRC), "Convolutions that see wide"),
    ("ASPP in S5 and S9", (blocks.ASPP,), "this one"),
    ("combination blocks", (blocks.CombinationBlock,), "The combination block"),
    ("S6 to S9", (detection_guided.DecoderStage,), "this one"),
    ("channels for a width", (blocks.scaled,), "this one"),
    ("all of it", (DetectionGuidedNet,), "this one"),
)


def _lines(thing):
    return len(inspect.getsource(thing).splitlines())


def parts_of_the_network():
    """The table of the parts: what makes each, its file and lines, and where it is printed."""
    rows = []
    for part, makers, printed in PARTS:
        (file,) = {Path(inspect.getsourcefile(maker)).name for maker in makers}
        names = ", ".join(f"`{maker.__name__}`" for maker in makers)
        lines = " + ".join(f"{_lines(maker):d}" for maker in makers)
        rows.append(f"| {part} | {names} | `{file}` | {lines} | {printed} |")
    head = ["| part | class or function | file | lines | printed in |", "|:--|:--|:--|--:|:--|"]
    return "\n".join(head + rows)


def lines_of_the_class():
    """The lines of the network's class, and of all that the table of the parts names.

    Holds the sentence on its length at the head of "Where each part stands".
    """
    whole = sum(_lines(maker) for _, makers, _ in PARTS for maker in makers)
    return {"class-lines": f"{_lines(DetectionGuidedNet):d}", "parts-lines": f"{whole:d}"}


def numbers_inside(calls):
    """How many numbers S1 and S5 have, in those of the image.

    Holds the sentence on the numbers of the encoder. calls: what `trace` notes of the network.
    """
    image, s1, s5 = (math.prod(calls[name].shape) for name in ("image", "S1", "S5"))
    return {"blow-up": f"{s1 / image:.0f}", "bottom": f"{s5 / image:.0f}"}


def costs(net, counted):
    """What the network holds and costs, and the shares of its parts.

    Holds the paragraph below the figure of the shares of the blocks.
    net: the network as in the paper. counted: its `Summary`.
    """
    rows = {row.name: row for row in counted.rows}
    classifier = ("C1", "C2", "C3", "C4", "C5", "FC")

    def share(field, names):
        of_all = sum(getattr(rows[name], field) for name in names) / getattr(counted, field)
        return f"{of_all:.0%}"

    aspp = sum(p.numel() for p in net.S5[1].parameters())
    separable = summary(build_model("proposed", separable_aspp=True))
    return {
        "parameters": f"{counted.parameters / 1e6:.1f}",
        "adds": f"{counted.multiply_adds / 1e9:.1f}",
        "s5-parameters": share("parameters", ["S5"]),
        "s5-aspp": f"{aspp / counted.parameters:.0%}",
        "s5-s9-adds": share("multiply_adds", ["S5", "S9"]),
        "classifier-parameters": share("parameters", classifier),
        "classifier-adds": share("multiply_adds", classifier),
        "blocks-parameters": share("parameters", [name for name in rows if "+" in name]),
        "light-parameters": f"{separable.parameters / 1e6:.1f}",
        "light-adds": f"{separable.multiply_adds / 1e9:.1f}",
    }


def costs_of_slim(slim, counted):
    """What the slim network holds, in millions, and costs, in millions, for a crop of 64 x 64.

    Holds the sentences at the head of "Same class, two sizes".
    counted: the `Summary` of the network as in the paper.
    """
    of_slim = summary(slim, 64)
    return {
        "slim-parameters": f"{of_slim.parameters / 1e6:.2f}",
        "slim-adds": f"{of_slim.multiply_adds / 1e6:.0f}",
        "times-fewer": f"{counted.parameters / of_slim.parameters:.0f}",
    }


# Parameters in millions that the papers or public code give.
PUBLISHED = {
    "unet": "31.03",
    "resunet": "7.8",
    "resunet++": "4.06",
    "deeplabv3+": "about 40",
    "proposed": "not given",
}


def rivals(counted):
    """The table of the networks of the paper's Table 1: what each holds and costs.

    Holds the sentence that the proposed model is the largest. counted: its `Summary`.
    """
    sizes = {name: summary(build_model(name)) for name in PUBLISHED if name != "proposed"}
    sizes["proposed"] = counted
    assert all(counted.parameters > 2 * size.parameters for size in list(sizes.values())[:-1])
    rows = [
        [f"`{name}`", f"{size.parameters / 1e6:.2f}", f"{size.multiply_adds / 1e9:.1f}"]
        + [PUBLISHED[name]]
        for name, size in sizes.items()
    ]
    head = ["network", "parameters, million", "multiply-adds, billion", "published, million"]
    return head, rows


OPEN_CHOICES = {
    "classifier_blocks": "Units in C2 to C5. “ResNet-50” has (3, 4, 6, 3). Our slim model has "
    "one each.",
    "rates": "Dilations of both ASPP. The paper gives them; open is whether smaller ones would "
    "suit S5, where most taps see padding.",
    "separable_aspp": "Dense or depthwise separable convolutions in ASPP? Not said.",
    "separable_units": "The text replaces the first, strided convolution. We replace the first "
    "one of every unit but S1, strided or not.",
    "activation": "Normalisation and ReLU inside the combination block? The text names three "
    "convolutions and nothing between them.",
    "upsampling": "How the decoder doubles the size is not said. ResUNet repeats pixels.",
    "std": "Start of σ and λ₂, number of steps, radius of the kernel, gradient: “within ten "
    "steps” is all that is said.",
}


def open_choices():
    """The table of what the paper leaves open, as Markdown, with the defaults of the class.

    Holds the sentence that every such choice is a keyword argument: none is left out.
    """
    parameters = inspect.signature(DetectionGuidedNet).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert keywords.keys() == OPEN_CHOICES.keys()
    lines = ["| argument | default | what is open |", "|:--|:--|:--|"]
    lines += [f"| `{name}` | `{keywords[name]}` | {OPEN_CHOICES[name]} |" for name in keywords]
    return "\n".join(lines)


# --- the trained networks ----------------------------------------------------------------------

WORLDS = ("simulated patients", "real patients")


def scores_of_the_cards():
    """The table of the scores on the model cards."""
    rows = []
    for patients in WORLDS:
        for name in PRETRAINED:
            card = model_card(name)
            score, whole = (card[key][patients] for key in ("scores", "scores at 128x128"))
            low, high = score["interval_by_patient"]
            rows.append(
                [
                    f"`{name}`",
                    patients.removesuffix(" patients"),
                    f"{score['mean_dice']:.3f}",
                    f"{low:.2f}–{high:.2f}",
                    f"{score['missed_share']:.0%}",
                    f"{score['false_positive_pixels']:.1f}",
                    f"{score['auc_of_c']:.2f}",
                    f"{whole['mean_dice']:.3f}",
                ]
            )
    measures = ["mean Dice", "95 %", "missed", "false pixels", "AUC of c", "128×128"]
    return ["network", "tested on", *measures], rows


def uncertainty_of_the_cards():
    """How many patients were tested, and what the interval and the twin say of a difference.

    Holds the sentences below the table of the cards, up to the one on two recipes.
    """
    simulated, real = WORLDS
    slim, twin = (model_card(name)["scores"][simulated] for name in ("slim", "slim-plain"))
    low, high = slim["interval_by_patient"]
    difference = slim["mean_dice"] - twin["mean_dice"]
    return {
        "patients-simulated": f"{slim['patients']:d}",
        "patients-real": f"{model_card('slim-real')['scores'][real]['patients']:d}",
        "width-of-interval": f"{(high - low) / 2:.2f}",
        "dice-difference": f"{abs(difference):.2f}",
        "winner": "layer" if difference > 0 else "plain sigmoid",
    }


def scores_of_slim():
    """The median and the mean Dice of `slim` on its test, and the share of misses.

    Holds the sentence that compares them with the crops of the demo set.
    """
    scores = model_card("slim")["scores"]["simulated patients"]
    return {
        "card-median": f"{scores['median_dice']:.2f}",
        "card-mean": f"{scores['mean_dice']:.2f}",
        "card-missed": f"{scores['missed_share']:.0%}",
    }


def layer_against_its_twin():
    """In how many of four comparisons the layer has fewer false pixels, and more misses.

    Holds the sentences on a prior that can only shrink.
    """
    pairs = [
        [model_card(each)["scores"][patients] for each in (name, f"{name}-plain")]
        for name in ("slim", "slim-real")
        for patients in WORLDS
    ]
    fewer = sum(a["false_positive_pixels"] < b["false_positive_pixels"] for a, b in pairs)
    more = sum(a["missed_share"] > b["missed_share"] for a, b in pairs)
    words = ("none", "one", "two", "three", "all")
    return {"fewer-false": words[fewer], "more-missed": words[more]}


def learned_layer():
    """The sigma and the lambda2 that `slim` has learned. Holds the sentence on both."""
    learned = model_card("slim")["std"]
    return {
        "card-sigma": f"{learned['sigma']:.2f}",
        "card-lambda2": f"{learned['lambda2']:.2f}",
    }


# --- the live figure ---------------------------------------------------------------------------


def played(**moved):
    """What the live figure shows when some of its controls have been moved."""
    parameters = {control.name: control.value for control in live.CONTROLS}
    return live.compute(parameters | moved)


def opening_of_the_figure():
    """What the figure shows first, and with c pulled to 1.

    Holds the sentence that the layer makes the Dice of its first crop a little worse, and the
    first answer below the figure: it is the prior.
    """
    first, sure = played(), played(source=live.BY_HAND, c=1.0)
    plain = int((first["input"] > 0).sum())
    assert first["dice"] < sure["dice"] <= first["plain_dice"] + 0.002, "change the text"
    assert plain - first["area"] > 3 * abs(plain - sure["area"]), "change the text"
    return {
        "play-dice": f"{first['dice']:.3f}",
        "play-plain": f"{first['plain_dice']:.3f}",
        "play-c": f"{first['c']:.2f}",
        "play-area": f"{first['area']:d}",
        "play-plain-area": f"{plain:d}",
        "play-sure-area": f"{sure['area']:d}",
        "play-sure": f"{sure['dice']:.3f}",
    }


def answers_of_the_figure():
    """What the three other tasks below the figure show. Holds their answers."""
    worst = played(crop="worst Dice", lambda1=0.0, lambda2=0.0)
    assert worst["input"].max() < 0 and worst["area"] == 0, "change the text"
    false = {"crop": "no nodule, most marked", "source": live.BY_HAND}
    marked, doubted, pushed = (
        played(**false, c=c, lambda2=weight)["area"]
        for c, weight in ((1.0, live.LAMBDA2), (0.0, live.LAMBDA2), (0.0, 8.0))
    )
    assert marked > doubted > pushed > 0, "change the text"
    texts = {
        "worst-logit": f"{worst['input'].max():.1f}".replace("-", "\N{MINUS SIGN}"),
        "false-area": f"{marked:d}",
        "false-doubted": f"{doubted:d}",
        "false-pushed": f"{pushed:d}",
        "false-logit": f"{played(**false)['input'].max():.1f}",
    }
    lost, undecided = [], []
    for name, crop in (("changed", "most changed by STD"), ("median", "median Dice")):
        weak, strong = (played(crop=crop, sigma=3.0, lambda1=weight) for weight in (0.0, 4.0))
        lost.append(weak["area"] - strong["area"])
        undecided.append((np.abs(weak["input"]) < 1).sum())
        texts[f"{name}-weak"] = f"{weak['area']:d}"
        texts[f"{name}-strong"] = f"{strong['area']:d}"
        texts[f"{name}-undecided"] = f"{undecided[-1]:d}"
    assert lost[0] > 2 * lost[1] and undecided[0] > 2 * undecided[1], "change the text"
    return texts


# --- the crops of the demo set -----------------------------------------------------------------


def moved_pixels(truth, mask, plain, output):
    """How many pixels of the crops with a nodule are undecided, and how many the layer moves.

    Holds the answer to "why so little difference between the last two columns?".
    """
    nodule = truth.any((1, 2))
    changed = (mask != plain).sum((1, 2))[nodule]
    undecided = float((output.u[torch.as_tensor(nodule)].abs() < 1).float().mean())
    return {
        "undecided": f"{undecided:.1%}",
        "changed-nine-of-ten": f"{np.quantile(changed, 0.9, method='inverted_cdf'):d}",
        "changed-most": f"{changed.max():d}",
        "changed-c": f"{float(output.nodule[nodule][changed.argmax()]):.2f}",
        "area-median": f"{np.median(truth.sum((1, 2))[nodule]):.0f}",
    }


def lowest_quarter(truth, scores, ranked):
    """The mean Dice, the misses, and how many of the lowest quarter are misses or small nodules.

    Holds the sentences below the figure of the ranks: these are half at least. And its caption:
    the last one is a miss.
    """
    area = truth.sum((1, 2))
    lowest = ranked[: len(ranked) // 4]
    excused = (scores[lowest] == 0) | (area[lowest] < np.median(area[ranked]) / 2)
    assert excused.sum() >= len(lowest) / 2 and scores[ranked[0]] == 0, "change the text"
    return {
        "demo-nodules": f"{len(ranked):d}",
        "demo-mean": f"{scores[ranked].mean():.2f}",
        "demo-missed": f"{(scores[ranked] == 0).sum():d}",
        "lowest": f"{len(lowest):d}",
        "lowest-excused": f"{excused.sum():d}",
    }


def marked_empty_crops(truth, mask, output):
    """How many empty crops get an outline, and how sure the classifier is of a nodule there.

    Holds the sentences on empty crops.
    """
    empty = ~truth.any((1, 2))
    marked = empty & mask.any((1, 2))
    return {
        "empty-marked": f"{marked.sum():d}",
        "empty-all": f"{empty.sum():d}",
        "empty-c": f"{np.median(output.nodule.numpy()[marked]):.2f}",
    }


def known_sizes(by_side):
    """The mean Dice for crops of each side.

    Holds the paragraph on sizes: it fails at 32 and at 96, and knows the two of its training.
    by_side: the mean Dice and the median c for each side in pixels.
    """
    mean = {side: dice for side, (dice, _) in by_side.items()}
    assert max(mean[32], mean[96]) < min(mean[64], mean[128]) / 2, "change the text"
    return {f"size-{side}": f"{mean[side]:.2f}" for side in (32, 64, 96, 128)}
