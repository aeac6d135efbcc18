"""Stage `mask_methods`: attention on benchmark images -> IoU of every way to make a mask of it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dseg.config import Settings
from dseg.crossmap import recorded
from dseg.errors import DsegError
from dseg.mask_methods import mask_method
from dseg.metrics import Accumulator
from dseg.progress import track
from dseg.shards import read_shard, write_atomically
from dseg.stages.truths import group_shards, match_size, open_samples

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
    rows: list[tuple[str, str, str, float, float]] = []
    for (recording, benchmark), paths in groups.items():
        methods = {
            name: mask_method(settings, name)
            for name, method in settings.mask_methods.items()
            if method.recording == recording
        }
        samples = open_samples(settings, benchmark, artifacts)
        truths = {sample.id: sample for sample in samples}
        for path in paths:
            shard = read_shard(path)
            fields = shard.fields
            for row, item in enumerate(track(shard.ids, f"mask methods, {path.parent.name}")):
                if item not in truths:
                    raise DsegError(f"{path}: image {item} is not in the benchmark {benchmark}")
                truth = truths[item].grey_mask()
                if truth is None:
                    raise DsegError(f"benchmarks.{benchmark}: no masks to score mask methods by")
                crosses = recorded(fields, row)
                indices, weights = fields["affinity_indices"][row], fields["affinity_weights"][row]
                shape = (truth.shape[0], truth.shape[1])
                scores = Accumulator(settings.evaluation.protocol)
                for name, row_method in methods.items():
                    try:
                        mask = row_method.mask(crosses, indices, weights, fields["image"][row])
                    except DsegError as error:
                        raise DsegError(f"{path}: mask method {name}: {error}") from error
                    score = scores.update(match_size(mask, shape), truth, item)
                    rows.append((name, benchmark, item, score.iou, score.acc))
    table = pd.DataFrame(rows, columns=["method", "benchmark", "id", "iou", "acc"])
    write_atomically(Path(out), lambda temporary: table.to_parquet(temporary, index=False))
