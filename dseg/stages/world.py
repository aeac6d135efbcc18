"""Stage `world`: render one evaluation split of the embedded world."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dseg.errors import DsegError
from dseg.world.splits import draw_split, find_split, write_split

SECTIONS = ("seed", "world")


class WorldSection(Protocol):
    """What the stage reads of the settings `world`."""

    @property
    def size(self) -> int: ...
    @property
    def images(self) -> Mapping[str, int]: ...
    @property
    def shift_strength(self) -> float: ...


class WorldStageSettings(Protocol):
    """What the stage reads of all settings."""

    @property
    def seed(self) -> int: ...
    @property
    def world(self) -> WorldSection: ...


def run(settings: WorldStageSettings, split: str, out: str | Path) -> None:
    """Write a split to the folder `out`, replacing what is there.

    The split is written beside `out` and then renamed: a folder that exists is whole.

    Raises:
        DsegError: The world has no such split, or its number of images is not set.
    """
    find_split(split)
    world = settings.world
    if split not in world.images:
        raise DsegError(f"world.images: no number of images for split {split!r}: add it")
    count = world.images[split]
    scenes = draw_split(
        split, settings.seed, count, size=world.size, shift_strength=world.shift_strength
    )
    target = Path(out)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
    partial.mkdir(parents=True)
    try:
        write_split(split, scenes, partial)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
