"""Stage `claims`: scores -> the page of the paper's claims with a verdict for each."""

import json
from collections.abc import Sequence
from pathlib import Path

from dseg.claims import judge_claims, to_markdown, to_records
from dseg.config import Settings
from dseg.shards import write_atomically
from dseg.stages.scores import read_scores

SECTIONS = (
    "profile",
    "seed",
    "prompts.count",
    "benchmarks",
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


def run(
    settings: Settings,
    evaluation: Path,
    mask_methods: Path,
    masks: Sequence[Path],
    page: Path,
    out: Path,
    tables: str,
) -> None:
    """Judge the claims, and write the page and the numbers behind it.

    Args:
        settings: The sections named in `SECTIONS`.
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        page: Markdown file for the page.
        out: JSON file: a record for each contrast (`dseg.claims.to_records`).
        tables: Where the result tables lie, as seen from the page.

    Raises:
        DsegError: A table or shard is not usable, or their contents contradict each other.
    """
    claims = judge_claims(
        settings, read_scores(evaluation, mask_methods, masks, settings.evaluation.mode)
    )
    command = f"make reproduce PROFILE={settings.profile}"
    text = to_markdown(claims, profile=settings.profile, tables=tables, command=command)
    write_atomically(page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    records = json.dumps(to_records(claims), indent=1) + "\n"
    write_atomically(out, lambda temporary: temporary.write_text(records, encoding="utf-8"))
