"""Rivals of AttentionCut that only threshold the noun's cross map; all are our choice.

Every baseline has one signature: the inputs of `dseg.attentioncut.attention_cut` without
settings. It returns a soft mask, float32 (H, W) in [0, 1], whose binary mask is ``soft > 0.5``,
so that curves over thresholds can be drawn as well.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from dseg import affinity, crossmap
from dseg.resample import resize

Baseline = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def threshold_half(
    cross: np.ndarray, indices: np.ndarray, weights: np.ndarray, image: np.ndarray
) -> np.ndarray:
    """The cross map at image size, stretched to [0, 1]: its mask is where it exceeds one half.

    Args:
        cross: (h, w), >= 0.
        indices: Not used.
        weights: Not used.
        image: (H, W, 3); only its size is used.
    """
    crossmap.check(cross)
    return crossmap.normalise(resize(cross, (image.shape[0], image.shape[1])))


def walk_otsu(
    cross: np.ndarray, indices: np.ndarray, weights: np.ndarray, image: np.ndarray, *, steps: int
) -> np.ndarray:
    """The cross map after a random walk on the self-attention, at Otsu's threshold.

    Args:
        cross: (h, w), >= 0.
        indices: Integers (N, k), not used if ``steps`` is 0.
        weights: (N, k), >= 0, not used if ``steps`` is 0.
        image: (H, W, 3); only its size is used.
        steps: Steps of the walk; 0 leaves the map as it is, at its own resolution.
    """
    crossmap.check(cross)
    shape = (image.shape[0], image.shape[1])
    if steps:
        rows = affinity.from_rows(indices, weights, *shape)
        cross = affinity.walk(rows, resize(cross, rows.shape), steps)
    values = crossmap.normalise(resize(cross, shape))
    return _centre(values, crossmap.otsu(values))


def _centre(values: np.ndarray, threshold: float) -> np.ndarray:
    """Bend values in [0, 1], piecewise linearly, so that the threshold comes to lie at .5."""
    if not 0 < threshold < 1:  # a constant map: nothing stands out
        return np.zeros_like(values)
    return np.interp(values, [0, threshold, 1], [0, 0.5, 1]).astype(np.float32)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "threshold": threshold_half,
        "otsu": partial(walk_otsu, steps=0),
        "walk-1": partial(walk_otsu, steps=1),
        "walk-2": partial(walk_otsu, steps=2),
        "walk-4": partial(walk_otsu, steps=4),
    }
)
