"""Numbers in the text on training at scale. Each function returns texts by name, except for
`projected_times`, which returns a table.
"""

from nodule_lesson.experiments import grid
from nodule_lesson.networks import build_model, summary

# Dense 16-bit operations per second, 1e12, from the makers' data sheets.
PEAKS = {"T4 (Colab)": 65, "L4 (Colab)": 121, "A100": 312, "H100 or H200": 989}
SHARE_OF_PEAK = 1 / 8  # assumed


def projected_times(work, pretraining, fine_tuning, rows):
    """How long the paper's trainings take on some GPUs: the head of a table, and its rows.

    work: operations per image. pretraining: images of 200 epochs. fine_tuning: images of all
    `rows` rows of the tables.
    """
    head = ["GPU", "images per second, projected", "Tables 1 to 3, once",
            "with 40 epochs of pre-training", "one row, five folds"]  # fmt: skip
    counts = (pretraining + fine_tuning, pretraining * 40 / 200 + fine_tuning, fine_tuning / rows)
    body = []
    for name in PEAKS:
        speed = _images_per_second(name, work)
        body.append([name, f"{speed:,.0f}", *(_duration(count / speed) for count in counts)])
    return head, body


def _images_per_second(gpu, work):
    return SHARE_OF_PEAK * PEAKS[gpu] * 1e12 / work


def _duration(seconds):
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 120 else f"{minutes:.0f} min"


def on_a_t4(work, pretraining):
    """How long the profiles "colab" and "paper" take on a T4.

    Holds the sentence that the profile "paper" pre-trains for forty epochs.
    work: operations per image of 128x128. pretraining: images of 200 epochs.
    """
    colab, paper = grid.PROFILES["colab"], grid.PROFILES["paper"]
    assert paper.side == 128 and colab.side == 64
    assert abs(paper.pretrain_steps * paper.batch / (pretraining / 5) - 1) < 0.02
    speed = _images_per_second("T4 (Colab)", work)
    small_work = 6 * summary(build_model("proposed"), 64).multiply_adds
    colab_images = colab.batch * (colab.pretrain_steps + colab.steps)
    colab_seconds = colab_images / _images_per_second("T4 (Colab)", small_work)
    return {
        "colab-images": f"{colab_images:,}",
        "colab-minutes": f"{colab_seconds / 60:.0f}",
        "every": f"{colab.checkpoint_every}",
        "paper-pre-hours": f"{paper.batch * paper.pretrain_steps / speed / 3600:.1f}",
        "paper-folds-minutes": f"{paper.batch * paper.folds * paper.steps / speed / 60:.0f}",
    }
