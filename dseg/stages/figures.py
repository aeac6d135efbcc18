"""Stage `figures`: scores, images and masks -> figures."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dseg.artifacts.parquet import read_table
from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import read_shard
from dseg.errors import DsegError
from dseg.evaluation.boxes import above
from dseg.evaluation.scoring import CURVES, IMAGES
from dseg.evaluation.truths import group_shards, of_training, open_samples
from dseg.files import remove_leftovers
from dseg.method.cut.filter import Reason
from dseg.method.resample import match_size
from dseg.reporting import ablations, comparison
from dseg.reporting.comparison import COMPARED
from dseg.reporting.figures.galleries import (
    Predicted,
    Synthetic,
    mask_gallery,
    nothing,
    prediction_gallery,
    save_png,
    save_svg,
)
from dseg.reporting.figures.panels import (
    ablation_chart,
    curve_chart,
    mask_method_chart,
    pair_chart,
    shift_chart,
)
from dseg.reporting.summary import Summary
from dseg.settings.run import Settings

SECTIONS = (*COMPARED, "evaluation", "world.shift_strength", "attentioncut")
CLASSES, COLUMNS = 12, 10  # columns of the galleries


def run(
    settings: Settings,
    artifacts: Path,
    summary: Path,
    evaluation: Path,
    prompts: Path,
    synthesis: Sequence[Path],
    masks: Sequence[Path],
    predictions: Sequence[Path],
    out: Path,
) -> None:
    """Draw figures/<figure>.{png,svg} for the names that `comparison.figures` gives, and no others.

    Args:
        settings: The sections named in `SECTIONS`.
        artifacts: Folder of the profile's artifacts, where world/ lies.
        summary: Table of the stage summary.
        evaluation: Folder of the stage evaluation.
        prompts: prompts.parquet.
        synthesis: All shards of synthetic images with their attention.
        masks: The shards of their masks, in the same order.
        predictions: All shards that were evaluated.
        out: Folder results/<profile>.

    Raises:
        DsegError: A table, shard or benchmark is not usable.
    """
    numbers = Summary.read(summary)
    images, curves = (_plain(settings, evaluation / file) for file in (IMAGES, CURVES))
    draw: dict[str, Callable[[], Figure]] = {
        "masks": partial(_masks, settings, prompts, synthesis, masks),
        "mask-methods": partial(mask_method_chart, settings, numbers),
        "precision-recall": partial(curve_chart, settings, numbers, curves),
        "pairs": partial(pair_chart, settings, numbers),
        comparison.SHIFT_FIGURE: partial(shift_chart, settings, numbers),
    }
    for table in ablations.ABLATIONS:
        name = f"{comparison.ABLATION_FIGURE}{table}"
        draw[name] = partial(ablation_chart, settings, numbers, table)
    for name in comparison.held_out(settings):
        draw[f"gallery-{name}"] = partial(_gallery, settings, artifacts, images, predictions, name)
    names = comparison.figures(settings)
    for name in names:
        figure = draw[name]()
        save_png(figure, out / "figures" / f"{name}.png")
        save_svg(figure, out / "figures" / f"{name}.svg")
    remove_leftovers(out / "figures", names, ("png", "svg"))


def _plain(settings: Settings, path: Path) -> pd.DataFrame:
    """The rows of a table of the stage evaluation that figures show."""
    table = read_table(path)
    mode = settings.evaluation.mode
    return table[(table["postprocessing"] == "none") & (table["mode"] == mode)]


def _masks(
    settings: Settings, prompts: Path, synthesis: Sequence[Path], masks: Sequence[Path]
) -> Figure:
    """The first image of each class, or of classes evenly spaced where there are many."""
    table = read_table(prompts, ["id", "class"]).drop_duplicates("class")
    table = table.iloc[_evenly(len(table), CLASSES)]
    nouns = dict(zip(table["id"], table["class"], strict=True))
    found: dict[str, Synthetic] = {}
    strides = settings.attentioncut.cross_strides
    for path, mask_path in zip(synthesis, masks, strict=True):
        wanted = [item for item in read_shard(path, kind="images", fields=[]).ids if item in nouns]
        if not wanted:
            continue
        images, cut = read_shard(path, kind="images"), read_shard(mask_path, kind="masks")
        for item in wanted:
            row, mask_row = images.ids.index(item), cut.ids.index(item)
            attention, image = attention_of(images, row)
            reason = Reason(int(cut.fields["reason"][mask_row]))
            found[item] = Synthetic(
                noun=nouns[item],
                image=image,
                cross=attention.at(strides).noun_map,
                mask=cut.fields["mask"][mask_row],
                dropped="" if reason is Reason.KEPT else reason.name.lower().replace("_", " "),
            )
    return mask_gallery([found[item] for item in nouns])


def _gallery(
    settings: Settings,
    artifacts: Path,
    images: pd.DataFrame,
    predictions: Sequence[Path],
    benchmark: str,
) -> Figure:
    """Images evenly spaced from the worst to the best by the IoU of the gallery's head.

    Of several trainings, the first is shown.
    """
    groups = group_shards(predictions)
    labels = {
        method: label
        for method, label in comparison.gallery_methods(settings).items()
        if (method, benchmark) in groups
    }
    if not labels:
        return nothing(f"no predictions on {benchmark}")
    of_images = images[(images["benchmark"] == benchmark) & (images["seed"] == 0)]
    ious = of_images.pivot(index="id", columns="method", values="iou")
    by = ablations.default_variant(settings) or next(iter(labels))
    ranked = ious.sort_values([by, *labels], kind="stable").index
    chosen = [str(ranked[index]) for index in _evenly(len(ranked), COLUMNS)]
    soft = {method: _pick(groups[method, benchmark], set(chosen)) for method in labels}
    samples = open_samples(settings, benchmark, artifacts)
    items = []
    for item in chosen:
        sample = samples.make(item)
        image, truth = sample.image(), sample.mask()
        if truth is None:
            raise DsegError(f"benchmarks.{benchmark}: image {item} has no true mask")
        shape = (image.shape[0], image.shape[1])
        masks = {
            method: (
                above(match_size(soft[method][item], shape), settings.evaluation.threshold),
                ious[method].to_dict()[item],
            )
            for method in labels
        }
        items.append(Predicted(image, truth, masks))
    return prediction_gallery(items, labels)


def _pick(shards: Sequence[Path], ids: set[str]) -> dict[str, np.ndarray]:
    found = {}
    for path in shards:
        here = read_shard(path, kind="masks", fields=["soft"])
        for item, soft in zip(here.ids, here.fields["soft"], strict=True):
            if item in ids:
                found[item] = of_training(soft, 0)
    return found


def _evenly(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices below ``count``, evenly spaced, in order."""
    wanted = min(count, wanted)
    return [int((index + 0.5) * count / wanted) for index in range(wanted)]
