"""Predictions against truths: a table per image, aggregates under every protocol, baselines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from dseg.errors import DsegError
from dseg.evaluation.boxes import is_hit
from dseg.evaluation.metrics import Accumulator
from dseg.evaluation.protocols import PROTOCOLS

# Files that the scores of a run are written to.
IMAGES, SCORES, CURVES = "images.parquet", "scores.parquet", "curves.parquet"
BOX_MODE = "box"  # of rows about boxes, which have no other
SPREAD = 0.25  # of the centre prior, as a share of each side


@dataclass(frozen=True, eq=False)
class Case:
    """One image's prediction beside its truth.

    Attributes:
        id: The image.
        soft: (H, W) predicted soft mask at the image's size: uint8 or float in [0, 1].
        box: (4,) predicted box, or None for no box.
        mask: (H, W) true mask, bool or uint8 grey values, or None if there is none.
        boxes: (k, 4) true boxes, or None if there are none.
    """

    id: str
    soft: np.ndarray
    box: np.ndarray | None = None
    mask: np.ndarray | None = None
    boxes: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of one method on one benchmark.

    Attributes:
        table: One row per image: id, acc, iou, mae, max_f (the image's own best F) under the
            chosen protocol, and hit (1 or 0). NaN where the benchmark has no mask or no box.
        scores: By protocol and metric (see `Accumulator.compute`), in [0, 1]; empty where the
            benchmark has no masks.
        corloc: Share of hits among the images that have a true box; None where none has.
        curves: Columns protocol, threshold, precision, recall, f, iou: means over images.
    """

    table: pd.DataFrame
    scores: dict[tuple[str, str], float]
    corloc: float | None
    curves: pd.DataFrame


@dataclass(eq=False)
class Evaluator:
    """Scores predictions one image at a time: memory holds numbers per image and no maps.

    Attributes:
        protocols: Those to compute.
        protocol: The one of the table; it is computed in any case.
        threshold: Soft masks above it are foreground, for accuracy and IoU.
    """

    protocols: Sequence[str] = tuple(PROTOCOLS)
    protocol: str = "tokencut"
    threshold: float = 0.5
    _accumulators: dict[str, Accumulator] = field(init=False, repr=False)
    _rows: dict[str, dict[str, float]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        names = dict.fromkeys([*self.protocols, self.protocol])
        self._accumulators = {name: Accumulator(name, self.threshold) for name in names}

    def update(self, case: Case) -> None:
        """Score one image, in any order; the order of the table's rows.

        Raises:
            DsegError: Its id was there before; it has no truth; sizes differ; NaN.
        """
        if case.id in self._rows:
            raise DsegError(f"image {case.id}: predicted twice; keep one prediction per image")
        self._rows[case.id] = _score(case, self._accumulators, self.protocol)

    def result(self) -> Evaluation:
        """The scores of all images so far; raises DsegError if there are none."""
        if not self._rows:
            raise DsegError("nothing to evaluate: the set of predictions is empty")
        columns = ["acc", "iou", "mae", "max_f", "hit"]
        table = pd.DataFrame.from_dict(
            self._rows, orient="index", columns=columns, dtype=np.float64
        )
        scored = {name: each for name, each in self._accumulators.items() if each.images}
        scores = {
            (name, metric): value
            for name, each in scored.items()
            for metric, value in each.compute().items()
        }
        curves = [
            pd.DataFrame({"protocol": name, **asdict(each.curves())})
            for name, each in scored.items()
        ]
        fields = ["protocol", "threshold", "precision", "recall", "f", "iou"]
        return Evaluation(
            table=table.rename_axis("id").reset_index(),
            scores=scores,
            corloc=float(table["hit"].mean()) if table["hit"].notna().any() else None,
            curves=pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=fields),
        )


def _score(case: Case, accumulators: dict[str, Accumulator], protocol: str) -> dict[str, float]:
    if case.mask is None and case.boxes is None:
        raise DsegError(f"image {case.id}: neither a true mask nor true boxes to score against")
    row: dict[str, float] = {}
    if case.mask is not None:
        scores = {
            name: each.update(case.soft, case.mask, case.id) for name, each in accumulators.items()
        }
        chosen = scores[protocol]
        row |= {"acc": chosen.acc, "iou": chosen.iou, "mae": chosen.mae, "max_f": chosen.max_f}
    if case.boxes is not None and len(case.boxes) > 0:
        row["hit"] = float(is_hit(case.box, case.boxes))
    return row


def centre_prior(height: int, width: int) -> np.ndarray:
    """A Gaussian in the image's middle, (height, width) float32 in (0, 1]: knows no image.

    Its spread is a quarter of each side (our choice): what is above 0.5 is an ellipse of 27 % of
    the image.
    """
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (height, width))
    squared = (y[:, None] ** 2 + x[None, :] ** 2) / SPREAD**2
    return np.exp(-squared / 2).astype(np.float32)


def all_foreground(height: int, width: int) -> np.ndarray:
    """A mask of the whole image, (height, width) float32 ones: its box is the whole image."""
    return np.ones((height, width), np.float32)
