"""Which files of a run are as its jobs wrote them: DVC's lock and Snakemake's records say so.

The lock holds a hash of every output of the last run that went through; Snakemake's records hold
the time of every output that a job has written, also of a run that was killed before DVC was told.
A file that neither of them knows as it is was changed by something else.
"""

import base64
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, StringConstraints, ValidationError

from dseg.errors import DsegError
from dseg.files import write_atomically
from dseg.settings.document import Bounds, read_document
from dseg.settings.fields import FROM_LIST, Text
from dseg.settings.typed_json import Record, read_record

RECORDS, UNFINISHED = Path(".snakemake/metadata"), Path(".snakemake/incomplete")
# A run of thousands of shards lists them all.
MOST_OF_LOCK, MOST_OF_LIST = Bounds(bytes=2**25, nodes=2**21), 2**24
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}(\.dir)?$")]


class _Out(Record):
    path: Text
    md5: _Hash


class _Stage(Record):
    outs: Annotated[tuple[_Out, ...], FROM_LIST] = ()


class _Lock(Record):
    """What is read of a dvc.lock."""

    stages: Mapping[str, _Stage]


class _Entry(Record):
    relpath: Text
    md5: _Hash


class _Listed(RootModel[tuple[_Entry, ...]]):
    """DVC's list of the files of a folder."""


class _Job(Record):
    """What is read of Snakemake's record of an output: when its job ended."""

    endtime: Annotated[float, Field(ge=0)]


def locked_outputs(lock: Path) -> dict[str, str]:
    """The MD5 of each output in a dvc.lock, by path; none if there is no such file.

    Raises:
        DsegError: It is empty or damaged.
    """
    if not lock.exists():
        return {}
    try:
        stages = _Lock.model_validate(read_document(lock, MOST_OF_LOCK)).stages
    except (DsegError, ValidationError) as error:
        raise DsegError(
            f"{lock}: empty or damaged, so no results can be held against it: take it from git "
            "again (`git checkout`), or remove it, and all results count as new"
        ) from error
    return {out.path: out.md5 for stage in stages.values() for out in stage.outs}


def changed_by_hand(
    folders: Collection[str], locked: Mapping[str, str], cache: Path, since: float
) -> dict[Path, str | None]:
    """The files that are not as a job wrote them, with the MD5 that they should have, if known.

    Args:
        folders: Outputs of stages, files or folders, that differ from the lock.
        locked: The MD5 of each output in the lock; a folder's is that of a list in the cache.
        cache: DVC's cache of files by MD5.
        since: When all outputs were last as the lock says, in seconds; 0 if that is not known. A
            job that ended before did not change a file since.
    """
    times, unfinished = dict(_records()), {*_names(UNFINISHED)}
    changed: dict[Path, str | None] = {}
    for folder in map(Path, folders):
        known = _listed(folder, locked.get(folder.as_posix()), cache)
        files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in files:
            if not path.is_file() or (path.name.startswith(".") and path != folder):
                continue
            names = [path.as_posix(), *(parent.as_posix() for parent in path.parents)]
            if unfinished.intersection(names):  # Snakemake computes it anew
                continue
            computed = max((times[name] for name in names if name in times), default=0.0)
            right = known.get(path)
            if path.stat().st_mtime <= computed and (computed > since or right is None):
                continue
            if right is None or _md5(path) != right:
                changed[path] = right
    return changed


def exchanged(inputs: Iterable[str], outputs: Iterable[str]) -> list[Path]:
    """The files that were put in the place of what a stage has read, with an older time.

    Snakemake goes by times, and would take the outputs for those of the new files. When a file
    came to its place is known all the same: no program can set that time.

    Args:
        inputs: Files and folders that DVC says have changed.
        outputs: Of the stage, files and folders.
    """
    made = max((path.stat().st_mtime for path in _files(outputs)), default=float("inf"))
    return [path for path in _files(inputs) if path.stat().st_mtime <= made < path.stat().st_ctime]


def _files(paths: Iterable[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        yield from (each for each in [path, *path.rglob("*")] if each.is_file())


def has_computed() -> bool:
    """Whether Snakemake has a record of any output that it has written here."""
    return next(_records(), None) is not None


def restore(path: Path, md5: str | None, cache: Path) -> bool:
    """Take a file from DVC's cache, if it is there, whole; whether it was."""
    stored = cache / (md5 or "none")[:2] / (md5 or "none")[2:]
    if not stored.is_file() or _md5(stored) != md5:
        return False
    write_atomically(path, lambda temporary: shutil.copyfile(stored, temporary))
    return True


def _listed(folder: Path, md5: str | None, cache: Path) -> dict[Path, str]:
    """The MD5 of each file of an output, as far as the cache knows."""
    if md5 is None:
        return {}
    if not md5.endswith(".dir"):
        return {folder: md5}
    return read_listed(folder, cache / md5[:2] / md5[2:])


def read_listed(folder: Path, path: Path) -> dict[Path, str]:
    """The MD5 of each file of a folder by DVC's list of them; none if that is not readable."""
    try:
        entries = read_record(path, _Listed, "", MOST_OF_LIST).root
    except DsegError:
        return {}
    return {folder / entry.relpath: entry.md5 for entry in entries}


def read_end(path: Path) -> float:
    """When a job ended by Snakemake's record, in seconds; 0 if that is not readable."""
    try:
        return read_record(path, _Job, "").endtime
    except DsegError:
        return 0.0


def _records() -> Iterator[tuple[str, float]]:
    """The outputs of jobs that ended, and the time that each had then."""
    for name, file in _names(RECORDS).items():
        # A little more, since times are kept in floating point.
        yield name, read_end(file) + 0.01


def _names(folder: Path) -> dict[str, Path]:
    """Snakemake's files about outputs: a name is base64, its parts folders that begin with @."""
    names = {}
    for at, _, files in os.walk(folder):
        above = "".join(part.removeprefix("@") for part in Path(at).relative_to(folder).parts)
        for file in files:
            try:
                names[base64.urlsafe_b64decode(above + file).decode()] = Path(at, file)
            except ValueError:
                continue
    return names


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
