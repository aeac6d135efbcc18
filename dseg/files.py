"""Files on disk: written whole or not at all, hashed, locked, and removed when out of date."""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dseg.errors import DsegError

_LONGEST_HEADER = 2**23  # bytes; that of Stable Diffusion's U-Net has 90 thousand


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, flush it, then rename it.

    Either ``path`` is the whole new file afterwards, or it is untouched and nothing is left.

    Raises:
        OSError: It cannot be written; the error names ``path``, also where a full disk names none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays at the end, since writers choose a format by it; the stem is left out, since
    # with it a long name would be too long.
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp{path.suffix}"
    try:
        write(temporary)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically; of names that are not text, escaped bytes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, values: bytes) -> None:
    """Write a file of bytes, atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(values))


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON, indented and with a line break at the end, atomically.

    Raises:
        ValueError: There is a number among them that JSON has not: infinite, or not a number.
    """
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; raises DsegError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DsegError(f"{path}: cannot be read ({error.strerror}); restore it") from error


def open_safetensors(path: Path, again: str) -> Any:
    """Open a safetensors file (`safetensors.safe_open`, as numpy); no tensor is read.

    Args:
        path: The file.
        again: What to do if it cannot be read or is not whole, in words.

    Raises:
        DsegError: It is missing, cannot be read, is not whole or has an absurdly long header.
    """
    from safetensors import SafetensorError, safe_open  # here, since few who use files need it

    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        # The library takes up to 100 MB, and a multiple of them in memory.
        if _LONGEST_HEADER < length <= path.stat().st_size:
            raise DsegError(
                f"{path}: its header has {length} bytes, expected at most {_LONGEST_HEADER}; "
                f"{again}"
            )
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise DsegError(f"{path}: not a whole safetensors file ({error}); {again}") from error
    except OSError as error:
        raise DsegError(f"{path}: cannot be read ({error.strerror or error}); {again}") from error


@contextmanager
def system_errors() -> Iterator[None]:
    """Turn what safetensors says in its own words, as of a full disk, into the system's error.

    Raises:
        OSError: The block could not write a file.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


@contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Args:
        path: The lock's own file, made if it is not there.
        busy: What to say if another process holds it; None waits until it is free.

    Raises:
        DsegError: Another process holds it, and `busy` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if busy is None else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DsegError(f"{path}: {busy}") from error
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path, names: Collection[str], suffixes: Collection[str]) -> None:
    """Remove files that would pass for results of this run.

    Args:
        folder: Where the results of one kind lie.
        names: What this run has written, without suffixes; these files stay.
        suffixes: Of files of results, without the dot; others are left alone.
    """
    for path in folder.iterdir():
        if path.suffix[1:] in suffixes and path.stem not in names:
            path.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
