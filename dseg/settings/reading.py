"""Read settings: merge and validate. The types are in ``dseg.settings.run``.

``load_settings`` reads a whole run's settings. A stage gets only the sections its rule declares:
``dseg.settings.sections`` takes them out, the workflow writes them to a file, ``load_sections``
reads that file back into a ``Settings`` of which the rest raises an error when touched.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dseg.errors import DsegError
from dseg.files import write_text
from dseg.settings.agreement import Key, contradictions
from dseg.settings.document import nearest, read_document, shorten
from dseg.settings.fields import FORMS, Section
from dseg.settings.run import Settings

# Sets, not groups of settings: an override that names two variants wants two, not two more.
REPLACED = (
    "benchmarks",
    "syntheses",
    "recordings",
    "inversions",
    "image_methods",
    "mask_recordings",
    "mask_methods",
    "variants",
    "world.images",
)
SCHEMA = Path("workflow/schemas/params.schema.json")
_SHOWN_ERRORS = 5
_LONGEST_KEY = 60  # characters of a key in a message
_PathLike = str | os.PathLike[str]


def load_settings(path: _PathLike = "params.yaml", overrides: Sequence[_PathLike] = ()) -> Settings:
    """The settings of a run: one file, and files of overrides merged over it in order.

    Mappings merge key by key, except the sets in ``REPLACED``; everything else is replaced.

    Raises:
        DsegError: A file is missing or no YAML mapping, a key is unknown or missing, a value is
            out of range, or values contradict each other: one line an error.
    """
    files = [(str(file), read_document(Path(file))) for file in (path, *overrides)]
    values: dict[str, Any] = {}
    for _, part in files:
        values = _merge(values, part)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = [_explain(entry) for entry in error.errors()]
    else:
        problems = list(contradictions(settings))
        if not problems:
            return settings
    raise _error(problems, files)


def load_sections(path: _PathLike) -> Settings:
    """Settings from a file (JSON or YAML) that holds some of the sections, or parts of them.

    Reading one that the file lacks raises a DsegError.

    Raises:
        DsegError: As :func:`load_settings`, except that keys may be missing.
    """
    values = read_document(Path(path))
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        problems = [_explain(entry) for entry in error.errors() if entry["type"] != "missing"]
        if problems:
            raise _error(problems, [(str(path), values)]) from error
    try:
        return _construct(Settings, values)
    except ValidationError as error:  # a part of something that only makes sense whole
        problems = [_explain(entry) for entry in error.errors()]
        raise _error(problems, [(str(path), values)]) from error


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``params.yaml``, as kept in `SCHEMA`."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schema(out: Path = SCHEMA) -> None:
    """Write the JSON schema of params.yaml, where editors look for it.

    Args:
        out: Where.
    """
    write_text(out, json.dumps(json_schema(), indent=2) + "\n")


def _merge(base: Mapping[str, Any], change: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        name = f"{where}.{key}".lstrip(".")
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and name not in REPLACED:
            value = _merge(old, value, name)
        merged[key] = value
    return merged


def _construct(model: type[Section], values: Mapping[str, Any]) -> Any:
    """An instance with the given fields only; ``values`` are known to be valid."""
    given = {}
    for key, value in values.items():
        kind = model.model_fields[key].rebuild_annotation()
        if isinstance(kind, type) and issubclass(kind, Section):
            given[key] = _construct(kind, value)
        else:
            given[key] = TypeAdapter(kind).validate_python(value)
    return model.model_construct(**given)


def _explain(entry: Any) -> tuple[Key, str]:
    """Key and one-line description of one of pydantic's errors."""
    key = tuple(part for part in entry["loc"] if part not in FORMS)
    kind, value = entry["type"], entry["input"]
    if key[-1:] == ("[key]",):
        key = key[:-1]
        if kind == "literal_error":
            return key, f"unknown key; expected {entry['ctx']['expected']}"
    if kind == "extra_forbidden":
        return key, "unknown key" + nearest(str(key[-1]), _known_keys(key[:-1]))
    if kind == "missing":
        return key, "missing"
    if kind == "value_error":
        expected = entry["msg"].removeprefix("Value error, ")
    elif kind == "string_pattern_mismatch" and entry["ctx"]["pattern"].startswith("^[a-z0-9]+"):
        expected = "expected lower-case letters and digits, joined by hyphens"
    elif kind in ("model_type", "dict_type", "mapping_type", "typed_dict_type"):
        expected = "expected `key: value` pairs"
    elif kind == "tuple_type":
        expected = "expected a list"
    elif kind == "too_short":
        expected = "expected at least one entry"
    else:
        expected = entry["msg"].replace("Input should be", "expected").replace("valid ", "")
        expected = expected.replace("a integer", "an integer")
        expected = expected.replace("String should", "expected text to")
    return key, f"{expected}, got {shorten(value)}"


def _known_keys(key: Key) -> list[str]:
    """Keys allowed below ``key``, from the JSON schema."""
    schema = whole = Settings.model_json_schema()
    for part in (*key, None):  # None: the last reference
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
        if part is not None:
            named = schema.get("properties", {}).get(part)
            schema = named or next(iter(schema["patternProperties"].values()))
        if "oneOf" in schema:  # a list, or a mapping that has keys
            schema = next(form for form in schema["oneOf"] if "$ref" in form)
            schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return list(schema.get("properties", {}))


def _error(problems: Sequence[tuple[Key, str]], files: Sequence[tuple[str, Any]]) -> DsegError:
    # Variants share what they do not override, and so its errors: each is said once.
    lines = list(
        dict.fromkeys(
            f"{_origin(key, files)}: {'.'.join(map(_named, key))}: {text}" for key, text in problems
        )
    )
    if len(lines) > _SHOWN_ERRORS:
        lines[_SHOWN_ERRORS:] = [f"and {len(lines) - _SHOWN_ERRORS} more"]
    return DsegError("\n".join(lines))


def _origin(key: Key, files: Sequence[tuple[str, Any]]) -> str:
    """The file that says ``key``: the last to name it, else the first."""
    for file, values in reversed(files):
        for part in key:
            if not isinstance(values, dict) or part not in values:
                break
            values = values[part]
        else:
            return file
        if isinstance(values, list):  # an item of a list
            return file
    return files[0][0]


def _named(part: str | int) -> str:
    """A part of a key as a message has it, on its line whatever somebody typed."""
    text = str(part)
    return text if text.isprintable() and len(text) <= _LONGEST_KEY else shorten(text)
