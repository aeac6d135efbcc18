"""Benchmarks: images with true masks or boxes, one reader per layout of files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dseg.datasets.coco import open_coco
from dseg.datasets.saliency import open_saliency
from dseg.datasets.sample import Sample, Samples
from dseg.datasets.voc import open_voc
from dseg.errors import DsegError

__all__ = ["LAYOUTS", "Sample", "Samples", "open_benchmark"]

CHOICES = ("keep", "drop")
LAYOUTS: Mapping[str, Callable[..., Samples]] = {
    "saliency": open_saliency,
    "voc": open_voc,
    "coco": open_coco,
}


def open_benchmark(
    layout: str,
    root: str | Path,
    *,
    images: int | None = None,
    limit: int | None = None,
    difficult: str = "keep",
    crowd: str = "drop",
) -> Samples:
    """Open a benchmark: a sequence of its samples, sorted by id, read when they are asked for.

    Args:
        layout: How its files lie: a key of `LAYOUTS`.
        root: Its folder.
        images: How many images it must have; None takes what is there.
        limit: At most so many are taken, evenly spaced in the order of ids: names often go by
            class, so that the first would be of few classes. None takes all.
        difficult: ``keep`` or ``drop`` the boxes that VOC marks difficult or truncated.
        crowd: ``keep`` or ``drop`` the boxes that COCO marks as crowds.

    Raises:
        DsegError: Unknown layout or choice; a folder or file is missing; another number of images.
    """
    if layout not in LAYOUTS:
        raise DsegError(f"no benchmark layout {layout!r}: expected one of {', '.join(LAYOUTS)}")
    for name, choice in (("difficult", difficult), ("crowd", crowd)):
        if choice not in CHOICES:
            raise DsegError(f"{name} boxes {choice!r}: expected one of {', '.join(CHOICES)}")
    boxes: dict[str, Any] = {
        "voc": {"keep_difficult": difficult == "keep"},
        "coco": {"keep_crowd": crowd == "keep"},
    }
    samples = LAYOUTS[layout](Path(root), **boxes.get(layout, {}))
    if images is not None and len(samples) != images:
        raise DsegError(
            f"{root}: has {len(samples)} images where {images} are expected; complete the data set "
            "or correct its `images` under `benchmarks` in params.yaml"
        )
    if limit is not None and limit < len(samples):
        chosen = (int((index + 0.5) * len(samples) / limit) for index in range(limit))
        return Samples(tuple(samples.ids[index] for index in chosen), samples.make)
    return samples
