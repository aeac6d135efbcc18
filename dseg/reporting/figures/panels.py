"""Charts of a run, from its summary: which methods, on which benchmarks, side by side."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from dseg.evaluation.statistics import Interval
from dseg.reporting import ablations, comparison
from dseg.reporting.figures.charts import Curve, interval_chart, line_chart, precision_recall_chart
from dseg.reporting.figures.galleries import nothing
from dseg.reporting.summary import Estimate, Kind, Summary
from dseg.settings.masks import MASK_RECORDING
from dseg.settings.run import Settings

AXIS = "IoU, % (95 % interval)"


def mask_method_chart(settings: Settings, summary: Summary) -> Figure:
    """The mask methods on the benchmarks of their table."""
    labels = comparison.mask_methods(settings)
    panels = {}
    for benchmark in comparison.mask_benchmarks(settings):
        found = _found(summary, labels, benchmark, Kind.MASKS)
        if found:
            count = next(iter(found.values())).images
            panels[f"{benchmark}, {count} images"] = {
                labels[name]: each.interval for name, each in found.items()
            }
    if not panels:
        return nothing("no mask methods")
    return interval_chart(
        panels,
        highlight=labels.get(comparison.FULL_METHOD, ""),
        reference=labels.get(comparison.MASK_REFERENCE, ""),
        axis_label=AXIS,
    )


def curve_chart(settings: Settings, summary: Summary, curves: pd.DataFrame) -> Figure:
    """Precision and recall of the methods of the main tables.

    Args:
        settings: As in `dseg.reporting.tables.assembly.build_tables`.
        summary: The numbers.
        curves: method, benchmark, seed, threshold, precision, recall, of the protocol and the mode
            that are shown, without post-processing.
    """
    labels, protocol = comparison.methods(settings), settings.evaluation.protocol
    panels = {}
    for benchmark in comparison.held_out(settings):
        here = curves[curves["benchmark"] == benchmark]
        shown = []
        for method in comparison.main_methods(settings):
            columns = ["threshold", "precision", "recall"]
            rows = here.loc[here["method"] == method, columns]
            rows = rows.groupby("threshold", as_index=False).mean()  # over trainings, ascending
            # The same at every threshold: a point, not a curve.
            if rows["recall"].nunique() > 2:
                precision, recall = rows["precision"].to_numpy(), rows["recall"].to_numpy()
                max_f = summary.need(method, benchmark, "max_f")
                shown.append(Curve(labels[method], precision, recall, max_f))
        if shown:
            panels[f"{benchmark}, {summary.images(benchmark)} images, protocol {protocol}"] = shown
    return precision_recall_chart(panels) if panels else nothing("no benchmark with masks")


def pair_chart(settings: Settings, summary: Summary) -> Figure:
    """The head by number of pairs, and the RGB network where it was trained on several."""
    of_network = {"head": ablations.ablation(settings, "pairs")}
    rgb = [name for name in settings.variants if comparison.is_rgb(settings, name)]
    if len(rgb) > 1:
        of_network["RGB network"] = rgb
    panels: dict[str, dict[str, dict[float, Interval]]] = {}
    levels: dict[str, dict[str, float]] = {}
    for benchmark in comparison.held_out(settings):
        lines = {}
        for network, names in of_network.items():
            found = _found(summary, sorted(names, key=summary.pairs), benchmark)
            line = {float(summary.pairs(name)): each.interval for name, each in found.items()}
            if len(line) > 1:
                lines[network] = line
        if lines:
            panels[benchmark] = lines
            alone = summary.find(MASK_RECORDING, benchmark)
            if alone is not None:
                label = comparison.methods(settings)[MASK_RECORDING]
                levels[benchmark] = {label.replace(", ", ",\n", 1): alone.value}
    if not panels:
        return nothing("no two variants that differ in head.pairs only")
    return line_chart(
        panels,
        levels=levels,
        x_label="synthetic training pairs",
        axis_label=AXIS,
        logarithmic=True,
    )


def shift_chart(settings: Settings, summary: Summary) -> Figure:
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
        line = {
            strength: found.interval
            for benchmark, strength in strengths.items()
            if (found := summary.find(method, benchmark)) is not None
        }
        if len(line) > 1:
            lines[labels[method]] = line
    if not lines:
        return nothing("no method was run at two strengths of shift")
    title = ", ".join(strengths)
    return line_chart({title: lines}, x_label="strength of the shift", axis_label=AXIS)


def ablation_chart(settings: Settings, summary: Summary, table: str) -> Figure:
    """The default head and the variants of one ablation, on the held-out benchmarks."""
    default = ablations.default_variant(settings)
    names = ablations.ablation(settings, table)
    labels = {name: ablations.ablation_label(settings, table, name) for name in names}
    panels = {}
    for benchmark in comparison.held_out(settings):
        found = _found(summary, names, benchmark)
        if found:
            trainings = sorted({each.trainings for each in found.values()})
            panels[f"{benchmark}, {'/'.join(map(str, trainings))} trainings"] = {
                labels[name]: each.interval for name, each in found.items()
            }
    if not panels:
        return nothing("no variants")
    first = labels.get(default, "") if default is not None else ""
    return interval_chart(panels, highlight=first, reference=first, axis_label=AXIS)


def _found(
    summary: Summary, names: Iterable[str], benchmark: str, kind: Kind = Kind.METHOD
) -> dict[str, Estimate]:
    """IoU of those methods that were run, in the order of `names`."""
    found = {name: summary.find(name, benchmark, kind=kind) for name in names}
    return {name: each for name, each in found.items() if each is not None}
