"""Damage to files: any bytes, bytes of a proper file changed, and values in its text changed.

A change of bytes seldom passes a checksum, and a reader is then never asked what it makes of a
value. So what carries one is signed anew: the header of our files of arrays, the chunks of a PNG.
"""

import json
import re
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

_NUMBERS = (b"-1", b"0", b"1e999", b"-9" * 30, b"9" * 20, b"65537", b"4294967296", b"NaN", b"null")
_VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda value=value: value for value in (None, True, 0, -1, 3, 65537, 2**31, 2**53, 10**30)),
    *(lambda value=value: value for value in (0.5, -0.5, 1e308, float("inf"), float("nan"))),
    *(lambda value=value: value for value in ("", "x", "../x", "\ud800", "\0", "9" * 5000)),
    *(list, dict, lambda: [[]], lambda: [1, "x", None], lambda: {"x": 1}, lambda: _nest(1500)),
)
_PNG = b"\x89PNG\r\n\x1a\n"


@st.composite
def damaged(draw: st.DrawFn, *wholes: bytes) -> bytes:
    """One of some proper files with a few changes, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    return mutate(draw(st.sampled_from(wholes)), Random(draw(st.integers(0, 2**32))))


def mutate(whole: bytes, random: Random) -> bytes:
    """A file with one to three changes."""
    content = whole
    for _ in range(random.randint(1, 3)):
        content = random.choice((_change_bytes, _change_bytes, _change_number, _change_value))(
            content, random
        )
    return _sign_png(content) if random.random() < 0.5 else content


def _change_bytes(content: bytes, random: Random) -> bytes:
    """Flip bits, cut the end off, or write, insert, double, move or remove a piece."""
    start = random.randint(0, len(content))
    if random.random() < 0.5:  # what is read first decides what is read next
        start = random.randint(0, min(len(content), 128))
    end = min(len(content), start + random.choice((1, 2, 4, 16, 300)))
    piece, before, after = content[start:end], content[:start], content[end:]
    other = random.randint(0, len(content))
    return {
        "flip": lambda: before + bytes(each ^ 1 << random.randrange(8) for each in piece) + after,
        "cut": lambda: before,
        "write": lambda: before + random.choice((b"\0", b"\xff", b"[", b"&")) * len(piece) + after,
        "insert": lambda: before + random.randbytes(4) + content[start:],
        "double": lambda: before + piece * 2 + after,
        "move": lambda: content[:other] + piece + content[other:],
        "remove": lambda: before + after,
    }[random.choice(("flip", "flip", "cut", "write", "insert", "double", "move", "remove"))]()


def _change_number(content: bytes, random: Random) -> bytes:
    """One of the numbers in a text becomes another, or what is none."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content[:20_000]))
    if not numbers:
        return _change_bytes(content, random)
    found = random.choice(numbers)
    return content[: found.start()] + random.choice(_NUMBERS) + content[found.end() :]


def _change_value(content: bytes, random: Random) -> bytes:
    """One value in JSON, also that of a header, becomes another, of any type, or is gone."""
    length = int.from_bytes(content[:8], "little")
    is_header = 2 <= length <= len(content) - 8 and content[8:9] == b"{"
    try:
        values = json.loads(content[8 : 8 + length] if is_header else content)
    except (ValueError, RecursionError):
        return _change_number(content, random)
    if not is_header:
        return _encode(_changed(values, random))
    ours = values.get("__metadata__") if isinstance(values, dict) else None
    said = _said(ours.get("dseg")) if isinstance(ours, dict) else None
    if said is not None and random.random() < 0.8:
        said = _changed({key: said[key] for key in said if key != "checksum"}, random)
        if isinstance(said, dict):
            said["checksum"] = zlib.crc32(_encode(said))
        ours["dseg"] = _encode(said).decode()
    else:
        values = _changed(values, random)
    text = _encode(values)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _said(text: Any) -> dict[str, Any] | None:
    """The header of one of our files, if an earlier change has left it one."""
    try:
        said = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _changed(values: Any, random: Random) -> Any:
    """A tree of values with one of them changed; the deeper, the likelier."""
    if isinstance(values, dict | list) and values and random.random() < 0.9:
        key = random.choice(list(values) if isinstance(values, dict) else range(len(values)))
        if random.random() < 0.1:
            del values[key]
        else:
            values[key] = _changed(values[key], random)
        return values
    return random.choice(_VALUES)()


def _nest(levels: int) -> Any:
    values: Any = []
    for _ in range(levels):
        values = [values]
    return values


def _encode(values: Any) -> bytes:
    try:
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError:  # deeper than the writer goes; the reader is to say so
        return b"[" * 3000


def _sign_png(content: bytes) -> bytes:
    """The chunks of a PNG with the checksums of what is in them now; what is none stays."""
    if not content.startswith(_PNG):
        return content
    signed, at = _PNG, len(_PNG)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        signed += content[at:end] + zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return signed + content[at:]
