"""Boxes from masks, box IoU and CorLoc.

Boxes are ``x0, y0, x1, y1`` in pixels, 0-based with exclusive ends: width is ``x1 - x0``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dseg.errors import DsegError

RULES = ("largest", "all", "seed")
EMPTY = ("image", "none")


def above(soft: np.ndarray, threshold: float) -> np.ndarray:
    """Where a map is above a threshold, (H, W) bool; uint8 is read as value / 255."""
    return (soft / 255 if soft.dtype == np.uint8 else soft) > threshold


def select_component(
    mask: np.ndarray, rule: str, seed: tuple[int, int] | None = None
) -> np.ndarray:
    """The part of a mask that a rule keeps, (H, W) bool.

    Components are 4-connected, as in LOST, TokenCut and FOUND.

    Args:
        mask: (H, W) bool.
        rule: ``largest`` keeps the component with most pixels (FOUND; of equals the first in
            reading order), ``all`` keeps everything, ``seed`` the component with the pixel
            ``seed`` (LOST, TokenCut), which is empty if that pixel is background.
        seed: (row, column), for the rule ``seed``.

    Raises:
        DsegError: Unknown rule, or no seed where one is needed.
    """
    if rule == "all":
        return mask
    if rule == "seed" and seed is None or rule not in RULES:
        raise DsegError(
            f"box rule {rule!r}: expected one of {', '.join(RULES)}; seed needs a pixel"
        )
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    if rule == "seed":
        return mask & (labels == labels[seed])
    sizes = np.bincount(labels.ravel())
    return labels == 1 + int(sizes[1:].argmax())


def mask_to_box(
    soft: np.ndarray, *, rule: str = "largest", threshold: float = 0.5, empty: str = "image"
) -> np.ndarray | None:
    """The box around a mask, (4,) int32.

    Args:
        soft: (H, W) float in [0, 1], uint8 (read as value / 255) or bool.
        rule: Which part of the mask, see `select_component`. The seed is the peak of ``soft``, of
            equals the first in reading order.
        threshold: Foreground is what is above it.
        empty: What an empty mask gives: ``image``, the box of the whole image (our choice: FOUND's
            code fails there, and a box is due for every image), or ``none``, None.

    Raises:
        DsegError: Not a map (H, W) in [0, 1], or an unknown rule.
    """
    if rule not in RULES or empty not in EMPTY:
        raise DsegError(
            f"box rule {rule!r}, empty masks {empty!r}: expected one of {', '.join(RULES)} and one "
            f"of {', '.join(EMPTY)}"
        )
    if soft.ndim != 2 or soft.size == 0:
        raise DsegError(f"a mask of shape {soft.shape} has no box: expected (H, W), not empty")
    if not np.isfinite(soft).all():
        raise DsegError("a mask with NaN or infinite values has no box: clean the prediction first")
    peak = np.unravel_index(int(soft.argmax()), soft.shape)
    mask = select_component(above(soft, threshold), rule, (int(peak[0]), int(peak[1])))
    if not mask.any():
        height, width = mask.shape
        return np.array([0, 0, width, height], np.int32) if empty == "image" else None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.int32)


@dataclass(frozen=True)
class Component:
    """A connected part of a mask.

    Attributes:
        box: x0, y0, x1, y1.
        area: Pixels.
        score: Mean of the soft mask over them.
    """

    box: tuple[int, int, int, int]
    area: int
    score: float


def components(mask: np.ndarray, soft: np.ndarray, least: float) -> tuple[Component, ...]:
    """The 4-connected parts of a mask, largest first; of equals the first in reading order.

    Args:
        mask: (H, W) bool.
        soft: (H, W), what the scores are means of.
        least: Parts that cover a smaller share of the image are left out.
    """
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())[1:]
    slices = ndimage.find_objects(labels)
    found = []
    for index in np.argsort(-areas, kind="stable"):
        if areas[index] < least * mask.size:
            break
        rows, columns = slices[index]
        inside = labels[rows, columns] == index + 1
        found.append(
            Component(
                box=(columns.start, rows.start, columns.stop, rows.stop),
                area=int(areas[index]),
                score=float(soft[rows, columns][inside].mean()),
            )
        )
    return tuple(found)


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of every box with every other one.

    Args:
        boxes: (n, 4).
        others: (k, 4).

    Returns:
        (n, k) float64; 0 for boxes without area.
    """
    boxes, others = _as_boxes(boxes), _as_boxes(others)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])  # (n, k, 2)
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=-1)
    union = _area(boxes)[:, None] + _area(others)[None, :] - overlap
    return np.where(overlap > 0, overlap / np.where(union > 0, union, 1), 0.0)


def is_hit(box: np.ndarray | None, truths: np.ndarray, iou: float = 0.5) -> bool:
    """Whether a predicted box (4,) finds any of the true ones (k, 4): IoU of at least ``iou``.

    No box (None) is a miss.

    Raises:
        DsegError: There is no true box, so nothing could be found.
    """
    if len(truths) == 0:
        raise DsegError("an image without a true box cannot be scored: leave it out of CorLoc")
    return box is not None and bool((box_iou(box[None], truths) >= iou).any())


def corloc(
    boxes: Sequence[np.ndarray | None], truths: Sequence[np.ndarray], iou: float = 0.5
) -> float:
    """CorLoc: the share of images whose one box is a hit, in [0, 1]. Papers print percent.

    Images without a true box are left out, as in LOST with --no_hard.

    Args:
        boxes: One predicted box (4,), or None, per image.
        truths: The true boxes (k, 4) per image.
        iou: What counts as a hit.

    Raises:
        DsegError: Different numbers of images, or no image with a true box.
    """
    if len(boxes) != len(truths):
        raise DsegError(f"CorLoc of {len(boxes)} predictions on {len(truths)} images: unequal")
    hits = [
        is_hit(box, truth, iou) for box, truth in zip(boxes, truths, strict=True) if len(truth) > 0
    ]
    if not hits:
        raise DsegError("CorLoc of no images with a true box: the set is empty")
    return sum(hits) / len(hits)


def _as_boxes(boxes: np.ndarray) -> np.ndarray:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DsegError(f"boxes have shape {boxes.shape}: expected (n, 4)")
    return boxes.astype(np.float64)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)
