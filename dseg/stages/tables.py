"""Stage `tables`: scores -> result tables in four forms, and metrics.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from dseg import comparison
from dseg.benchmark_tables import build_benchmark_tables
from dseg.config import Settings
from dseg.postprocessing_table import postprocessing_table
from dseg.shards import write_atomically
from dseg.stages.leftovers import remove_leftovers
from dseg.stages.scores import IMAGES, SCORES, read_scores, read_table
from dseg.table import FORMS, Table
from dseg.tables import build_tables, metrics

SECTIONS = (
    "seed",
    "prompts.count",
    "benchmarks",
    "synthesis.guidance",
    "synthesis.steps",
    "syntheses",
    "recording",
    "recordings",
    "mask_recordings",
    "instruments.scored",
    "inversion",
    "inversions",
    "features",
    "head",
    "variants",
    "attentioncut",
    "mask_methods",
    "evaluation",
)
METRICS = "metrics.json"


def run(
    settings: Settings,
    evaluation: Path,
    mask_methods: Path,
    masks: Sequence[Path],
    out: Path,
    round_trips: Sequence[Path] = (),
    synthetic_masks: Sequence[Path] = (),
    quality: Sequence[Path] = (),
) -> None:
    """Write tables/<table>.{csv,md,tex,html} and metrics.json, and remove tables of another run.

    Args:
        settings: The sections named in `SECTIONS`.
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        out: Folder results/<profile>.
        round_trips: Table of the stage round_trip, where ways to invert are compared.
        synthetic_masks: Table of the stage synthetic_masks, where an oracle judges mask methods.
        quality: quality.json of the stage instruments, likewise.

    Raises:
        DsegError: A table or shard is not usable, or their contents contradict each other.
    """
    mode = settings.evaluation.mode
    scores = read_scores(
        evaluation, mask_methods, masks, mode, round_trips, synthetic_masks, quality
    )
    public = build_benchmark_tables(settings, read_table(evaluation / SCORES))
    made = [*build_tables(settings, scores), *public]
    if comparison.POSTPROCESSING in comparison.tables(settings):
        made.append(postprocessing_table(settings, scores, read_table(evaluation / IMAGES)))
    for table in made:
        write_table(table, out / "tables")
    remove_leftovers(out / "tables", {table.name for table in made}, FORMS)
    _write(json.dumps(metrics(settings, scores), indent=1) + "\n", out / METRICS)


def write_table(table: Table, folder: Path) -> None:
    """Write <folder>/<table>.{csv,md,tex,html}."""
    for suffix, form in FORMS.items():
        _write(form(table), folder / f"{table.name}.{suffix}")


def _write(text: str, path: Path) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
