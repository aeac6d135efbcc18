"""What later stages read of prompts.parquet."""

from collections.abc import Sequence
from pathlib import Path

from dseg.artifacts.tables import read_table
from dseg.errors import DsegError


def read_nouns(prompts: Path, ids: Sequence[str]) -> list[str]:
    """The class of each synthetic image.

    Args:
        prompts: prompts.parquet.
        ids: Ids of the images.

    Raises:
        DsegError: The file is not usable, or lacks an image.
    """
    table = read_table(prompts, ["id", "class"])
    classes = dict(zip(table["id"], table["class"], strict=True))
    missing = [item for item in ids if item not in classes]
    if missing:
        raise DsegError(f"{prompts}: no class of image {missing[0]}; run the stage prompts again")
    return [str(classes[item]) for item in ids]
