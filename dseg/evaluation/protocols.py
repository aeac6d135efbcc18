"""The named ways to compute saliency metrics.

"maxF" is at least four different numbers in the literature:

- ``tokencut``: TokenCut, MOVE, Melas-Kyriazi et al. F averaged over images, then the maximum.
- ``selfmask``: SelfMask, FOUND, PEEKABOO. Each image's own maximum, then the mean; the code of
  these papers squares 0.3 once more. They apply a sigmoid to logits; soft masks here are past it.
- ``pysod``: PySODMetrics, today's toolbox of salient object detection.
- ``curve``: the older toolboxes. F of the averaged precision and recall, then the maximum. Every
  image counts, where those toolboxes leave all-zero maps out of the number of images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from dseg.errors import DsegError

STEPS = np.arange(256) / 255
STEPS.setflags(write=False)
# TokenCut compares float32 maps with these: the cast decides the ties.
_STEPS_BELOW_1 = STEPS[:255].astype(np.float32)


def _count(steps: np.ndarray, values: np.ndarray, holds: Callable[..., np.ndarray]) -> np.ndarray:
    """Number of the ascending ``steps``, k/255, for which ``holds(step, value)``.

    The even spacing gives it to within rounding, and looking at two steps settles it: a third of
    the time of a binary search per pixel.
    """
    guess = np.minimum((values * 255).astype(np.intp), len(steps) - 1)
    bounded = np.append(steps, steps.dtype.type(np.inf))
    return guess + holds(bounded[guess], values) + holds(bounded[guess + 1], values)


def _levels_above(values: np.ndarray) -> np.ndarray:
    """Number of thresholds 0, 1/255, ..., 254/255 that are strictly below each value."""
    return _count(_STEPS_BELOW_1, values.astype(np.float32), np.less)


def _levels_truncated(values: np.ndarray) -> np.ndarray:
    """Number of bins 0, ..., 255 at or below each value cut to 8 bits."""
    return (values * 255).astype(np.uint8).astype(np.intp) + 1


def _levels_reached(values: np.ndarray) -> np.ndarray:
    """Number of thresholds 0, 1/255, ..., 1 that are at or below each value."""
    return _count(STEPS, values, np.less_equal)


def _as_given(values: np.ndarray) -> np.ndarray:
    return values


def _min_max(values: np.ndarray) -> np.ndarray:
    """Values stretched to [0, 1]; a constant map stays as it is, as in PySODMetrics."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else values


@dataclass(frozen=True)
class Protocol:
    """A named way to compute the metrics.

    Attributes:
        name: Its name in settings and tables.
        beta_squared: Weight of precision against recall in F.
        thresholds: (K,) the thresholds, ascending.
        levels: Values in [0, 1] to the number of thresholds at which they are foreground.
        prepare: Applied to the map's values first.
        average: What is averaged over images, and what is the maximum of.
        curve_truth: Smallest grey value of an 8-bit truth that is foreground for the curves.
        mask_truth: The same for accuracy, IoU and MAE.
        epsilon: Added to every denominator; 0 where the values below are used instead.
        empty_precision: Precision where nothing is predicted.
        empty_recall: Recall where the truth is empty.
        empty_iou: IoU where both are empty. Where it is 1 that is our choice: the codes give NaN.
    """

    name: str
    beta_squared: float
    thresholds: np.ndarray
    levels: Callable[[np.ndarray], np.ndarray]
    prepare: Callable[[np.ndarray], np.ndarray]
    average: Literal["max of mean F", "mean of max F", "max of F of means"]
    curve_truth: int = 128
    mask_truth: int = 128
    epsilon: float = 0.0
    empty_precision: float = 0.0
    empty_recall: float = 0.0
    empty_iou: float = 1.0


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                name="tokencut",
                beta_squared=0.3,
                thresholds=STEPS[:255],
                levels=_levels_above,
                prepare=_as_given,
                average="max of mean F",
                curve_truth=1,
                empty_precision=1.0,
                empty_recall=1.0,
            ),
            Protocol(
                name="selfmask",
                beta_squared=0.3**2,
                thresholds=STEPS[:255],
                levels=_levels_above,
                prepare=_as_given,
                average="mean of max F",
                curve_truth=255,
                mask_truth=255,
                epsilon=1e-7,
            ),
            Protocol(
                name="pysod",
                beta_squared=0.3,
                thresholds=STEPS,
                levels=_levels_truncated,
                prepare=_min_max,
                average="max of mean F",
                curve_truth=129,
                mask_truth=129,
                empty_iou=0.0,
            ),
            Protocol(
                name="curve",
                beta_squared=0.3,
                thresholds=STEPS,
                levels=_levels_reached,
                prepare=_min_max,
                average="max of F of means",
            ),
        )
    }
)


def get_protocol(name: str) -> Protocol:
    """The protocol of that name; raises DsegError naming the known ones."""
    if name not in PROTOCOLS:
        raise DsegError(f"no metric protocol {name!r}: expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
