"""Colour model of one image: how much more a colour belongs to the object than to the rest."""

import numpy as np
from scipy.ndimage import gaussian_filter

_BITS = 3  # a channel: 8 x 8 x 8 bins
_SMOOTHING = 0.7  # of a bin: neighbouring shades count as alike
_FLOOR = 1e-3  # density of a colour that was never seen, before it counts as evidence
_LIMIT = 3.0  # nats: colour alone settles no pixel


def colour_evidence(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Log-ratio of two smoothed colour histograms, after GrabCut (histograms: our choice).

    Args:
        image: uint8 (h, w, 3).
        foreground: (h, w) in [0, 1], each pixel's share in the object's histogram; the rest of
            it goes to the background's.

    Returns:
        float64 (h, w), log p(colour | object) - log p(colour | background), clipped to [-3, 3].
        0 everywhere if either side holds less than a pixel.
    """
    share = foreground.astype(np.float64).ravel()
    if min(share.sum(), len(share) - share.sum()) < 1:
        return np.zeros(foreground.shape)
    levels = (image >> (8 - _BITS)).astype(np.int64).reshape(-1, 3)
    bins = (levels[:, 0] << 2 * _BITS) | (levels[:, 1] << _BITS) | levels[:, 2]
    ratio = np.log(_density(bins, share)) - np.log(_density(bins, 1 - share))
    return ratio.clip(-_LIMIT, _LIMIT)[bins].reshape(foreground.shape)


def _density(bins: np.ndarray, share: np.ndarray) -> np.ndarray:
    side = 1 << _BITS
    counts = np.bincount(bins, weights=share, minlength=side**3).reshape(side, side, side)
    smooth = gaussian_filter(counts / share.sum(), _SMOOTHING, mode="constant")
    return smooth.ravel() + _FLOOR
