"""Intervals and tests over images: how sure a mean or a difference of means is.

The unit is the image. Everything here is our choice: bootstrap intervals of a mean (bias-corrected
and accelerated, Efron 1987), Wilson's interval of a share, Wilcoxon's signed-rank test of paired
scores, and Holm's correction for several tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dseg.errors import DsegError

CONFIDENCE = 0.95
RESAMPLES = 10_000
_BATCH = 4_000_000  # resampled values in memory at once
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Paired scores of two methods on the same images.

    Attributes:
        difference: Mean of the first's score minus the second's, with its interval.
        p_value: Of the one-sided test that the first scores higher.
    """

    difference: Interval
    p_value: float


def mean_interval(values: np.ndarray, *, seed: int, confidence: float = CONFIDENCE) -> Interval:
    """The mean of scores over images with a BCa bootstrap interval.

    Args:
        values: (n,) one score per image, finite.
        seed: Of the resampling; the same seed and values give the same bounds.
        confidence: Probability that the interval is to cover.

    Raises:
        DsegError: No values, or one is NaN or infinite.
    """
    values = _scores(values)
    mean = float(values.mean())
    # Equal but for rounding, or a single image: there is nothing to resample.
    if np.ptp(values) <= _ROUNDING:
        return Interval(mean, mean, mean)
    bounds = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // len(values)),
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(bounds.low), float(bounds.high))


def share_interval(hits: np.ndarray, *, confidence: float = CONFIDENCE) -> Interval:
    """The share of hits with Wilson's interval, which is sound for few images and shares near 1.

    Args:
        hits: (n,) 0 or 1 (or bool) per image.
        confidence: As in `mean_interval`.

    Raises:
        DsegError: No values, or one that is neither 0 nor 1.
    """
    values = _scores(hits)
    if not np.isin(values, (0, 1)).all():
        raise DsegError("a share of hits needs 0 or 1 for each image")
    test = stats.binomtest(int(values.sum()), len(values))
    bounds = test.proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(values.mean()), float(bounds.low), float(bounds.high))


def compare(
    values: np.ndarray, reference: np.ndarray, *, seed: int, confidence: float = CONFIDENCE
) -> Comparison:
    """Whether a method scores higher than a reference on the same images.

    The test is Wilcoxon's signed-rank test, one-sided; images with equal scores are left out of
    it, as Wilcoxon did, and p is 1 if none is left. The interval is `mean_interval` of the
    differences.

    Args:
        values: (n,) scores of the method.
        reference: (n,) scores of the reference, of the same images in the same order.
        seed: As in `mean_interval`.
        confidence: As in `mean_interval`.

    Raises:
        DsegError: As `mean_interval`, or the numbers of scores differ.
    """
    values, reference = _scores(values), _scores(reference)
    if len(values) != len(reference):
        raise DsegError(
            f"a paired comparison of {len(values)} and {len(reference)} scores: expected the same "
            "images for both"
        )
    difference = values - reference
    p_value = 1.0
    if difference.any():
        p_value = float(stats.wilcoxon(difference, alternative="greater").pvalue)
    return Comparison(mean_interval(difference, seed=seed, confidence=confidence), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: compare each with the level for all tests.

    Raises:
        DsegError: A p value outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise DsegError("Holm's correction needs p values in [0, 1]")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


def _scores(values: np.ndarray) -> np.ndarray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
        raise DsegError(
            f"scores of shape {scores.shape}: expected one finite number per image, at least one"
        )
    return scores
