"""Scores of all methods on all benchmarks, per image: what the summary of a run is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dseg.artifacts.parquet import read_table
from dseg.artifacts.shards import read_shards
from dseg.errors import DsegError
from dseg.evaluation.scoring import IMAGES, SCORES
from dseg.settings.fields import Count, Fraction
from dseg.settings.run import HeadSettings
from dseg.settings.typed_json import Record, read_record

WAY = ["postprocessing", "mode"]  # what is done to a mask before it is scored
Way = tuple[str, str]


class Quality(Record):
    """How good the instruments are, quality.json."""

    images: Count
    """How many images that is measured on."""
    classifier_accuracy: Fraction
    segmenter_iou: Fraction | None = None
    """None where nobody knows true masks to train one on."""


@dataclass(frozen=True)
class SyntheticScores:
    """What an oracle segmenter says of mask methods on synthetic images, and how good it is.

    Attributes:
        masks: method, id, iou, acc, named, found, kept: as the stage synthetic_masks writes.
        oracle_iou: Mean IoU of the oracle's own masks on renders of val, in [0, 1].
        oracle_images: How many these are.
        classifier: Share of them whose kind the classifier names, which says `named`.
    """

    masks: pd.DataFrame
    oracle_iou: float
    oracle_images: int
    classifier: float


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores in [0, 1], per image and per benchmark.

    Attributes:
        images: method, benchmark, seed, postprocessing, mode, id, acc, iou, mae, max_f, hit: a row
            per image and training.
        table: method, benchmark, seed, postprocessing, mode, protocol, metric, value, images.
        masks: method, benchmark, id, iou, acc: the mask methods, a row per image.
        kept: Which synthetic pairs the mask filter kept, bool (n,) in the order of the prompts.
        synthetic: Mask methods on synthetic images; None if no oracle judged them.
        round_trips: inversion, id, error, psnr, passes; None if they were not measured.
    """

    images: pd.DataFrame
    table: pd.DataFrame
    masks: pd.DataFrame
    kept: np.ndarray
    round_trips: pd.DataFrame | None = None
    synthetic: SyntheticScores | None = None

    def of_images(self, metric: str) -> dict[tuple[str, str, Way], np.ndarray]:
        """A metric of every training and image that has it, in the order of seeds and ids.

        Returns:
            By method, benchmark and way: (S, n), S being 1 where nothing is trained. What was not
            run is not there.

        Raises:
            DsegError: The trainings of a method were scored on different images.
        """
        found = {}
        for key, rows in self.images.dropna(subset=[metric]).groupby(["method", "benchmark", *WAY]):
            method, benchmark, *way = map(str, key)
            matrix = rows.pivot(index="seed", columns="id", values=metric)
            if matrix.isna().to_numpy().any():
                raise DsegError(
                    f"trainings of {method} were scored on different images of {benchmark}: run "
                    "the stage evaluation again"
                )
            ordered = matrix.sort_index().sort_index(axis=1)
            found[method, benchmark, (way[0], way[1])] = ordered.to_numpy()
        return found

    @cached_property
    def of_masks(self) -> Mapping[tuple[str, str], np.ndarray]:
        """IoU of every mask method on every image, by method and benchmark: (n,) by id."""
        groups = (
            self.masks.sort_values("id").dropna(subset=["iou"]).groupby(["method", "benchmark"])
        )
        return {(str(key[0]), str(key[1])): rows["iou"].to_numpy() for key, rows in groups}

    def pairs(self, head: HeadSettings) -> int:
        """Pairs a head was trained with: those it asks for, or all that the filter kept.

        Where it looks at the first prompts only, of those.
        """
        kept = self.kept[: head.prompts]
        there = int(kept.sum()) if head.filter else len(kept)
        return there if head.pairs is None else min(head.pairs, there)


def read_scores(
    evaluation: Path,
    mask_methods: Path,
    masks: Sequence[Path],
    round_trips: Sequence[Path] = (),
    synthetic_masks: Sequence[Path] = (),
    quality: Sequence[Path] = (),
) -> Scores:
    """Read the scores of a run.

    Args:
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        round_trips: Tables of the stage round_trip; none if it was not run.
        synthetic_masks: Table of the stage synthetic_masks, likewise.
        quality: quality.json of the stage instruments, which goes with it.

    Raises:
        DsegError: A table or a shard is missing or not whole.
    """
    return Scores(
        images=read_table(evaluation / IMAGES),
        table=read_table(evaluation / SCORES),
        masks=read_table(mask_methods),
        kept=read_shards(masks, kind="masks", fields=["kept"]).fields["kept"],
        round_trips=pd.concat([read_table(path) for path in round_trips]) if round_trips else None,
        synthetic=_synthetic(synthetic_masks, quality) if synthetic_masks else None,
    )


def _synthetic(masks: Sequence[Path], qualities: Sequence[Path]) -> SyntheticScores:
    if not qualities:
        raise DsegError(f"{masks[0]}: expected quality.json of the stage instruments with it")
    (quality,) = qualities
    said = read_quality(quality)
    if said.segmenter_iou is None:
        raise DsegError(
            f"{quality}: says nothing of a segmenter, expected how good the one is that judges "
            "mask methods; set instruments.scored to null, or base.photographs to null"
        )
    return SyntheticScores(
        read_table(masks[0]),
        oracle_iou=said.segmenter_iou,
        oracle_images=said.images,
        classifier=said.classifier_accuracy,
    )


def read_quality(path: Path) -> Quality:
    """How good the instruments are; raises DsegError if the file is not what their stage writes."""
    return read_record(path, Quality, "not what the stage instruments writes; run it again")
