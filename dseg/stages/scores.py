"""Files of the scores: written by evaluation and mask_methods, read by tables and figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.errors import DsegError
from dseg.scores import Scores
from dseg.shards import read_shards

IMAGES, SCORES, CURVES = "images.parquet", "scores.parquet", "curves.parquet"


def read_scores(
    evaluation: Path, mask_methods: Path, masks: Sequence[Path], round_trips: Sequence[Path] = ()
) -> Scores:
    """Read the scores of a run.

    Args:
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        round_trips: Tables of the stage round_trip; none if it was not run.

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
        round_trips=pd.concat([_read(path) for path in round_trips]) if round_trips else None,
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DsegError(f"{path}: no readable table; run the stage that makes it") from error
