"""What the stages behind the predictions share: truths, and soft masks found by their path."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dseg.artifacts.shards import read_shard
from dseg.datasets.opening import Sample, Samples, open_benchmark
from dseg.errors import DsegError
from dseg.method.resample import resize
from dseg.settings.reading import Settings
from dseg.settings.run import WORLD

MOST_WEIGHTS = 2**27  # of the matrix that resizes a side: half a GB (our choice)


def open_samples(
    settings: Settings,
    benchmark: str,
    artifacts: Path,
    *,
    difficult: str = "keep",
    crowd: str = "drop",
) -> Samples:
    """The samples of a benchmark of the settings.

    Args:
        settings: The section benchmarks.
        benchmark: Its name.
        artifacts: Folder artifacts/<profile>, for roots that start with world/.
        difficult: As in `open_benchmark`; of matter where boxes are scored.
        crowd: The same.

    Raises:
        DsegError: There is no such benchmark, or as `open_benchmark`.
    """
    chosen = settings.benchmark(benchmark)
    root = artifacts / chosen.root if chosen.root.startswith(WORLD) else Path(chosen.root)
    return open_benchmark(
        chosen.layout,
        root,
        images=chosen.images,
        limit=chosen.limit,
        difficult=difficult,
        crowd=crowd,
    )


def group_shards(shards: Sequence[Path]) -> dict[tuple[str, str], list[Path]]:
    """Shards ``.../<method>/<benchmark>/<shard>`` by method and benchmark."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(shards):
        groups.setdefault((path.parent.parent.name, path.parent.name), []).append(path)
    return groups


def training_count(shards: Sequence[Path]) -> int:
    """How many soft masks each image has: one for each training, 1 where nothing is trained."""
    soft = read_shard(shards[0], kind="masks", fields=["soft"]).fields["soft"]
    return soft.shape[1] if soft.ndim == 4 else 1


def of_training(soft: np.ndarray, training: int) -> np.ndarray:
    """One training's soft mask (H, W) of an image's, (S, H, W), or of the only one (H, W)."""
    return soft[training] if soft.ndim == 3 else soft


def read_soft(
    samples: Samples, shards: Sequence[Path], training: int = 0
) -> Iterator[tuple[Sample, np.ndarray]]:
    """Every sample of a benchmark with its soft mask, one shard in memory at a time.

    Args:
        samples: The benchmark.
        shards: Shards with the field soft, which hold its images, each once, and no others.
        training: The training whose masks are wanted, where there are several.

    Yields:
        The sample, and (H, W) uint8, or float32 in [0, 1].

    Raises:
        DsegError: An image is missing or unknown, or as `read_shard`.
    """
    unseen = set(samples.ids)
    for path in shards:
        shard = read_shard(path, kind="masks", fields=["soft"])
        for item, masks in zip(shard.ids, shard.fields["soft"], strict=True):
            if item not in unseen:
                raise DsegError(
                    f"{path}: image {item} is not in the benchmark, or there twice: remove the "
                    f"folder and run {shard.stage} again"
                )
            unseen.remove(item)
            soft = of_training(masks, training)
            yield samples.make(item), soft if soft.dtype == np.uint8 else soft.astype(np.float32)
    if unseen:
        raise DsegError(
            f"{shards[0].parent}: no mask of image {min(unseen)}, {len(unseen)} are missing in "
            "all: run the stage that makes them again"
        )


def match_size(soft: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A soft mask at the size of its truth: as it is, or resized to float32 in [0, 1].

    Raises:
        DsegError: It is so much larger than any map of a model that resizing has no end.
    """
    if soft.shape == shape:
        return soft
    if max(old * new for old, new in zip(soft.shape, shape, strict=True)) > MOST_WEIGHTS:
        raise DsegError(
            f"a soft mask of {soft.shape[1]} x {soft.shape[0]} cannot be brought to its truth's "
            f"{shape[1]} x {shape[0]} (width x height): give it at that size"
        )
    values = soft / np.float32(255) if soft.dtype == np.uint8 else soft
    return np.clip(resize(values, shape), 0, 1)
