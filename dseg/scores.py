"""Scores of all methods on all benchmarks: what tables and figures are made from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dseg.errors import DsegError
from dseg.settings import HeadSettings


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
        images: method, benchmark, seed, id, acc, iou, mae, max_f, hit: a row per image and
            training.
        table: method, benchmark, seed, protocol, metric, value, images.
        curves: method, benchmark, seed, protocol, threshold, precision, recall, f, iou.
        masks: method, benchmark, id, iou, acc: the mask methods, a row per image.
        kept: Which synthetic pairs the mask filter kept, bool (n,) in the order of the prompts.
        synthetic: Mask methods on synthetic images; None if no oracle judged them.
        round_trips: inversion, id, error, psnr, passes; None if they were not measured.
    """

    images: pd.DataFrame
    table: pd.DataFrame
    curves: pd.DataFrame
    masks: pd.DataFrame
    kept: np.ndarray
    round_trips: pd.DataFrame | None = None
    synthetic: SyntheticScores | None = None

    def of_images(self, method: str, benchmark: str, metric: str) -> np.ndarray:
        """A metric of every training and image that has it, in the order of seeds and ids.

        Returns:
            (S, n), S being 1 where nothing is trained; n is 0 if it was not run.

        Raises:
            DsegError: The trainings were scored on different images.
        """
        rows = self.images[
            (self.images["method"] == method) & (self.images["benchmark"] == benchmark)
        ].dropna(subset=[metric])
        if rows.empty:
            return np.empty((1, 0))
        matrix = rows.pivot(index="seed", columns="id", values=metric)
        if matrix.isna().to_numpy().any():
            raise DsegError(
                f"trainings of {method} were scored on different images of {benchmark}: run the "
                "stage evaluation again"
            )
        return matrix.sort_index().sort_index(axis=1).to_numpy()

    def of_masks(self, method: str, benchmark: str) -> np.ndarray:
        """IoU of a mask method on every image, (n,) in the order of ids; n is 0 if not run."""
        rows = self.masks[(self.masks["method"] == method) & (self.masks["benchmark"] == benchmark)]
        return rows.sort_values("id")["iou"].dropna().to_numpy()

    def paired(
        self, method: str, reference: str, benchmark: str, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """A metric of two methods, as `of_images`, on the trainings that both have.

        Trainings of one number share the split of their pairs and, in equal networks, the first
        weights. What is not trained has one row, and goes with every training.
        """
        first = self.of_images(method, benchmark, metric)
        second = self.of_images(reference, benchmark, metric)
        if 1 in (len(first), len(second)):
            return first, second
        common = min(len(first), len(second))
        return first[:common], second[:common]

    def score(self, method: str, benchmark: str, protocol: str, metric: str) -> float:
        """A score of a whole benchmark, mean over trainings.

        Raises:
            DsegError: It is not among the scores.
        """
        chosen = (self.table["method"] == method) & (self.table["benchmark"] == benchmark)
        chosen &= (self.table["protocol"] == protocol) & (self.table["metric"] == metric)
        values = self.table.loc[chosen, "value"]
        if values.empty or self.table.loc[chosen, "seed"].duplicated().any():
            raise DsegError(
                f"no {metric} under protocol {protocol} of {method} on {benchmark}: run the "
                "stage evaluation again"
            )
        return float(values.mean())

    def pairs(self, head: HeadSettings) -> int:
        """Pairs a head was trained with: those it asks for, or all that the filter kept.

        Where it looks at the first prompts only, of those.
        """
        kept = self.kept[: head.prompts]
        there = int(kept.sum()) if head.filter else len(kept)
        return there if head.pairs is None else min(head.pairs, there)
