"""The numbers of the page with the sheets to print."""

import numpy as np

from nodule_lesson.chapters.outline_on_paper.computations import agreements


def rows(crops):
    """For each crop its name, the pixels of the four readers, and the Dice of their pairs."""
    for crop in crops:
        pixels, dice = crop["drawn"].sum((1, 2)), agreements(crop["drawn"])
        yield [
            f"{crop['letter']}, {crop['name']}",
            ", ".join(map(str, pixels)),
            f"{min(dice):.2f} to {max(dice):.2f}",
            f"{np.mean(dice):.2f}",
        ]


def least_agreement(crops):
    """The crop on which the readers agree least, and the one on which they agree most.

    Holds the third step of the session: the small isolated nodule has the lower Dice.
    """
    means = [np.mean(agreements(crop["drawn"])) for crop in crops]
    assert [crop["name"] for crop in crops[:2]] == ["isolated", "isolated, small"]
    assert means[1] < means[0]
    least, most = crops[int(np.argmin(means))], crops[int(np.argmax(means))]
    return {"paper-least": least["letter"], "paper-most": most["letter"]}
