"""Tables of the public benchmarks: our scores, where they were run, beside published ones.

They are made in any case: a method of ours that was not run reads "not run", and a number that no
source gives reads "not available". Scores are in percent, without intervals, as in the sources.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from dseg.evaluation.scoring import BOX_MODE
from dseg.reporting import ablations, comparison
from dseg.reporting.scores import Way
from dseg.reporting.summary import Summary
from dseg.reporting.table import NOT_RUN, Column, Table, plain
from dseg.reporting.tables.published import (
    BENCHMARKS,
    CORLOC,
    DAGGER,
    DAGGER_NOTE,
    DISCLOSURE,
    PAPER,
    SALIENCY,
    Published,
)
from dseg.settings.run import Settings

NOT_AVAILABLE = "not available"
OURS = "this repository"
COMPARED = "selfmask"  # the protocol of the published rows with a dagger
HEADS = {"acc": "Acc", "iou": "IoU", "max_f": "maxF", "corloc": "CorLoc"}
_KEYS = ("method", "label", "benchmark", "protocol", "mode", "postprocessing", "source", "status")


@dataclass(frozen=True)
class _Row:
    """One row of a table: who, how it was scored, and the values by benchmark, percent."""

    method: str
    label: str
    protocol: str
    mode: str
    postprocessing: str
    source: str
    missing: str
    scores: Mapping[str, tuple[float, ...]]


def public_mask_table(settings: Settings, summary: Summary) -> Table:
    """Segmentation of the salient object.

    Args:
        settings: Sections benchmarks, recording, recordings, features, head, variants, evaluation.
        summary: Our scores, under every protocol, mode and post-processing; it may be empty.
    """
    benchmarks = comparison.public(settings, comparison.PUBLIC_MASKS)
    chosen, metrics = settings.evaluation, ("acc", "iou", "max_f")
    default = ablations.default_variant(settings)
    rows = [_published(row) for row in (*SALIENCY, PAPER)]
    for method in comparison.main_methods(settings):
        ways = [(chosen.protocol, chosen.mode, "none")]
        if method == default:  # the one method for which every way to score is shown
            compared = [COMPARED] if COMPARED in chosen.protocols else []
            protocols = dict.fromkeys([chosen.protocol, *compared])
            ways = [*product(protocols, chosen.modes, chosen.postprocessing)]
        for protocol, mode, postprocessing in ways:
            found = _find(summary, method, benchmarks, (postprocessing, mode), protocol, metrics)
            rows.append(_ours(settings, method, (protocol, mode, postprocessing), found))
    return _table(
        settings,
        rows,
        benchmarks,
        metrics,
        ways={"how": "protocol", "mode": "mode", "postprocessing": "post-processing"},
        name=comparison.PUBLIC_MASK_TABLE,
        title="Saliency segmentation on the public benchmarks",
        note=f"Percent; Acc and IoU at {chosen.threshold:g}, mean over images. Rows of "
        f"{OURS} name the protocol, which defines maxF, the mode and the post-processing "
        "(docs/protocols.md); others have what their source says of it. "
        f"{DAGGER_NOTE} {DISCLOSURE}",
    )


def public_box_table(settings: Settings, summary: Summary) -> Table:
    """Localisation of one object; arguments as those of `public_mask_table`."""
    benchmarks = comparison.public(settings, comparison.PUBLIC_BOXES)
    chosen, metrics = settings.evaluation, ("corloc",)
    protocol = f"box-{chosen.box}"
    rows = [_published(row) for row in (*CORLOC, PAPER)]
    for method in comparison.main_methods(settings):
        found = _find(summary, method, benchmarks, ("none", BOX_MODE), protocol, metrics)
        rows.append(_ours(settings, method, (protocol, "", ""), found))
    kept = {"keep": "kept", "drop": "dropped"}
    return _table(
        settings,
        rows,
        benchmarks,
        metrics,
        ways={"how": "protocol"},
        name=comparison.PUBLIC_BOX_TABLE,
        title="Single-object localisation on the public benchmarks",
        note="CorLoc: percent of images whose one box has IoU >= 0.5 with any true box. Rows of "
        f"{OURS}: box rule {chosen.box}, difficult and truncated objects of VOC "
        f"{kept[chosen.difficult]}, crowds of COCO {kept[chosen.crowd]}. "
        f"{DISCLOSURE}",
    )


def _table(
    settings: Settings,
    rows: Iterable[_Row],
    benchmarks: Sequence[str],
    metrics: Sequence[str],
    *,
    ways: Mapping[str, str],
    name: str,
    title: str,
    note: str,
) -> Table:
    """A table of these rows; `ways` are the headings of what is said of how they were scored."""
    records = []
    for number, row in enumerate(rows):
        mark = f" {DAGGER}" if row.protocol == COMPARED else ""
        for benchmark in benchmarks:
            values = row.scores.get(benchmark)
            measured = "measured" if row.source == OURS else "published"
            records.append(
                {
                    "row": number,
                    "method": row.method,
                    "label": row.label,
                    "benchmark": benchmark,
                    "protocol": row.protocol,
                    "how": row.protocol + mark,
                    "mode": row.mode,
                    "postprocessing": row.postprocessing,
                    "source": row.source,
                    "status": row.missing if values is None else measured,
                    **dict(zip(metrics, values or (), strict=False)),
                }
            )
    return Table(
        name=name,
        title=title,
        note=note,
        frame=pd.DataFrame(records, columns=["row", "how", *_KEYS, *metrics]),
        columns=(
            *(plain(key) for key in _KEYS),
            *(Column(metric, (metric, "source"), _exact) for metric in metrics),
        ),
        lead=(
            plain("label", heading="method"),
            *(plain(way, heading=heading) for way, heading in ways.items()),
        ),
        shown=tuple(Column(HEADS[metric], (metric, "status"), _said) for metric in metrics),
        end=(plain("source"),),
        groups={benchmark: _heading(settings, benchmark) for benchmark in benchmarks},
        rows=("row",),
    )


def _said(value: float, status: str) -> str:
    return status if math.isnan(value) else f"{value:.1f}"


def _exact(value: float, source: str) -> str:
    """A score for machines: ours with two decimals, others with those of the source."""
    written = f"{value:.2f}" if source == OURS else str(value)
    return "" if math.isnan(value) else written


def _published(row: Published) -> _Row:
    return _Row("", row.method, row.protocol, "", "", row.source, NOT_AVAILABLE, row.scores)


def _ours(
    settings: Settings,
    method: str,
    way: tuple[str, str, str],
    found: Mapping[str, tuple[float, ...]],
) -> _Row:
    return _Row(method, comparison.methods(settings)[method], *way, OURS, NOT_RUN, found)


def _find(
    summary: Summary,
    method: str,
    benchmarks: Sequence[str],
    way: Way,
    protocol: str,
    metrics: Sequence[str],
) -> dict[str, tuple[float, ...]]:
    """Our values by benchmark, percent; those of a benchmark are all there or none."""
    found = {}
    for benchmark in benchmarks:
        scores = [summary.scored(method, benchmark, way, protocol, each) for each in metrics]
        values = tuple(100 * each.value for each in scores if each is not None)
        if len(values) == len(metrics):
            found[benchmark] = values
    return found


def _heading(settings: Settings, benchmark: str) -> str:
    """Name and number of images; ours may have fewer, which then are no longer the same task."""
    known, here = BENCHMARKS[benchmark], settings.benchmarks[benchmark].taken
    images = f"{here}" if here == known.images else f"ours {here} of {known.images}"
    return f"{known.label}, {images} images"
