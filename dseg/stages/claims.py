"""Stage `claims`: the summary of a run -> the page of the paper's claims, a verdict for each."""

from pathlib import Path

from dseg.files import write_json, write_text
from dseg.reporting.claims import judge_claims, to_markdown, to_records
from dseg.reporting.comparison import COMPARED
from dseg.reporting.summary import Summary
from dseg.settings.run import Settings

SECTIONS = ("profile", *COMPARED)


def run(settings: Settings, summary: Path, page: Path, out: Path, tables: str) -> None:
    """Judge the claims, and write the page and the numbers behind it.

    Args:
        settings: The sections named in `SECTIONS`.
        summary: Table of the stage summary.
        page: Markdown file for the page.
        out: JSON file: a record for each contrast (`dseg.reporting.claims.to_records`).
        tables: Where the result tables lie, as seen from the page.

    Raises:
        DsegError: The summary is not usable.
    """
    claims = judge_claims(settings, Summary.read(summary))
    command = f"make reproduce PROFILE={settings.profile}"
    text = to_markdown(claims, profile=settings.profile, tables=tables, command=command)
    write_text(page, text)
    write_json(out, to_records(claims))
