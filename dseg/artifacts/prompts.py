"""What later stages read of prompts.parquet."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.artifacts.parquet import read_table
from dseg.errors import DsegError

COLUMNS = ("id", "text", "token_start", "token_end", "context_start", "context_end", "seed")


def read_prompts(path: Path) -> pd.DataFrame:
    """The prompts of a run, as the stage prompts wrote them.

    Raises:
        DsegError: The file is missing, not Parquet, without prompts or without a column.
    """
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        lack = f"column {missing[0]!r}" if missing else "rows"
        raise DsegError(f"{path}: a table of prompts without {lack}; run the stage prompts again")
    return table


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
