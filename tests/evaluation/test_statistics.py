"""Intervals cover what they promise, tests give the textbook's p values."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from dseg.errors import DsegError
from dseg.evaluation.statistics import compare, holm, mean_interval, share_interval


def test_interval_of_normal_scores_is_that_of_theory():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    interval = mean_interval(values, seed=0)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_covers_the_mean_of_skewed_scores_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = stats.beta(5, 1.2).mean()  # skewed like IoU: most are good, some are lost
    covered = 0
    for seed in range(60):
        interval = mean_interval(rng.beta(5, 1.2, 60), seed=seed)
        covered += interval.low <= truth <= interval.high
    assert 52 <= covered <= 60


def test_interval_depends_on_the_seed_and_on_nothing_else():
    values = np.random.default_rng(2).random(50)
    assert mean_interval(values, seed=3) == mean_interval(values.copy(), seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


@pytest.mark.parametrize(
    "values", [np.full(9, 0.25), np.array([0.25]), 0.25 + 1e-16 * np.arange(9)]
)
def test_interval_of_equal_scores_has_no_width(values):
    interval = mean_interval(values, seed=0)
    assert interval.low == interval.high == interval.value == pytest.approx(0.25)


@pytest.mark.parametrize("values", [[0, 1], [0] * 20 + [1], [1] * 20 + [0]])
def test_interval_of_few_distinct_scores_is_finite(values):
    interval = mean_interval(np.array(values), seed=0)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_higher_confidence_is_wider():
    values = np.random.default_rng(5).random(80)
    wide, narrow = (mean_interval(values, seed=0, confidence=level) for level in (0.99, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_share_of_hits_by_wilson():
    interval = share_interval(np.array([1] * 8 + [0] * 2))
    # Wilson's formula by hand for 8 of 10 at z = 1.959964.
    z = 1.959964
    centre = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * np.sqrt(0.8 * 0.2 / 10 + z**2 / 400)
    assert interval.value == 0.8
    assert interval.low == pytest.approx(centre - half, abs=1e-6)
    assert interval.high == pytest.approx(centre + half, abs=1e-6)


def test_share_is_scipys_wilson():
    hits = np.random.default_rng(0).random(37) < 0.7
    theirs = stats.binomtest(int(hits.sum()), 37).proportion_ci(method="wilson")
    ours = share_interval(hits)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    agreeing = share_interval(np.stack([hits] * 3))
    assert (agreeing.low, agreeing.high) == pytest.approx((ours.low, ours.high))
    other = share_interval(np.stack([hits, hits, np.ones(37)]))
    assert other.high - other.low > ours.high - ours.low and other.high <= 1


def test_share_of_all_hits_is_not_certain():
    interval = share_interval(np.ones(20, dtype=bool))
    assert interval.low < 0.9 and interval.high == pytest.approx(1)


def test_sign_flips_by_enumeration():
    difference = np.array([0.5, -0.1, 0.3, 0.8, 0.2, -0.4])
    means = [np.mean(difference * signs) for signs in product((-1, 1), repeat=6)]
    p = np.mean(np.abs(means) >= difference.mean() - 1e-12)
    assert compare(difference + 0.5, np.full(6, 0.5), seed=0).p_value == pytest.approx(p)


def test_sign_flips_are_scipys_permutation_test():
    difference = np.random.default_rng(6).normal(0.02, 0.1, 12)
    theirs = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", alternative="two-sided"
    )
    ours = compare(difference, np.zeros(12), seed=0)
    assert ours.p_value == pytest.approx(theirs.pvalue)


def test_with_many_images_the_test_is_students():
    difference = np.random.default_rng(7).normal(0, 0.1, 200)
    difference += 0.018 - difference.mean()
    expected = stats.ttest_1samp(difference, 0).pvalue
    assert 0.001 < expected < 0.05
    ours = compare(difference, np.zeros(200), seed=0)
    assert ours.p_value == pytest.approx(expected, rel=0.15)


def test_with_many_equal_images_the_test_is_students_over_trainings():
    trainings = np.random.default_rng(3).normal(0.02, 0.015, 5)
    scores = np.repeat(trainings[:, None], 4000, axis=1)
    scores += np.random.default_rng(4).normal(0, 0.001, 4000)
    ours = compare(scores, np.zeros(4000), seed=0)
    expected = stats.ttest_1samp(scores.mean(1), 0)
    bounds = expected.confidence_interval(0.95)
    # Flips of so sure a difference scatter as widely as it is large over the root of N.
    assert ours.p_value == pytest.approx(expected.pvalue, rel=0.05)
    assert ours.difference.low == pytest.approx(bounds.low, abs=1e-4)
    assert ours.difference.high == pytest.approx(bounds.high, abs=1e-4)


def test_comparison_is_antisymmetric():
    rng = np.random.default_rng(7)
    low = rng.random((3, 60)) * 0.5
    high = low + rng.normal(0.05, 0.05, (3, 60))
    better, worse = compare(high, low, seed=0), compare(low, high, seed=0)
    assert better.p_value == pytest.approx(worse.p_value, rel=0.1)
    assert better.p_value < 0.01
    assert better.difference.value == pytest.approx(-worse.difference.value)
    assert better.difference.low > 0 > worse.difference.high
    assert better.effect == pytest.approx(-worse.effect)
    assert better.rank_effect == pytest.approx(-worse.rank_effect)
    assert better.detectable == pytest.approx(worse.detectable)
    assert (better.images, better.trainings) == (60, 3)


def crossed(rng, images, trainings, *, of_image, of_training, rest, mean=0.0):
    """Scores (S, N) with normal effects of image and training, and a normal rest."""
    scores = mean + rng.normal(0, of_image, images) + rng.normal(0, of_training, (trainings, 1))
    return scores + rng.normal(0, rest, (trainings, images))


@pytest.mark.parametrize(
    ("trainings", "of_training"), [(1, 0), (3, 0), (3, 0.01), (3, 0.04), (5, 0.01), (5, 0.04)]
)
def test_interval_over_images_and_trainings_covers(trainings, of_training):
    """Image effects alone have a standard error of .1 / sqrt(60) = .013."""
    rng = np.random.default_rng([trainings, int(1000 * of_training)])
    covered = 0
    for seed in range(150):
        scores = crossed(rng, 60, trainings, of_image=0.1, of_training=of_training, rest=0.05)
        interval = mean_interval(scores, seed=seed)
        covered += interval.low <= 0 <= interval.high
    assert covered / 150 >= 0.91  # .95 less two standard errors of 150 draws


def test_resampling_trainings_would_be_too_narrow():
    """Why the module does not: the plain bootstrap of three trainings covers far less often."""
    rng = np.random.default_rng(12)
    ours = plain = 0
    for seed in range(150):
        scores = crossed(rng, 60, 3, of_image=0.01, of_training=0.04, rest=0.01)
        interval = mean_interval(scores, seed=seed)
        ours += interval.low <= 0 <= interval.high
        drawn = scores.mean(1)[np.random.default_rng(seed).integers(0, 3, (2000, 3))].mean(1)
        plain += np.quantile(drawn, 0.025) <= 0 <= np.quantile(drawn, 0.975)
    assert ours / 150 >= 0.91 and plain / 150 < 0.85


@pytest.mark.parametrize("of_training", [0.0, 0.005])
def test_equal_methods_are_rarely_told_apart(of_training):
    rng = np.random.default_rng(21)
    p = []
    for seed in range(200):
        easy = rng.normal(0.7, 0.1, 50)  # the image, which both methods share
        pair = [
            easy + crossed(rng, 50, 3, of_image=0.02, of_training=of_training, rest=0.02)
            for _ in range(2)
        ]
        p.append(compare(*pair, seed=seed).p_value)
    assert np.mean(np.array(p) < 0.05) <= 0.08  # .05 and two standard errors


def test_one_training_is_the_interval_over_images():
    values = np.random.default_rng(2).random(50)
    assert mean_interval(values, seed=3) == mean_interval(values[None], seed=3)
    bounds = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    interval = mean_interval(values, seed=3)
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))
    agreeing = mean_interval(np.stack([values] * 4), seed=3)
    assert (agreeing.low, agreeing.high) == pytest.approx((interval.low, interval.high))


def test_a_method_without_training_is_compared_with_each_training():
    rng = np.random.default_rng(5)
    head, fixed = rng.random((4, 30)), rng.random(30)
    repeated = compare(head, np.stack([fixed] * 4), seed=1)
    assert compare(head, fixed, seed=1) == repeated
    assert repeated.difference.value == pytest.approx(head.mean() - fixed.mean())


def test_effect_sizes_by_hand():
    comparison = compare(np.array([0.1, 0.3, -0.2, 0.0]), np.zeros(4), seed=0)
    # Ranks of .1, .3 and .2 are 1, 3 and 2; the difference of 0 has none.
    assert comparison.rank_effect == pytest.approx((1 + 3 - 2) / 6)
    assert comparison.effect == pytest.approx(0.05 / np.std([0.1, 0.3, -0.2, 0.0], ddof=1))
    assert compare(np.full(4, 0.6), np.full(4, 0.5), seed=0).effect == np.inf


def test_the_detectable_difference_is_detected_four_times_out_of_five():
    rng = np.random.default_rng(10)
    found = 0
    true = compare(rng.normal(0, 0.1, 5000), np.zeros(5000), seed=0).detectable * (5000 / 80) ** 0.5
    for seed in range(150):
        found += compare(rng.normal(true, 0.1, 80), np.zeros(80), seed=seed).p_value < 0.05
    assert 0.72 <= found / 150 <= 0.88


def test_pairing_counts():
    # Images differ far more than methods do: only the paired comparison sees the difference.
    rng = np.random.default_rng(8)
    easy = rng.random(100)
    assert compare(easy + 0.01, easy, seed=0).p_value < 1e-4
    assert compare(easy + 0.01, rng.permutation(easy), seed=0).p_value > 0.05


def test_equal_methods_are_not_told_apart():
    same = np.linspace(0, 1, 12)
    comparison = compare(same, same, seed=0)
    assert comparison.p_value == 1
    assert comparison.difference.value == comparison.difference.high == 0


def test_holm_on_a_worked_example():
    # Holm (1979): smallest times 4, next times 3, ...; never below one before it, at most 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_lies_between_the_p_value_and_bonferroni():
    p = np.random.default_rng(9).random(20) ** 3
    adjusted = np.array(holm(p.tolist()))
    assert (adjusted >= p).all() and (adjusted <= np.minimum(1, 20 * p) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mean_interval(np.array([]), seed=0), "at least one"),
        (lambda: mean_interval(np.array([0.1, np.nan]), seed=0), "finite"),
        (lambda: share_interval(np.array([0.5, 1])), "0 or 1"),
        (lambda: compare(np.ones(3), np.ones(2), seed=0), "same images"),
        (lambda: compare(np.ones((3, 2)), np.ones((2, 2)), seed=0), "3 and 2 trainings"),
        (lambda: mean_interval(np.zeros((2, 2, 2)), seed=0), "one row per training"),
        (lambda: holm([0.1, 1.2]), r"\[0, 1\]"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(DsegError, match=says):
        call()
