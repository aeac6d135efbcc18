"""Every way to make a mask of recorded attention, by the settings: the rows of one table.

A method is which cross maps it takes, and what it makes of them, the self-attention and the image.
All answer for every image: AttentionCut's filter is not applied.
"""

from collections.abc import Mapping
from functools import partial

from dseg.method.cut.attentioncut import attention_cut
from dseg.rivals.grabcut import grabcut
from dseg.rivals.normalised_cut import diffcut, tokencut, tokencut_told
from dseg.rivals.thresholds import (
    Baseline,
    daam,
    dataset_diffusion,
    threshold_half,
    walk_otsu,
)
from dseg.settings.masks import MASK_RECORDING, AttentionCutSettings, MaskMethodSettings
from dseg.settings.run import Settings

_FIXED: Mapping[str, Baseline] = {
    "threshold": threshold_half,
    "daam": daam,
    "dataset-diffusion": dataset_diffusion,
    "tokencut": tokencut,
    "tokencut-noun": tokencut_told,
    "diffcut": diffcut,
}


def mask_method(settings: Settings, name: str) -> Baseline:
    """The method of a row: (attention, image uint8 (H, W, 3)) -> mask (H, W).

    The mask is bool, or soft, float32 with its threshold at .5. The method reads the cross maps
    of its own strides, and raises DsegError if one was not recorded.

    Args:
        settings: The sections attentioncut and mask_methods.
        name: Its key among the mask methods.

    Raises:
        DsegError: There is no such method.
    """
    method, cut = settings.mask_method(name)
    strides = settings.mask_strides(name)
    baseline = _baseline(method, cut.model_copy(update={"cross_strides": strides}))
    return lambda attention, image: baseline(attention.at(strides), image)


def synthetic_mask_methods(settings: Settings) -> list[str]:
    """Those that start from `MASK_RECORDING`: of a synthetic image, that is its own attention."""
    methods = settings.mask_methods
    return [name for name in methods if methods[name].recording == MASK_RECORDING]


def _baseline(method: MaskMethodSettings, cut: AttentionCutSettings) -> Baseline:
    if method.method == "attentioncut":
        return lambda attention, image: attention_cut(attention, image, cut).mask
    if method.method == "grabcut":
        return partial(grabcut, settings=method)
    if method.method in ("otsu", "walk"):
        steps = method.steps if method.method == "walk" else 0
        return partial(walk_otsu, steps=steps, exponent=method.exponent)
    return _FIXED[method.method]
