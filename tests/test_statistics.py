"""Intervals cover what they promise, tests give the textbook's p values."""

import numpy as np
import pytest
from scipy import stats

from dseg.errors import DsegError
from dseg.statistics import compare, holm, mean_interval, share_interval


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


def test_share_of_all_hits_is_not_certain():
    interval = share_interval(np.ones(20, dtype=bool))
    assert interval.low < 0.9 and interval.high == pytest.approx(1)


def test_wilcoxon_exact_by_enumeration():
    difference = np.array([0.5, -0.1, 0.3, 0.8, 0.2, -0.4])
    ranks = stats.rankdata(np.abs(difference))
    observed = ranks[difference > 0].sum()
    sums = [ranks[[bool(signs >> bit & 1) for bit in range(6)]].sum() for signs in range(2**6)]
    p = np.mean([total >= observed for total in sums])
    assert compare(difference + 0.5, np.full(6, 0.5), seed=0).p_value == pytest.approx(p)


def test_comparison_has_a_side():
    rng = np.random.default_rng(7)
    low = rng.random(60) * 0.5
    high = low + rng.normal(0.05, 0.05, 60)
    better, worse = compare(high, low, seed=0), compare(low, high, seed=0)
    assert better.p_value < 0.001 and worse.p_value > 0.999
    assert better.difference.value == pytest.approx(-worse.difference.value)
    assert better.difference.low > 0 > worse.difference.high


def test_pairing_counts():
    # Images differ far more than methods do: only the paired comparison sees the difference.
    rng = np.random.default_rng(8)
    easy = rng.random(100)
    assert compare(easy + 0.01, easy, seed=0).p_value < 1e-6
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
        (lambda: holm([0.1, 1.2]), r"\[0, 1\]"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(DsegError, match=says):
        call()
