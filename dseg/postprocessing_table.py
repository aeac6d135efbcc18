"""The table of post-processings: what each does to the masks of some methods."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from dseg import comparison
from dseg.scores import Scores
from dseg.settings import Mode, Postprocessing, Settings
from dseg.statistics import Comparison, compare, mean_interval
from dseg.table import NOT_RUN, SIDE_BY_SIDE, Table, stack_groups
from dseg.table_cells import INTERVAL, KEYS, TEST, adjust, exact, p_text, show

LABELS: Mapping[tuple[Postprocessing, Mode], str] = {
    ("none", "multi"): "none",
    ("none", "single"): "largest component",
    ("bilateral-tokencut", "multi"): "bilateral solver",
    ("bilateral-tokencut", "single"): "bilateral solver, largest component",
    ("bilateral-found", "multi"): "bilateral solver where close (FOUND)",
    ("bilateral-found", "single"): "the same, largest component",
}


def postprocessing_table(settings: Settings, scores: Scores, images: pd.DataFrame) -> Table:
    """What is done to masks before they are scored, tested against the mask as it is.

    Args:
        settings: As in `dseg.tables.build_tables`.
        scores: The scores that the other tables show.
        images: Those of every post-processing and mode: images.parquet of the stage evaluation.
    """
    evaluation, benchmarks = settings.evaluation, comparison.held_out(settings)
    ways = [
        (postprocessing, mode)
        for postprocessing, mode in LABELS
        if postprocessing in evaluation.postprocessing and mode in evaluation.modes
    ]
    plain: tuple[Postprocessing, Mode] = ("none", evaluation.mode)
    of_way = {
        way: replace(
            scores,
            images=images[(images["postprocessing"] == way[0]) & (images["mode"] == way[1])],
        )
        for way in ways
    }
    labels = comparison.methods(settings)
    tests: dict[tuple[str, str, tuple[Postprocessing, Mode]], Comparison] = {}
    for method in comparison.postprocessed(settings):
        for benchmark in benchmarks:
            base = of_way[plain].of_images(method, benchmark, "iou")
            for way in ways:
                values = of_way[way].of_images(method, benchmark, "iou")
                if way != plain and values.size and base.size:
                    key = (method, benchmark, way)
                    tests[key] = compare(values, base, seed=settings.seed)
    adjusted = adjust(tests)
    cells, records = [], []
    for method in comparison.postprocessed(settings):
        for way in sorted(ways, key=lambda way: (way != plain, ways.index(way))):
            row: list[str] = []
            for benchmark in benchmarks:
                values = of_way[way].of_images(method, benchmark, "iou")
                if not values.size:
                    row += [NOT_RUN] * 4
                    continue
                interval = mean_interval(values, seed=settings.seed)
                test = tests.get((method, benchmark, way))
                trainings = str(len(values)) if method in settings.variants else ""
                shape = (str(values.shape[1]), evaluation.protocol, trainings)
                record = [method, labels[method], benchmark, *shape, *way, *exact(interval)]
                shown = [show(interval), "", "", ""]
                if test is not None:
                    p = adjusted[method, benchmark, way]
                    gain = show(test.difference, signed=True)
                    shown[1:] = [gain, p_text(p), f"{test.effect:+.2f}"]
                    record += [*exact(test.difference), p_text(test.p_value), p_text(p)]
                    record += [f"{test.effect:.3f}"]
                else:
                    record += [""] * 6
                row += shown
                records.append(tuple(record))
            if set(row) - {NOT_RUN}:
                cells.append((labels[method], LABELS[way], *row))
    heads = ("IoU [95 %]", "minus none [95 %]", "p", "d")
    counts = images.groupby("benchmark")["id"].nunique()
    table = Table(
        name=comparison.POSTPROCESSING,
        title="What is done to masks before they are scored",
        note=f"Percent; IoU at {evaluation.threshold:g}, mean over images and trainings; protocol "
        f"{evaluation.protocol}. {INTERVAL} p: {TEST} and Student's error of the trainings, "
        "corrected by Holm within the table; d: Cohen's d_z, the mean difference by its deviation "
        "over images. The bilateral solver as TokenCut and as FOUND apply it.",
        headings=(
            ("", "method"),
            ("", "post-processing"),
            *(
                (f"{benchmark}, {counts.get(benchmark, 0)} images", head)
                for benchmark in benchmarks
                for head in heads
            ),
        ),
        cells=tuple(cells),
        columns=(
            *(*KEYS, "seeds", "postprocessing", "mode", "iou", "iou_low", "iou_high"),
            *("minus_none", "minus_none_low", "minus_none_high", "p", "p_holm"),
            "d_z",
        ),
        records=tuple(records),
    )
    return stack_groups(table, "benchmark") if len(benchmarks) > SIDE_BY_SIDE else table
