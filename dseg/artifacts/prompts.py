"""What later stages read of prompts.parquet."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.errors import DsegError

COLUMNS = ("id", "text", "token_start", "token_end", "seed")


def read_prompts(path: Path) -> pd.DataFrame:
    """The prompts of a run, as the stage prompts wrote them.

    Raises:
        DsegError: The file is missing, not Parquet, without prompts or without a column.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DsegError(f"{path}: no readable table of prompts; run the stage prompts") from error
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
    try:
        table = pd.read_parquet(prompts, columns=["id", "class"]).set_index("id")["class"]
        return [str(table.loc[item]) for item in ids]
    except (OSError, ValueError, KeyError) as error:
        raise DsegError(
            f"{prompts}: no readable table with the classes of all images; run the stage prompts"
        ) from error
