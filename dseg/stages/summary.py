"""Stage `summary`: scores of a run -> one numeric table with intervals and tests."""

from collections.abc import Sequence
from pathlib import Path

from dseg.reporting.comparison import COMPARED
from dseg.reporting.estimates import summarise
from dseg.reporting.scores import read_scores
from dseg.settings.run import Settings

SECTIONS = ("seed", *COMPARED, "evaluation", "instruments.scored")


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
    """Compute every interval and every test of a run, once.

    Args:
        settings: The sections named in `SECTIONS`.
        evaluation: Folder of the stage evaluation.
        mask_methods: Table of the stage mask_methods.
        masks: All shards of masks of the synthetic images.
        out: Parquet file to write, a row per number (`dseg.reporting.summary`).
        round_trips: Table of the stage round_trip, where ways to invert are compared.
        synthetic_masks: Table of the stage synthetic_masks, where an oracle judges mask methods.
        quality: quality.json of the stage instruments, likewise.

    Raises:
        DsegError: A table or shard is not usable, or their contents contradict each other.
    """
    scores = read_scores(evaluation, mask_methods, masks, round_trips, synthetic_masks, quality)
    summarise(settings, scores).write(out)
