"""Files of the scores: written by evaluation and mask_methods, read by tables and figures."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.errors import DsegError
from dseg.scores import Scores, SyntheticScores
from dseg.shards import read_shards

IMAGES, SCORES, CURVES = "images.parquet", "scores.parquet", "curves.parquet"


BOX_MODE = "box"  # of rows about boxes, which have no other


def read_scores(
    evaluation: Path,
    mask_methods: Path,
    masks: Sequence[Path],
    mode: str,
    round_trips: Sequence[Path] = (),
    synthetic_masks: Sequence[Path] = (),
    quality: Sequence[Path] = (),
) -> Scores:
    """Read the scores of a run in one mode and without post-processing.

    Args:
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        mode: The one of the setting `evaluation.mode`.
        round_trips: Tables of the stage round_trip; none if it was not run.
        synthetic_masks: Table of the stage synthetic_masks, likewise.
        quality: quality.json of the stage instruments, which goes with it.

    Raises:
        DsegError: A table or a shard is missing or not whole.
    """
    return Scores(
        images=_plain(read_table(evaluation / IMAGES), mode),
        table=_plain(read_table(evaluation / SCORES), mode),
        curves=_plain(read_table(evaluation / CURVES), mode),
        masks=read_table(mask_methods),
        kept=read_shards(masks, stage="attentioncut", fields=["kept"]).fields["kept"],
        round_trips=pd.concat([read_table(path) for path in round_trips]) if round_trips else None,
        synthetic=_synthetic(synthetic_masks, quality) if synthetic_masks else None,
    )


def _synthetic(masks: Sequence[Path], qualities: Sequence[Path]) -> SyntheticScores:
    if not qualities:
        raise DsegError(f"{masks[0]}: expected quality.json of the stage instruments with it")
    (quality,) = qualities
    try:
        said = json.loads(quality.read_text(encoding="utf-8"))
        return SyntheticScores(
            read_table(masks[0]),
            oracle_iou=said["segmenter_iou"],
            oracle_images=said["images"],
            classifier=said["classifier_accuracy"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise DsegError(
            f"{quality}: not what the stage instruments writes; run it again"
        ) from error


def read_table(path: Path) -> pd.DataFrame:
    """A table of scores; raises DsegError if it is missing or unreadable."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DsegError(f"{path}: no readable table; run the stage that makes it") from error


def _plain(table: pd.DataFrame, mode: str) -> pd.DataFrame:
    """The rows that the main tables and figures show, without the columns that tell them apart."""
    chosen = (table["postprocessing"] == "none") & table["mode"].isin([mode, BOX_MODE])
    return table[chosen].drop(columns=["postprocessing", "mode"]).reset_index(drop=True)
