"""Stage `evaluation`: predicted masks of all methods -> scores, per image and in all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from dseg.datasets.opening import Sample, Samples
from dseg.errors import DsegError
from dseg.evaluation.boxes import mask_to_box
from dseg.evaluation.postprocessing import scored_maps
from dseg.evaluation.scoring import (
    BOX_MODE,
    CURVES,
    IMAGES,
    SCORES,
    Case,
    Evaluation,
    Evaluator,
    all_foreground,
    centre_prior,
)
from dseg.evaluation.truths import (
    group_shards,
    open_samples,
    read_soft,
    training_count,
)
from dseg.files import write_atomically
from dseg.method.resample import match_size
from dseg.progress import track
from dseg.settings.run import Settings

SECTIONS = ("benchmarks", "evaluation", "attentioncut")
BASELINES: Mapping[str, Callable[[int, int], np.ndarray]] = MappingProxyType(
    {"centre-prior": centre_prior, "all-foreground": all_foreground}
)
_Masks = Iterator[tuple[Sample, np.ndarray]]


def run(settings: Settings, artifacts: Path, predictions: Sequence[Path], out: Path) -> None:
    """Score every method on every benchmark that it was run on, and the baselines on all.

    A soft mask of another size than its truth is resized to it. The box that CorLoc judges is
    that of the resized mask under `evaluation.box`, for all methods alike. The trainings of a head
    are scored one by one; `seed` counts them, and is 0 for what is not trained. Masks are scored in
    every mode and after every post-processing of the settings, unless `evaluation.postprocessed`
    names others; boxes are those of the mask as it
    is, in mode box.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        predictions: All shards to score, of heads and of AttentionCut:
            <folder>/<benchmark>/<method>/<shard>, with the field soft.
        out: Folder for images.parquet (method, benchmark, seed, postprocessing, mode, id, acc, iou,
            mae, max_f, hit), scores.parquet (method, benchmark, seed, postprocessing, mode,
            protocol, metric, value, images) and curves.parquet (method, benchmark, seed,
            postprocessing, mode, protocol, threshold, precision, recall, f, iou).

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
    opened = {name: _open(settings, name, artifacts) for name in settings.benchmarks}
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
        for (postprocessing, mode), result in _evaluate(_of(settings, method), masks).items():
            for tables, table in (
                (images, result.table),
                (scores, _scores(settings, result)),
                (curves, result.curves),
            ):
                tables.append(
                    table.assign(
                        method=method,
                        benchmark=name,
                        seed=seed,
                        postprocessing=postprocessing,
                        mode=mode,
                    )
                )
    shown = pd.concat(curves, ignore_index=True)
    shown = shown[shown["protocol"] == settings.evaluation.protocol]
    for file, table in (
        (IMAGES, pd.concat(images, ignore_index=True)),
        (SCORES, pd.concat(scores, ignore_index=True)),
        (CURVES, shown),
    ):
        _write(table, out / file)


def _open(settings: Settings, benchmark: str, artifacts: Path) -> Samples:
    chosen = settings.evaluation
    return open_samples(
        settings, benchmark, artifacts, difficult=chosen.difficult, crowd=chosen.crowd
    )


def _of(settings: Settings, method: str) -> Settings:
    """The settings of a method: one that `evaluation.postprocessed` leaves out is scored once."""
    chosen = settings.evaluation
    if chosen.postprocessed is None or method in chosen.postprocessed:
        return settings
    plain = {"postprocessing": ("none",), "modes": (chosen.mode,)}
    return settings.model_copy(update={"evaluation": chosen.model_copy(update=plain)})


def _constant(samples: Samples, baseline: Callable[[int, int], np.ndarray]) -> _Masks:
    for sample in samples:
        yield sample, baseline(*sample.size())


def _evaluate(settings: Settings, masks: _Masks) -> dict[tuple[str, str], Evaluation]:
    """The scores of a method on a benchmark, by post-processing and mode."""
    chosen = settings.evaluation
    evaluators: dict[tuple[str, str], Evaluator] = {}
    for sample, soft in masks:
        for key, case in _cases(settings, sample, soft):
            if key not in evaluators:
                evaluators[key] = Evaluator(chosen.protocols, chosen.protocol, chosen.threshold)
            evaluators[key].update(case)
    return {key: evaluator.result() for key, evaluator in evaluators.items()}


def _cases(
    settings: Settings, sample: Sample, soft: np.ndarray
) -> Iterator[tuple[tuple[str, str], Case]]:
    chosen = settings.evaluation
    mask = sample.mask() if chosen.truth == "half" else sample.grey_mask()
    if mask is not None:
        maps = scored_maps(
            match_size(soft, (mask.shape[0], mask.shape[1])),
            sample.image() if set(chosen.postprocessing) - {"none"} else None,
            postprocessing=chosen.postprocessing,
            modes=chosen.modes,
            threshold=chosen.threshold,
            cut=settings.attentioncut,
        )
        for key, values in maps.items():
            yield key, Case(sample.id, values, mask=mask)
    if sample.boxes is not None:
        soft = match_size(soft, sample.size())
        box = mask_to_box(soft, rule=chosen.box, threshold=chosen.threshold)
        yield ("none", BOX_MODE), Case(sample.id, soft, box, boxes=sample.boxes)


def _scores(settings: Settings, result: Evaluation) -> pd.DataFrame:
    """One row per protocol and metric; CorLoc's protocol is its box rule."""
    masks, hits = (result.table[metric].notna().sum() for metric in ("iou", "hit"))
    rows = [(*key, value, masks) for key, value in result.scores.items()]
    if result.corloc is not None:
        rows.append((f"box-{settings.evaluation.box}", "corloc", result.corloc, hits))
    return pd.DataFrame(rows, columns=["protocol", "metric", "value", "images"])


def _write(table: pd.DataFrame, path: Path) -> None:
    ordered = ["method", "benchmark", "seed", "postprocessing", "mode"]
    table = table[ordered + [name for name in table if name not in ordered]]
    table = table.reset_index(drop=True)
    write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))
