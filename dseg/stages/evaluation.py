"""Stage `evaluation`: predicted masks of all methods -> scores, per image and in all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from dseg.boxes import mask_to_box
from dseg.config import Settings
from dseg.datasets import Sample, Samples
from dseg.errors import DsegError
from dseg.evaluation import Case, Evaluation, all_foreground, centre_prior, evaluate
from dseg.progress import track
from dseg.shards import write_atomically
from dseg.stages.scores import CURVES, IMAGES, SCORES
from dseg.stages.truths import (
    group_shards,
    match_size,
    open_samples,
    read_soft,
    training_count,
)

SECTIONS = ("benchmarks", "evaluation")
BASELINES: Mapping[str, Callable[[int, int], np.ndarray]] = MappingProxyType(
    {"centre-prior": centre_prior, "all-foreground": all_foreground}
)
_Masks = Iterator[tuple[Sample, np.ndarray]]


def run(settings: Settings, artifacts: Path, predictions: Sequence[Path], out: Path) -> None:
    """Score every method on every benchmark that it was run on, and the baselines on all.

    A soft mask of another size than its truth is resized to it. The box that CorLoc judges is
    that of the resized mask under `evaluation.box`, for all methods alike. The trainings of a head
    are scored one by one; `seed` counts them, and is 0 for what is not trained.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        predictions: All shards to score, of heads and of AttentionCut:
            <folder>/<method>/<benchmark>/<shard>, with the field soft.
        out: Folder for images.parquet (method, benchmark, seed, id, acc, iou, mae, max_f, hit),
            scores.parquet (method, benchmark, seed, protocol, metric, value, images) and
            curves.parquet (method, benchmark, seed, protocol, threshold, precision, recall, f,
            iou).

    Raises:
        DsegError: A benchmark or shard is not usable, or does not hold the other's images.
    """
    groups = group_shards(predictions)
    unknown = [name for _, name in groups if name not in settings.benchmarks]
    if unknown:
        raise DsegError(f"predictions for {unknown[0]!r}, which is not among the benchmarks")
    work = [(method, name, 0) for method in BASELINES for name in settings.benchmarks] + [
        (*key, seed) for key, shards in groups.items() for seed in range(training_count(shards))
    ]
    opened = {name: open_samples(settings, name, artifacts) for name in settings.benchmarks}
    images: list[pd.DataFrame] = []
    scores: list[pd.DataFrame] = []
    curves: list[pd.DataFrame] = []
    for method, name, seed in track(work, "evaluation"):
        samples = opened[name]
        masks = (
            _constant(samples, BASELINES[method])
            if method in BASELINES
            else read_soft(samples, groups[method, name], seed)
        )
        result = _evaluate(settings, masks)
        for tables, table in (
            (images, result.table),
            (scores, _scores(settings, result)),
            (curves, result.curves),
        ):
            tables.append(table.assign(method=method, benchmark=name, seed=seed))
    shown = pd.concat(curves, ignore_index=True)
    shown = shown[shown["protocol"] == settings.evaluation.protocol]
    for file, table in (
        (IMAGES, pd.concat(images, ignore_index=True)),
        (SCORES, pd.concat(scores, ignore_index=True)),
        (CURVES, shown),
    ):
        _write(table, out / file)


def _constant(samples: Samples, baseline: Callable[[int, int], np.ndarray]) -> _Masks:
    for sample in samples:
        truth = sample.grey_mask()
        height, width = sample.image().shape[:2] if truth is None else truth.shape
        yield sample, baseline(height, width)


def _evaluate(settings: Settings, masks: _Masks) -> Evaluation:
    chosen = settings.evaluation
    return evaluate(
        (_case(settings, sample, soft) for sample, soft in masks),
        protocols=chosen.protocols,
        protocol=chosen.protocol,
        threshold=chosen.threshold,
    )


def _case(settings: Settings, sample: Sample, soft: np.ndarray) -> Case:
    mask, box = sample.grey_mask(), None
    if mask is not None:
        soft = match_size(soft, (mask.shape[0], mask.shape[1]))
    if sample.boxes is not None:
        height, width = sample.image().shape[:2]
        chosen = settings.evaluation
        box = mask_to_box(
            match_size(soft, (height, width)), rule=chosen.box, threshold=chosen.threshold
        )
    return Case(sample.id, soft, box, mask, sample.boxes)


def _scores(settings: Settings, result: Evaluation) -> pd.DataFrame:
    """One row per protocol and metric; CorLoc's protocol is its box rule."""
    masks, boxes = result.table["iou"].notna().sum(), result.table["hit"].notna().sum()
    rows = []
    for name, value in result.scores.items():
        protocol, _, metric = name.rpartition("/")
        of_boxes = metric == "corloc"
        rows.append(
            {
                "protocol": f"box-{settings.evaluation.box}" if of_boxes else protocol,
                "metric": metric,
                "value": value,
                "images": int(boxes if of_boxes else masks),
            }
        )
    return pd.DataFrame(rows)


def _write(table: pd.DataFrame, path: Path) -> None:
    ordered = ["method", "benchmark", "seed"]
    table = table[ordered + [name for name in table if name not in ordered]]
    table = table.reset_index(drop=True)
    write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))
