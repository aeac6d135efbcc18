"""Stage `tables`: the summary of a run -> result tables in four forms, and metrics.json."""

import json
from pathlib import Path

from dseg.files import remove_leftovers, write_text
from dseg.reporting.comparison import COMPARED
from dseg.reporting.forms import FORMS, write_table
from dseg.reporting.summary import Summary
from dseg.reporting.tables.assembly import build_tables
from dseg.settings.run import Settings

SECTIONS = (*COMPARED, "evaluation", "instruments.scored")
METRICS = "metrics.json"


def run(settings: Settings, summary: Path, out: Path) -> None:
    """Write tables/<table>.{csv,md,tex,html} and metrics.json, and remove tables of another run.

    Args:
        settings: The sections named in `SECTIONS`.
        summary: Table of the stage summary.
        out: Folder results/<profile>.

    Raises:
        DsegError: The summary is not usable, or lacks a number.
    """
    numbers = Summary.read(summary)
    made = build_tables(settings, numbers)
    for table in made:
        write_table(table, out / "tables")
    remove_leftovers(out / "tables", {table.name for table in made}, FORMS)
    write_text(out / METRICS, json.dumps(numbers.flat(), indent=1) + "\n")
