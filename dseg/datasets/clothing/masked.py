"""The photographs with masks of our own, as benchmarks: `val` to choose on, and `test`.

The masks were outlined by hand in photographs reduced to fit 256 x 256; where the photographs are
there in their published size, the masks are enlarged to it.
"""

from __future__ import annotations

import csv
import shutil
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.clothing.grounds import caption
from dseg.datasets.clothing.outlines import MASKS
from dseg.datasets.clothing.photographers import TO_MASK, read_to_mask
from dseg.datasets.clothing.photographs import Photograph, read_photographs
from dseg.datasets.masks import read_mask
from dseg.errors import DsegError
from dseg.method.ground import name_ground
from dseg.method.resample import resize


def write_masked(root: Path) -> dict[str, int]:
    """Lay the masked photographs out as benchmarks `root/val` and `root/test`, whole or not at all.

    Each has images/, masks/ and captions.csv, in the layout `saliency`. What is there already is
    left as it is.

    Args:
        root: Folder of the photographs, as `read_photographs` takes it.

    Returns:
        The number of images of each.

    Raises:
        DsegError: A photograph is missing or not readable.
    """
    splits = [split for split in TO_MASK if not (root / split).exists()]
    if splits:
        known = {each.id: each for each in read_photographs(root)}
        listed = read_to_mask()
        if lacking := [id for id in listed if id not in known]:
            raise DsegError(
                f"{root}: has no photograph {lacking[0]}, which has a mask; empty the folder, then "
                "download and prepare `clothing` again"
            )
        for split in splits:
            ids = [id for id, its in listed.items() if its == split]
            _write_split([known[id] for id in ids], root / split)
    return dict(TO_MASK)


def enlarge(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask bool (h, w) at another size, bool (H, W)."""
    return mask if mask.shape == shape else resize(mask, shape) > 0.5


def _write_split(photographs: list[Photograph], folder: Path) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        for name in ("images", "masks"):
            (temporary / name).mkdir(parents=True)
        rows = []
        for each in photographs:
            image = each.image()
            mask = enlarge(read_mask(MASKS / f"{each.id}.png").values > 127, image.shape[:2])
            shutil.copyfile(each.path, temporary / "images" / f"{each.id}{each.path.suffix}")
            Image.fromarray(mask).save(temporary / "masks" / f"{each.id}.png", optimize=True)
            rows.append((each.id, each.noun, caption(each.noun, name_ground(image))))
        with (temporary / "captions.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("id", "noun", "caption"), *rows])
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
