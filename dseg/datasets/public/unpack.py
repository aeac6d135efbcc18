"""Unpack zip and tar archives that nobody vouches for.

All members are looked at before a byte is written. An archive is refused as a whole if one of them
would leave the folder, is anything but a plain file or a folder, or if they would swell to far
more than the archive's own size.
"""

import gzip
import math
import re
import shutil
import stat
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from dseg.datasets.public.hashes import split_blocks
from dseg.errors import DsegError
from dseg.progress import track

# Images hardly compress; COCO's annotations, the benchmarks' most compressible, do 4-fold.
MOST_TIMES = 50
_ALWAYS = 1 << 20  # bytes that any archive may unpack to
_MOST_MEMBERS = 200_000  # COCO's images are 82,783
_MOST_NAMES = 16 << 20  # bytes of all names, and of a zip's table of contents; COCO's has 9 MB
_MOST_HEADER = 1 << 17  # bytes of a tar before a member's content
_MOST_GLOBAL = 1000  # entries that a tar has for all of its members
_SHOWN = 200  # characters of a member's name in a message
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# What zipfile and tarfile raise on bytes that are no archive, by trying.
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    OverflowError,
    RuntimeError,  # and RecursionError, NotImplementedError
    ValueError,  # and UnicodeDecodeError
)


@dataclass(frozen=True)
class Member:
    """A plain file in an archive: its path in there, its declared size, and how to read it."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, folder: Path, parts: Mapping[str, str], *, only: frozenset[str] | None = None
) -> None:
    """Unpack parts of an archive into a folder; every part appears there whole or not at all.

    Args:
        archive: A zip or tar file.
        folder: Where the parts are put. A part that is there is left as it is.
        parts: Folders or files in the archive, at any depth -> their places in ``folder``.
        only: Places of files, as POSIX paths in ``folder``; others are not unpacked.

    Raises:
        DsegError: The archive is broken, unsafe or lacks a part; the disk has no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{archive.name}.*.tmp"):  # of a process that was killed
        shutil.rmtree(left)
    temporary = folder / f".{archive.name}.{uuid.uuid4().hex}.tmp"
    temporary.mkdir()
    try:
        _unpack_parts(archive, archive, temporary, parts, only)
        lacking = [part for part, place in parts.items() if not (temporary / place).exists()]
        if lacking:
            raise DsegError(f"{archive}: holds no file of {lacking[0]}; fetch the right archive")
        for place in parts.values():
            target = folder / place
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                (temporary / place).rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_archive(path: Path) -> None:
    """Raise DsegError if the table of contents of an archive cannot be read to its end."""
    with open_archive(path) as members:
        if not members:
            raise DsegError(f"{path}: an empty archive; fetch it again")


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return path.name.lower().endswith(_ARCHIVES)


@contextmanager
def open_archive(path: Path) -> Iterator[list[Member]]:
    """The plain files of an archive, in their order.

    Raises:
        DsegError: It is not a whole archive, or not a safe one.
    """
    try:
        if _head(path).startswith(b"PK"):  # a name may end with .part
            _check_contents(path)
            with zipfile.ZipFile(path) as file:
                yield _checked(path, _zip_members(path, file))
        else:
            opened = gzip.open if _head(path).startswith(b"\x1f\x8b") else open
            with opened(path, "rb") as stream:
                headers = _Headers(cast(IO[bytes], stream))
                with tarfile.open(fileobj=cast(IO[bytes], headers), mode="r:") as file:
                    members = _checked(path, _tar_members(path, file, headers))
                    headers.left = math.inf
                    yield members
    except _BROKEN as error:
        page = ", but a web page" if _head(path).lstrip()[:1] == b"<" else ""
        why = str(error).partition("\n")[0] or type(error).__name__
        raise DsegError(
            f"{path}: not a whole archive{page} ({why}); move it away and fetch it again"
        ) from error
    except OSError as error:
        raise DsegError(f"{path}: cannot be unpacked ({error})") from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(40)


def _unpack_parts(
    archive: Path,
    shown: Path,
    folder: Path,
    parts: Mapping[str, str],
    only: frozenset[str] | None,
) -> None:
    """Write the chosen members below ``folder``; of a zip in the zip if there is nothing else."""
    with open_archive(archive) as members:
        chosen: dict[PurePosixPath, Member] = {}
        for member in members:
            place = _place(member.path, parts)
            if place is None or (only is not None and place.as_posix() not in only):
                continue
            if place in chosen:
                raise DsegError(f"{shown}: two of its files would both become {place}")
            chosen[place] = member
        inner = [member for member in members if is_archive(Path(member.path.name))]
        if not chosen and len(inner) == 1 and archive == shown:
            nested = folder / f".{inner[0].path.name}"
            _write(shown, inner[0], nested)
            _unpack_parts(nested, shown, folder, parts, only)
            nested.unlink()
            return
        if not chosen:
            wanted = " or ".join(parts)
            raise DsegError(f"{shown}: holds no file of {wanted}; fetch the right archive")
        _need_room(shown, folder, sum(member.size for member in chosen.values()))
        for place, member in track(chosen.items(), f"unpacking {shown.name}", len(chosen)):
            _write(shown, member, folder / place)


def _place(path: PurePosixPath, parts: Mapping[str, str]) -> PurePosixPath | None:
    """Where a member goes: nowhere if it is in none of the parts or a leftover of a Mac."""
    names = path.parts
    if not names or "__MACOSX" in names or names[-1].startswith("._") or names[-1] == ".DS_Store":
        return None
    for part, place in parts.items():
        wanted = PurePosixPath(part).parts
        for start in range(len(names) - len(wanted) + 1):
            if names[start : start + len(wanted)] == wanted:
                return PurePosixPath(place, *names[start + len(wanted) :])
    return None


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[Member]:
    for info in file.infolist():
        path = _checked_path(archive, info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if it was packed without Unix modes
        if info.flag_bits & 1:
            raise DsegError(f"{archive}: {info.filename} is encrypted; fetch another copy")
        if info.is_dir():
            continue
        if kind in (0, stat.S_IFREG):
            yield Member(path, info.file_size, lambda info=info: file.open(info))  # type: ignore[misc]
        else:
            raise _unsafe(archive, info.filename, "is a link or a device")


def _check_contents(archive: Path) -> None:
    """Refuse a zip whose table of contents is too large: zipfile reads all of it at once."""
    with archive.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[zipfile._ECD_SIZE] > _MOST_NAMES:  # type: ignore[attr-defined]
        raise _too_much(archive)


class _Headers:
    """An open tar of which only so much may be read from one member to the next.

    tarfile reads long names, pax headers and maps of sparse files whole, however long they say
    they are.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left: float = _MOST_HEADER
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self.left -= size if size >= 0 else math.inf
        if self.left < 0:
            raise tarfile.ReadError(f"a header of more than {_MOST_HEADER} bytes")
        return self._file.read(size)


def _tar_members(archive: Path, file: tarfile.TarFile, headers: _Headers) -> Iterator[Member]:
    while (info := file.next()) is not None:
        path = _checked_path(archive, info.name)
        if info.size < 0 or len(file.pax_headers) > _MOST_GLOBAL:
            raise tarfile.ReadError("a header that cannot be")
        if info.offset > _most(archive):
            raise _too_much(archive)
        if info.issparse() or not (info.isreg() or info.isdir()):
            raise _unsafe(archive, info.name, "is a link, a device or a sparse file")
        if info.isreg():
            yield Member(path, info.size, lambda info=info: _extract(file, info))  # type: ignore[misc]
        info.pax_headers = {}  # a copy of those of all members
        headers.left = _MOST_HEADER


def _extract(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    opened = file.extractfile(info)
    assert opened is not None  # None only for what is no plain file
    return opened


def _checked_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not name:
        raise _unsafe(archive, name, "has no name")
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise _unsafe(archive, name, "would be written outside the folder")
    return path


def _checked(archive: Path, members: Iterator[Member]) -> list[Member]:
    found: list[Member] = []
    total = names = 0
    for member in members:
        found.append(member)
        total += member.size
        names += len(str(member.path))
        if total > _most(archive) or names > _MOST_NAMES or len(found) > _MOST_MEMBERS:
            raise _too_much(archive)
    return found


def _most(archive: Path) -> int:
    return archive.stat().st_size * MOST_TIMES + _ALWAYS


def _too_much(archive: Path) -> DsegError:
    return DsegError(
        f"{archive}: refused, since it would unpack to more than {MOST_TIMES} times its size, "
        f"{_MOST_MEMBERS} files or {_MOST_NAMES >> 20} MiB of names; fetch it from its publisher"
    )


def _unsafe(archive: Path, name: str, what: str) -> DsegError:
    return DsegError(
        f"{archive}: refused, since its member {name[:_SHOWN]!r} {what}; nothing was unpacked, "
        "fetch it from its publisher"
    )


def _need_room(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DsegError(
            f"{archive}: unpacks to {size / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free; "
            "make room, or choose another --root"
        )


def _write(archive: Path, member: Member, target: Path) -> None:
    """Write one member, no more and no less than the bytes that it declares."""
    size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with member.open() as source, target.open("xb") as file:
            for block in split_blocks(source):
                size += len(block)
                if size > member.size:
                    break
                file.write(block)
    except _BROKEN as error:
        raise DsegError(
            f"{archive}: its member {member.path} is broken ({error}); move the archive away "
            "and fetch it again"
        ) from error
    if size != member.size:
        raise DsegError(
            f"{archive}: its member {member.path} has not the {member.size} bytes that it "
            "declares; fetch it again"
        )
