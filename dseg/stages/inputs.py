"""What the stages head and prediction share: cached latents and images -> inputs of a network."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.attention import noun_columns
from dseg.errors import DsegError
from dseg.features import attention_features, decoder_features, untrained
from dseg.inversion import noise_to, snap
from dseg.pipeline import alphas_cumprod, train_timesteps
from dseg.progress import track
from dseg.prompts import Phrase, captions, item_seed, noun_span
from dseg.rows import FieldRows
from dseg.settings import FeaturesSettings, InversionSettings
from dseg.stages.captions import caption_embeddings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel


def read_latents(paths: Sequence[Path], ids: Sequence[str]) -> FieldRows:
    """Latents float16 (n, T, C, h, w) of these items, in their order, from shards of inversion.

    They are read when asked for.

    Raises:
        DsegError: No shards are given, or none has one of the items.
    """
    if not paths:
        raise DsegError("features need latents, but no shards of the stage inversion were given")
    latents = FieldRows(paths, "latents", stage="inversion")
    rows = {item: row for row, item in enumerate(latents.ids)}
    missing = [item for item in ids if item not in rows]
    if missing:
        raise DsegError(
            f"{Path(paths[0]).parent}: no latents of {missing[0]!r}, {len(missing)} are missing "
            "in all; run the stage inversion again"
        )
    return latents.take([rows[item] for item in ids])


def features_of(
    pipe: "StableDiffusionPipeline",
    latents: FieldRows,
    ids: Sequence[str],
    *,
    features: FeaturesSettings,
    inversion: InversionSettings,
    said: Sequence[Phrase],
    seed: int,
    label: str,
) -> tuple[Tensor, ...]:
    """`feature_batches` of all items as one, in memory: bound their number for large models."""
    batches = feature_batches(
        pipe,
        latents,
        ids,
        features=features,
        inversion=inversion,
        said=said,
        seed=seed,
        label=label,
    )
    return tuple(torch.cat(values) for values in zip(*batches, strict=True))


def feature_batches(
    pipe: "StableDiffusionPipeline",
    latents: FieldRows,
    ids: Sequence[str],
    *,
    features: FeaturesSettings,
    inversion: InversionSettings,
    said: Sequence[Phrase],
    seed: int,
    label: str,
) -> Iterator[tuple[Tensor, ...]]:
    """Features batch by batch: one U-Net pass for each timestep of `features.timesteps`.

    Timesteps lie on the grid of the inversion whatever the source of the latents, so that the
    sources differ in nothing else.

    Args:
        pipe: The base model.
        latents: (n, T, C, h, w), at `inversion.timesteps`.
        ids: Ids of the n items.
        features: Source, timesteps, strides, maps and weights.
        inversion: Grid, kept timesteps and batch size.
        said: The caption of each item.
        seed: Of the run; an item's noise follows from it and the id.
        label: What the progress is of.

    Yields:
        Of `inversion.batch_size` items, for each stride, in order, if the decoder is among the
        maps, then attention at the first stride if that is: float16 (B, timesteps * channels,
        h / stride, w / stride), on the CPU.

    Raises:
        DsegError: The latents wanted were not kept, or the decoder lacks a stride.
    """
    unet = _network(pipe, features, seed)
    for start in track(range(0, len(ids), inversion.batch_size), label):
        rows = slice(start, start + inversion.batch_size)
        yield batch_features(
            pipe,
            latents[rows],
            ids[rows],
            features=features,
            inversion=inversion,
            said=said[rows],
            unet=unet,
            seed=seed,
        )


def batch_features(
    pipe: "StableDiffusionPipeline",
    latents: np.ndarray,
    ids: Sequence[str],
    *,
    features: FeaturesSettings,
    inversion: InversionSettings,
    seed: int,
    said: Sequence[Phrase] | None = None,
    unet: "UNet2DConditionModel | None" = None,
) -> tuple[Tensor, ...]:
    """As `feature_batches`, for one batch of items.

    Without captions, `features.prompt` is said of all; without a U-Net, it is made here.
    """
    kept = inversion.timesteps
    if latents.shape[1] != len(kept):
        raise DsegError(
            f"latents at {latents.shape[1]} timesteps, but inversion.timesteps are {list(kept)}: "
            "run the stage inversion again"
        )
    wanted = latents_wanted(features)
    absent = [fraction for fraction in wanted if fraction not in kept]
    if absent:
        raise DsegError(
            f"inversion.timesteps: {list(kept)}, expected {absent[0]} among them, which features "
            f"of source {features.source} are made from"
        )
    count = train_timesteps(pipe)
    timesteps = [snap(fraction, inversion.steps, count) for fraction in features.timesteps]
    columns = [kept.index(fraction) for fraction in wanted]
    states = torch.from_numpy(latents[:, columns]).float().transpose(0, 1)
    if features.source == "clean":
        states = states.expand(len(timesteps), *states.shape[1:])
    elif features.source == "noise":
        # Not the seed of synthesis: its noise is what an inverted image should lead back to.
        seeds = [item_seed(seed, f"{item}:features") for item in ids]
        alphas = alphas_cumprod(pipe)
        states = torch.stack([noise_to(states[0], float(alphas[t]), seeds) for t in timesteps])
    if said is None:
        said = captions(features.prompt, [None] * len(ids))
    if unet is None:
        unet = _network(pipe, features, seed)
    context = caption_embeddings(pipe, said)
    maps: tuple[Tensor, ...] = ()
    if "decoder" in features.maps:
        maps = decoder_features(unet, states, timesteps, features.strides, context)
    if "attention" in features.maps:
        spans = [noun_span(pipe.tokenizer, phrase) for phrase in said]
        nouns = noun_columns(spans, context.shape[1])
        stride = features.strides[0]
        maps += (attention_features(unet, states, timesteps, stride, context, nouns),)
    return tuple(values.to("cpu", torch.float16) for values in maps)


def _network(
    pipe: "StableDiffusionPipeline", features: FeaturesSettings, seed: int
) -> "UNet2DConditionModel":
    return untrained(pipe.unet, seed) if features.weights == "random" else pipe.unet


def latents_wanted(features: FeaturesSettings) -> tuple[float, ...]:
    """Fractions at which the latents must be known that features are made from."""
    return features.timesteps if features.source == "inversion" else (0.0,)


def as_planes(images: Tensor) -> Tensor:
    """Images uint8 (n, H, W, 3) as a network reads them: uint8 (n, 3, H, W)."""
    return images.permute(0, 3, 1, 2)
