"""Rivals of AttentionCut that only threshold a map; the recipes of others are named as theirs.

Every baseline, here and in `normalised_cut` and `grabcut`, has one signature: the inputs of
`method.cut.attentioncut.attention_cut` without settings; it reads all cross maps. It returns a soft
mask, float32 (H, W) in [0, 1], whose binary mask is ``soft > 0.5``, so that curves over thresholds
can be drawn too.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import cv2
import numpy as np

from dseg.errors import DsegError
from dseg.method.cut import affinity, crossmap
from dseg.method.cut.evidence import Attention
from dseg.method.resample import resize

Baseline = Callable[[Attention, np.ndarray], np.ndarray]

DAAM_THRESHOLD = 0.4  # default of the script that writes masks, daam/run/daam_to_mask.py
DATASET_DIFFUSION_THRESHOLD = 0.6
DATASET_DIFFUSION_POWER = 4


def threshold_half(attention: Attention, image: np.ndarray) -> np.ndarray:
    """The cross map at image size, stretched to [0, 1]: its mask is where it exceeds one half.

    Args:
        attention: On the image; its affinity is not used.
        image: (H, W, 3); only its size is used.
    """
    return crossmap.normalise(resize(attention.noun_map, (image.shape[0], image.shape[1])))


def walk_otsu(
    attention: Attention, image: np.ndarray, *, steps: int, exponent: float = 1.0
) -> np.ndarray:
    """The cross map after a random walk on the self-attention, at Otsu's threshold.

    Args:
        attention: On the image; its affinity is not used if ``steps`` is 0.
        image: (H, W, 3); only its size is used.
        steps: Steps of the walk; 0 leaves the map as it is, at its own resolution.
        exponent: Power of the map before the walk; see `dseg.method.cut.crossmap.compress`.
    """
    cross = crossmap.compress(attention.noun_map, exponent)
    if steps:
        rows = attention.affinity
        cross = affinity.walk(rows, resize(cross, rows.shape), steps)
    values = crossmap.normalise(resize(cross, (image.shape[0], image.shape[1])))
    return crossmap.centre(values, crossmap.otsu(values))


def add_up(maps: Sequence[np.ndarray]) -> np.ndarray:
    """DAAM's aggregation: every map enlarged to the finest by a bicubic filter, then the mean.

    A layer counts by how much it attends to the noun, where `crossmap.combine` gives each
    resolution the same weight. DAAM adds up layers; a recorded map is the mean of the layers at
    its stride, so the two agree where strides have equally many layers, as in Stable Diffusion
    and in the embedded model. Its code leaves the layers of the middle block out.

    Args:
        maps: At least one map (h, w), >= 0.

    Returns:
        float32 (h, w) of the finest map, >= 0.

    Raises:
        DsegError: No map is given, or one is not a finite, non-negative map.
    """
    if not maps:
        raise DsegError("no cross map to add up: expected at least one field cross_<stride>")
    for cross in maps:
        crossmap.check(cross)
    finest = max(maps, key=lambda cross: cross.size).shape
    enlarged = [_enlarge(cross, (finest[0], finest[1])) for cross in maps]
    return np.asarray(np.mean(enlarged, axis=0, dtype=np.float32))


def daam(attention: Attention, image: np.ndarray) -> np.ndarray:
    """DAAM's masks (Tang et al., ACL 2023): a map summed over layers, above .4 of its range.

    The map is that of `add_up`, enlarged to the image by a bicubic filter, stretched to [0, 1] and
    cut at .4.

    Args:
        attention: On the image; its affinity is not used.
        image: (H, W, 3); only its size is used.
    """
    large = _enlarge(add_up(list(attention.cross.values())), (image.shape[0], image.shape[1]))
    return crossmap.centre(crossmap.normalise(large), DAAM_THRESHOLD)


def dataset_diffusion(attention: Attention, image: np.ndarray) -> np.ndarray:
    """Dataset Diffusion's masks (Nguyen et al., NeurIPS 2023): A^4 c, stretched, from .6 upwards.

    A^4 c is four steps of the walk, on whole rows there and on the recorded entries here. The
    recipe names further classes by further maps; one noun leaves object and background.

    Args:
        attention: On the image.
        image: (H, W, 3); only its size is used.
    """
    rows = attention.affinity
    cross = resize(attention.noun_map, rows.shape)
    walked = affinity.walk(rows, cross, DATASET_DIFFUSION_POWER)
    values = resize(crossmap.normalise(walked), (image.shape[0], image.shape[1]))
    return crossmap.centre(values, DATASET_DIFFUSION_THRESHOLD)


def _enlarge(cross: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bicubic, without the undershoot below 0."""
    values = cross.astype(np.float32)
    if values.shape == shape:
        return values
    large = cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.float32).clip(min=0)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "threshold": threshold_half,
        "otsu": partial(walk_otsu, steps=0),
        "otsu-sqrt": partial(walk_otsu, steps=0, exponent=0.5),
        "walk-1": partial(walk_otsu, steps=1),
        "walk-2": partial(walk_otsu, steps=2),
        "walk-4": partial(walk_otsu, steps=4),
        "daam": daam,
        "dataset-diffusion": dataset_diffusion,
    }
)
