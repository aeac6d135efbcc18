"""The noun's cross-attention map: combining resolutions, normalising, Otsu's threshold."""

from collections.abc import Sequence

import numpy as np

from dseg.errors import DsegError
from dseg.method.resample import resize

_BINS = 256
_ROUNDING = 1e-5  # relative; what resizing and walking in float32 make of a constant map


def combine(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Average the noun's maps of several resolutions at the finest of them (our choice).

    Each map is divided by its mean first: layers differ in how much attention the noun gets at
    all, and only where it falls matters.

    Args:
        maps: At least one map ``(h, w)``, finite, >= 0.

    Returns:
        float32 ``(h, w)`` of the finest map, mean about 1 (0 where all maps are 0).

    Raises:
        DsegError: No map is given, or one is not a finite, non-negative map.
    """
    if not maps:
        raise DsegError("no cross map to combine: expected at least one field cross_<stride>")
    for cross in maps:
        check(cross)
    finest = max(maps, key=lambda cross: cross.size).shape
    total = np.zeros(finest, dtype=np.float32)
    for cross in maps:
        resized = resize(cross, (finest[0], finest[1]))
        total += resized / max(float(resized.mean()), np.finfo(np.float32).tiny)
    return total / len(maps)


def compress(cross: np.ndarray, exponent: float) -> np.ndarray:
    """A map to a power, relative to its maximum: below 1, weak attention counts for more.

    Attention is skewed: a few cells on the most telling part of the object hold most of it, and
    Otsu's threshold then leaves the rest of the object out (our choice).

    Args:
        cross: (h, w), >= 0.
        exponent: > 0; 1 leaves the map's shape as it is.

    Returns:
        float32 (h, w) in [0, 1]; 0 where the map is 0.
    """
    values = np.asarray(cross, dtype=np.float32)
    scaled = values / max(float(values.max()), float(np.finfo(np.float32).tiny))
    return scaled if exponent == 1 else np.power(scaled, np.float32(exponent))


def check(cross: np.ndarray) -> None:
    """Raise DsegError unless ``cross`` is a map ``(h, w)`` of finite numbers >= 0."""
    if cross.ndim != 2 or cross.size == 0:
        raise DsegError(f"cross map is {cross.shape}: expected one map (h, w)")
    if not np.isfinite(cross).all() or cross.min() < 0:
        raise DsegError(
            "cross map holds NaN, infinite or negative values: expected attention weights >= 0; "
            "record the attention again, in float32 if it overflowed"
        )


def is_flat(cross: np.ndarray) -> bool:
    """Whether a map >= 0 is constant but for rounding, so that nothing stands out."""
    low, high = float(cross.min()), float(cross.max())
    return high - low <= _ROUNDING * high


def normalise(cross: np.ndarray) -> np.ndarray:
    """Stretch a map >= 0 linearly to [0, 1]; a flat one becomes 0 everywhere. Returns float32."""
    values = np.asarray(cross, dtype=np.float32)
    if is_flat(values):
        return np.zeros_like(values)
    low, high = values.min(), values.max()
    return (values - low) / (high - low)


def otsu(values: np.ndarray) -> float:
    """Otsu's threshold: it maximises the variance between the two classes, over 256 bins.

    Args:
        values: Real numbers of any shape, finite.

    Returns:
        A threshold t; the upper class is ``values > t``. The value itself if all are equal.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    counts, bounds = np.histogram(values, bins=_BINS, range=(low, high))
    centres = (bounds[:-1] + bounds[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    means_below = sums[:-1] / below  # the lowest value is in bin 0: never divides by 0
    means_above = (sums[-1] - sums[:-1]) / above
    return float(centres[:-1][np.argmax(below * above * (means_above - means_below) ** 2)])


def centre(values: np.ndarray, threshold: float) -> np.ndarray:
    """Bend values in [0, 1], piecewise linearly, so that the threshold comes to lie at .5."""
    if not 0 < threshold < 1 or not values.any():  # a constant map: nothing stands out
        return np.zeros_like(values)
    return np.interp(values, [0, threshold, 1], [0, 0.5, 1]).astype(np.float32)
