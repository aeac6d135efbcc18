"""Stage `image_masks`: images of a benchmark -> masks by a method that sees the image alone."""

from pathlib import Path

import numpy as np

from dseg.artifacts.shards import shard_range, write_shard
from dseg.datasets.opening import open_benchmark
from dseg.method.resample import resize
from dseg.progress import track
from dseg.rivals.image_alone import image_method
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("benchmarks", "image_methods", "recording.items_per_shard")
SIZE = (256, 256)  # at which images are looked at, and masks are stored: a shard's rows have one


def run(settings: Settings, benchmark: str, root: Path, shard: int, name: str, out: Path) -> None:
    """Make the masks of one shard of images, each brought to `SIZE` (our choice).

    Args:
        settings: The sections named in `SECTIONS`.
        benchmark: Name of the benchmark.
        root: Its folder.
        shard: Index of the shard, of `recording.items_per_shard` images.
        name: The method, of `image_methods`.
        out: The shard's file. Field: soft, uint8 (n, 256, 256), 255 being 1.

    Raises:
        DsegError: There is no such benchmark, method or shard; an image is unreadable.
    """
    entry = settings.benchmark(benchmark)
    samples = open_benchmark(entry.layout, root, images=entry.images, limit=entry.limit)
    items = shard_range(len(samples), settings.recording.items_per_shard, shard)
    samples = samples[items.start : items.stop]
    method = image_method(settings.image_method(name))
    soft = [
        method(np.rint(resize(sample.image(), SIZE)).astype(np.uint8))
        for sample in track(samples, f"{name}, {benchmark}")
    ]
    write_shard(
        out,
        {"soft": np.rint(255 * np.stack(soft)).astype(np.uint8)},
        ids=samples.ids,
        kind="masks",
        stage="image_masks",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
