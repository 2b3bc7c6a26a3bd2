"""Numbers in the text on soft threshold dynamics. Each function returns texts by name."""

from nodule_lesson import std


def printed_limit(u):
    """Where the printed iteration ends in the middle of the image.

    Holds the sentence that an image of a disc and an image of nothing end up alike.
    u: (H, W), logits with the disc in the middle.
    """
    x = std.printed_iteration(u, sigma=2.0, iterations=200)
    middle = x[x.shape[0] // 2, x.shape[1] // 2]
    return {"printed-middle": f"{float(middle):.5f}"}


def error_after_ten_steps(u):
    """The largest error after ten steps, and the bound that holds for every image.

    Holds the sentence on "within ten steps" for lambda1 = epsilon = 1: the steps contract by 1/2,
    and the first one moves no pixel by more than 1/4.
    u: (H, W), logits.
    """
    limit = std.iterates(u, sigma=2.0, iterations=200)[-1]
    error = float((std.iterates(u, sigma=2.0)[-1] - limit).abs().max())
    bound = 0.5**10 / (1 - 0.5) * 0.25
    assert error <= bound
    return {"error-ten": f"{error:.1e}", "bound-ten": f"{bound:.1e}"}


def real_slices(real):
    """What the boundary term does to logits on real slices, with it and without.

    Holds the paragraphs below the table of real slices: outline, Dice, empty masks and seconds.
    real: what results/std_on_real_slices.json holds.
    """
    rows = {
        row["sigma"]: row
        for row in real["rows"]
        if row["logits"] == "shifted" and row["lambda1"] <= 1
    }
    off, on = rows[None]["held_out"], rows[3.0]["held_out"]
    readers = real["consensus"]["held_out"]
    return {
        "real-slices": f"{real['data']['slices']:,d}",
        "real-held": f"{off['slices']:,d}",
        "real-outline-off": f"{off['mean_boundary_length']:.1f}",
        "real-outline-on": f"{on['mean_boundary_length']:.1f}",
        "real-outline-readers": f"{readers['mean_boundary_length']:.1f}",
        "real-dice-off": f"{off['mean_dice']:.3f}",
        "real-dice-on": f"{on['mean_dice']:.3f}",
        "real-empty-off": f"{off['empty_masks']:d}",
        "real-empty-on": f"{on['empty_masks']:d}",
        "real-seconds": f"{rows[3.0]['seconds']:.1f}",
    }
