"""Stage `figures`: scores, images and masks -> figures."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dseg import ablations, comparison
from dseg.attentioncut import Reason
from dseg.boxes import above
from dseg.charts import Curve, interval_chart, line_chart, precision_recall_chart
from dseg.config import Settings
from dseg.crossmap import choose, combine, recorded
from dseg.errors import DsegError
from dseg.figures import (
    Predicted,
    Synthetic,
    mask_gallery,
    nothing,
    prediction_gallery,
    save_png,
    save_svg,
)
from dseg.scores import Scores
from dseg.shards import read_shard
from dseg.stages.leftovers import remove_leftovers
from dseg.stages.scores import read_scores
from dseg.stages.truths import group_shards, match_size, of_training, open_samples
from dseg.statistics import Interval, mean_interval

SECTIONS = (
    "seed",
    "benchmarks",
    "world.shift_strength",
    "synthesis.guidance",
    "synthesis.steps",
    "syntheses",
    "recording",
    "recordings",
    "mask_recordings",
    "inversion",
    "inversions",
    "features",
    "head",
    "variants",
    "attentioncut",
    "mask_methods",
    "evaluation",
)
CLASSES, IMAGES = 12, 10  # columns of the galleries
AXIS = "IoU, % (95 % interval)"


def run(
    settings: Settings,
    artifacts: Path,
    evaluation: Path,
    mask_methods: Path,
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
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        prompts: prompts.parquet.
        synthesis: All shards of synthetic images with their attention.
        masks: The shards of their masks, in the same order.
        predictions: All shards that were evaluated.
        out: Folder results/<profile>.

    Raises:
        DsegError: A table, shard or benchmark is not usable.
    """
    scores = read_scores(evaluation, mask_methods, masks, settings.evaluation.mode)
    draw: dict[str, Callable[[], Figure]] = {
        "masks": partial(_masks, settings, prompts, synthesis, masks),
        "mask-methods": partial(_mask_methods, settings, scores),
        "precision-recall": partial(_precision_recall, settings, scores),
        "pairs": partial(_pairs, settings, scores),
        comparison.SHIFT_FIGURE: partial(_shift, settings, scores),
    }
    for table in ablations.ABLATIONS:
        draw[f"{comparison.ABLATION_FIGURE}{table}"] = partial(_ablation, settings, scores, table)
    for name in comparison.held_out(settings):
        draw[f"gallery-{name}"] = partial(_gallery, settings, artifacts, scores, predictions, name)
    names = comparison.figures(settings)
    for name in names:
        figure = draw[name]()
        save_png(figure, out / "figures" / f"{name}.png")
        save_svg(figure, out / "figures" / f"{name}.svg")
    remove_leftovers(out / "figures", names, ("png", "svg"))


def _masks(
    settings: Settings, prompts: Path, synthesis: Sequence[Path], masks: Sequence[Path]
) -> Figure:
    """The first image of each class, or of classes evenly spaced where there are many."""
    table = pd.read_parquet(prompts, columns=["id", "class"]).drop_duplicates("class")
    table = table.iloc[_evenly(len(table), CLASSES)]
    nouns = dict(zip(table["id"], table["class"], strict=True))
    found: dict[str, Synthetic] = {}
    strides = settings.attentioncut.cross_strides
    for path, mask_path in zip(synthesis, masks, strict=True):
        wanted = [item for item in read_shard(path, fields=[]).ids if item in nouns]
        if not wanted:
            continue
        images, cut = read_shard(path), read_shard(mask_path)
        for item in wanted:
            row, mask_row = images.ids.index(item), cut.ids.index(item)
            reason = Reason(int(cut.fields["reason"][mask_row]))
            found[item] = Synthetic(
                noun=nouns[item],
                image=images.fields["image"][row],
                cross=combine(choose(recorded(images.fields, row), strides)),
                mask=cut.fields["mask"][mask_row],
                dropped="" if reason is Reason.KEPT else reason.name.lower().replace("_", " "),
            )
    return mask_gallery([found[item] for item in nouns])


def _gallery(
    settings: Settings,
    artifacts: Path,
    scores: Scores,
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
    images = scores.images
    of_images = images[(images["benchmark"] == benchmark) & (images["seed"] == 0)]
    ious = of_images.pivot(index="id", columns="method", values="iou")
    by = ablations.default_variant(settings) or next(iter(labels))
    ranked = ious.sort_values([by, *labels], kind="stable").index
    chosen = [str(ranked[index]) for index in _evenly(len(ranked), IMAGES)]
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
        here = read_shard(path, fields=["soft"])
        for item, soft in zip(here.ids, here.fields["soft"], strict=True):
            if item in ids:
                found[item] = of_training(soft, 0)
    return found


def _mask_methods(settings: Settings, scores: Scores) -> Figure:
    labels = comparison.mask_methods(settings)
    panels: dict[str, dict[str, Interval]] = {}
    for benchmark in comparison.mask_benchmarks(settings):
        found = {name: scores.of_masks(name, benchmark) for name in labels}
        found = {name: values for name, values in found.items() if len(values)}
        if found:
            count = len(next(iter(found.values())))
            panels[f"{benchmark}, {count} images"] = {
                labels[name]: mean_interval(values, seed=settings.seed)
                for name, values in found.items()
            }
    if not panels:
        return nothing("no mask methods")
    return interval_chart(
        panels,
        highlight=labels.get(comparison.FULL_METHOD, ""),
        reference=labels.get(comparison.MASK_REFERENCE, ""),
        axis_label=AXIS,
    )


def _precision_recall(settings: Settings, scores: Scores) -> Figure:
    labels, protocol = comparison.methods(settings), settings.evaluation.protocol
    panels = {}
    for benchmark in comparison.held_out(settings):
        here = scores.curves[scores.curves["benchmark"] == benchmark]
        curves = []
        for method in comparison.main_methods(settings):
            columns = ["threshold", "precision", "recall"]
            rows = here.loc[here["method"] == method, columns]
            rows = rows.groupby("threshold", as_index=False).mean()  # over trainings, ascending
            # The same at every threshold: a point, not a curve.
            if rows["recall"].nunique() > 2:
                curves.append(
                    Curve(
                        labels[method],
                        rows["precision"].to_numpy(),
                        rows["recall"].to_numpy(),
                        scores.score(method, benchmark, protocol, "max_f"),
                    )
                )
        if curves:
            images = scores.images.loc[scores.images["benchmark"] == benchmark, "id"].nunique()
            panels[f"{benchmark}, {images} images, protocol {protocol}"] = curves
    return precision_recall_chart(panels) if panels else nothing("no benchmark with masks")


def _pairs(settings: Settings, scores: Scores) -> Figure:
    """The head by number of pairs, and the RGB network where it was trained on several."""
    labels = comparison.methods(settings)
    of_network = {"head": ablations.ablation(settings, "pairs")}
    rgb = [name for name in settings.variants if comparison.is_rgb(settings, name)]
    if len(rgb) > 1:
        of_network["RGB network"] = rgb
    panels: dict[str, dict[str, dict[float, Interval]]] = {}
    levels: dict[str, dict[str, float]] = {}
    for benchmark in comparison.held_out(settings):
        lines = {}
        for network, names in of_network.items():
            found = {name: scores.of_images(name, benchmark, "iou") for name in names}
            counts = {name: scores.pairs(settings.variant(name)[1]) for name in names}
            line = {
                float(counts[name]): mean_interval(found[name], seed=settings.seed)
                for name in sorted(names, key=lambda name: counts[name])
                if found[name].size
            }
            if len(line) > 1:
                lines[network] = line
        if lines:
            panels[benchmark] = lines
            alone = scores.of_images(comparison.MASK_RECORDING, benchmark, "iou")
            if alone.size:
                label = labels[comparison.MASK_RECORDING].replace(", ", ",\n", 1)
                levels[benchmark] = {label: float(alone.mean())}
    if not panels:
        return nothing("no two variants that differ in head.pairs only")
    return line_chart(
        panels,
        levels=levels,
        x_label="synthetic training pairs",
        axis_label=AXIS,
        logarithmic=True,
    )


def _shift(settings: Settings, scores: Scores) -> Figure:
    """The methods of the main tables by the strength of the shift."""
    labels, strengths = comparison.methods(settings), comparison.shifts(settings)
    default = ablations.default_variant(settings)
    lines: dict[str, dict[float, Interval]] = {}
    for method in comparison.main_methods(settings):
        head = settings.variant(method)[1] if method in settings.variants else settings.head
        if method not in (*settings.recordings, *settings.variants) or (
            method != default and head.pairs != settings.head.pairs
        ):
            continue
        found = {
            strength: scores.of_images(method, benchmark, "iou")
            for benchmark, strength in strengths.items()
        }
        line = {
            strength: mean_interval(values, seed=settings.seed)
            for strength, values in found.items()
            if values.size
        }
        if len(line) > 1:
            lines[labels[method]] = line
    if not lines:
        return nothing("no method was run at two strengths of shift")
    title = ", ".join(strengths)
    return line_chart({title: lines}, x_label="strength of the shift", axis_label=AXIS)


def _ablation(settings: Settings, scores: Scores, table: str) -> Figure:
    """The default head and the variants of one ablation, on the held-out benchmarks."""
    default = ablations.default_variant(settings)
    names = ablations.ablation(settings, table)
    labels = {name: ablations.ablation_label(settings, table, name) for name in names}
    panels: dict[str, dict[str, Interval]] = {}
    for benchmark in comparison.held_out(settings):
        found = {name: scores.of_images(name, benchmark, "iou") for name in names}
        found = {name: values for name, values in found.items() if values.size}
        if found:
            trainings = sorted({len(values) for values in found.values()})
            panels[f"{benchmark}, {'/'.join(map(str, trainings))} trainings"] = {
                labels[name]: mean_interval(values, seed=settings.seed)
                for name, values in found.items()
            }
    if not panels:
        return nothing("no variants")
    first = labels.get(default, "") if default is not None else ""
    return interval_chart(panels, highlight=first, reference=first, axis_label=AXIS)


def _evenly(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices below ``count``, evenly spaced, in order."""
    wanted = min(count, wanted)
    return [int((index + 0.5) * count / wanted) for index in range(wanted)]
