"""Files of results that a run has no more, such as those of an ablation that was taken out."""

from collections.abc import Collection
from pathlib import Path


def remove_leftovers(folder: Path, names: Collection[str], suffixes: Collection[str]) -> None:
    """Remove files that would pass for results of this run.

    Args:
        folder: Where the results of one kind lie.
        names: What this run has written, without suffixes; these files stay.
        suffixes: Of files of results, without the dot; others are left alone.
    """
    for path in folder.iterdir():
        if path.suffix[1:] in suffixes and path.stem not in names:
            path.unlink()
