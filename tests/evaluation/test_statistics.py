"""Intervals, paired differences and power: scipy's bootstrap, loops, simulation, closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from nodule_lesson.evaluation.statistics import (
    Difference,
    crossed,
    detectable,
    holm,
    interval,
    paired,
    power,
    seed_band,
    t_interval,
)
from nodule_lesson.experiments import paper

# --- intervals ----------------------------------------------------------------------------------


def sample(count, seed=0):
    return np.random.default_rng(seed).beta(6, 2, count)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [11, 30, 60])
def test_single_values_give_the_percentile_bootstrap_of_scipy(count, level):
    values = sample(count)
    ours = interval(values, level=level, draws=60_000)
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=60_000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # The ends are quantiles of 60,000 draws: a fiftieth of the interval is many standard errors
    # of theirs.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.02 * (ours[1] - ours[0]))


def test_all_draws_of_three_clusters_by_enumeration():
    """27 equally likely draws: their exact quantiles, at levels away from the jumps."""
    groups = [[0.9, 0.8, 0.85, 0.7], [0.2], [0.5, 0.75]]
    values = np.concatenate(groups)
    names = np.repeat(["b", "c", "a"], [len(group) for group in groups])
    means = sorted(
        np.concatenate([groups[i] for i in draw]).mean()
        for draw in itertools.product(range(3), repeat=3)
    )
    for level in (0.84, 0.6, 0.35):
        tail = (1 - level) / 2
        exact = means[int(np.floor(27 * tail))], means[int(np.floor(27 * (1 - tail)))]
        np.testing.assert_allclose(interval(values, names, level, draws=40_000), exact, atol=1e-12)


def test_draws_in_pieces_are_the_draws_of_a_loop(monkeypatch):
    """Each draw by repeating the lesions of the drawn patients, as one would write it first."""
    random = np.random.default_rng(3)
    names = random.integers(0, 7, 56)
    values = sample(56) + 0.1 * np.isin(names, (1, 2))
    drawn = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), size=500)
    means = [
        np.concatenate([np.tile(values[names == i], k) for i, k in enumerate(times)]).mean()
        for times in drawn
    ]
    expected = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose(interval(values, names, draws=500), expected, atol=1e-12)
    monkeypatch.setattr("nodule_lesson.evaluation.statistics._MAX_DRAWN", 7 * 33)
    np.testing.assert_allclose(interval(values, names, draws=500), expected, atol=1e-12)


def test_copies_of_a_patients_lesions_are_no_new_evidence():
    """Every lesion ten times: by cluster nothing changes, by lesion the interval shrinks."""
    values, names = sample(20), np.arange(20)
    copies, owners = np.repeat(values, 10), np.repeat(names, 10)
    assert interval(copies, owners) == pytest.approx(interval(values, names))
    low, high = interval(copies)
    assert (high - low) < 0.5 * np.subtract(*interval(values)[::-1])


def coverage(patients, lesions, trials=300):
    """Shares of 95 % intervals that hold the true mean, by patient and by lesion.

    Half of the variance lies between patients; the truth is 0.
    """
    random = np.random.default_rng(7)
    names = np.repeat(np.arange(patients), lesions)
    hit = np.zeros(2)
    for trial in range(trials):
        values = random.normal(size=(patients, 1)) + random.normal(size=(patients, lesions))
        for i, clusters in enumerate((names, None)):
            low, high = interval(values.ravel(), clusters, draws=400, seed=trial)
            hit[i] += low < 0 < high
    return hit / trials


def test_intervals_by_patient_cover_and_those_by_lesion_do_not():
    by_patient, by_lesion = coverage(60, 6)
    assert 0.90 < by_patient < 0.98
    assert by_lesion < 0.80


def test_seven_patients_are_too_few_for_a_bootstrap():
    """What the module's first lines warn of."""
    by_patient, _ = coverage(7, 8)
    assert 0.80 < by_patient < 0.93


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=30),
    st.floats(-10, 10),
    st.floats(0.01, 10),
    st.randoms(use_true_random=False),
)
def test_an_interval_moves_with_its_values(values, shift, scale, random):
    values = np.array(values)
    low, high = interval(values, draws=200)
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    np.testing.assert_allclose(
        interval(scale * values + shift, draws=200), scale * np.array([low, high]) + shift,
        atol=1e-9 * (1 + scale * np.abs(values).max()),
    )  # fmt: skip
    wider = interval(values, level=0.99, draws=200)
    assert wider[0] <= low and high <= wider[1]
    # Lesions in another order, with the same patients, are the same data.
    names = np.arange(len(values)) // 2
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_allclose(
        interval(values[order], names[order], draws=200), interval(values, names, draws=200),
        atol=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_students_interval_is_where_the_t_test_changes_its_mind(level):
    values = sample(11)
    for end in t_interval(values, level):
        assert stats.ttest_1samp(values, end).pvalue == pytest.approx(1 - level)
    assert t_interval([*values, np.nan]) == t_interval(values)
    assert np.isnan(t_interval([0.5, np.nan])).all()


def test_undefined_values_are_left_out_and_one_cluster_has_no_interval():
    values = np.array([0.5, np.nan, 0.7, 0.9, np.nan])
    assert interval(values) == interval(values[[0, 2, 3]])
    names = np.array(["a", "z", "b", "b", "z"])
    assert interval(values, names) == interval(values[[0, 2, 3]], names[[0, 2, 3]])
    assert np.isnan(interval([0.5, 0.6], ["a", "a"])).all()
    assert np.isnan(interval([], [])).all()
    assert np.isnan(interval([np.nan, np.nan])).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: interval(np.zeros((2, 3))), "one number per unit"),
        (lambda: interval([0, np.inf]), "finite"),
        (lambda: interval([0, 1], ["a"]), "one name per value"),
        (lambda: interval([0, 1], level=95), "level"),
        (lambda: interval([0, 1], draws=0), "draws"),
        (lambda: t_interval([0, 1], level=0), "level"),
        (lambda: t_interval(0.5), "one number per unit"),
        (lambda: paired([0, 1], [0, 1, 2]), "the same units"),
        (lambda: paired([[0, 1]], [[0, 1]]), "a must be one number"),
        (lambda: power(0.1, 0, 11), "sd"),
        (lambda: power(0.1, np.nan, 11), "sd"),
        (lambda: power(0.1, 1, 1), "count"),
        (lambda: power(0.1, 1, 11, level=0), "level"),
        (lambda: detectable(0, 11), "sd"),
        (lambda: detectable(1, 11, power=0.04), "power"),
        (lambda: detectable(1, 11, power=1), "power"),
        (lambda: seed_band(np.zeros((1, 2, 3))), "by_seed"),
        (lambda: seed_band([]), "by_seed"),
    ],
)
def test_what_is_asked_wrongly_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- pairs and seeds ----------------------------------------------------------------------------


def test_a_paired_difference():
    a, b = sample(40, 1), sample(40, 2)
    a[3] = b[7] = np.nan
    names = np.arange(40) // 3
    found = paired(a, b, names)
    keep = np.setdiff1d(np.arange(40), [3, 7])
    gap = (a - b)[keep]
    assert found.count == 38
    assert found.mean == pytest.approx(a[keep].mean() - b[keep].mean())
    standard_error = stats.sem(gap)
    assert found.sd == pytest.approx(standard_error * np.sqrt(38))
    assert (found.low, found.high) == interval(gap, names[keep])
    back = paired(b, a, names)
    # The same draws, mirrored: quantiles of 2.5 % and 97.5 % change places.
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_pairing_removes_what_lesions_have_in_common():
    hard = np.linspace(0.2, 0.9, 30)
    found = paired(hard + 0.02, hard - 0.001 * np.arange(30) % 0.005)
    assert found.sd < 0.01
    assert found.sign == 1
    assert np.subtract(*interval(hard)[::-1]) > 0.1


@pytest.mark.parametrize(
    "low, high, sign",
    [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (0, 0.1, 0), (np.nan, np.nan, 0)],
)
def test_the_sign_of_a_difference(low, high, sign):
    assert Difference(0.0, low, high, 1.0, 9).sign == sign


def test_few_pairs_have_no_spread():
    alone = paired([0.5], [0.4])
    assert alone.mean == pytest.approx(0.1) and alone.count == 1
    assert np.isnan([alone.low, alone.high, alone.sd]).all()
    assert paired([], []).count == 0 and np.isnan(paired([], []).mean)


def test_the_band_of_seeds():
    assert seed_band([[0.2, 0.4], [0.6, np.nan], [0.1, 0.3]]) == pytest.approx((0.2, 0.6))
    assert seed_band([0.3, 0.1, 0.2]) == (0.1, 0.3)
    assert seed_band([[np.nan, np.nan], [1, 2]]) == (1.5, 1.5)
    assert np.isnan(seed_band([[np.nan]])).all()


# --- power --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, difference", [(11, 0.05), (11, 0.02), (4, 0.1), (100, 0.01)])
def test_power_is_the_share_of_t_tests_that_find_it(count, difference):
    random = np.random.default_rng(count)
    trials = 20_000
    p = stats.ttest_1samp(random.normal(difference, 0.05, (trials, count)), 0, axis=1).pvalue
    share = (p < 0.05).mean()
    assert power(difference, 0.05, count) == pytest.approx(share, abs=4 * 0.5 / np.sqrt(trials))


def test_power_of_nothing_is_the_level_and_of_much_is_one():
    assert power(0, 0.1, 11) == pytest.approx(0.05)
    assert power(0, 0.1, 200, level=0.01) == pytest.approx(0.01)
    far = power(np.array([10.0, 100.0, 1e6]), 0.1, 11)
    np.testing.assert_allclose(far, 1)


def test_power_of_a_large_sample_is_the_normal_one():
    shift = 0.02 / 0.3 * np.sqrt(3000)
    normal = stats.norm.sf(1.959964 - shift) + stats.norm.cdf(-1.959964 - shift)
    assert power(0.02, 0.3, 3000) == pytest.approx(normal, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 3), st.floats(0.01, 3), st.integers(2, 300))
def test_power_grows_with_the_difference_and_the_count(difference, sd, count):
    now = power(difference, sd, count)
    assert 0.05 - 1e-9 <= now <= 1 + 1e-9
    assert power(-difference, sd, count) == pytest.approx(now)
    assert power(difference + 0.1, sd, count) >= now - 1e-9
    assert power(difference, sd, count + 1) >= now - 1e-9


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 10), st.integers(2, 500), st.floats(0.1, 0.99))
def test_what_is_detectable_is_found_with_that_power(sd, count, wanted):
    assert power(detectable(sd, count, wanted), sd, count) == pytest.approx(wanted, abs=1e-8)


def test_eleven_lesions():
    """The lesson's own example: 80 % power, two spreads of the paired differences."""
    assert detectable(0.05, 11) == pytest.approx(0.047, abs=5e-4)
    assert detectable(0.10, 11) == pytest.approx(0.094, abs=5e-4)


# --- the paper's tables -------------------------------------------------------------------------


def test_the_papers_tables_are_whole_and_agree_where_they_repeat_a_row():
    for number, rows in paper.TABLES.items():
        assert rows.keys() == paper.ROWS[number].keys()
        assert all(len(values) == len(paper.MEASURES) for values in rows.values())
    assert paper.TABLE1["proposed"] == paper.TABLE3["backbone + STD"]
    assert paper.TABLE2["no freezing"] == paper.TABLE3["backbone + TL + STD"]


def test_every_row_of_the_paper_keeps_jensens_bounds():
    """A digit mistyped by much would break them; so would a column in the wrong place."""
    for rows in paper.TABLES.values():
        p, s, dice, iou, hd, assd = np.array(list(rows.values())).T
        assert (dice < 2 * p * s / (p + s)).all()
        assert (dice < 2 * iou / (1 + iou)).all() and (iou < dice).all()
        assert (assd < hd).all()


# --- trainings and patients together -------------------------------------------------------------


def crossed_sample(random, clinics=3, seeds=3, patients=40, of_clinics=0.02, of_patients=0.08):
    """Runs of clinics: parts of the clinic, the run, the patient, and noise; true mean 0."""
    patient = np.repeat(np.arange(patients), random.integers(1, 4, patients))
    values = of_clinics * random.standard_normal((clinics, 1, 1))
    values = values + 0.02 * random.standard_normal((clinics, seeds, 1))
    values = values + of_patients * random.standard_normal(patients)[patient]
    values = values + 0.1 * random.standard_normal((clinics, seeds, len(patient)))
    return values.reshape(-1, len(patient)), patient, np.repeat(np.arange(clinics), seeds)


@pytest.mark.parametrize("parts", [(0.0, 0.08), (0.02, 0.08), (0.0, 0.0), (0.03, 0.0)])
def test_crossed_intervals_hold_the_truth_about_as_often_as_they_say(parts):
    random, held = np.random.default_rng(0), 0
    for _ in range(1000):
        found = crossed(*crossed_sample(random, of_clinics=parts[0], of_patients=parts[1]))
        held += found.low <= 0 <= found.high
    # Satterthwaite's freedom is too large where three clinics decide alone: the lower end.
    assert 0.9 <= held / 1000 <= 0.985


def test_a_crossed_interval_is_students_where_one_part_is_alone():
    random = np.random.default_rng(1)
    by_clinic = random.standard_normal(4)
    found = crossed(np.repeat(by_clinic[:, None], 6, 1), np.arange(6))
    assert (found.low, found.high) == pytest.approx(t_interval(by_clinic))
    assert found.p == pytest.approx(stats.ttest_1samp(by_clinic, 0).pvalue)
    by_patient = random.standard_normal(30)
    found = crossed(np.repeat(by_patient[None], 3, 0), np.arange(30))
    assert (found.low, found.high) == pytest.approx(t_interval(by_patient))
    assert found.of_trainings == pytest.approx(0)


def test_runs_of_a_clinic_are_pooled_only_where_clinics_differ_no_more_than_they():
    alike = np.array([1.0, 2, 3, 1.6, 2.6, 2.1, 0.9, 2.9, 1.9])  # clinics' means 2, 2.1, 1.9
    clinics = np.repeat([0, 1, 2], 3)
    found = crossed(np.repeat(alike[:, None], 5, 1), np.arange(5), clinics)
    assert (found.low, found.high) == pytest.approx(t_interval(alike))
    apart = alike + np.repeat([0, 5, 10], 3)
    found = crossed(np.repeat(apart[:, None], 5, 1), np.arange(5), clinics)
    assert (found.low, found.high) == pytest.approx(t_interval([2, 7.1, 11.9]))


def test_a_mixed_model_fitted_by_its_likelihood_has_the_same_variance():
    """REML of a balanced nested design, by hand: the likelihood is maximal there."""
    random = np.random.default_rng(3)
    for of_clinics in (0.0, 3.0):
        means = of_clinics * random.standard_normal((3, 1)) + random.standard_normal((3, 3))

        def minus_reml(logs, means=means):
            clinic, run = np.exp(logs)
            cov = clinic * np.kron(np.eye(3), np.ones((3, 3))) + run * np.eye(9)
            y, one, inverse = means.ravel(), np.ones(9), np.linalg.inv(cov)
            information = one @ inverse @ one
            rest = y - (one @ inverse @ y) / information
            return np.linalg.slogdet(cov)[1] + np.log(information) + rest @ inverse @ rest

        exact = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}
        fit = optimize.minimize(minus_reml, [0.0, 0.0], method="Nelder-Mead", options=exact)
        clinic, run = np.exp(fit.x)
        values = np.repeat(means.reshape(9, 1), 4, 1)
        found = crossed(values, np.arange(4), np.repeat(range(3), 3))
        assert found.of_trainings == pytest.approx(clinic / 3 + run / 9, rel=1e-3)


def test_crossed_leaves_out_what_is_nan_in_a_run_and_refuses_other_shapes():
    values = np.arange(12.0).reshape(2, 6)
    spoilt = values.copy()
    spoilt[1, 5] = np.nan
    patients = np.array(list("aabbcc"))
    assert crossed(spoilt, patients) == crossed(values[:, :5], patients[:5])
    assert crossed(np.zeros((2, 6)), patients).p == 1
    for wrong in (values[0], values[:1], np.full((2, 6), np.nan)):
        with pytest.raises(ValueError):
            crossed(wrong, patients)
    with pytest.raises(ValueError, match="level"):
        crossed(values, patients, level=1)
    with pytest.raises(ValueError, match="one name per run"):
        crossed(values, patients, clinics=[1])


def test_holm_against_the_definition():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1]) and holm([]).shape == (0,)
    with pytest.raises(ValueError, match="probabilities"):
        holm([1.2])
