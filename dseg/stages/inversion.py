"""Stage `inversion`: a shard of synthetic images -> their latents on the DDIM trajectory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.config import Settings, sections, settings_hash
from dseg.inversion import grid, invert, snap
from dseg.pipeline import alphas_cumprod, encode, predict, train_timesteps
from dseg.progress import track
from dseg.prompts import Phrase, captions
from dseg.settings import InversionSettings
from dseg.shards import read_shard, write_shard
from dseg.stages.captions import caption_embeddings, read_nouns
from dseg.stages.model import base_model

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = ("model", "inversion")


def run(settings: Settings, synthesis: Path, prompts: Path, out: Path) -> None:
    """Invert the images of one shard.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of one inversion merged in.
        synthesis: A shard of the stage synthesis.
        prompts: prompts.parquet, which says the class of each image.
        out: The shard's file, with the same items. Field: latents, float16 (T, C, h, w), at
            `inversion.timesteps`.

    Raises:
        DsegError: The shard is missing or not of that stage, or as `base_model` and `invert`.
    """
    shard = read_shard(synthesis, stage="synthesis", fields=["image"])
    images, size = shard.fields["image"], settings.inversion.batch_size
    said = captions(settings.inversion.prompt, read_nouns(prompts, shard.ids))
    starts = range(0, len(images), size)
    with base_model(settings.model, "inversion.batch_size", size) as pipe:
        parts = [
            invert_images(
                pipe, images[start : start + size], settings.inversion, said[start : start + size]
            )
            for start in track(starts, f"inversion, {Path(synthesis).name}")
        ]
    write_shard(
        out,
        {"latents": np.concatenate(parts)},
        ids=shard.ids,
        stage="inversion",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )


def invert_images(
    pipe: "StableDiffusionPipeline",
    images: np.ndarray,
    inversion: InversionSettings,
    said: Sequence[Phrase] | None = None,
) -> np.ndarray:
    """Latents of one batch of images, uint8 (B, H, W, 3), at `inversion.timesteps`.

    Args:
        pipe: The base model.
        images: uint8 (B, H, W, 3), at the model's size.
        inversion: How to invert.
        said: The caption of each image; None says the same of all, `inversion.prompt`.

    Returns:
        float16 (B, T, C, h, w).
    """
    count = train_timesteps(pipe)
    if said is None:
        said = captions(inversion.prompt, [None] * len(images))
    context = caption_embeddings(pipe, said)  # (B, L, D)

    def denoise(sample: Tensor, timestep: int) -> Tensor:
        return predict(pipe, sample, timestep, context)

    states = invert(
        denoise,
        encode(pipe, images),
        alphas_cumprod(pipe),
        grid(inversion.steps, count),
        chosen=[snap(fraction, inversion.steps, count) for fraction in inversion.timesteps],
        prediction_type=pipe.scheduler.config.prediction_type,
        fixed_point=inversion.fixed_point,
    )  # (T, B, C, h, w)
    return states.transpose(0, 1).to("cpu", torch.float16).numpy()
