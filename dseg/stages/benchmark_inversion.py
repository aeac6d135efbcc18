"""Stage `benchmark_inversion`: images of a benchmark -> their latents on the DDIM trajectory.

What the stage `inversion` does for synthetic images. The two are apart because only this one reads
the settings of benchmarks: a further benchmark must not make the inverted synthetic images stale.
"""

from pathlib import Path

import numpy as np

from dseg.artifacts.shards import shard_range, write_shard
from dseg.base_model.loading import base_model
from dseg.base_model.pipeline import fit
from dseg.datasets.opening import open_benchmark
from dseg.method.inversion import invert_images
from dseg.method.prompts import captions
from dseg.progress import track
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("model", "inversion", "benchmarks")


def run(settings: Settings, benchmark: str, root: Path, shard: int, out: Path) -> None:
    """Invert the images of one shard, brought to the model's size.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of one inversion merged in.
        benchmark: Name of the benchmark.
        root: Its folder.
        shard: Index of the shard, of `inversion.items_per_shard` images.
        out: The shard's file. Field: latents, float16 (T, C, h, w), at `inversion.timesteps`.

    Raises:
        DsegError: There is no such benchmark or shard, an image is unreadable, or as
            `base_model` and `invert`.
    """
    inversion = settings.inversion
    entry = settings.benchmark(benchmark)
    samples = open_benchmark(entry.layout, root, images=entry.images, limit=entry.limit)
    items = shard_range(len(samples), inversion.items_per_shard, shard)
    samples = samples[items.start : items.stop]
    parts = []
    starts = range(0, len(samples), inversion.batch_size)
    with base_model(settings.model, "inversion.batch_size", inversion.batch_size) as pipe:
        for start in track(starts, f"inversion, {benchmark}, shard {shard}"):
            batch = samples[start : start + inversion.batch_size]
            images = np.stack([fit(pipe, sample.image()) for sample in batch])
            said = captions(inversion.prompt, [sample.noun for sample in batch])
            parts.append(invert_images(pipe, images, inversion, said))
    write_shard(
        out,
        {"latents": np.concatenate(parts)},
        ids=samples.ids,
        kind="latents",
        stage="benchmark_inversion",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
