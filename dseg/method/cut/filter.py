"""The filter: which masks of synthetic images are good enough to learn from."""

from enum import IntEnum

import numpy as np

from dseg.method.cut.crossmap import is_flat
from dseg.method.resample import resize
from dseg.settings.masks import AttentionCutSettings


class Reason(IntEnum):
    """Why a mask is dropped; 0 if it is kept."""

    KEPT = 0
    TOO_SMALL = 1  # covers less than area[0]
    TOO_LARGE = 2  # covers more than area[1]
    BORDER = 3  # covers more of the border than `border`: background taken for the object
    UNFOCUSED = 4  # the noun attends inside hardly more than outside: it was not found


def judge(mask: np.ndarray, cross: np.ndarray, settings: AttentionCutSettings) -> Reason:
    """The first reason to drop a mask, or KEPT.

    Args:
        mask: bool (H, W).
        cross: (h, w), the raw cross map, >= 0.
        settings: Its ``area``, ``border`` and ``focus`` are read.
    """
    area = float(mask.mean())
    if is_flat(cross):
        return Reason.UNFOCUSED
    if area < settings.area[0] or area == 0:
        return Reason.TOO_SMALL
    if area > settings.area[1] or area == 1:
        return Reason.TOO_LARGE
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if border.mean() > settings.border:
        return Reason.BORDER
    share = resize(mask, (cross.shape[0], cross.shape[1]))
    inside, outside = np.average(cross, weights=share), np.average(cross, weights=1 - share)
    return Reason.UNFOCUSED if inside < settings.focus * outside else Reason.KEPT
