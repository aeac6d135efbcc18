"""results.json of `dseg segment`, as a call reads it that goes on where another one ended."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError

from dseg.errors import DsegError
from dseg.settings.fields import FROM_LIST, Count
from dseg.settings.typed_json import Record, first_problem, read_json

MOST_BYTES = 2**28  # half a kB an image


class _Failed(Record):
    """What results.json says of an image with a problem."""

    path: str
    error: str


class _Box(Record):
    x0: int
    y0: int
    x1: int
    y1: int


class _Done(Record):
    """What it says of an image that was segmented, as far as it is read again."""

    path: str
    error: None = None
    width: Count
    height: Count
    boxes: Annotated[tuple[_Box, ...], FROM_LIST]


def read_results(path: Path) -> dict[str, Any] | None:
    """What an interrupted call has listed; None if it came to nothing.

    Raises:
        DsegError: The file is damaged, or no list of results.
    """
    if not path.exists():
        return None
    again = "remove it, or give --force to begin anew"
    values = read_json(path, again, MOST_BYTES)
    if not isinstance(values, dict) or not isinstance(values.get("images"), list):
        raise DsegError(f"{path}: not a list of results of this command: name another --out")
    try:
        for row in values["images"]:
            (_Failed if isinstance(row, dict) and row.get("error") else _Done).model_validate(row)
    except ValidationError as error:
        raise DsegError(f"{path}: {first_problem(error)}; {again}") from error
    return values
