"""How much memory a block of code takes at most, where the system tells (Linux)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Growth:
    """Bytes of memory at the highest, above those before."""

    bytes: int = 0


@contextmanager
def memory_growth() -> Iterator[Growth]:
    """Measure the ``with`` block; 0 where the system does not tell."""
    growth, before = Growth(), 0
    if _RESET.exists():
        _RESET.write_text("5")  # the highest is the present
        before = _highest()
    try:
        yield growth
    finally:
        if _RESET.exists():
            growth.bytes = _highest() - before


def _highest() -> int:
    (line,) = (each for each in _STATUS.read_text().splitlines() if each.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
