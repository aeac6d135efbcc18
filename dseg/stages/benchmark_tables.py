"""Command `benchmark-tables`: published scores, and ours where they were run -> two tables.

The stage tables writes them as well, in a run of a profile with public benchmarks. This command
needs no run.
"""

from pathlib import Path

from dseg.benchmark_tables import build_benchmark_tables
from dseg.config import load_settings
from dseg.errors import DsegError
from dseg.profiles import profile_params
from dseg.stages.scores import SCORES, read_table
from dseg.stages.tables import write_table


def run(profile: str = "sd15", evaluation: Path | None = None, out: Path | None = None) -> None:
    """Write the tables of the public benchmarks that a profile names.

    Args:
        profile: The profile.
        evaluation: Folder of the stage evaluation; by default artifacts/<profile>/evaluation, and
            "not run" where there are no scores.
        out: Folder; by default results/<profile>/tables.

    Raises:
        DsegError: There is no such profile, or it names no public benchmark; scores are there but
            not readable.
    """
    base, *overrides = profile_params(profile)
    settings = load_settings(base, overrides)
    path = (evaluation or Path("artifacts", profile, "evaluation")) / SCORES
    if evaluation is not None and not path.is_file():
        raise DsegError(f"{path}: no such scores; leave --evaluation out if nothing was run")
    tables = build_benchmark_tables(settings, read_table(path) if path.is_file() else None)
    if not tables:
        raise DsegError(
            f"profile {profile!r} names no public benchmark: expected some of the names ecssd, "
            "duts-te, dut-omron, voc07, voc12, coco20k under `benchmarks`"
        )
    for table in tables:
        write_table(table, out or Path("results", profile, "tables"))
