"""JSON files that programs write, ours and others', read as a type: a value of it, or one error.

Such a file may be cut short, edited or of another version. So its size is bounded before it is
read, and every value is held against its type before it is used.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dseg.errors import DsegError

MOST_BYTES = 2**22
"""Our choice: a configuration or a record has some thousands."""
M = TypeVar("M", bound=BaseModel)


class Record(BaseModel):
    """Strictly typed where a key is named; other keys, as of another program, are of no concern."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def read_json(path: Path, again: str, most: int = MOST_BYTES) -> Any:
    """The value in a JSON file.

    Args:
        path: The file.
        again: What to do if it cannot be read, in words.
        most: Bytes; a longer file is none of the kind. Values take up to 25 times as much memory.

    Raises:
        DsegError: It is missing, no regular file, cannot be read, is too long, or no JSON.
    """
    # Opening a pipe would wait for whoever writes into it.
    if not path.is_file():
        said = "not a regular file" if path.exists() else "no such file"
        raise DsegError(f"{path}: {said}; {again}")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise DsegError(f"{path}: more than {most >> 20} MiB, as no such file has; {again}")
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise DsegError(f"{path}: cannot be read ({error.strerror}); {again}") from error
    except (ValueError, RecursionError) as error:
        raise DsegError(f"{path}: no JSON ({str(error)[:100]}); {again}") from error


def read_record(path: Path, model: type[M], again: str, most: int = MOST_BYTES) -> M:
    """What is in a JSON file, as a type; raises DsegError as `read_json`, or if it does not fit."""
    try:
        return model.model_validate(read_json(path, again, most))
    except ValidationError as error:
        raise DsegError(f"{path}: {first_problem(error)}; {again}") from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: where, and what was expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:100] or "as a whole"
    return " ".join(f"{where}: {first['msg']}".split())[:300]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
