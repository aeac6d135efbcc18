"""Renders with their true masks to train heads on: the upper bound of what masks can bring.

They stand in for synthesised images of perfect masks: the domain that the base model was trained
on, drawn with a seed of their own, an object of the prompt's class in each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dseg.errors import DsegError
from dseg.world.kinds import KIND_NAMES
from dseg.world.renderer import annotated_scenes
from dseg.world.splits import split_seed


def render_pairs(
    nouns: Sequence[str], run_seed: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A rendered image and its mask for each noun; more nouns change no earlier image.

    Args:
        nouns: Kinds of the world.
        run_seed: Seed of the run.
        size: Side of the images in pixels.

    Returns:
        uint8 (n, size, size, 3) and bool (n, size, size).

    Raises:
        DsegError: A noun is not a kind of the world.
    """
    unknown = sorted(set(nouns) - set(KIND_NAMES))
    if unknown:
        raise DsegError(f"no render of {unknown[0]!r}: expected one of {', '.join(KIND_NAMES)}")
    most = max((list(nouns).count(noun) for noun in set(nouns)), default=0)
    # Each run of as many scenes as there are kinds holds every kind once.
    scenes = annotated_scenes(most * len(KIND_NAMES), split_seed(run_seed, "renders"), size=size)
    unused = {
        kind: iter([row for row, shown in enumerate(scenes.kinds) if shown == kind])
        for kind in KIND_NAMES
    }
    rows = [next(unused[noun]) for noun in nouns]
    return scenes.images[rows], scenes.masks[rows]
