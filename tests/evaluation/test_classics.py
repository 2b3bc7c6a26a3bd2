"""Four methods without training, against brute force, a linear solver and each other."""

import numpy as np
import pytest
from scipy.special import expit
from skimage import segmentation
from skimage.measure import label as parts_of

from nodule_lesson.chapters.lung_nodules_in_ct.live import TYPES
from nodule_lesson.chapters.on_real_scans.live import crop as example
from nodule_lesson.data.demo import open_demo
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation import classics

METHODS = classics.METHODS.items()


def scene(size=32, noise=0.08, seed=0):
    """A grey disc of half the contrast of a wall beside it, noisy, with its truth."""
    y, x = np.indices((size, size))
    disc = np.hypot(y - size / 2, x - size / 2 + 0.3) < size / 6
    grey = 0.15 + 0.6 * disc + 0.8 * (x > size - 4)
    grey = grey + noise * np.random.default_rng(seed).standard_normal(grey.shape)
    return np.clip(grey, 0, 1), disc


def overlap(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


@pytest.fixture(scope="module")
def crops():
    """Every sixth crop with a nodule of a demo set."""
    demo = open_demo("luna_like")
    grey = normalise(np.asarray(demo.images))[:, 32:96, 32:96]
    truth = np.asarray(demo.masks)[:, 32:96, 32:96] > 0
    rows = np.flatnonzero(truth.any((1, 2)))[::6]
    return grey[rows], truth[rows]


# --- the part in the middle ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_the_central_part_is_that_of_a_walk(seed):
    random = np.random.default_rng(seed)
    mask = random.random((21, 16)) < random.uniform(0.1, 0.7)
    away = [np.hypot(y - 10, x - 7.5) for y, x in np.argwhere(mask)]
    found = classics.central(mask)
    if min(away, default=np.inf) > classics.MAX_DISTANCE:
        assert not found.any()
        return
    start = tuple(np.argwhere(mask)[int(np.argmin(away))])
    wanted, waiting = {start}, [start]
    while waiting:
        y, x = waiting.pop()
        for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            inside = 0 <= near[0] < 21 and 0 <= near[1] < 16
            if inside and mask[near] and near not in wanted:
                wanted.add(near)
                waiting.append(near)
    assert {tuple(place) for place in np.argwhere(found)} == wanted


def test_what_is_far_from_the_centre_is_no_nodule():
    mask = np.zeros((64, 64), bool)
    mask[40:50, 40:50] = True
    assert not classics.central(mask).any()
    np.testing.assert_array_equal(classics.central(mask, max_distance=13), mask)
    assert not classics.central(np.zeros((64, 64), bool)).any()


# --- each method --------------------------------------------------------------------------------


def within(values, bright):
    """Sum of squares about the means of the two classes."""
    return sum(values[part].var() * part.sum() for part in (bright, ~bright))


@pytest.mark.parametrize("seed", range(5))
def test_otsu_is_the_best_of_all_splits(seed, monkeypatch):
    crop, _ = scene(seed=seed)
    monkeypatch.setattr(classics, "central", lambda mask: mask)
    best = min(np.unique(crop)[:-1], key=lambda t: within(crop, crop > t))
    # The library splits a histogram of 256 bins: a pixel in the bin of the split may go astray.
    assert np.count_nonzero(classics.otsu(crop) != (crop > best)) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_k_means_has_settled_on_two_means(seed, monkeypatch):
    crop, _ = scene(seed=seed)
    monkeypatch.setattr(classics, "central", lambda mask: mask)
    bright = classics.k_means(crop)
    wide = np.pad(crop, 1, mode="symmetric")
    around = sum(wide[a : a + 32, b : b + 32] for a in (0, 1, 2) for b in (0, 1, 2)) / 9
    pixels = np.stack([crop, around], -1)
    squares = [((pixels - pixels[part].mean(0)) ** 2).sum(-1) for part in (bright, ~bright)]
    np.testing.assert_array_equal(bright, squares[0] < squares[1])
    assert crop[bright].mean() > crop[~bright].mean()


def test_on_grey_values_alone_two_means_are_otsu(crops, monkeypatch):
    monkeypatch.setattr(classics.ndimage, "uniform_filter", lambda crop, size: crop)
    same = [
        overlap(classics.k_means(crop), classics.otsu(crop))
        for crop in crops[0]
        if classics.otsu(crop).any()
    ]
    # A histogram of 256 bins has a threshold between bins, and Lloyd stops where it first may.
    assert np.median(same) > 0.97


def test_chan_vese_depends_little_on_its_start(crops):
    same = []
    for crop in crops[0]:
        board = segmentation.morphological_chan_vese(crop.astype(float), 100) > 0
        if crop[board].mean() < crop[~board].mean():
            board = ~board
        here, there = classics.chan_vese(crop), classics.central(board)
        if here.any() or there.any():
            same.append(overlap(here, there))
    assert np.median(same) > 0.97


def test_chan_vese_smooths_what_otsu_finds():
    crop, disc = scene(noise=0.22)

    def edges(mask):
        return sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in (0, 1))

    rough, smooth = classics.otsu(crop), classics.chan_vese(crop)
    assert edges(smooth) < edges(rough) and overlap(smooth, disc) > 0.9


def test_the_random_walker_solves_its_linear_system():
    crop, _ = scene(size=14, noise=0.05)
    n, places = 14, [(y, x) for y in range(14) for x in range(14)]
    p = np.array([np.nan] * n * n)
    for i, (y, x) in enumerate(places):
        if np.hypot(y - 6.5, x - 6.5) < 2:
            p[i] = 1
        if y in (0, 13) or x in (0, 13):
            p[i] = 0
    weights = np.zeros((n * n, n * n))
    for i, (y, x) in enumerate(places):
        for near in ((y + 1, x), (y, x + 1)):
            if near in places:
                j = places.index(near)
                step = (crop[y, x] - crop[near]) ** 2
                weights[i, j] = weights[j, i] = np.exp(-130 * step / (10 * crop.std())) + 1e-10
    open_, laplacian = np.isnan(p), np.diag(weights.sum(0)) - weights
    right = -laplacian[np.ix_(open_, ~open_)] @ p[~open_]
    p[open_] = np.linalg.solve(laplacian[np.ix_(open_, open_)], right)
    wanted = parts_of((p > 0.5).reshape(n, n), connectivity=1)
    np.testing.assert_array_equal(classics.random_walker(crop), wanted == wanted[6, 6])


@pytest.mark.parametrize("name, method", METHODS)
def test_a_disc_in_the_middle_is_found(name, method):
    crop, disc = scene()
    assert overlap(method(crop), disc) > 0.9
    mask = method(crop)
    assert mask.dtype == bool and mask.shape == crop.shape


@pytest.mark.parametrize("name, method", METHODS)
def test_nothing_is_found_where_all_is_grey(name, method):
    assert not method(np.full((64, 64), 0.3)).any()


@pytest.mark.parametrize("name, method", METHODS)
def test_rows_and_columns_are_alike(name, method, crops):
    for crop in crops[0][:3]:
        here, there = method(crop), method(crop.T).T
        assert not (here.any() or there.any()) or overlap(here, there) > 0.97


@pytest.mark.parametrize("name", ["Otsu", "k-means", "Chan-Vese"])
def test_three_do_not_mind_another_scale(name, crops):
    method = classics.METHODS[name]
    for crop in crops[0][:5]:
        differ = method(crop) ^ method(0.1 + 0.37 * crop)
        assert differ.mean() < 0.002


def test_the_random_walker_minds(crops):
    changed = [
        (classics.random_walker(crop) ^ classics.random_walker(0.5 * crop)).any()
        for crop in crops[0]
    ]
    assert np.mean(changed) > 0.5


def test_a_nodule_on_the_wall_is_lost_to_all_but_the_walker():
    hu, truth, ends = example("juxtapleural")
    crop = normalise(hu, *ends)
    found = {name: overlap(method(crop), truth) for name, method in METHODS}
    assert found.pop("random walker") > 0.7
    assert max(found.values()) < 0.3


def test_twice_as_many_rounds_change_next_to_nothing(crops, monkeypatch):
    chosen = [crop for crop in crops[0][:4]]
    before = [(classics.k_means(crop), classics.chan_vese(crop)) for crop in chosen]
    monkeypatch.setattr(classics, "ITERATIONS", 100)
    for crop, masks in zip(chosen, before, strict=True):
        after = classics.k_means(crop), classics.chan_vese(crop)
        assert max((a ^ b).mean() for a, b in zip(masks, after, strict=True)) < 0.002


# --- the bound ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_beats_the_best(seed):
    crop, truth = scene(noise=0.25, seed=seed)
    t, best = classics.best_threshold(crop, truth)
    scores = [overlap(classics.central(crop > s), truth) for s in np.linspace(-0.1, 1, 400)]
    assert max(scores) <= best + 1e-12
    assert overlap(classics.central(crop > t), truth) == pytest.approx(best)


def test_the_bound_on_the_examples():
    for name in TYPES:
        hu, truth, _ = example(name)
        scaled = expit(hu / 500)  # any rising function leaves the bound where it is
        best = classics.best_threshold(hu, truth)[1]
        assert best == pytest.approx(classics.best_threshold(scaled, truth)[1])
        assert best >= overlap(classics.otsu(hu), truth) - 1e-12


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, method", METHODS)
@pytest.mark.parametrize(
    "crop, message",
    [
        (np.zeros((2, 64, 64)), r"crop must be \(H, W\), at least 8 x 8; found \(2, 64, 64\)."),
        (np.zeros((7, 64)), r"crop must be \(H, W\), at least 8 x 8; found \(7, 64\)."),
        (np.full((8, 8), np.nan), "crop must be finite, found nan or infinity."),
    ],
)
def test_wrong_crops_are_refused(name, method, crop, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        method(crop)


def test_a_bound_wants_a_nodule():
    with pytest.raises(ValueError, match="^truth must mark a nodule, found none.$"):
        classics.best_threshold(np.zeros((8, 8)), np.zeros((8, 8)))
