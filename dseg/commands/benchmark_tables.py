"""Command `benchmark-tables`: published scores, and ours where they were run -> two tables.

The stage tables writes them as well, in a run of a profile with public benchmarks. This command
needs no run.
"""

from pathlib import Path

from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.reporting.forms import write_table
from dseg.reporting.summary import FILE, Summary
from dseg.reporting.tables.public import public_box_table, public_mask_table
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_settings


def run(profile: str = "sd15", summary: Path | None = None, out: Path | None = None) -> None:
    """Write the tables of the public benchmarks that a profile names.

    Args:
        profile: The profile.
        summary: Table of the stage summary; by default that of the profile's run, and "not run"
            where there is none.
        out: Folder; by default results/<profile>/tables.

    Raises:
        DsegError: There is no such profile, or it names no public benchmark; a summary is there
            but not readable.
    """
    base, *overrides = profile_params(profile)
    settings = load_settings(base, overrides)
    path = summary or Path("artifacts", profile, FILE)
    if summary is not None and not path.is_file():
        raise DsegError(f"{path}: no such summary; leave --summary out if nothing was run")
    numbers = Summary.read(path) if path.is_file() else Summary.of([])
    makers = {
        comparison.PUBLIC_MASK_TABLE: public_mask_table,
        comparison.PUBLIC_BOX_TABLE: public_box_table,
    }
    named = [name for name in comparison.tables(settings) if name in makers]
    if not named:
        raise DsegError(
            f"profile {profile!r} names no public benchmark: expected some of the names ecssd, "
            "duts-te, dut-omron, voc07, voc12, coco20k under `benchmarks`"
        )
    for name in named:
        write_table(makers[name](settings, numbers), out or Path("results", profile, "tables"))
