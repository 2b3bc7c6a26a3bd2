"""Numbers in the text on learning through the loop. Each function returns texts by name, except
for `speed_table`, which returns a table.
"""

import json
import math

from nodule_lesson import std


def kept_memory(counts, megabytes):
    """What both gradients keep for the way back, in MB.

    Holds the paragraph below the figure of memory: the implicit gradient keeps the same for every
    number of iterations.
    counts: numbers of iterations, the last one 40. megabytes: for each gradient one per count.
    """
    unrolled, implicit = megabytes["unrolled"], megabytes["implicit"]
    assert counts[-1] == 40
    assert len({f"{value:.2f}" for value in implicit}) == 1
    return {
        "loop-kept-ten": f"{unrolled[counts.index(10)]:.2f}",
        "loop-kept-forty": f"{unrolled[-1]:.2f}",
        "loop-kept-implicit": f"{implicit[-1]:.2f}",
    }


def speed_table(path):
    """How many times longer the rivals take, read from the results: a text of several lines."""
    if not path.exists():
        return f"{path} is not beside this notebook; the page of this chapter shows its table."
    result = json.loads(path.read_text(encoding="utf-8"))
    setting, provenance = result["setting"], result["provenance"]
    lines = ["σ  what takes longer  than ours    forward  and backward"]
    for row in result["ratios"]:
        if row["reach"] < 5:  # a kernel cut earlier is quicker, and visibly wrong
            continue
        lines.append(
            f"{row['sigma']:g}  {row['rival']:17}  {row['ours']:9}  {row['forward']:6.1f} x"
            f"  {row['forward_backward']:8.1f} x"
        )
    lines.append(
        f"\nRatios of medians of {provenance['clock']}, {provenance['threads']} thread(s), torch "
        f"{provenance['versions']['torch']}, {setting['batch']} fields of\n"
        f"{setting['height']} x {setting['width']}, T = {setting['iterations']}; "
        "the others' kernels are cut at 5 σ, ours not at all, or like C's beside C."
    )
    return "\n".join(lines)


def window_of_wrong_signs(bests):
    """The best sigma of one step and of ten.

    Holds the sentence on the window between them, where one step says "wider" and ten "narrower".
    bests: the best sigma in pixels for each number of steps.
    """
    assert bests[10] < bests[1]
    return {"loop-best-one": f"{bests[1]:.2f}", "loop-best-ten": f"{bests[10]:.2f}"}


def learned_sigma(way, way_of_one_step):
    """Where sigma ends after training with ten steps and with one.

    Holds the remark on the trap of one step, below the figure of the three starts.
    way, way_of_one_step: (steps + 1, 2), with sigma in the first column.
    """
    return {"loop-single": f"{way_of_one_step[-1, 0]:.2f}", "loop-many": f"{way[-1, 0]:.2f}"}


def farthest_travel():
    """How far Adam could carry one parameter in the paper's schedule, all steps the same way.

    Holds the sentence on 50 epochs of 814 slices in batches of 10, with a rate of 0.001 that is
    multiplied by 0.75 every five epochs.
    """
    steps_per_epoch = math.ceil(814 / 10)
    travel = sum(steps_per_epoch * 5 * 1e-3 * 0.75**period for period in range(10))
    return {"loop-travel": f"{travel:.1f}"}


def overlap_by_loudness(dices, plain):
    """Dice for the quietest and the loudest logits, and of the sigmoid.

    Holds the paragraph below the figure of Dice over the scale of the logits.
    dices: for each lambda1 a list of overlaps, from the quietest logits to the loudest. plain: the
    overlap of the sigmoid.
    """
    return {
        "loop-dice-plain": f"{plain:.2f}",
        "loop-dice-small": f"{dices[1.0][0]:.2f}",
        "loop-dice-large": f"{dices[1.0][-1]:.2f}",
        "loop-dice-strong": f"{dices[1.8][0]:.2f}",
    }


def place_of_weight_decay():
    """The sigma to which weight decay would pull: where the softplus has the argument 0.

    Holds the advice not to use weight decay on the layer.
    """
    return {"loop-decay": f"{std.STDSigmoid.FLOORS['sigma'] + math.log(2):.2f}"}
