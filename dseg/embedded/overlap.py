"""How far masks agree with the true ones of renders; no base model is needed to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dseg.method.head import iou

if TYPE_CHECKING:
    from dseg.datasets.opening import Samples


def true_masks(samples: Samples) -> np.ndarray:
    """True masks bool (n, H, W) of renders, which have one size."""
    truths = []
    for sample in samples:
        truth = sample.mask()
        assert truth is not None  # a saliency layout has masks
        truths.append(truth)
    return np.stack(truths)


def mean_iou(masks: np.ndarray, truths: np.ndarray) -> float:
    """Mean IoU of masks with the true ones, both bool (n, H, W)."""
    return float(iou(torch.from_numpy(masks), torch.from_numpy(truths)).double().mean())
