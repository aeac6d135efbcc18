"""Fetch one file over HTTP: what a cut connection left is kept, and the rest asked for later.

Bytes go to a file NAME.part. Beside it, NAME.part.json notes which version of which address they
are (its ETag or date), so that two versions are never joined. Proxies are taken from the
environment, as by every program (http_proxy, https_proxy, no_proxy).
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener, getproxies, proxy_bypass

from dseg import __version__
from dseg.datasets.public.hashes import BLOCK, split_blocks
from dseg.errors import DsegError
from dseg.files import locked
from dseg.progress import track

ATTEMPTS = 5  # without a new byte
PAUSE_S = 1.0  # before the second attempt; doubled before each further one

_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may do better later
_CUT = (OSError, HTTPException)  # OSError: no route, no name, a timeout, a reset, TLS


class _Interrupted(Exception):
    """Worth another attempt."""


def fetch(
    address: str,
    part: Path,
    *,
    timeout: float = 60.0,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE_S,
) -> None:
    """Make ``part`` the whole of what is at ``address``; go on where it ends if it is there.

    Args:
        address: An http or https address.
        part: File that bytes are added to.
        timeout: Seconds without an answer or a byte after which a connection counts as cut.
        attempts: How often to try without getting any further.
        pause: Seconds before the second attempt, doubled before each further one.

    Raises:
        DsegError: The server refuses; the attempts are used up; the disk is full; or another
            process is at it.
    """
    if not address.startswith(("http://", "https://")):
        raise DsegError(f"{address}: expected an address that starts with http:// or https://")
    check_proxy(address)
    part.parent.mkdir(parents=True, exist_ok=True)
    with _held(part) as file:
        furthest, tries = 0, 0
        while True:
            try:
                _fetch_rest(address, part, file, timeout)
                break
            except _Interrupted as error:
                size = file.seek(0, os.SEEK_END)
                tries = 1 if size > furthest else tries + 1
                furthest = max(furthest, size)
                if tries >= attempts:
                    raise DsegError(
                        f"{address}: {error}; gave up after {attempts} attempts without a new "
                        "byte: what has come is kept, call again to go on"
                    ) from error
                time.sleep(pause * 2 ** (tries - 1))
        os.fsync(file.fileno())
    _note_path(part).unlink(missing_ok=True)


def check_proxy(address: str) -> None:
    """Raise DsegError if the environment names a proxy of another kind than HTTP, such as SOCKS."""
    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    kind = proxy.partition("://")[0] if proxy and "://" in proxy else "http"
    if kind.lower() not in ("http", "https") and not proxy_bypass(parts.hostname or ""):
        raise DsegError(
            f"{address}: cannot be fetched through the {kind} proxy that {parts.scheme}_proxy "
            "names; name an http proxy, unset it, or fetch the file by hand"
        )


@contextmanager
def _held(part: Path) -> Iterator[BinaryIO]:
    """The partial file, opened to be added to by this process alone."""
    lock = part.with_name(f"{part.name}.lock")
    with locked(lock, busy="another process is downloading it; wait until that has ended"):
        try:
            with part.open("ab") as file:
                yield file
        finally:
            lock.unlink(missing_ok=True)


def _fetch_rest(address: str, part: Path, file: BinaryIO, timeout: float) -> None:
    start = file.seek(0, os.SEEK_END)
    note = read_note(part)
    if start and note and note.get("address") != address:
        start = file.truncate(0)
    headers = {"User-Agent": f"dseg/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version := note.get("version"):
            headers["If-Range"] = version  # another version: all of it, from its first byte
    try:
        # An opener of its own, since urllib's common one keeps the proxies of its first use.
        request = Request(address, headers=headers)
        response: HTTPResponse = build_opener().open(request, timeout=timeout)
    except HTTPError as error:
        with error:
            if error.code == 416 and _total(error.headers) == start:
                if note.get("total") in (None, start):
                    return
                raise DsegError(
                    f"{address}: the server contradicts itself, {note['total']} bytes first and "
                    f"then {start}; remove {part} and try again, or fetch another copy by hand"
                ) from error
            if error.code == 416:
                file.truncate(0)
                raise _Interrupted("what has come is not a part of what is there now") from error
            if error.code in _BUSY:
                raise _Interrupted(f"the server answers {error.code} ({error.reason})") from error
            raise DsegError(
                f"{address}: the server answers {error.code} ({error.reason}); if the file has "
                f"moved, fetch it by hand and save it as {part.with_suffix('')}"
            ) from error
    except _CUT as error:
        raise _Interrupted(f"no answer ({getattr(error, 'reason', None) or error!r})") from error
    with response:
        if response.status == 206:
            total = _total(response.headers)
            if _start(response.headers) != start or note.get("total") not in (None, total):
                file.truncate(0)
                raise _Interrupted("the server sent another part than it was asked for")
        else:
            start = file.truncate(0)
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            _write_note(part, address, response.headers, total)
        _save(response, part, file, start, total)


def _save(
    response: HTTPResponse, part: Path, file: BinaryIO, start: int, total: int | None
) -> None:
    missing = None if total is None else total - start
    free = shutil.disk_usage(part.parent).free
    if missing is not None and missing > free:
        raise DsegError(
            f"{part}: {missing / 1e9:.2f} GB are missing, but only {free / 1e9:.2f} GB are free "
            "on its disk; make room, or choose another --root"
        )
    blocks = None if missing is None else -(-missing // BLOCK)
    try:
        for block in track(_received(response), f"{part.stem}, MiB", blocks):
            file.write(block)
        file.flush()
    except OSError as error:
        raise DsegError(f"{part}: cannot be written ({error.strerror})") from error
    size = file.seek(0, os.SEEK_END)
    # http.client is silent about a body that ends too early.
    if total is not None and size != total:
        raise _Interrupted(f"the connection ended after {size} of {total} bytes")


def _received(response: HTTPResponse) -> Iterator[bytes]:
    try:
        yield from split_blocks(response)
    except _CUT as error:
        raise _Interrupted(f"the connection was cut ({error!r})") from error


def _start(headers: Message) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(headers: Message) -> int | None:
    found = re.search(r"/(\d+)$", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_note(part: Path, address: str, headers: Message, total: int | None) -> None:
    tag = headers.get("ETag", "")
    # A weak tag may stay the same when bytes change; If-Range does not take it.
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    note = {"address": address, "version": version, "total": total}
    _note_path(part).write_text(json.dumps(note), encoding="utf-8")


def read_note(part: Path) -> dict[str, Any]:
    """What is noted of a partial file; {} if nothing, as of one that another program left.

    That is its `address` and `version`, one line of text each or None, and its `total` of bytes,
    or None.
    """
    try:
        note = json.loads(_note_path(part).read_text(encoding="utf-8"))
        address, version, total = (note[key] for key in ("address", "version", "total"))
    except (OSError, ValueError, RecursionError, TypeError, LookupError):
        return {}
    texts = all(each is None or isinstance(each, str) for each in (address, version))
    if not texts or not (total is None or type(total) is int) or not str(version).isprintable():
        return {}
    return {"address": address, "version": version, "total": total}
