"""Files of the scores: written by evaluation and mask_methods, read by tables and figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.errors import DsegError
from dseg.scores import Scores
from dseg.shards import read_shards

IMAGES, SCORES, CURVES = "images.parquet", "scores.parquet", "curves.parquet"


def read_scores(evaluation: Path, mask_methods: Path, masks: Sequence[Path]) -> Scores:
    """Read the scores of a run.

    Args:
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.

    Raises:
        DsegError: A table or a shard is missing or not whole.
    """
    kept = read_shards(masks, stage="attentioncut", fields=["kept"]).fields["kept"]
    return Scores(
        images=_read(evaluation / IMAGES),
        table=_read(evaluation / SCORES),
        curves=_read(evaluation / CURVES),
        masks=_read(mask_methods),
        kept=int(kept.sum()),
        made=len(kept),
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DsegError(f"{path}: no readable table; run the stage that makes it") from error
