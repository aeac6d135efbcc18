"""What later stages read of prompts.parquet."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.errors import DsegError


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
