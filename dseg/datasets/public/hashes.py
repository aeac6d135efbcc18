"""The record of what a benchmark's files were when they were first found whole.

One JSON file beside the benchmark's folder, so that the folder may be a link to a copy that nobody
may write to. What it names is held against it ever after.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dseg.errors import DsegError
from dseg.files import write_json

BLOCK = 1 << 20
_NO_RECORD = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError),
    *(OverflowError, RecursionError),  # infinite bytes, brackets without end
)


@dataclass(frozen=True)
class Digest:
    """Size and hashes of a file; the MD5 sum only where it was asked for."""

    size: int
    sha256: str
    md5: str | None = None


@dataclass
class Hashes:
    """What is recorded of one benchmark.

    Attributes:
        files: Fetched files: name -> size and SHA-256.
        contents: Files in use once prepared: path in the benchmark's folder -> SHA-256.
    """

    files: dict[str, Digest] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)


def digest(path: Path, *, blocks: Iterable[bytes] | None = None) -> Digest:
    """Size, SHA-256 and MD5 of a file.

    Args:
        path: The file.
        blocks: Its blocks, if they are read by someone else (who shows the progress).

    Raises:
        DsegError: It cannot be read.
    """
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        for block in read_blocks(path) if blocks is None else blocks:
            sha256.update(block)
            md5.update(block)
            size += len(block)
    except OSError as error:
        raise DsegError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    return Digest(size, sha256.hexdigest(), md5.hexdigest())


def read_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a block at a time."""
    with path.open("rb") as file:
        yield from split_blocks(file)


def split_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of an open file, a block at a time."""
    while block := file.read(BLOCK):
        yield block


def read_hashes(path: Path) -> Hashes:
    """The record at ``path``; an empty one if there is none.

    Raises:
        DsegError: It is not such a record.
    """
    if not path.is_file():
        return Hashes()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files = {
            str(name): Digest(int(item["bytes"]), str(item["sha256"]))
            for name, item in content["files"].items()
        }
        contents = {str(name): str(value) for name, value in content["contents"].items()}
    except _NO_RECORD as error:
        raise DsegError(
            f"{path}: not a record of hashes ({type(error).__name__}); restore it, "
            "or remove it to record anew"
        ) from error
    return Hashes(files, contents)


def write_hashes(path: Path, hashes: Hashes) -> None:
    """Write a record, in an order that does not depend on when what was added."""
    content = {
        "files": {
            name: {"bytes": item.size, "sha256": item.sha256}
            for name, item in sorted(hashes.files.items())
        },
        "contents": dict(sorted(hashes.contents.items())),
    }
    write_json(path, content)
