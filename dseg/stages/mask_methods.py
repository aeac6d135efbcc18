"""Stage `mask_methods`: attention on benchmark images -> IoU of every way to make a mask of it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.artifacts.shards import read_shard
from dseg.errors import DsegError
from dseg.evaluation.mask_methods import score_methods
from dseg.evaluation.truths import group_shards, open_samples
from dseg.files import write_atomically
from dseg.progress import track
from dseg.rivals.by_name import mask_method
from dseg.settings.run import Settings

SECTIONS = ("benchmarks", "attentioncut", "mask_methods", "evaluation.protocol")


def run(settings: Settings, artifacts: Path, attention: Sequence[Path], out: Path) -> None:
    """Make and score the mask of every image by every method, each from its recording.

    The filter is not applied: each method answers for every image.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        attention: All shards of the recordings that methods start from:
            <benchmark>/<recording>/<shard>.
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
