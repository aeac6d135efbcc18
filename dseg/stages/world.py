"""Stage `world`: render one evaluation split of the embedded world."""

import shutil
from pathlib import Path

from dseg.errors import DsegError
from dseg.settings.run import Settings
from dseg.world.splits import draw_split, find_split, write_split

SECTIONS = ("seed", "world")


def run(settings: Settings, split: str, out: str | Path) -> None:
    """Write a split to the folder `out`, replacing what is there.

    The split is written beside `out` and then renamed: a folder that exists is whole.

    Raises:
        DsegError: The world has no such split, or its number of images is not set.
    """
    find_split(split)
    world, images = settings.world, {str(name): n for name, n in settings.world.images.items()}
    if split not in images:
        raise DsegError(f"world.images: no number of images for split {split!r}: add it")
    scenes = draw_split(
        split, settings.seed, images[split], size=world.size, shift_strength=world.shift_strength
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
