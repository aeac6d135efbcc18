"""The result tables of a run, from its summary: every printed number comes from there.

Scores are in percent, means over images and over trainings. Intervals and tests are over both
(`evaluation.statistics`): they say how far a number would move with other images of the same kind
and with other trainings of the same heads.
"""

from collections.abc import Sequence

import pandas as pd

from dseg.reporting import ablations, comparison
from dseg.reporting.summary import Summary
from dseg.reporting.table import (
    INTERVAL,
    KEYS,
    TEST,
    Column,
    Table,
    bounds,
    corrected,
    count,
    fixed,
    p_text,
    percent,
    plain,
    with_bounds,
)
from dseg.settings.run import Settings

ORACLE = "Noun told: AttentionCut's prompt names the image's class, which no other method is told."
SHOWN = {
    "acc": plain("acc", fixed(1), "Acc"),
    "iou": with_bounds("IoU [95 %]", "iou"),
    "max_f": plain("max_f", fixed(1), "maxF"),
}
_NUMBERS = ("acc", "iou", "iou_low", "iou_high", "max_f")
_DIFFERENCES = ("minus_reference", "minus_reference_low", "minus_reference_high", "p", "d_z")
_MORE = ("rank_biserial", "detectable")
SEEDS = plain("seeds", count)
# title, heading of the first column, note
_ABLATIONS = {
    "features": (
        "Features of inverted, noised and clean latents, with the same head",
        "latents",
        "t: timestep of the latents, as a fraction of the training timesteps.",
    ),
    "inversions": (
        "Ways to invert, with the same head",
        "inversion",
        "Steps over all training timesteps. A prompt with {noun} names the class of each image, "
        "which no other row is told.",
    ),
    "blocks": ("What is read of the U-Net", "features", ""),
    "heads": ("Heads and losses, on the same features", "head", ""),
    "masks": (
        "Masks to learn from",
        "masks",
        "On the same synthetic images, but for true masks: those are of as many renders. Filtered: "
        "without the pairs that the mask filter drops.",
    ),
    "syntheses": ("Images to learn from, with their masks by AttentionCut", "images", ""),
    "pairs": ("Number of synthetic training pairs", "pairs", ""),
}


def saliency_table(settings: Settings, summary: Summary) -> Table:
    """The main table: segmentation of the salient object."""
    labels = comparison.methods(settings)
    return _segmentation(
        settings,
        summary,
        {name: labels[name] for name in comparison.main_methods(settings)},
        name="saliency",
        title="Saliency segmentation",
        metrics=("acc", "iou", "max_f"),
        note=ORACLE,
    )


def ablation_table(settings: Settings, summary: Summary, name: str) -> Table:
    """One head with one part of it changed; the reference is the default variant."""
    names, default = ablations.ablation(settings, name), ablations.default_variant(settings)
    title, first, note = _ABLATIONS[name]
    against = "first row"
    if name == "pairs":
        labels = {each: str(summary.pairs(each)) for each in names}
        against = f"{labels.get(default or '', '')} pairs"
        kept, of = summary.kept()
        share = 100 * settings.head.validation_fraction
        note = (
            f"The mask filter kept {kept} of {of} synthetic pairs; of those a head is given, "
            f"{share:g} % choose the epoch."
        )
    else:
        labels = {each: ablations.ablation_label(settings, name, each) for each in names}
    return _segmentation(
        settings,
        summary,
        labels,
        name=name,
        title=title,
        metrics=("iou",),
        reference=default,
        against=against,
        first=first,
        note=note,
    )


def localisation_table(settings: Settings, summary: Summary) -> Table:
    """CorLoc on the benchmarks with boxes."""
    labels = comparison.methods(settings)
    benchmarks = comparison.box_benchmarks(settings)
    rule, threshold = settings.evaluation.box, settings.evaluation.threshold
    records = [
        {
            "method": name,
            "label": labels[name],
            "benchmark": benchmark,
            "images": found.images,
            "protocol": found.protocol,
            "seeds": found.trainings if name in settings.variants else None,
            **percent("corloc", found.interval),
        }
        for name in comparison.main_methods(settings)
        for benchmark in benchmarks
        if (found := summary.find(name, benchmark, "corloc")) is not None
    ]
    encloses = {"largest": "the largest component of", "all": "all of"}[rule]
    columns = (*KEYS, SEEDS, *bounds("corloc"))
    return Table(
        name="localisation",
        title="Single-object localisation",
        note="CorLoc: percent of images whose one box has IoU >= 0.5 with any true box. Box rule "
        f"{rule}: it encloses {encloses} the mask above {threshold:g}. In brackets: 95 % interval, "
        f"over images (Wilson) and trainings (Student). {ORACLE}",
        frame=pd.DataFrame(records, columns=[name for each in columns for name in each.names]),
        columns=columns,
        lead=(plain("label", heading="method"),),
        shown=(with_bounds("CorLoc [95 %]", "corloc"),),
        groups=group_headings(summary, benchmarks, "corloc"),
    )


def _segmentation(
    settings: Settings,
    summary: Summary,
    labels: dict[str, str],
    *,
    name: str,
    title: str,
    metrics: Sequence[str],
    reference: str | None = None,
    against: str = "",
    first: str = "method",
    note: str = "",
) -> Table:
    """A table of segmentation scores on the held-out benchmarks.

    A benchmark is a group of columns, or of rows where there are more than fit side by side.

    Args:
        settings: As in `dseg.reporting.tables.assembly.build_tables`.
        summary: The numbers.
        labels: Of every method, by key.
        name: Of the table.
        title: Of the table.
        metrics: What is shown, among `SHOWN`.
        reference: A method to give every other one's paired difference in IoU to.
        against: What the heading of the differences calls it.
        first: Heading of the first column.
        note: What to add to the note.
    """
    benchmarks = comparison.held_out(settings)
    records = []
    for method, label in labels.items():
        for benchmark in benchmarks:
            iou = summary.find(method, benchmark)
            if iou is None:
                continue
            record = {
                "method": method,
                "label": label,
                "benchmark": benchmark,
                "images": iou.images,
                "protocol": iou.protocol,
                "seeds": iou.trainings if method in settings.variants else None,
                "acc": 100 * summary.need(method, benchmark, "acc"),
                **percent("iou", iou.interval),
                "max_f": 100 * summary.need(method, benchmark, "max_f"),
            }
            test = summary.find(method, benchmark, reference=reference) if reference else None
            if test is not None:
                record |= {
                    **percent("minus_reference", test.interval),
                    "p": test.p,
                    "d_z": test.d_z,
                    "rank_biserial": test.rank_biserial,
                    "detectable": 100 * test.detectable,
                }
            records.append(record)
    names = [each for column in (*KEYS, SEEDS) for each in column.names] + [*_NUMBERS]
    frame = pd.DataFrame(records, columns=[*names, *_DIFFERENCES, *_MORE])
    frame["p_holm"] = corrected(frame)
    differences: tuple[Column, ...] = (
        with_bounds(f"minus {against} [95 %]", "minus_reference", sign="+"),
        plain("p_holm", p_text, "p"),
        plain("d_z", fixed(2, sign="+"), "d"),
    )
    written: tuple[Column, ...] = (
        *bounds("minus_reference"),
        *(plain("p", p_text), plain("p_holm", p_text), plain("d_z", fixed(3))),
        *(plain("rank_biserial", fixed(3)), plain("detectable", fixed(2))),
    )
    chosen = comparison.CHOSEN_ON
    warning = f"Settings were chosen in the domain of {chosen}. " if chosen in benchmarks else ""
    means = f"{'Acc and IoU' if 'acc' in metrics else 'IoU'} at {settings.evaluation.threshold:g}"
    defines = ", which also defines maxF" if "max_f" in metrics else ""
    tested = (
        f"p: {TEST} and Student's error of the trainings, corrected by Holm within the table; d: "
        "Cohen's d_z, the mean difference by its deviation over images. "
    )
    return Table(
        name=name,
        title=title,
        note=f"Percent; {means}, mean over images and trainings; {_protocol(settings)}{defines}. "
        f"{INTERVAL} {tested if reference is not None else ''}{warning}{note}".rstrip(),
        frame=frame,
        columns=(
            *(*KEYS, SEEDS, plain("acc", fixed(2)), *bounds("iou"), plain("max_f", fixed(2))),
            *(written if reference is not None else ()),
        ),
        lead=(plain("label", heading=first), plain("seeds", count, "trainings")),
        shown=(
            *(SHOWN[metric] for metric in metrics),
            *(differences if reference is not None else ()),
        ),
        groups=group_headings(summary, benchmarks, "iou"),
        below="benchmark",
    )


def group_headings(summary: Summary, benchmarks: Sequence[str], metric: str) -> dict[str, str]:
    """Each benchmark with its number of images, which is that of every cell below it."""
    counts = {name: summary.images(name, metric) for name in benchmarks}
    return {name: f"{name}, {n} images" if n else name for name, n in counts.items()}


def _protocol(settings: Settings) -> str:
    """The protocol in words, with the mode where it is not the usual one."""
    mode = settings.evaluation.mode
    named = f"protocol {settings.evaluation.protocol}"
    return named if mode == "multi" else f"{named}, mode {mode}"
