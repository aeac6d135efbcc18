"""Stage `prediction`: trained heads and the images of a benchmark -> predicted soft masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dseg.artifacts.heads import Said, read_heads
from dseg.artifacts.rows import read_latents
from dseg.artifacts.shards import shard_range, write_shard
from dseg.base_model.device import choose_device
from dseg.base_model.loading import base_model
from dseg.base_model.pipeline import model_identity, stretch
from dseg.datasets.opening import Samples, open_benchmark
from dseg.errors import DsegError
from dseg.evaluation.boxes import mask_to_box
from dseg.method.feature_reader import FeatureReader
from dseg.method.head import as_planes, predict
from dseg.method.prompts import captions
from dseg.method.resample import match_size
from dseg.settings.run import FeaturesSettings, Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = (
    "seed",
    "model",
    "inversion",
    "benchmarks",
    "evaluation.box",
    "evaluation.threshold",
)


def run(
    settings: Settings,
    benchmark: str,
    root: Path,
    shard: int,
    head: Path,
    out: Path,
    latents: Sequence[Path] = (),
) -> None:
    """Predict the masks of one shard of images.

    Which features the head reads, it says itself. Images are brought to the size it was trained
    at, and soft masks are stored at that size, since a shard's rows have one shape: resized to
    ``size`` they are masks of the original images.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of the head's inversion
            merged in.
        benchmark: Name of the benchmark.
        root: Its folder.
        shard: Index of the shard, of `inversion.items_per_shard` images.
        head: head.safetensors.
        out: The shard's file. Fields, of S trainings: soft, uint8 (S, H, W), 255 being 1; size,
            int32 (2,), height and width of the original image; box, int32 (S, 4), x0, y0, x1, y1
            in its pixels, exclusive ends, under `evaluation.box` and `evaluation.threshold`.
        latents: Shards of the benchmark's inversion; not read by a head on images alone.

    Raises:
        DsegError: There is no such benchmark or shard; a file is missing or unreadable; the head
            was trained on features of another model or inversion; or as `FeatureReader.batch`.
    """
    entry, model = settings.benchmark(benchmark), settings.model
    samples = open_benchmark(entry.layout, root, images=entry.images, limit=entry.limit)
    items = shard_range(len(samples), settings.inversion.items_per_shard, shard)
    samples = samples[items.start : items.stop]
    networks, architecture, about = read_heads(head)
    images, sizes = _read_images(samples, architecture.size)
    planes = as_planes(torch.from_numpy(images))
    inputs: tuple[Tensor, ...] = ()
    if architecture.input == "features":
        features = _check_origin(settings, head, about)
        with base_model(
            model, "inversion.batch_size", settings.inversion.batch_size, images=0
        ) as pipe:
            maps = FeatureReader(pipe, features, settings.inversion, settings.seed).all(
                read_latents(latents, samples.ids),
                samples.ids,
                captions(features.prompt, [sample.noun for sample in samples]),
                f"prediction, {benchmark}, shard {shard}",
            )
        if tuple(values.shape[1] for values in maps) != architecture.channels:
            raise DsegError(f"{head}: expects other features than the model gives: train it again")
        inputs = maps
    if architecture.reads_image:
        inputs = (*inputs, planes)
    device = choose_device(model.device)
    masks = [predict(network.to(device), inputs) for network in networks]
    soft = torch.stack(masks, dim=1).mul(255).round().to(torch.uint8).numpy()  # (n, S, H, W)
    chosen = settings.evaluation
    boxes = [
        [
            mask_to_box(
                match_size(mask, (int(height), int(width))),
                rule=chosen.box,
                threshold=chosen.threshold,
            )
            for mask in of_image
        ]
        for of_image, (height, width) in zip(soft, sizes, strict=True)
    ]
    write_shard(
        out,
        {"soft": soft, "size": sizes, "box": np.array(boxes, dtype=np.int32)},
        ids=samples.ids,
        kind="masks",
        stage="prediction",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )


def _read_images(samples: Samples, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Images resized to ``size``, uint8 (n, H, W, 3), and their original sizes, int32 (n, 2)."""
    images, sizes = [], []
    for sample in samples:
        image = sample.image()
        sizes.append(image.shape[:2])
        images.append(stretch(image, size))
    return np.stack(images), np.array(sizes, dtype=np.int32)


def _check_origin(settings: Settings, head: Path, about: Said) -> FeaturesSettings:
    """The features that a head reads; those of another model would give masks almost right."""
    if about.features is None or about.inversion is None or about.model is None:
        raise DsegError(f"{head}: does not say of what features it was trained on: train it again")
    for name in ("steps", "prompt", "fixed_point"):
        trained, now = getattr(about.inversion, name), getattr(settings.inversion, name)
        if trained != now:
            raise DsegError(
                f"{head}: trained with inversion.{name} {trained!r}, but the settings say {now!r}: "
                "train it again"
            )
    model = settings.model
    identity = model_identity(model.path, revision=model.revision, dtype=model.dtype)
    if identity != about.model.identity:
        raise DsegError(
            f"{head}: trained on features of {about.model.path}, whose files are not those of "
            f"{model.path}: train it again"
        )
    return about.features
