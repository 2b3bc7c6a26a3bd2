"""The page on how distances are computed: the numbers of its text."""

from nodule_lesson.chapters.computing_distances import facts


def test_speed_is_that_of_outlines_of_nodule_size_with_square_pixels():
    def row(contender, ms, times=1.0, masks="nodules", pixels="square pixels"):
        names = {"contender": contender, "masks": masks, "pixels": pixels}
        return {**names, "ms": ms, "times_ours": times}

    ours = "ours, two calls"
    speed = {
        "setting": {"pairs": 1000},
        "rows": [
            row(ours, 0.058),
            row("ours, all six measures", 0.035),
            row("MONAI", 6.8, 117.3),
            row("MONAI", 9.0, 55.0, masks="large outlines"),
            row(ours, 0.5, pixels="oblong pixels"),
        ],
        "lengths": [
            {"contender": ours, "ms": 4.26},
            {"contender": ours, "ms": 1.0},
            {"contender": "MONAI", "ms": 80.0},
        ],
    }
    assert list(facts.speed_of_distances(speed).values()) == ["117", "58", "35", "1,000", "4.3"]
