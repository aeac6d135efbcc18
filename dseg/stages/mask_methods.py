"""Stage `mask_methods`: attention on benchmark images -> IoU of every way to make a mask of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import Shard, read_shard
from dseg.errors import DsegError
from dseg.evaluation.metrics import Accumulator
from dseg.evaluation.truths import group_shards, match_size, open_samples
from dseg.files import write_atomically
from dseg.progress import track
from dseg.rivals.by_name import mask_method
from dseg.rivals.thresholds import Baseline
from dseg.settings.run import Settings

SECTIONS = ("benchmarks", "attentioncut", "mask_methods", "evaluation.protocol")


def run(settings: Settings, artifacts: Path, attention: Sequence[Path], out: Path) -> None:
    """Make and score the mask of every image by every method, each from its recording.

    The filter is not applied: each method answers for every image.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        attention: All shards of the recordings that methods start from:
            <recording>/<benchmark>/<shard>.
        out: Parquet file: method, benchmark, id, iou, acc.

    Raises:
        DsegError: A benchmark or shard is not usable, an item's attention is not, or a method's
            recording is not among the shards.
    """
    groups = group_shards(attention)
    there = {recording for recording, _ in groups}
    for name, method in settings.mask_methods.items():
        if groups and method.recording not in there:
            raise DsegError(
                f"mask_methods.{name}.recording: no shards of {method.recording!r} were given; "
                f"there are {', '.join(sorted(there))}"
            )
    parts: list[pd.DataFrame] = []
    for (recording, benchmark), paths in groups.items():
        methods = {
            name: mask_method(settings, name)
            for name, method in settings.mask_methods.items()
            if method.recording == recording
        }
        samples = open_samples(settings, benchmark, artifacts)
        truths = {sample.id: sample for sample in samples}
        for path in paths:
            shard = read_shard(path, kind="images")
            rows: list[tuple[str, str, float, float]] = []
            for row, item in enumerate(track(shard.ids, f"mask methods, {path.parent.name}")):
                if item not in truths:
                    raise DsegError(f"{path}: image {item} is not in the benchmark {benchmark}")
                truth = truths[item].grey_mask()
                if truth is None:
                    raise DsegError(f"benchmarks.{benchmark}: no masks to score mask methods by")
                rows += score_methods(
                    methods, shard, row, truth, item, settings.evaluation.protocol, path
                )
            part = pd.DataFrame(rows, columns=["method", "id", "iou", "acc"])
            part.insert(1, "benchmark", benchmark)
            parts.append(part)
    columns = ["method", "benchmark", "id", "iou", "acc"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    write_atomically(Path(out), lambda temporary: table.to_parquet(temporary, index=False))


def score_methods(
    methods: Mapping[str, Baseline],
    shard: Shard,
    row: int,
    truth: np.ndarray,
    item: str,
    protocol: str,
    path: Path,
) -> list[tuple[str, str, float, float]]:
    """Method, image, IoU and accuracy of the mask that every method makes of one image.

    Args:
        methods: By name.
        shard: Of recorded attention.
        row: The image's in it.
        truth: uint8 (H, W), the true mask.
        item: The image's id.
        protocol: The one of the setting `evaluation.protocol`.
        path: Of the shard, for errors.

    Raises:
        DsegError: The image's attention is not usable.
    """
    try:
        attention, image = attention_of(shard, row)
    except DsegError as error:
        raise DsegError(f"{path}: image {item}: {error}") from error
    shape = (truth.shape[0], truth.shape[1])
    scores = Accumulator(protocol)
    rows = []
    for name, method in methods.items():
        try:
            mask = method(attention, image)
        except DsegError as error:
            raise DsegError(f"{path}: mask method {name}: {error}") from error
        score = scores.update(match_size(mask, shape), truth, item)
        rows.append((name, item, score.iou, score.acc))
    return rows
