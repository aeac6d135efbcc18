"""Tables of the public benchmarks: our scores, where they were run, beside published ones.

They are made in any case: a method of ours that was not run reads "not run", and a number that no
source gives reads "not available". Scores are in percent, without intervals, as in the sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from dseg import ablations, comparison
from dseg.published import (
    BENCHMARKS,
    CORLOC,
    DAGGER,
    DAGGER_NOTE,
    DISCLOSURE,
    PAPER,
    SALIENCY,
    Published,
)
from dseg.settings import Settings
from dseg.table import NOT_RUN, Table

NOT_AVAILABLE = "not available"
OURS = "this repository"
COMPARED = "selfmask"  # the protocol of the published rows with a dagger
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
    scores: dict[str, tuple[float, ...]]


def build_benchmark_tables(settings: Settings, scores: pd.DataFrame | None) -> list[Table]:
    """The tables that `comparison.tables` names beyond those of any run; none without them.

    Args:
        settings: Sections benchmarks, recording, recordings, features, head, variants, evaluation.
        scores: method, benchmark, postprocessing, mode, protocol, metric, value: those of the
            stage evaluation; the mean is shown where there are several of a kind, as of several
            trainings. None where nothing was run.
    """
    tables = []
    masks = comparison.public(settings, comparison.PUBLIC_MASKS)
    boxes = comparison.public(settings, comparison.PUBLIC_BOXES)
    if masks:
        tables.append(_saliency(settings, scores, masks))
    if boxes:
        tables.append(_localisation(settings, scores, boxes))
    return tables


def _saliency(settings: Settings, scores: pd.DataFrame | None, benchmarks: list[str]) -> Table:
    chosen, metrics = settings.evaluation, ("acc", "iou", "max_f")
    default = ablations.default_variant(settings)
    compared = [name for name in (COMPARED,) if name in chosen.protocols]
    rows = [_published(row) for row in (*SALIENCY, PAPER)]
    labels = comparison.methods(settings)
    for method in comparison.main_methods(settings):
        ways = [(chosen.protocol, chosen.mode, "none")]
        if method == default:  # the one method for which every way to score is shown
            protocols = dict.fromkeys([chosen.protocol, *compared])
            ways = list(product(protocols, chosen.modes, chosen.postprocessing))
        for protocol, mode, postprocessing in ways:
            found = {
                name: _find(scores, method, name, protocol, mode, postprocessing, metrics)
                for name in benchmarks
            }
            rows.append(_ours(method, labels[method], (protocol, mode, postprocessing), found))
    return _table(
        settings,
        rows,
        benchmarks,
        name="saliency-benchmarks",
        title="Saliency segmentation on the public benchmarks",
        heads=("Acc", "IoU", "maxF"),
        metrics=metrics,
        note=f"Percent; Acc and IoU at {chosen.threshold:g}, mean over images. Rows of "
        f"{OURS} name the protocol, which defines maxF, the mode and the post-processing "
        "(docs/protocols.md); others have what their source says of it. "
        f"{DAGGER_NOTE} {DISCLOSURE}",
    )


def _localisation(settings: Settings, scores: pd.DataFrame | None, benchmarks: list[str]) -> Table:
    chosen = settings.evaluation
    protocol, labels = f"box-{chosen.box}", comparison.methods(settings)
    rows = [_published(row) for row in (*CORLOC, PAPER)]
    for method in comparison.main_methods(settings):
        found = {
            name: _find(scores, method, name, protocol, "box", "none", ("corloc",))
            for name in benchmarks
        }
        rows.append(_ours(method, labels[method], (protocol, "", ""), found))
    kept = {"keep": "kept", "drop": "dropped"}
    return _table(
        settings,
        rows,
        benchmarks,
        name="localisation-benchmarks",
        title="Single-object localisation on the public benchmarks",
        heads=("CorLoc",),
        metrics=("corloc",),
        note="CorLoc: percent of images whose one box has IoU >= 0.5 with any true box. Rows of "
        f"{OURS}: box rule {chosen.box}, difficult and truncated objects of VOC "
        f"{kept[chosen.difficult]}, crowds of COCO {kept[chosen.crowd]}. "
        f"{DISCLOSURE}",
    )


def _table(
    settings: Settings,
    rows: Sequence[_Row],
    benchmarks: Sequence[str],
    *,
    name: str,
    title: str,
    heads: Sequence[str],
    metrics: Sequence[str],
    note: str,
) -> Table:
    ways = ("protocol", "mode", "post-processing") if name.startswith("saliency") else ("protocol",)
    cells, records = [], []
    for row in rows:
        numbers: list[str] = []
        for benchmark in benchmarks:
            values = row.scores.get(benchmark, ())
            shown = [f"{value:.1f}" for value in values] if values else [row.missing] * len(heads)
            numbers += shown
            status = _status(row) if values else row.missing
            exact = [_exact(row, value) for value in values] if values else [""] * len(heads)
            key = (row.method, row.label, benchmark, row.protocol, row.mode, row.postprocessing)
            records.append((*key, row.source, status, *exact))
        mark = f" {DAGGER}" if row.protocol == COMPARED else ""
        how = (row.protocol + mark, row.mode, row.postprocessing)[: len(ways)]
        cells.append((row.label, *how, *numbers, row.source))
    groups = [(_heading(settings, benchmark), head) for benchmark in benchmarks for head in heads]
    return Table(
        name=name,
        title=title,
        note=note,
        headings=(("", "method"), *(("", way) for way in ways), *groups, ("", "source")),
        cells=tuple(cells),
        columns=(*_KEYS, *metrics),
        records=tuple(records),
    )


def _published(row: Published) -> _Row:
    return _Row("", row.method, row.protocol, "", "", row.source, NOT_AVAILABLE, dict(row.scores))


def _ours(
    method: str,
    label: str,
    way: tuple[str, str, str],
    found: dict[str, tuple[float, ...] | None],
) -> _Row:
    scores = {name: values for name, values in found.items() if values is not None}
    return _Row(method, label, *way, OURS, NOT_RUN, scores)


def _status(row: _Row) -> str:
    return "measured" if row.source == OURS else "published"


def _exact(row: _Row, value: float) -> str:
    """A score for machines: ours with two decimals, others with those of the source."""
    return f"{value:.2f}" if row.source == OURS else str(value)


def _find(
    scores: pd.DataFrame | None,
    method: str,
    benchmark: str,
    protocol: str,
    mode: str,
    postprocessing: str,
    metrics: Sequence[str],
) -> tuple[float, ...] | None:
    """Our values, percent; None if they are not there."""
    if scores is None:
        return None
    chosen = (scores["method"] == method) & (scores["benchmark"] == benchmark)
    chosen &= (scores["protocol"] == protocol) & (scores["mode"] == mode)
    chosen &= scores["postprocessing"] == postprocessing
    means = scores[chosen].groupby("metric")["value"].mean()
    if not set(metrics) <= set(means.index):
        return None
    return tuple(100 * float(means[metric]) for metric in metrics)


def _heading(settings: Settings, benchmark: str) -> str:
    """Name and number of images; ours may have fewer, which then are no longer the same task."""
    known, here = BENCHMARKS[benchmark], settings.benchmarks[benchmark].taken
    images = f"{here}" if here == known.images else f"ours {here} of {known.images}"
    return f"{known.label}, {images} images"
