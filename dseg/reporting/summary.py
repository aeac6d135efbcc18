"""The summary of a run: every score with its interval, and every test, as one numeric table.

It is made once, by `estimates`, and all that is shown is made from it: tables, figures, claims,
what MLflow is told, and the scores of an exported head. A row is one number:

    kind            what the number is about, see `Kind`
    method          key of the method, mask method, inversion or variant
    reference       what its difference from is meant: another key, the method itself without
                    post-processing, or a level; empty for the number itself
    benchmark, protocol, postprocessing, mode, metric
    shown           whether it is of the protocol, mode and post-processing that the run shows
    value, low, high            scores in [0, 1]; NaN for bounds that nothing asks for
    images, trainings           how many it is over
    p, d_z, rank_biserial, detectable       of differences, see `evaluation.statistics.Comparison`
    own, other                  of differences: the means of both sides, on the trainings of both
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import pandas as pd

from dseg.artifacts.parquet import read_table
from dseg.errors import DsegError
from dseg.evaluation.statistics import Interval
from dseg.files import write_atomically
from dseg.reporting.scores import WAY, Way

FILE = "summary/scores.parquet"  # among the artifacts of a run
METRICS = ("acc", "corloc", "iou", "max_f")  # those that a run shows
NAN = float("nan")
SYNTHETIC = "synthetic"  # stands where the name of a benchmark does


class Kind(StrEnum):
    """What a row of the summary is about."""

    METHOD = "method"  # what segments the benchmarks: heads, AttentionCut, baselines
    MASKS = "mask method"  # ways to make a mask from the same attention
    SYNTHETIC = "mask method, synthetic"  # the same on synthetic images, judged by an oracle
    INSTRUMENT = "instrument"  # the oracle and the classifier themselves
    INVERSION = "inversion"  # round trips
    PAIRS = "pairs"  # counts of synthetic pairs, by variant


@dataclass(frozen=True)
class Estimate:
    """A row of the summary; see the module."""

    kind: str
    method: str
    metric: str
    value: float
    reference: str = ""
    benchmark: str = ""
    protocol: str = ""
    postprocessing: str = ""
    mode: str = ""
    shown: bool = True
    low: float = NAN
    high: float = NAN
    images: int = 0
    trainings: int = 1
    p: float = NAN
    d_z: float = NAN
    rank_biserial: float = NAN
    detectable: float = NAN
    own: float = NAN
    other: float = NAN

    @property
    def interval(self) -> Interval:
        """The number with its bounds."""
        return Interval(self.value, self.low, self.high)


_COLUMNS = [each.name for each in fields(Estimate)]
_ORDER = ["kind", "benchmark", "method", "reference", *WAY, "protocol", "metric"]


@dataclass(frozen=True, eq=False)
class Summary:
    """The numbers of a run; see the module.

    Attributes:
        frame: The columns of `Estimate`, a row per number, sorted.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, estimates: Iterable[Estimate]) -> "Summary":
        """A summary of these numbers, in any order."""
        frame = pd.DataFrame([asdict(each) for each in estimates], columns=_COLUMNS)
        return cls(frame.sort_values(_ORDER, ignore_index=True))

    @classmethod
    def read(cls, path: Path) -> "Summary":
        """Read a summary; raises DsegError if the file is missing or is none."""
        frame = read_table(path)
        if list(frame.columns) != _COLUMNS:
            raise DsegError(f"{path}: not what the stage summary writes; run it again")
        return cls(frame)

    def write(self, path: Path) -> None:
        """Write it as Parquet."""
        write_atomically(path, lambda temporary: self.frame.to_parquet(temporary, index=False))

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """All rows."""
        return tuple(Estimate(*row) for row in self.frame.itertuples(index=False, name=None))

    @cached_property
    def _shown(self) -> Mapping[tuple[str, ...], Estimate]:
        return {
            (each.kind, each.method, each.benchmark, each.metric, each.reference): each
            for each in self.estimates
            if each.shown
        }

    @cached_property
    def _by_way(self) -> Mapping[tuple[str, ...], Estimate]:
        return {
            (each.method, each.benchmark, each.postprocessing, each.mode)
            + (each.protocol, each.metric, each.reference): each
            for each in self.estimates
            if each.kind == Kind.METHOD
        }

    def find(
        self,
        method: str,
        benchmark: str = "",
        metric: str = "iou",
        *,
        reference: str = "",
        kind: Kind = Kind.METHOD,
    ) -> Estimate | None:
        """A number of those that the run shows; None if it was not run."""
        return self._shown.get((kind, method, benchmark, metric, reference))

    def scored(
        self,
        method: str,
        benchmark: str,
        way: Way,
        protocol: str,
        metric: str = "iou",
        reference: str = "",
    ) -> Estimate | None:
        """A number of a method under any protocol, mode and post-processing."""
        return self._by_way.get((method, benchmark, *way, protocol, metric, reference))

    def need(self, method: str, benchmark: str, metric: str) -> float:
        """A score of a method on a benchmark that it was run on.

        Raises:
            DsegError: It is not among the scores.
        """
        found = self.find(method, benchmark, metric)
        if found is None:
            raise DsegError(
                f"no {metric} of {method} on {benchmark} under the protocol that is shown: run the "
                "stages evaluation and summary again"
            )
        return found.value

    def images(self, benchmark: str, metric: str = "iou") -> int:
        """Number of images of a benchmark, the same for all methods; 0 where none was run."""
        counts = (
            each.images
            for each in self._shown.values()
            if (each.kind, each.benchmark, each.metric) == (Kind.METHOD, benchmark, metric)
        )
        return max(counts, default=0)

    def pairs(self, variant: str) -> int:
        """Number of synthetic pairs that a variant was trained with."""
        found = self.find(variant, metric="pairs", kind=Kind.PAIRS)
        if found is None:
            raise DsegError(f"no number of pairs of {variant}: run the stage summary again")
        return int(found.value)

    def kept(self) -> tuple[int, int]:
        """How many synthetic pairs the mask filter kept, and of how many."""
        found = self.find("", metric="kept", kind=Kind.PAIRS)
        return (0, 0) if found is None else (int(found.value), found.images)

    def of_variant(self, variant: str) -> dict[str, dict[str, float]]:
        """The shown scores of a method in percent, two decimals, by benchmark and metric."""
        found: dict[str, dict[str, float]] = {}
        for each in self.estimates:
            own = (each.kind, each.method, each.reference) == (Kind.METHOD, variant, "")
            if own and each.shown and each.metric in METRICS:
                found.setdefault(each.benchmark, {})[each.metric] = round(100 * each.value, 2)
        return found

    def flat(self) -> dict[str, float]:
        """The shown scores in percent by flat name, sorted: for `dvc metrics` and MLflow."""
        start = {Kind.METHOD: "", Kind.MASKS: "masks/", Kind.SYNTHETIC: "masks/"}
        values = {
            f"{start[Kind(each.kind)]}{each.benchmark}/{each.method}/{each.metric}": round(
                100 * each.value, 2
            )
            for each in self.estimates
            if each.shown and not each.reference and each.metric in METRICS and each.kind in start
        }
        return dict(sorted(values.items())) | {"masks/kept": self.kept()[0]}
