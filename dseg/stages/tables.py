"""Stage `tables`: scores -> result tables in four forms, and metrics.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from dseg.config import Settings
from dseg.shards import write_atomically
from dseg.stages.scores import read_scores
from dseg.table import FORMS
from dseg.tables import build_tables, metrics

SECTIONS = (
    "seed",
    "prompts.count",
    "benchmarks",
    "recording",
    "recordings",
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
) -> None:
    """Write tables/<table>.{csv,md,tex,html} and metrics.json.

    Args:
        settings: The sections named in `SECTIONS`.
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        out: Folder results/<profile>.
        round_trips: Table of the stage round_trip, where ways to invert are compared.

    Raises:
        DsegError: A table or shard is not usable, or their contents contradict each other.
    """
    scores = read_scores(evaluation, mask_methods, masks, round_trips)
    for table in build_tables(settings, scores):
        for suffix, form in FORMS.items():
            _write(form(table), out / "tables" / f"{table.name}.{suffix}")
    _write(json.dumps(metrics(settings, scores), indent=1) + "\n", out / METRICS)


def _write(text: str, path: Path) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
