"""Stage `round_trip`: images of a benchmark, inverted and sampled back -> how far off they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dseg.base_model.loading import base_model
from dseg.base_model.pipeline import (
    decode,
    encode,
    fit,
    train_timesteps,
)
from dseg.datasets.opening import Samples, open_benchmark
from dseg.files import write_atomically
from dseg.method.inversion import denoiser, invert, regenerate, snap
from dseg.method.prompts import captions
from dseg.progress import track
from dseg.settings.run import Settings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = ("model", "benchmarks", "inversion", "inversions", "features.timesteps")
IMAGES = 64  # enough for the intervals: errors of images differ little


def run(settings: Settings, benchmark: str, root: Path, out: Path) -> None:
    """Measure the round trip of every way to invert, on the first images of a benchmark.

    All go up to the last of `features.timesteps` and back down by plain DDIM steps on their own
    grid, under their own caption. The error is that of the latents, relative to their size; the
    image's is the peak signal-to-noise ratio of what both decode to, so that the auto-encoder's
    own error does not count.

    Args:
        settings: The sections named in `SECTIONS`.
        benchmark: Name of the benchmark.
        root: Its folder.
        out: Parquet file: inversion, id, error, psnr, passes (of the U-Net, upwards).

    Raises:
        DsegError: There is no such benchmark, an image is unreadable, or as `base_model`.
    """
    entry, size = settings.benchmark(benchmark), settings.inversion.batch_size
    samples = open_benchmark(entry.layout, root, images=entry.images, limit=entry.limit)[:IMAGES]
    with base_model(settings.model, "inversion.batch_size", size) as pipe:
        parts = [
            _measure(pipe, settings, name, samples[start : start + size])
            for name in track(settings.inversions, f"round trip, {benchmark}")
            for start in range(0, len(samples), size)
        ]
    table = pd.concat(parts, ignore_index=True)
    write_atomically(Path(out), lambda temporary: table.to_parquet(temporary, index=False))


def _measure(
    pipe: "StableDiffusionPipeline", settings: Settings, name: str, samples: Samples
) -> pd.DataFrame:
    """The round trips of one batch of images by one way to invert."""
    own, count = settings.inverted(name), train_timesteps(pipe)
    clean = encode(pipe, np.stack([fit(pipe, sample.image()) for sample in samples]))
    said = captions(own.prompt, [each.noun for each in samples])
    model = denoiser(pipe, said, own.steps)
    top = snap(settings.features.timesteps[-1], own.steps, count)
    (up,) = invert(model, clean, chosen=[top], fixed_point=own.fixed_point)
    back = regenerate(model, up, start=top)
    error = (back - clean).flatten(1).norm(dim=1) / clean.flatten(1).norm(dim=1)
    shown = decode(pipe, clean).astype(np.float64)
    squared = ((decode(pipe, back) - shown) ** 2).mean(axis=(1, 2, 3))
    return pd.DataFrame(
        {
            "inversion": name,
            "id": samples.ids,
            "error": error.cpu().numpy().astype(np.float64),
            "psnr": 10 * np.log10(255**2 / np.maximum(squared, 1e-2)),
            "passes": model.timesteps.index(top) * max(1, own.fixed_point),
        }
    )
