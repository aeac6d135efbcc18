"""Stage `recording`: images of a benchmark -> shards of them with their attention."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dseg.artifacts.recordings import attention_fields
from dseg.artifacts.rows import read_latents
from dseg.artifacts.shards import shard_range, write_shard
from dseg.base_model.loading import base_model
from dseg.base_model.pipeline import encode, fit, timestep_at, train_timesteps
from dseg.datasets.class_names import names_of
from dseg.datasets.opening import Sample, open_benchmark
from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan
from dseg.method.cut.evidence import AttentionMaps
from dseg.method.ground import name_ground
from dseg.method.inversion import snap
from dseg.method.prompts import Phrase, item_seed
from dseg.method.recording import noised, noun_prompt, record
from dseg.progress import track
from dseg.settings.masks import TOLD, WRONG
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = (
    "seed",
    "model",
    "benchmarks",
    "attention.cross_strides",
    "attention.affinity_stride",
    "attention.neighbours",
    "attention.measure",
    "recording",
    "prompts.classes",
    "inversion.steps",
    "inversion.timesteps",
)


def run(
    settings: Settings,
    benchmark: str,
    root: Path,
    shard: int,
    out: Path,
    latents: Sequence[Path] = (),
) -> None:
    """Record the attention on the images of one shard, brought to the model's size.

    Args:
        settings: The sections named in `SECTIONS`.
        benchmark: Name of the benchmark.
        root: Its folder.
        shard: Index of the shard.
        out: The shard's file. Fields: image, cross_<stride>, affinity_indices, affinity_weights.
        latents: Shards of the benchmark's inversion, where `recording.latents` is inversion.

    Raises:
        DsegError: There is no such benchmark or shard; an image is unreadable, or its class or
            its inverted latents are wanted and not there; or as `base_model` and `record`.
    """
    recording, attention = settings.recording, settings.attention
    entry = settings.benchmark(benchmark)
    samples = open_benchmark(entry.layout, root, images=entry.images, limit=entry.limit)
    items = shard_range(len(samples), recording.items_per_shard, shard)
    samples = samples[items.start : items.stop]
    inverted: dict[str, np.ndarray] = {}
    if recording.latents == "inversion":
        inverted = _read_latents(settings, latents, samples.ids)
    stride = recording.affinity_stride or attention.affinity_stride
    measure = recording.measure or attention.measure
    plan = AttentionPlan(
        attention.cross_strides, stride, attention.neighbours, share=measure == "share"
    )
    pictures: list[np.ndarray] = []
    maps: list[AttentionMaps] = []
    starts = range(0, len(samples), recording.batch_size)
    with base_model(settings.model, "recording.batch_size", recording.batch_size) as pipe:
        timesteps = [_timestep(settings, pipe, fraction) for fraction in recording.timesteps]
        for start in track(starts, f"recording, {benchmark}, shard {shard}"):
            batch = samples[start : start + recording.batch_size]
            images = np.stack([fit(pipe, sample.image()) for sample in batch])
            if inverted:
                rows = np.stack([inverted[sample.id] for sample in batch])  # (B, T, C, h, w)
                z = torch.from_numpy(rows).float()
            else:
                seeds = [item_seed(settings.seed, sample.id) for sample in batch]
                z = noised(pipe, encode(pipe, images), seeds, timesteps)
            phrases = [
                _phrase(settings, sample, image)
                for sample, image in zip(batch, images, strict=True)
            ]
            pictures.append(images)
            maps.append(record(pipe, z, timesteps, phrases, plan))
    write_shard(
        out,
        attention_fields(pictures, maps),
        ids=samples.ids,
        kind="images",
        stage="recording",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )


def _phrase(settings: Settings, sample: Sample, image: np.ndarray) -> Phrase:
    """The prompt of an image, as given in uint8 (h, w, 3) at the model's size."""
    context = None if settings.recording.context is None else name_ground(image)
    return noun_prompt(_noun(settings, sample), context)


def _noun(settings: Settings, sample: Sample) -> str:
    noun = settings.recording.noun
    if noun not in (TOLD, WRONG):
        return noun
    if sample.noun is None:
        raise DsegError(
            f"recording.noun: {noun}, but nothing says what {sample.path} shows; set it to object, "
            "or the benchmark's `named` to false"
        )
    if noun == TOLD:
        return sample.noun
    others = [each for each in names_of(settings.prompts.classes) if each != sample.noun]
    if not others:
        raise DsegError("recording.noun: wrong, but prompts.classes has no other noun")
    return others[item_seed(settings.seed, f"{sample.id} wrong") % len(others)]


def _timestep(settings: Settings, pipe: "StableDiffusionPipeline", fraction: float) -> int:
    if settings.recording.latents == "inversion":  # they lie on the grid of the inversion
        return snap(fraction, settings.inversion.steps, train_timesteps(pipe))
    return timestep_at(pipe, fraction)


def _read_latents(
    settings: Settings, paths: Sequence[Path], ids: Sequence[str]
) -> dict[str, np.ndarray]:
    """Inverted latents (T, C, h, w) of each id at the timesteps to record."""
    kept, fractions = settings.inversion.timesteps, settings.recording.timesteps
    absent = [fraction for fraction in fractions if fraction not in kept]
    if absent:
        raise DsegError(
            f"recording.timesteps: {absent[0]} with inverted latents, expected some of "
            f"inversion.timesteps {list(kept)}"
        )
    if not paths:
        raise DsegError("recording.latents: inversion, but no shards of it were given (--latents)")
    columns = [kept.index(fraction) for fraction in fractions]
    wanted = read_latents(paths, ids)
    return dict(zip(ids, wanted[:][:, columns], strict=True))
