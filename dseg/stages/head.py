"""Stage `head`: synthetic images, their masks and latents -> a trained segmentation head."""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.artifacts.heads import Said, write_heads
from dseg.artifacts.prompts import read_nouns
from dseg.artifacts.rows import FieldRows, TensorRows, read_latents, scratch
from dseg.artifacts.shards import read_shards
from dseg.base_model.device import choose_device
from dseg.base_model.loading import base_model, memory_errors
from dseg.base_model.pipeline import model_identity
from dseg.errors import DsegError
from dseg.files import write_atomically
from dseg.method.feature_reader import FeatureReader
from dseg.method.head import (
    LOSSES,
    Architecture,
    Epoch,
    as_planes,
    build,
    parameter_count,
    train,
)
from dseg.method.projection import Projection, fit_projection, fold
from dseg.method.prompts import captions, item_seed
from dseg.method.row_source import RowSource
from dseg.progress import track
from dseg.settings.run import HeadSettings, Settings
from dseg.settings.sections import sections, settings_hash

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = ("seed", "model", "inversion", "features", "head")
SAMPLE = 256  # pairs that principal components are taken of
LEAST_PAIRS = 4  # fewer cannot be split into something to learn from and something to judge by


def run(
    settings: Settings,
    synthesis: Sequence[Path],
    masks: Sequence[Path],
    prompts: Path,
    out: Path,
    latents: Sequence[Path] = (),
) -> None:
    """Train one head on the pairs whose mask was kept, as often as `head.seeds` says.

    All trainings read the same features, which are computed once. They differ in the first
    weights, the order of the pairs, and which of them are held out.

    Args:
        settings: The sections named in `SECTIONS`, with the overrides of one variant merged in.
        synthesis: All shards of the stage synthesis.
        masks: The shards of their masks, in the same order.
        prompts: prompts.parquet, which says the class of each image.
        out: Folder for head.safetensors and curve.csv (seed, epoch, loss, validation_loss,
            validation_iou).
        latents: All shards of the stage inversion; not read where `head.input` is rgb.

    Raises:
        DsegError: Shards are missing or not of the same items, too few masks were kept, or as
            `base_model`, `FeatureReader.batch` and `train`.
    """
    head, out = settings.head, Path(out)
    ids, images, targets = read_pairs(synthesis, masks, head)
    inputs: tuple[RowSource, ...] = ()
    projections: tuple[Projection, ...] = ()
    channels: tuple[int, ...] = ()
    device = choose_device(settings.model.device)
    if head.input == "features":
        maps, projections = _features(settings, latents, prompts, ids, out)
        channels = tuple(values.shape[1] for values in maps)
        inputs = maps
    architecture = Architecture(
        input=head.input,
        channels=channels,
        pixels=head.pixels or head.input == "rgb",
        width=head.width,
        size=(targets.shape[1], targets.shape[2]),
        kind=head.architecture,
    )
    if architecture.reads_image:
        inputs = (*inputs, images)
    states: list[dict[str, Tensor]] = []
    curves: list[list[Epoch]] = []
    for training in range(head.seeds):
        seed = item_seed(settings.seed, f"head:{training}")
        network = build(architecture, seed).to(device)
        with memory_errors("head.batch_size", head.batch_size):
            state, curve = train(
                network,
                inputs,
                targets,
                epochs=head.epochs,
                batch_size=head.batch_size,
                learning_rate=head.learning_rate,
                validation_fraction=head.validation_fraction,
                seed=seed,
                criterion=LOSSES[head.loss],
                progress=partial(track, label=f"head, {out.name}, {training + 1} of {head.seeds}"),
            )
        for index, projection in enumerate(projections):
            state = fold(state, index, projection)
        states.append(state)
        curves.append(curve)
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
    write_curves(out / "curve.csv", curves)
    write_heads(out / "head.safetensors", states, architecture, Said.model_validate(about))
    best = [f"{max(row.validation_iou for row in curve):.3f}" for curve in curves]
    print(
        f"head, {out.name}: {len(ids)} pairs, {parameters} parameters, IoU "
        f"{', '.join(best)} on held-out synthetic pairs",
        file=sys.stderr,
    )


def read_pairs(
    synthesis: Sequence[Path], masks: Sequence[Path], head: HeadSettings
) -> tuple[tuple[str, ...], TensorRows, TensorRows]:
    """Ids, images uint8 (n, 3, H, W) and masks bool (n, H, W) of the pairs to train on.

    Images and masks are read when asked for. The pairs are the kept ones, or all if there is no
    `head.filter`, of which the first `head.pairs` in the order of the prompts. There the classes
    take turns; in the order of ids, the first would all be of one class. Where `head.prompts` says
    so, only pairs of the first so many prompts are taken.

    Raises:
        DsegError: The shards are not of the same items, or too few masks were kept.
    """
    pictures = FieldRows(synthesis, "image", kind="images")
    cut = read_shards(masks, kind="masks", fields=["kept"])
    if cut.ids != pictures.ids:
        raise DsegError(
            f"{Path(masks[0]).parent}: masks of other items than those of "
            f"{Path(synthesis[0]).parent}: run the stage {cut.stage} again"
        )
    chosen = cut.fields["kept"] if head.filter else np.ones(len(cut.ids), bool)
    kept = np.flatnonzero(chosen[: head.prompts])
    least = max(head.pairs or 0, LEAST_PAIRS)
    if len(kept) < least:
        raise DsegError(
            f"{Path(masks[0]).parent}: {len(kept)} of {len(chosen[: head.prompts])} masks were "
            f"kept, expected at least {least}; synthesise more (prompts.count), look at more "
            "(head.prompts), relax the filter (attentioncut.area, border, focus) or lower "
            "head.pairs"
        )
    rows = kept[: head.pairs]
    targets = FieldRows(masks, "mask", kind="masks").take(rows)
    return targets.ids, TensorRows(pictures.take(rows), as_planes), TensorRows(targets)


def _features(
    settings: Settings,
    latents: Sequence[Path],
    prompts: Path,
    ids: Sequence[str],
    out: Path,
) -> tuple[tuple[Tensor, ...], tuple[Projection, ...]]:
    """Features of all pairs in files that are mapped, and what they were projected by, if at all.

    Principal components are those of the first pairs, in which the classes take turns.
    """
    rows = read_latents(latents, ids)
    with base_model(
        settings.model, "inversion.batch_size", settings.inversion.batch_size, images=0
    ) as pipe:
        return _project(settings, pipe, rows, prompts, out)


def _project(
    settings: Settings,
    pipe: "StableDiffusionPipeline",
    rows: FieldRows,
    prompts: Path,
    out: Path,
) -> tuple[tuple[Tensor, ...], tuple[Projection, ...]]:
    reader = FeatureReader(pipe, settings.features, settings.inversion, settings.seed)

    def batches(rows: FieldRows, label: str) -> Iterator[tuple[Tensor, ...]]:
        said = captions(settings.features.prompt, read_nouns(prompts, rows.ids))
        return reader.batches(rows, rows.ids, said, label)

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


def write_curves(path: Path, curves: Sequence[Sequence[Epoch]]) -> None:
    """Write the curves of all trainings as CSV, atomically."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["seed", *(field.name for field in fields(Epoch))])
            for seed, curve in enumerate(curves):
                writer.writerows((seed, *astuple(row)) for row in curve)

    write_atomically(path, write)
