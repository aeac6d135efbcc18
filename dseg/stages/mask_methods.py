"""Stage `mask_methods`: attention on benchmark images -> IoU of every way to make a mask of it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dseg.attentioncut import attention_cut
from dseg.config import Settings
from dseg.crossmap import combine
from dseg.cutenergy import CutSettings
from dseg.errors import DsegError
from dseg.mask_baselines import threshold_half, walk_otsu
from dseg.metrics import Accumulator
from dseg.progress import track
from dseg.shards import read_shard, write_atomically
from dseg.stages.truths import group_shards, match_size, open_samples

SECTIONS = ("benchmarks", "attentioncut", "mask_methods", "evaluation.protocol")

# cross map, affinity indices and weights, image -> a mask, bool or soft with its threshold at .5
_Method = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def run(settings: Settings, artifacts: Path, attention: Sequence[Path], out: Path) -> None:
    """Make and score the mask of every image by every method, from the same attention.

    The filter is not applied: each method answers for every image.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        attention: All shards of one recording: <folder>/<benchmark>/<shard>.
        out: Parquet file: method, benchmark, id, iou, acc.

    Raises:
        DsegError: A benchmark or shard is not usable, or an item's attention is not.
    """
    methods = {name: _method(settings, name) for name in settings.mask_methods}
    rows: list[tuple[str, str, str, float, float]] = []
    for (_, benchmark), paths in group_shards(attention).items():
        samples = open_samples(settings, benchmark, artifacts)
        truths = {sample.id: sample for sample in samples}
        for path in paths:
            fields = read_shard(path)
            crosses = sorted(name for name in fields.fields if name.startswith("cross_"))
            for row, item in enumerate(track(fields.ids, f"mask methods, {path.parent.name}")):
                if item not in truths:
                    raise DsegError(f"{path}: image {item} is not in the benchmark {benchmark}")
                truth = truths[item].grey_mask()
                if truth is None:
                    raise DsegError(f"benchmarks.{benchmark}: no masks to score mask methods by")
                inputs = (
                    combine([fields.fields[name][row] for name in crosses]),
                    fields.fields["affinity_indices"][row],
                    fields.fields["affinity_weights"][row],
                    fields.fields["image"][row],
                )
                shape = (truth.shape[0], truth.shape[1])
                scores = Accumulator(settings.evaluation.protocol)
                for name, method in methods.items():
                    mask = match_size(method(*inputs), shape)
                    score = scores.update(mask, truth, item)
                    rows.append((name, benchmark, item, score.iou, score.acc))
    table = pd.DataFrame(rows, columns=["method", "benchmark", "id", "iou", "acc"])
    write_atomically(Path(out), lambda temporary: table.to_parquet(temporary, index=False))


def _method(settings: Settings, name: str) -> _Method:
    method, cut = settings.mask_method(name)
    if method.method == "threshold":
        return threshold_half
    if method.method == "attentioncut":
        return partial(_cut, cut)
    return partial(walk_otsu, steps=0 if method.method == "otsu" else method.steps)


def _cut(
    settings: CutSettings,
    cross: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    image: np.ndarray,
) -> np.ndarray:
    return attention_cut(cross, indices, weights, image, settings).mask
