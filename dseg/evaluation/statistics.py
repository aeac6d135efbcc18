"""Intervals and tests of scores over images and trainings: how sure a mean or a difference is.

A method's scores on one benchmark are a matrix X of S trainings by N images (S = 1 where nothing
is trained). Both are samples: other images of the kind, and other trainings of the same head on
the same data. Everything below is about the grand mean, and is our choice:

- *Images.* Each image's mean over trainings is one value, so that all trainings of an image stay
  together as a block. Their mean has a bias-corrected and accelerated bootstrap interval over
  images (BCa, Efron 1987), which follows the skew of IoU.
- *Trainings.* The S means over images have Student's interval, with S - 1 degrees of freedom.
  Resampling three to five of them would give intervals that are far too narrow.
- *Together.* Both intervals have the grand mean in their middle, and their distances to it are
  added in quadrature on each side (MOVER, Zou & Donner 2008). With one training, or trainings that
  agree, this is the interval over images; with many images, Student's over trainings. What of X
  is neither of the image nor of the training is counted in both, which errs to the safe side.

Differences of two methods are taken image by image and training by training. Their test turns the
signs of the images' mean differences, as the null hypothesis of no difference allows (Fisher's
permutation test), and spreads each sum by Student's error of the trainings: without trainings it is
exact, and two methods that differ only by the luck of a training are not told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from dseg.errors import DsegError

CONFIDENCE = 0.95
RESAMPLES = 10_000
FLIPS = 20_000  # random sign patterns; with 14 or fewer images, all of them
POWER = 0.8
_EXACT = 14
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
        p_value: Two-sided, of the null hypothesis that the methods do not differ.
        effect: Cohen's d_z over images: the mean difference by its standard deviation; 0 for
            methods that are equal on every image, infinite for a difference that never varies.
        rank_effect: Matched-pairs rank-biserial correlation over images, in [-1, 1]: the share of
            ranks in favour of the first, less that against it (Kerby 2014).
        detectable: The true difference that would be found, p < .05, four times out of five with
            as many images and trainings and as much spread.
        images: Number of images.
        trainings: Number of trainings.
    """

    difference: Interval
    p_value: float
    effect: float
    rank_effect: float
    detectable: float
    images: int
    trainings: int


def mean_interval(values: np.ndarray, *, seed: int, confidence: float = CONFIDENCE) -> Interval:
    """The mean of scores with its interval over images and trainings; see the module.

    Args:
        values: (N,) one score per image, or (S, N) one row per training; finite.
        seed: Of the resampling; the same seed and values give the same bounds.
        confidence: Probability that the interval is to cover.

    Raises:
        DsegError: No values, or one is NaN or infinite.
    """
    scores = _scores(values)
    mean = float(scores.mean())
    images = scores.mean(axis=0)
    low = high = 0.0
    # Equal but for rounding, or a single image: there is nothing to resample.
    if np.ptp(images) > _ROUNDING:
        bounds = stats.bootstrap(
            (images,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=max(1, _BATCH // len(images)),
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = mean - float(bounds.low), float(bounds.high) - mean
    return _join(mean, low, high, scores, confidence)


def share_interval(hits: np.ndarray, *, confidence: float = CONFIDENCE) -> Interval:
    """The share of hits with its interval, which is sound for few images and shares near 1.

    Over images it is Wilson's, over trainings as in `mean_interval`. Wilson's takes an image that
    some trainings hit for as uncertain as one that all hit or miss together, which errs to the
    safe side.

    Args:
        hits: (N,) or (S, N), 0 or 1 (or bool) per image.
        confidence: As in `mean_interval`.

    Raises:
        DsegError: No values, or one that is neither 0 nor 1.
    """
    scores = _scores(hits)
    if not np.isin(scores, (0, 1)).all():
        raise DsegError("a share of hits needs 0 or 1 for each image")
    share, count = float(scores.mean()), scores.shape[1]
    z = stats.norm.isf((1 - confidence) / 2)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z**2 / count)
    interval = _join(share, share - (centre - half), centre + half - share, scores, confidence)
    return Interval(share, max(0.0, interval.low), min(1.0, interval.high))


def compare(
    values: np.ndarray, reference: np.ndarray, *, seed: int, confidence: float = CONFIDENCE
) -> Comparison:
    """How a method differs from a reference on the same images; see the module.

    Args:
        values: (N,) or (S, N), scores of the method.
        reference: The same of the reference: the same images in the same order, and as many
            trainings, in the same order, or one.
        seed: As in `mean_interval`; of the sign patterns as well.
        confidence: As in `mean_interval`.

    Raises:
        DsegError: As `mean_interval`, or the numbers of images or trainings do not go together.
    """
    first, second = _scores(values), _scores(reference)
    if first.shape[1] != second.shape[1]:
        raise DsegError(
            f"a paired comparison of {first.shape[1]} and {second.shape[1]} scores: expected the "
            "same images for both"
        )
    if len({len(first), len(second)} - {1}) > 1:
        raise DsegError(
            f"a paired comparison of {len(first)} and {len(second)} trainings: expected as many "
            "for both, or one"
        )
    differences = first - second
    images = differences.mean(axis=0)
    error = _training_error(differences)
    return Comparison(
        difference=mean_interval(differences, seed=seed, confidence=confidence),
        p_value=_sign_flip_test(images, error, len(differences), seed),
        effect=_standardised(images),
        rank_effect=_rank_biserial(images),
        detectable=_detectable(images, error),
        images=len(images),
        trainings=len(differences),
    )


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


def _join(mean: float, low: float, high: float, scores: np.ndarray, confidence: float) -> Interval:
    """MOVER: distances to the bounds over images, and those over trainings, in quadrature."""
    spread = 0.0
    if len(scores) > 1:
        t = float(stats.t.isf((1 - confidence) / 2, len(scores) - 1))
        spread = t * _training_error(scores)
    return Interval(mean, mean - float(np.hypot(low, spread)), mean + float(np.hypot(high, spread)))


def _training_error(scores: np.ndarray) -> float:
    """Standard error of the grand mean over trainings (S, N); 0 for a single one."""
    if len(scores) < 2:
        return 0.0
    means = scores.mean(axis=1)
    return 0.0 if np.ptp(means) <= _ROUNDING else float(means.std(ddof=1) / len(means) ** 0.5)


def _sign_flip_test(images: np.ndarray, error: float, trainings: int, seed: int) -> float:
    """Two-sided p value of mean 0, for differences (N,) whose mean has Student's error as well."""
    observed = abs(float(images.mean()))
    if not (np.abs(images) > _ROUNDING).any():
        return 1.0
    count = len(images)
    if count <= _EXACT:
        flipped = np.array(list(product((-1.0, 1.0), repeat=count))) @ images / count
    else:
        flipped = _random_flips(images, np.random.default_rng(seed))
    # How probable a mean at least as far from 0 is, given the signs.
    if error > 0:
        t = stats.t(trainings - 1)
        beyond = t.sf((observed - flipped) / error) + t.cdf((-observed - flipped) / error)
    else:
        beyond = (np.abs(flipped) >= observed - _ROUNDING).astype(np.float64)
    if count <= _EXACT:
        return float(min(1.0, beyond.mean()))
    # The signs as they are belong to the patterns too: without them p could be 0.
    return float(min(1.0, (beyond.sum() + 1) / (FLIPS + 1)))


def _random_flips(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means (FLIPS,) of values (N,) with random signs."""
    count = len(images)
    step = max(1, _BATCH // count)
    sums = [
        rng.integers(0, 2, (min(step, FLIPS - start), count), dtype=np.int8) @ images
        for start in range(0, FLIPS, step)
    ]
    return (2.0 * np.concatenate(sums) - images.sum()) / count


def _standardised(images: np.ndarray) -> float:
    mean = float(images.mean())
    spread = float(images.std(ddof=1)) if len(images) > 1 else 0.0
    if spread <= _ROUNDING:
        return 0.0 if abs(mean) <= _ROUNDING else float(np.copysign(np.inf, mean))
    return mean / spread


def _rank_biserial(images: np.ndarray) -> float:
    nonzero = images[np.abs(images) > _ROUNDING]
    if not len(nonzero):
        return 0.0
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())


def _detectable(images: np.ndarray, error: float) -> float:
    """By the normal approximation, with the standard errors of images and trainings."""
    varies = np.ptp(images) > _ROUNDING
    over_images = float(images.std(ddof=1)) / len(images) ** 0.5 if varies else 0.0
    return float((stats.norm.isf(0.025) + stats.norm.ppf(POWER)) * np.hypot(over_images, error))


def _scores(values: np.ndarray) -> np.ndarray:
    """Scores as a matrix (S, N) of float64."""
    scores = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
        raise DsegError(
            f"scores of shape {np.shape(values)}: expected one finite number per image, at least "
            "one, and one row per training"
        )
    return scores
