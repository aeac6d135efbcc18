"""Every way to make a mask of recorded attention, by the settings: the rows of one table.

A method is which cross maps it takes, how it makes one map of them, and what it makes of that map,
the self-attention and the image. All answer for every image: AttentionCut's filter is not applied.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dseg.attentioncut import attention_cut
from dseg.crossmap import choose, combine
from dseg.cutenergy import CutSettings
from dseg.grabcut import grabcut
from dseg.mask_baselines import (
    Baseline,
    add_up,
    daam,
    dataset_diffusion,
    threshold_half,
    walk_otsu,
)
from dseg.mask_settings import MaskMethodSettings
from dseg.normalised_cut import diffcut, tokencut, tokencut_told
from dseg.settings import Settings

_FIXED: Mapping[str, Baseline] = {
    "threshold": threshold_half,
    "daam": daam,
    "dataset-diffusion": dataset_diffusion,
    "tokencut": tokencut,
    "tokencut-noun": tokencut_told,
    "diffcut": diffcut,
}


@dataclass(frozen=True)
class MaskMethod:
    """A way to make a mask.

    Attributes:
        strides: The cross maps it takes.
        aggregate: Makes one map of them.
        cut: Makes a mask of that map, the self-attention and the image: bool, or soft with its
            threshold at .5.
    """

    strides: tuple[int, ...]
    aggregate: Callable[[Sequence[np.ndarray]], np.ndarray]
    cut: Baseline

    def mask(
        self,
        crosses: Mapping[int, np.ndarray],
        indices: np.ndarray,
        weights: np.ndarray,
        image: np.ndarray,
    ) -> np.ndarray:
        """The mask of one image, (H, W), bool or float32.

        Args:
            crosses: The noun's map (h, w) at each recorded stride.
            indices: Integers (N, k), the cells each cell attends to most.
            weights: (N, k), how much, >= 0.
            image: uint8 (H, W, 3).

        Raises:
            DsegError: A stride was not recorded, or the attention is not usable.
        """
        return self.cut(self.aggregate(choose(crosses, self.strides)), indices, weights, image)


def mask_method(settings: Settings, name: str) -> MaskMethod:
    """The method of a row.

    Args:
        settings: The sections attentioncut and mask_methods.
        name: Its key among the mask methods.

    Raises:
        DsegError: There is no such method.
    """
    method, cut = settings.mask_method(name)
    aggregate = add_up if method.method == "daam" else combine
    return MaskMethod(settings.mask_strides(name), aggregate, _cut(method, cut))


def _cut(method: MaskMethodSettings, cut: CutSettings) -> Baseline:
    if method.method == "attentioncut":
        return partial(_attention_cut, settings=cut)
    if method.method == "grabcut":
        return partial(grabcut, settings=method)
    if method.method in ("otsu", "walk"):
        steps = method.steps if method.method == "walk" else 0
        return partial(walk_otsu, steps=steps, exponent=method.exponent)
    return _FIXED[method.method]


def _attention_cut(
    cross: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    image: np.ndarray,
    *,
    settings: CutSettings,
) -> np.ndarray:
    return attention_cut(cross, indices, weights, image, settings).mask
