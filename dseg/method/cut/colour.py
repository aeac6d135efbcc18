"""Colour model of one image: how much more a colour belongs to the object than to the rest."""

import numpy as np
from scipy.ndimage import gaussian_filter

_BITS = 5  # a channel: 32 x 32 x 32 bins, each 8 grey levels wide
_WIDTH = 256 >> _BITS
_TRUNCATE = 3.0  # deviations at which the kernel ends
_FLOOR = 1e-5  # density of a colour that was never seen, before it counts as evidence
_LIMIT = 3.0  # nats: colour alone settles no pixel


class ColourModel:
    """Smoothed colour histograms of the two sides of an image, after GrabCut (histograms: ours).

    What does not change from cut to cut, the bins and the histogram of the whole image, is made
    once; each :meth:`evidence` then costs one smoothing.
    """

    def __init__(self, image: np.ndarray, bandwidth: float) -> None:
        """Sort the pixels into bins.

        Args:
            image: uint8 (h, w, 3).
            bandwidth: Deviation of the Gaussian kernel, in grey levels, > 0: shades nearer than
                that count as alike.
        """
        self._deviation = bandwidth / _WIDTH
        levels = (image >> (8 - _BITS)).astype(np.int64).reshape(-1, 3)
        self._bins = (levels[:, 0] << 2 * _BITS) | (levels[:, 1] << _BITS) | levels[:, 2]
        self._all = self._smooth(np.ones(len(levels)))
        self._own = _centre_weight(self._deviation)

    def evidence(self, foreground: np.ndarray) -> np.ndarray:
        """Log-ratio of the densities of each pixel's colour on the two sides.

        A pixel's own share is left out of both: with fine bins it would find itself where it was
        put, and no later cut could take it back (our choice).

        Args:
            foreground: (h, w) in [0, 1], each pixel's share in the object's histogram; the rest
                of it goes to the background's.

        Returns:
            float64 (h, w), log p(colour | object) - log p(colour | background), clipped to
            [-3, 3]. 0 everywhere if either side holds less than a pixel.
        """
        share = foreground.astype(np.float64).ravel()
        inside = float(share.sum())
        outside = len(share) - inside
        if min(inside, outside) < 1:
            return np.zeros(foreground.shape)
        seen = self._smooth(share)
        others = self._all - seen - self._own * (1 - share)
        seen = seen - self._own * share
        ratio = np.log(seen.clip(min=0) / inside + _FLOOR)
        ratio -= np.log(others.clip(min=0) / outside + _FLOOR)
        return ratio.clip(-_LIMIT, _LIMIT).reshape(foreground.shape)

    def _smooth(self, share: np.ndarray) -> np.ndarray:
        """At each pixel's colour, the smoothed histogram of the shares: float64 (pixels,)."""
        side = 1 << _BITS
        counts = np.bincount(self._bins, weights=share, minlength=side**3)
        cube = counts.reshape(side, side, side)
        smooth = gaussian_filter(cube, self._deviation, mode="constant", truncate=_TRUNCATE)
        at_pixels: np.ndarray = smooth.ravel()[self._bins]
        return at_pixels


def _centre_weight(deviation: float) -> float:
    """The kernel's weight of a bin for itself, in three dimensions."""
    radius = int(_TRUNCATE * deviation + 0.5)
    line = np.zeros(2 * radius + 1)
    line[radius] = 1
    return float(gaussian_filter(line, deviation, mode="constant", truncate=_TRUNCATE)[radius] ** 3)
