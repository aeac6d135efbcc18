"""How long a run took from nothing to its results, however often it was interrupted.

Computing time is added up in a file beside the artifacts, from the run that found none of them to
the one that ended with all results. Later runs, which compute a part again, are not counted. A part
that was killed outright counts up to the last that its jobs have written to their logs.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dseg.errors import DsegError
from dseg.files import write_json
from dseg.settings.typed_json import Record, read_record

SPENT = ".seconds.json"  # beside the artifacts, while a run is not through
LOGS = "logs"  # of jobs, among the artifacts


class Spent(Record):
    """What the parts of a run took so far."""

    seconds: Annotated[float, Field(ge=0, le=1e10)] = 0.0
    runs: Annotated[int, Field(ge=0, le=10**9)] = 0
    since: Annotated[float, Field(ge=0, le=1e10)] | None = None
    """When the part began that is not counted yet, in seconds since the epoch."""


@contextmanager
def counted(artifacts: Path, results: Path, *, from_nothing: bool) -> Iterator[None]:
    """Count the time of the ``with`` block, also where it fails or is interrupted.

    Args:
        artifacts: Folder of the profile's artifacts.
        results: The file to write once a run from nothing is through: seconds, runs (how many
            parts it was done in), cores, machine.
        from_nothing: Whether this is the first part of a run.
    """
    file = artifacts / SPENT
    before = Spent() if from_nothing else read_spent(file)
    if before is None:  # a part of what was already through
        yield
        return
    seconds = before.seconds + _of_killed(before, artifacts / LOGS)
    spent = Spent(seconds=seconds, runs=before.runs + 1, since=time.time())
    write_json(file, spent.model_dump())
    began = time.monotonic()
    try:
        yield
    finally:
        seconds += time.monotonic() - began
        write_json(file, Spent(seconds=seconds, runs=spent.runs).model_dump())
    facts = {"seconds": round(seconds), "runs": spent.runs}
    write_json(results, facts | {"cores": os.cpu_count(), "machine": platform.machine()})
    file.unlink(missing_ok=True)


def _of_killed(before: Spent, logs: Path) -> float:
    """Seconds of the part before, if it had no time to write them down."""
    if before.since is None:
        return 0.0
    written = [path.stat().st_mtime for path in logs.rglob("*.log")]
    return max(0.0, max(written, default=0.0) - before.since)


def read_spent(file: Path) -> Spent | None:
    """What earlier parts took; None if no run is under way, or nobody knows what it took."""
    try:
        return read_record(file, Spent, "")
    except DsegError:
        return None
