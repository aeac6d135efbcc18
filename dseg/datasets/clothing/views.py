"""Views of photographs to learn from: mild crops, mirrored or not, with their captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dseg.datasets.clothing.grounds import caption
from dseg.datasets.clothing.photographs import Photograph, squared
from dseg.method.ground import name_ground

LEAST = 0.85  # of each side that a crop keeps, so that the garment stays whole
GROUNDLESS = 0.1  # share of captions that say nothing of the ground


def captioned_views(
    photographs: Sequence[Photograph], count: int, seed: int, size: int
) -> tuple[np.ndarray, list[str]]:
    """Draw views of photographs: all once in an order of their own, then all again, ...

    A view is a crop that keeps at least `LEAST` of each side, mirrored half the time, and brought
    to a square as every image is that a base model reads. The ground in its caption is named by the
    whole photograph.

    Args:
        photographs: At least one.
        count: Number of views.
        seed: Not negative; a view follows from it and from its number.
        size: Side of a view in pixels.

    Returns:
        uint8 (count, size, size, 3) and the captions.

    Raises:
        DsegError: A file is missing or not a readable image.
    """
    turns = range(-(-count // len(photographs)))
    orders = [np.random.default_rng([seed, turn]).permutation(len(photographs)) for turn in turns]
    order = np.concatenate(orders)[:count]
    views = np.empty((count, size, size, 3), np.uint8)
    said = [""] * count
    # A photograph is opened once for all its views.
    for index in np.unique(order):
        photograph = photographs[index]
        image = photograph.image()
        ground = name_ground(image)
        for row in np.flatnonzero(order == index):
            chance = np.random.default_rng([seed, row, 1])
            view = _crop(image, chance)
            views[row] = squared(view, size)
            said[row] = caption(photograph.noun, None if chance.random() < GROUNDLESS else ground)
    return views, said


def _crop(image: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    rows, columns = (round(side * chance.uniform(LEAST, 1)) for side in (height, width))
    top = chance.integers(height - rows + 1)
    left = chance.integers(width - columns + 1)
    view = image[top : top + rows, left : left + columns]
    return view[:, ::-1] if chance.random() < 0.5 else view
