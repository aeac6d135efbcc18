"""The table of post-processings: what each does to the masks of some methods."""

from collections.abc import Mapping
from itertools import product

import pandas as pd

from dseg.reporting import comparison
from dseg.reporting.summary import Summary
from dseg.reporting.table import (
    INTERVAL,
    KEYS,
    TEST,
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
from dseg.settings.run import Mode, Postprocessing, Settings

LABELS: Mapping[tuple[Postprocessing, Mode], str] = {
    ("none", "multi"): "none",
    ("none", "single"): "largest component",
    ("cut", "multi"): "pixel cut",
    ("cut", "single"): "pixel cut, largest component",
    ("bilateral-tokencut", "multi"): "bilateral solver",
    ("bilateral-tokencut", "single"): "bilateral solver, largest component",
    ("bilateral-found", "multi"): "bilateral solver where close (FOUND)",
    ("bilateral-found", "single"): "the same, largest component",
}


def postprocessing_table(settings: Settings, summary: Summary) -> Table:
    """What is done to masks before they are scored, tested against the mask as it is.

    Args:
        settings: As in `dseg.reporting.tables.assembly.build_tables`.
        summary: Scores after every post-processing and in every mode.
    """
    evaluation, benchmarks = settings.evaluation, comparison.held_out(settings)
    plain_way = ("none", evaluation.mode)
    asked = {*product(evaluation.postprocessing, evaluation.modes)}
    ways = sorted((way for way in LABELS if way in asked), key=lambda way: way != plain_way)
    labels = comparison.methods(settings)
    records = []
    for method in comparison.postprocessed(settings):
        for way in ways:
            for benchmark in benchmarks:
                found = summary.scored(method, benchmark, way, evaluation.protocol)
                if found is None:
                    continue
                record = {
                    "method": method,
                    "label": labels[method],
                    "benchmark": benchmark,
                    "images": found.images,
                    "protocol": found.protocol,
                    "seeds": found.trainings if method in settings.variants else None,
                    "postprocessing": way[0],
                    "mode": way[1],
                    "way": LABELS[way],
                    **percent("iou", found.interval),
                }
                test = summary.scored(method, benchmark, way, evaluation.protocol, reference=method)
                if test is not None:
                    record |= percent("minus_none", test.interval)
                    record |= {"p": test.p, "d_z": test.d_z}
                records.append(record)
    columns = (
        *(*KEYS, plain("seeds", count), plain("postprocessing"), plain("mode"), *bounds("iou")),
        *(*bounds("minus_none"), plain("p", p_text), plain("p_holm", p_text)),
        plain("d_z", fixed(3)),
    )
    names = [name for each in columns for name in each.names]
    frame = pd.DataFrame(records, columns=[*names, "way"])
    frame["p_holm"] = corrected(frame)
    return Table(
        name=comparison.POSTPROCESSING,
        title="What is done to masks before they are scored",
        note=f"Percent; IoU at {evaluation.threshold:g}, mean over images and trainings; protocol "
        f"{evaluation.protocol}. {INTERVAL} p: {TEST} and Student's error of the trainings, "
        "corrected by Holm within the table; d: Cohen's d_z, the mean difference by its deviation "
        "over images. The bilateral solver as TokenCut and as FOUND apply it; the pixel cut "
        "is AttentionCut's pixel layer on the soft mask.",
        frame=frame,
        columns=columns,
        lead=(plain("label", heading="method"), plain("way", heading="post-processing")),
        shown=(
            with_bounds("IoU [95 %]", "iou"),
            with_bounds("minus none [95 %]", "minus_none", sign="+"),
            plain("p_holm", p_text, "p"),
            plain("d_z", fixed(2, sign="+"), "d"),
        ),
        groups={name: f"{name}, {summary.images(name)} images" for name in benchmarks},
        rows=("method", "way"),
        below="benchmark",
    )
