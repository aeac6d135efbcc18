"""Scores of all methods on all benchmarks: what tables and figures are made from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dseg.errors import DsegError
from dseg.settings import HeadSettings


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores in [0, 1], per image and per benchmark.

    Attributes:
        images: method, benchmark, id, acc, iou, mae, max_f, hit: a row per image.
        table: method, benchmark, protocol, metric, value, images.
        curves: method, benchmark, protocol, threshold, precision, recall, f, iou.
        masks: method, benchmark, id, iou, acc: the mask methods, a row per image.
        kept: Number of synthetic pairs that the mask filter kept.
    """

    images: pd.DataFrame
    table: pd.DataFrame
    curves: pd.DataFrame
    masks: pd.DataFrame
    kept: int

    def of_images(self, method: str, benchmark: str, metric: str) -> np.ndarray:
        """A metric of every image that has it, (n,) in the order of ids; n is 0 if not run."""
        return _column(self.images, method, benchmark, metric)

    def of_masks(self, method: str, benchmark: str) -> np.ndarray:
        """IoU of a mask method on every image, as `of_images`."""
        return _column(self.masks, method, benchmark, "iou")

    def score(self, method: str, benchmark: str, protocol: str, metric: str) -> float:
        """A score of a whole benchmark.

        Raises:
            DsegError: It is not among the scores.
        """
        chosen = (self.table["method"] == method) & (self.table["benchmark"] == benchmark)
        chosen &= (self.table["protocol"] == protocol) & (self.table["metric"] == metric)
        values = self.table.loc[chosen, "value"]
        if len(values) != 1:
            raise DsegError(
                f"no {metric} under protocol {protocol} of {method} on {benchmark}: run the "
                "stage evaluation again"
            )
        return float(values.iloc[0])

    def pairs(self, head: HeadSettings) -> int:
        """Pairs a head was trained with: those it asks for, or all that the filter kept."""
        return self.kept if head.pairs is None else min(head.pairs, self.kept)


def _column(table: pd.DataFrame, method: str, benchmark: str, metric: str) -> np.ndarray:
    rows = table[(table["method"] == method) & (table["benchmark"] == benchmark)]
    return rows.sort_values("id")[metric].dropna().to_numpy()
