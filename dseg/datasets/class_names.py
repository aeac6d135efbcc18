"""Class names in files, as the setting `prompts.classes` names one."""

import json
from collections.abc import Sequence
from pathlib import Path

from dseg.errors import DsegError
from dseg.settings.fields import ClassFile

MOST_BYTES = 2**20


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names of a file, in its order.

    Args:
        path: A JSON file with a list of texts (.json), or a text file with one name a line; empty
            lines, and space around names, do not count.

    Raises:
        DsegError: The file is missing or unreadable, has no names, or one twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DsegError(
            f"{path}: no readable file of class names; expected text in UTF-8, one name a line"
        ) from error
    if len(content) > MOST_BYTES:
        raise DsegError(f"{path}: more than {MOST_BYTES >> 20} MiB; no list of class names")
    if path.suffix == ".json":
        names = parse_json(text, str(path))
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise DsegError(f"{path}: no class names; expected one a line")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DsegError(f"{path}: {name[:60]!r} is there twice; expected every class name once")
        seen.add(name)
    return tuple(names)


def parse_json(text: str, where: str) -> list[str]:
    """The names in the text of a JSON list; DsegError, which names `where`, if it is none."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DsegError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
        raise DsegError(f"{where}: expected a JSON list of class names")
    for name in names:
        if len(name.strip().splitlines()) > 1 or name != name.encode(errors="ignore").decode():
            raise DsegError(f"{where}: {name[:60]!r} is no name on one line of text")
    return [name.strip() for name in names]


def names_of(classes: Sequence[str] | ClassFile) -> tuple[str, ...]:
    """The class names that the setting `prompts.classes` lists, or whose file it names.

    Raises:
        DsegError: As `read_class_names`.
    """
    if isinstance(classes, ClassFile):
        return read_class_names(Path(classes.file))
    return tuple(classes)
