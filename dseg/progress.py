"""Progress of long loops: a bar with the time left in a terminal, sparse plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

INTERVAL_S = 10.0  # a log is read afterwards: one line in ten seconds is enough to see the pace


def track(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of ``iterable`` unchanged and report on standard error how far it is.

    Args:
        iterable: What to go through.
        label: What is being done; it starts every line.
        total: Number of items; taken from ``len(iterable)`` where that exists.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from tqdm(iterable, desc=label, total=total, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= INTERVAL_S and done != total:
            last = now
            _print(progress_line(label, done, total, now - start))
    _print(progress_line(label, done, done, time.monotonic() - start))


def progress_line(label: str, done: int, total: int | None, seconds: float) -> str:
    """One line of a log, for ``done`` of ``total`` items after ``seconds``."""
    if total is None:
        return f"{label}: {done}, {format_seconds(seconds)}"
    line = f"{label}: {done}/{total}, {format_seconds(seconds)}"
    if 0 < done < total:
        line += f", about {format_seconds(seconds / done * (total - done))} left"
    return line


def format_seconds(seconds: float) -> str:
    """A duration to read at a glance: ``7 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
