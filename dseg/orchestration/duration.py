"""How long a run took from nothing to its results, however often it was interrupted.

Computing time is added up in a file beside the artifacts, from the run that found none of them to
the one that ended with all results. Later runs, which compute a part again, are not counted. The
file is written anew every so often: of a part that is killed outright, little is lost.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

from pydantic import Field

from dseg.errors import DsegError
from dseg.files import write_json
from dseg.settings.records import Record, read_record

SPENT = ".seconds.json"  # beside the artifacts, while a run is not through
BEAT = 30.0  # seconds between writing it


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
    before = {"seconds": 0.0, "runs": 0} if from_nothing else read_spent(file)
    if before is None:  # a part of what was already through
        yield
        return
    began, ended = time.monotonic(), Event()

    def keep() -> None:
        while not ended.wait(BEAT):
            write_json(file, _added(before, began))

    write_json(file, _added(before, began))
    keeper = Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        spent = _added(before, began)
        write_json(file, spent)
    facts: dict[str, object] = {"seconds": round(spent["seconds"]), "runs": int(spent["runs"])}
    facts |= {"cores": os.cpu_count(), "machine": platform.machine()}
    write_json(results, facts)
    file.unlink(missing_ok=True)


def _added(before: dict[str, float], began: float) -> dict[str, float]:
    return {
        "seconds": before["seconds"] + time.monotonic() - began,
        "runs": before["runs"] + 1,
    }


class _Spent(Record):
    seconds: Annotated[float, Field(ge=0, le=1e10)]
    runs: Annotated[int, Field(ge=0, le=10**9)]


def read_spent(file: Path) -> dict[str, float] | None:
    """What earlier parts took; None if no run is under way, or nobody knows what it took."""
    try:
        return read_record(file, _Spent, "").model_dump()
    except DsegError:
        return None
