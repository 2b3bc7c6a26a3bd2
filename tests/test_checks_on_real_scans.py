"""The chapter *On real scans*: its checkers, and the counts that it reads.

The checkers get right, typically wrong, and empty answers.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodule_lesson.chapters.on_real_scans import exercises as checks
from nodule_lesson.data import contours
from nodule_lesson.data.sources import idc

COUNTS = Path(__file__).parents[1] / "book" / "results" / "lidc_counts.json"


def by_simpleitk(world, origin, spacing, direction):
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetOrigin(origin.tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image.TransformPhysicalPointToContinuousIndex(world.tolist())


def right_nodule(filled, points, hole, hole_points):
    mask = filled.copy()
    mask[points[:, 1], points[:, 0]] = False
    mask[hole] = False
    mask[hole_points[:, 1], hole_points[:, 0]] = False
    return mask


def right_split(patients, part, generator):
    names = np.unique(patients)
    tested = generator.choice(names, round(part * len(names)), replace=False)
    return np.isin(patients, tested)


def drawn(shape, points, swapped=False):
    """The pixels of an outline as a reader would mark them, wrong order on request."""
    mask = np.zeros((32, 32), bool)
    rows, columns = (0, 1) if swapped else (1, 0)
    mask[points[:, rows], points[:, columns]] = True
    return mask[: shape[0], : shape[1]]


def whole_rows(filled, points, hole, hole_points):
    mask = filled & ~hole
    mask[points] = False
    mask[hole_points] = False
    return mask


# Written out one by one, as a reader would write them: the checker's own code is not used.
WRONG_INDICES = {
    "direction is ignored: that holds": lambda w, o, s, d: (w - o) / s,
    "abs() hides it": lambda w, o, s, d: abs(w - o) / s,
    "wrong way round: its columns": lambda w, o, s, d: d @ (w - o) / s,
    "only the diagonal": lambda w, o, s, d: np.diag(d) * (w - o) / s,
    "is written @": lambda w, o, s, d: d.T * (w - o) / s,
    "so turn first": lambda w, o, s, d: d.T @ ((w - o) / s),
    "too early, and the direction": lambda w, o, s, d: d @ ((w - o) / s),
    "order of the axes": lambda w, o, s, d: (d.T @ (w - o) / s)[::-1],
    "origin is missing": lambda w, o, s, d: d.T @ w / s,
    "taken away after turning": lambda w, o, s, d: (d.T @ w - o) / s,
    "spacing is missing": lambda w, o, s, d: d.T @ (w - o),
    "multiplied by the spacing": lambda w, o, s, d: d.T @ (w - o) * s,
    "sign is off": lambda w, o, s, d: d.T @ (o - w) / s,
    "rounded": lambda w, o, s, d: np.round(d.T @ (w - o) / s),
    "leave the fractions": lambda w, o, s, d: (d.T @ (w - o) / s).astype(int),
}
WRONG_NODULES = {
    "inclusion's outline is still there": lambda f, p, h, q: f & ~h & ~drawn(f.shape, q),
    "inclusion's outline was added": lambda f, p, h, q: (
        (f | drawn(f.shape, p)) & ~h & ~drawn(f.shape, q)
    ),
    "outline is left in the nodule": lambda f, p, h, q: f & ~drawn(f.shape, p) & ~h,
    "loses its outline like an inclusion": lambda f, p, h, q: (
        f & ~drawn(f.shape, p) & ~(h & ~drawn(f.shape, q))
    ),
    "both outlines": lambda f, p, h, q: f & ~h,
    "its inside is not": lambda f, p, h, q: f & ~drawn(f.shape, p) & ~drawn(f.shape, q),
    "nothing is taken away": lambda f, p, h, q: f,
    "whole rows": whole_rows,
    "exclusion is missing": lambda f, p, h, q: f & ~drawn(f.shape, p),
    "[row, column]": lambda f, p, h, q: (
        f & ~drawn(f.shape, p, True) & ~h & ~drawn(f.shape, q, True)
    ),
    "outside": lambda *arguments: ~right_nodule(*arguments),
    "that is the outline": lambda f, p, h, q: drawn(f.shape, p),
    "transposed": lambda *arguments: right_nodule(*arguments).T,
}


def some_rows(patients, part, generator):
    return generator.choice(len(patients), round(part * len(patients)), replace=False)


def one_each(patients, part, generator):
    """By lesion: two halves of each patient's slices stand for two lesions."""
    lesions = np.array([f"{p} {k % 2}" for k, p in enumerate(patients)])
    return right_split(lesions, part, generator)


def first_names(patients, part, generator):
    names = np.unique(patients)
    return np.isin(patients, names[: round(part * len(names))])


def with_repeats(patients, part, generator):
    names = np.unique(patients)
    return np.isin(patients, generator.choice(names, round(part * len(names))))


def from_the_slices(patients, part, generator):
    count = round(part * len(set(patients)))
    return np.isin(patients, generator.choice(patients, count, replace=False))


WRONG_SPLITS = {
    "these are row numbers": some_rows,
    "for each slice.": lambda p, part, g: right_split(p, part, g).astype(float),
    "no slice is tested": lambda p, part, g: np.zeros(len(p), bool),
    "every slice is tested": lambda p, part, g: np.ones(len(p), bool),
    "both sides": lambda p, part, g: g.random(len(p)) < part,
    "it leaks": one_each,
    "that is the training part": lambda p, part, g: ~right_split(p, part, g),
    "another number of patients": lambda p, part, g: right_split(p, 2 * part, g),
    "each drawn once": with_repeats,
    "drawn once": from_the_slices,
    "the same generator": lambda p, part, g: right_split(p, part, np.random.default_rng()),
    "every generator": first_names,
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.voxel_of_point, WRONG_INDICES),
        (checks.nodule_of_outlines, WRONG_NODULES),
        (checks.patient_split, WRONG_SPLITS),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.voxel_of_point, by_simpleitk),
        # The package's own fill is told the outlines alone.
        (
            checks.nodule_of_outlines,
            lambda f, p, h, q: contours.rasterise([around(p)], [around(q)], f.shape),
        ),
        (checks.nodule_of_outlines, right_nodule),
        (checks.patient_split, right_split),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


def around(points):
    """The points of a rectangle's outline, in the order in which a pen passes them."""
    centred = points - points.mean(0)
    half = np.abs(centred).max(0)
    angle = np.arctan2(centred[:, 1] / half[1], centred[:, 0] / half[0])
    return points[np.argsort(angle)]


@pytest.mark.parametrize(
    "checker", [checks.voxel_of_point, checks.nodule_of_outlines, checks.patient_split]
)
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")


# --- the counts ---------------------------------------------------------------------------------


@pytest.fixture
def counts():
    return json.loads(COUNTS.read_text(encoding="utf-8"))


def test_the_counts_say_where_they_come_from(counts):
    source = counts["provenance"]
    assert "lidc_counts.py" in source["command"]
    for key in ("python", "system", "processor", "contours_py_sha256"):
        assert source[key], key
    assert all(len(digest) == 64 for digest in source["inputs_sha256"].values())
    assert "not for clinical use" in counts["what"]
    for cited in counts["data"]["sources"]:
        assert "doi:10." in cited["citation"] and cited["licence"].startswith("CC BY")
    text = json.dumps(counts)
    assert "NaN" not in text and "Infinity" not in text
    assert "/home" not in text and "/work" not in text and "/tmp" not in text


def test_the_counts_agree_with_each_other(counts):
    every, thin, luna = (
        [counts[key][readers] for readers in "1234"]
        for key in ("clusters", "clusters_of_at_most_3_mm", "luna16_clusters")
    )
    for some, more in ((luna, thin), (thin, every)):
        assert all(a < b for a, b in zip(some, more, strict=True))
    assert all(numbers == sorted(numbers, reverse=True) for numbers in (every, thin, luna))
    assert sum(counts["types"].values()) == counts["dice"]["nodules"] == luna[2]
    assert sorted(counts["dice"]["quartiles"]) == counts["dice"]["quartiles"]
    assert counts["slices_of_consensus"]["sum"] <= counts["slices"]["sum"]


def test_the_counts_are_the_published_ones(counts):
    """pylidc's own rule gives 2,651 nodules in all; LUNA16 has 888 scans and 1,186 nodules."""
    assert (counts["scans"], counts["luna16_scans"]) == (1018, 888)
    assert counts["clusters"]["1"] == 2651
    assert counts["luna16_clusters"]["3"] == counts["annotations_listed"] == 1186


def test_the_list_that_was_counted(counts, real_data):
    with (real_data / "luna16" / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == counts["annotations_listed"]
    assert len({row["seriesuid"] for row in rows}) == counts["scans_listed"]


# --- sizes and first lines that the chapter promises --------------------------------------------


def test_the_chapter_tells_the_manifest_s_size():
    root = Path(__file__).parents[1]
    chapter = (root / "book" / "on_real_scans.md").read_text(encoding="utf-8")
    with (root / "data_scripts" / "idc_manifest.csv").open(newline="") as file:
        ten = list(csv.DictReader(file))[:10]
    size = sum(int(row["bytes"]) for row in ten)
    files, nodules = (sum(int(row[key]) for row in ten) for key in ("files", "nodules"))
    assert size == idc.BYTES and "idc.BYTES" in chapter  # its table
    assert (
        f"10 patients, {nodules} nodules; to fetch: {size / 1e6:.0f} MB in {files} files"
        in chapter
    )
    for row in ten[:2]:
        assert f"{row['patient']}  {row['nodules']:>2} nodules  {row['files']:>4} files" in chapter
