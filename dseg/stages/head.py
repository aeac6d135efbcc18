"""Stage `head`: synthetic images, their masks and latents -> a trained segmentation head."""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.checkpoint import write_head
from dseg.config import Settings, sections, settings_hash
from dseg.device import choose_device
from dseg.errors import DsegError
from dseg.head import Architecture, Epoch, build, parameter_count, train
from dseg.pipeline import model_identity
from dseg.progress import track
from dseg.projection import Projection, fit_projection, fold
from dseg.row_source import RowSource
from dseg.rows import FieldRows, TensorRows, scratch
from dseg.shards import read_shards, write_atomically
from dseg.stages.inputs import as_planes, feature_batches, read_latents
from dseg.stages.model import base_model, memory_errors

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = ("seed", "model", "inversion", "features", "head")
SAMPLE = 256  # pairs that principal components are taken of
LEAST_PAIRS = 4  # fewer cannot be split into something to learn from and something to judge by


def run(
    settings: Settings,
    synthesis: Sequence[Path],
    masks: Sequence[Path],
    out: Path,
    latents: Sequence[Path] = (),
) -> None:
    """Train one head on the pairs whose mask was kept.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of one variant merged in.
        synthesis: All shards of the stage synthesis.
        masks: The shards of their masks, in the same order.
        out: Folder for head.safetensors and curve.csv (epoch, loss, validation_loss,
            validation_iou).
        latents: All shards of the stage inversion; not read where `head.input` is rgb.

    Raises:
        DsegError: Shards are missing or not of the same items, too few masks were kept, or as
            `base_model`, `features_of` and `train`.
    """
    head, out = settings.head, Path(out)
    ids, images, targets = read_pairs(synthesis, masks, head.pairs)
    inputs: tuple[RowSource, ...] = (images,)
    projections: tuple[Projection, ...] = ()
    channels: tuple[int, ...] = ()
    device = choose_device(settings.model.device)
    if head.input == "features":
        maps, projections = _features(settings, latents, ids, out)
        channels = tuple(values.shape[1] for values in maps)
        inputs = (*maps, images) if head.pixels else maps
    architecture = Architecture(
        input=head.input,
        channels=channels,
        pixels=head.pixels or head.input == "rgb",
        width=head.width,
        size=(targets.shape[1], targets.shape[2]),
    )
    network = build(architecture, settings.seed).to(device)
    with memory_errors("head.batch_size", head.batch_size):
        state, curve = train(
            network,
            inputs,
            targets,
            epochs=head.epochs,
            batch_size=head.batch_size,
            learning_rate=head.learning_rate,
            validation_fraction=head.validation_fraction,
            seed=settings.seed,
            progress=lambda epochs: track(epochs, f"head, {out.name}"),
        )
    for index, projection in enumerate(projections):
        state = fold(state, index, projection)
    if projections:  # what is written reads all channels
        channels = tuple(len(projection.mean) for projection in projections)
        architecture = replace(architecture, channels=channels)
    parameters = parameter_count(build(architecture))
    model = settings.model
    about = {
        "settings_hash": settings_hash(sections(settings, *SECTIONS)),
        "pairs": len(ids),
        "parameters": parameters,
        "head": head.model_dump(mode="json"),
    }
    if head.input == "features":
        about |= {
            "features": settings.features.model_dump(mode="json"),
            "inversion": settings.inversion.model_dump(mode="json"),
            "model": {
                "path": model.path,
                "revision": model.revision,
                "identity": model_identity(model.path, revision=model.revision, dtype=model.dtype),
            },
        }
    write_curve(out / "curve.csv", curve)
    write_head(out / "head.safetensors", state, architecture, about)
    print(
        f"head, {out.name}: {len(ids)} pairs, {parameters} parameters, IoU "
        f"{max(row.validation_iou for row in curve):.3f} on held-out synthetic pairs",
        file=sys.stderr,
    )


def read_pairs(
    synthesis: Sequence[Path], masks: Sequence[Path], pairs: int | None
) -> tuple[tuple[str, ...], TensorRows, TensorRows]:
    """Ids, images uint8 (n, 3, H, W) and masks bool (n, H, W) of the pairs to train on.

    Images and masks are read when asked for. The pairs are the kept ones, of which the first
    ``pairs`` in the order of the prompts. There the classes take turns; in the order of ids, the
    first would all be of one class.

    Raises:
        DsegError: The shards are not of the same items, or too few masks were kept.
    """
    pictures = FieldRows(synthesis, "image", stage="synthesis")
    cut = read_shards(masks, stage="attentioncut", fields=["kept"])
    if cut.ids != pictures.ids:
        raise DsegError(
            f"{Path(masks[0]).parent}: masks of other items than those of "
            f"{Path(synthesis[0]).parent}: run the stage attentioncut again"
        )
    kept = np.flatnonzero(cut.fields["kept"])
    least = LEAST_PAIRS if pairs is None else max(pairs, LEAST_PAIRS)
    if len(kept) < least:
        raise DsegError(
            f"{Path(masks[0]).parent}: {len(kept)} of {len(cut.ids)} masks were kept, expected at "
            f"least {least}; synthesise more (prompts.count), relax the filter (attentioncut.area, "
            "border, focus) or lower head.pairs"
        )
    chosen = kept[:pairs]
    targets = FieldRows(masks, "mask", stage="attentioncut").take(chosen)
    return targets.ids, TensorRows(pictures.take(chosen), as_planes), TensorRows(targets)


def _features(
    settings: Settings, latents: Sequence[Path], ids: Sequence[str], out: Path
) -> tuple[tuple[Tensor, ...], tuple[Projection, ...]]:
    """Features of all pairs in files that are mapped, and what they were projected by, if at all.

    Principal components are those of the first pairs, in which the classes take turns.
    """
    rows = read_latents(latents, ids)
    with base_model(
        settings.model, "inversion.batch_size", settings.inversion.batch_size, images=0
    ) as pipe:
        return _project(settings, pipe, rows, out)


def _project(
    settings: Settings, pipe: "StableDiffusionPipeline", rows: FieldRows, out: Path
) -> tuple[tuple[Tensor, ...], tuple[Projection, ...]]:
    def batches(rows: FieldRows, label: str) -> Iterator[tuple[Tensor, ...]]:
        return feature_batches(
            pipe,
            rows,
            rows.ids,
            features=settings.features,
            inversion=settings.inversion,
            seed=settings.seed,
            label=label,
        )

    count = len(rows)
    projections: tuple[Projection, ...] = ()
    components = settings.features.components
    if components is not None:
        few = list(batches(rows.take(range(min(count, SAMPLE))), "principal components"))
        projections = tuple(fit_projection(maps, components) for maps in zip(*few, strict=True))
    stored: list[np.ndarray] = []
    start = 0
    for maps in batches(rows, "features"):
        if projections:
            maps = tuple(p.apply(x) for p, x in zip(projections, maps, strict=True))
        if not stored:
            stored = [scratch((count, *x.shape[1:]), np.float16, out) for x in maps]
        for values, x in zip(stored, maps, strict=True):
            values[start : start + len(x)] = x.numpy()
        start += len(maps[0])
    return tuple(torch.from_numpy(values) for values in stored), projections


def write_curve(path: Path, curve: Sequence[Epoch]) -> None:
    """Write the training curve as CSV, atomically."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in fields(Epoch))
            writer.writerows(astuple(row) for row in curve)

    write_atomically(path, write)
