"""Stage `inversion`: a shard of synthetic images -> their latents on the DDIM trajectory."""

from pathlib import Path

import numpy as np

from dseg.artifacts.prompts import read_nouns
from dseg.artifacts.shards import read_shard, write_shard
from dseg.base_model.loading import base_model
from dseg.method.inversion import invert_images
from dseg.method.prompts import captions
from dseg.progress import track
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("model", "inversion")


def run(settings: Settings, images: Path, prompts: Path, out: Path) -> None:
    """Invert the images of one shard.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of one inversion merged in.
        images: A shard of the stage synthesis or renders.
        prompts: prompts.parquet, which says the class of each image.
        out: The shard's file, with the same items. Field: latents, float16 (T, C, h, w), at
            `inversion.timesteps`.

    Raises:
        DsegError: The shard is missing or not of that stage, or as `base_model` and `invert`.
    """
    shard = read_shard(images, kind="images", fields=["image"])
    pixels, size = shard.fields["image"], settings.inversion.batch_size
    said = captions(settings.inversion.prompt, read_nouns(prompts, shard.ids))
    starts = range(0, len(pixels), size)
    with base_model(settings.model, "inversion.batch_size", size) as pipe:
        parts = [
            invert_images(
                pipe, pixels[start : start + size], settings.inversion, said[start : start + size]
            )
            for start in track(starts, f"inversion, {Path(images).name}")
        ]
    write_shard(
        out,
        {"latents": np.concatenate(parts)},
        ids=shard.ids,
        kind="latents",
        stage="inversion",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
