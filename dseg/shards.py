"""The artifact format: folders of safetensors shards with a JSON header and a Parquet index.

A shard is named ``00003-of-00016.safetensors`` and holds one array per field, all with the same
first dimension, one row per item. Its header, a JSON object under the safetensors metadata key
``dseg``, says which stage wrote it, with which settings, for which items. A shard is written
under a temporary name, flushed to disk and renamed: a shard that exists is whole.
"""

import json
import math
import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dseg.errors import DsegError

SCHEMA_VERSION = 1
INDEX_NAME = "index.parquet"
# One metadata key, not one per entry: safetensors writes the metadata of several keys in an
# order that changes from run to run, and equal shards should be equal bytes.
_HEADER_KEY = "dseg"
_SHARD_NAME = re.compile(r"(\d{5})-of-(\d{5})\.safetensors")
_KINDS = "biuf"  # bool, signed, unsigned, float: what safetensors stores without a pickle


@dataclass(frozen=True)
class Shard:
    """Some items of one stage's output.

    Attributes:
        stage: The stage that wrote it.
        settings_hash: Hash of the settings that stage read.
        ids: One id per item, unique.
        fields: Arrays by name, each ``(len(ids), ...)``.
    """

    stage: str
    settings_hash: str
    ids: tuple[str, ...]
    fields: dict[str, np.ndarray]


def shard_name(index: int, count: int) -> str:
    """File name of shard ``index`` of ``count``; raises DsegError if there is no such shard."""
    if not 0 <= index < count <= 99999:
        raise DsegError(f"no shard {index} of {count}: expected 0 <= index < count <= 99999")
    return f"{index:05d}-of-{count:05d}.safetensors"


def shard_count(items: int, items_per_shard: int) -> int:
    """Number of shards that hold ``items`` items."""
    if items < 0 or items_per_shard < 1:
        raise DsegError(
            f"cannot shard {items} items by {items_per_shard}: expected items >= 0 and at least "
            "one item a shard"
        )
    return math.ceil(items / items_per_shard)


def shard_range(items: int, items_per_shard: int, index: int) -> range:
    """Positions of the items in shard ``index``: a fixed number in each, the last one shorter."""
    count = shard_count(items, items_per_shard)
    if not 0 <= index < count:
        raise DsegError(f"no shard {index}: {items} items by {items_per_shard} make {count} shards")
    return range(index * items_per_shard, min(items, (index + 1) * items_per_shard))


def write_shard(
    path: str | os.PathLike[str],
    fields: Mapping[str, np.ndarray],
    *,
    ids: Sequence[str],
    stage: str,
    settings_hash: str,
) -> None:
    """Write a shard atomically; the same content gives the same bytes.

    Args:
        path: Where; its folder is made if need be.
        fields: Arrays by name, each ``(len(ids), ...)``, boolean, integer or floating.
        ids: One id per item, unique.
        stage: The stage that writes.
        settings_hash: Hash of the settings the stage read.

    Raises:
        DsegError: There is no field, ids repeat, a field has another number of rows than there
            are ids, or a type that cannot be stored.
    """
    path = Path(path)
    if not fields:
        raise DsegError(f"{path}: a shard needs at least one field")
    _check_unique(ids, path)
    for name, array in fields.items():
        if array.dtype.kind not in _KINDS or array.dtype.itemsize > 8:
            raise DsegError(f"{path}: field {name!r} has type {array.dtype}, which is not storable")
        if array.ndim == 0 or len(array) != len(ids):
            raise DsegError(f"{path}: field {name!r} is {array.shape} for {len(ids)} ids")
    header = {
        "schema": SCHEMA_VERSION,
        "stage": stage,
        "settings_hash": settings_hash,
        "ids": list(ids),
    }
    arrays = {name: np.ascontiguousarray(fields[name]) for name in sorted(fields)}
    metadata = {_HEADER_KEY: json.dumps(header, sort_keys=True, separators=(",", ":"))}
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata))


def read_shard(
    path: str | os.PathLike[str],
    *,
    stage: str | None = None,
    fields: Iterable[str] | None = None,
) -> Shard:
    """Read one shard.

    Args:
        path: The shard's file.
        stage: The stage that must have written it; None accepts any.
        fields: The fields to read; None reads all. The others are not loaded.

    Raises:
        DsegError: The file is missing or truncated, of another schema or stage, or lacks a field.
            The message names the file.
    """
    path = Path(path)
    with _open(path) as file:
        header = _header(file, path, stage)
        names = sorted(file.keys()) if fields is None else list(fields)
        missing = sorted(set(names) - set(file.keys()))
        if missing:
            raise DsegError(
                f"{path}: no field {missing[0]!r}, only {', '.join(sorted(file.keys()))}; "
                f"it was written by another version of {header['stage']}: remove it and run again"
            )
        arrays = {name: file.get_tensor(name) for name in names}
    ids = tuple(header["ids"])
    for name, array in arrays.items():
        if len(array) != len(ids):
            raise DsegError(f"{path}: field {name!r} has {len(array)} rows for {len(ids)} ids")
    return Shard(header["stage"], header["settings_hash"], ids, arrays)


def read_shards(
    paths: Sequence[str | os.PathLike[str]],
    *,
    stage: str | None = None,
    fields: Iterable[str] | None = None,
) -> Shard:
    """Read several shards of one stage and concatenate them in the order given.

    Args:
        paths: At least one shard.
        stage: As in :func:`read_shard`.
        fields: As in :func:`read_shard`; None reads the fields of the first shard from all.

    Raises:
        DsegError: As :func:`read_shard`; also if no path is given, an id occurs twice, item
            shapes differ, or the shards come from different stages or settings.
    """
    if not paths:
        raise DsegError("no shards to read: expected at least one path")
    first = read_shard(paths[0], stage=stage, fields=fields)
    parts = [first]
    for path in paths[1:]:
        part = read_shard(path, stage=first.stage, fields=tuple(first.fields))
        if part.settings_hash != first.settings_hash:
            raise DsegError(
                f"{path}: settings {part.settings_hash}, but {paths[0]} has "
                f"{first.settings_hash}: remove the older one and run {first.stage} again"
            )
        for name, array in part.fields.items():
            expected = first.fields[name]
            if array.shape[1:] != expected.shape[1:] or array.dtype != expected.dtype:
                raise DsegError(
                    f"{path}: items of {name!r} are {array.dtype} {array.shape[1:]}, but those of "
                    f"{paths[0]} are {expected.dtype} {expected.shape[1:]}"
                )
        parts.append(part)
    ids = tuple(item for part in parts for item in part.ids)
    _check_unique(ids, Path(paths[0]).parent)
    joined = {name: np.concatenate([part.fields[name] for part in parts]) for name in first.fields}
    return Shard(first.stage, first.settings_hash, ids, joined)


def write_index(folder: str | os.PathLike[str]) -> Path:
    """Write ``index.parquet`` (id, shard, row) beside the shards of a folder, atomically.

    Raises:
        DsegError: The folder holds no shards, not all of them, those of two different runs, or
            an id twice.
    """
    import pandas as pd  # here, since reading shards should not cost half a second of start-up

    folder = Path(folder)
    names = sorted(path.name for path in folder.glob("*") if _SHARD_NAME.fullmatch(path.name))
    if not names:
        raise DsegError(f"{folder}: no shards to index")
    count = int(names[0][9:14])
    if names != [shard_name(index, count) for index in range(count)]:
        raise DsegError(
            f"{folder}: expected the {count} shards {shard_name(0, count)} ..., found "
            f"{len(names)}, up to {names[-1]}: remove those of an older run, make the missing ones"
        )
    rows: list[tuple[str, str, int]] = []
    stage = None
    for name in names:
        with _open(folder / name) as file:
            header = _header(file, folder / name, stage)
        stage = header["stage"]
        rows += [(item, name, row) for row, item in enumerate(header["ids"])]
    _check_unique([item for item, _, _ in rows], folder)
    table = pd.DataFrame(rows, columns=["id", "shard", "row"]).astype({"row": "int32"})
    path = folder / INDEX_NAME
    write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))
    return path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, flush it, then rename it.

    Either ``path`` is the whole new file afterwards, or it is untouched and nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays at the end: writers that choose a format by it work as usual.
    temporary = path.parent / f".{path.stem}.{uuid.uuid4().hex}.tmp{path.suffix}"
    try:
        write(temporary)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise DsegError(f"{path}: no such shard; run the stage that makes it")
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise DsegError(
            f"{path}: not a whole safetensors file ({error}); remove it and run its stage again"
        ) from error


def _header(file: Any, path: Path, stage: str | None) -> dict[str, Any]:
    text = (file.metadata() or {}).get(_HEADER_KEY)
    if text is None:
        raise DsegError(f"{path}: not a dseg shard: its header has no {_HEADER_KEY!r} entry")
    header: dict[str, Any] = json.loads(text)
    if header.get("schema") != SCHEMA_VERSION:
        raise DsegError(
            f"{path}: shard schema {header.get('schema')}, this version reads {SCHEMA_VERSION}; "
            "remove it and run its stage again"
        )
    if stage is not None and header["stage"] != stage:
        raise DsegError(f"{path}: written by stage {header['stage']!r}, expected {stage!r}")
    return header


def _check_unique(ids: Sequence[str], where: Path) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for item in ids:
        if item in seen:
            raise DsegError(f"{where}: item {item!r} occurs twice")
        seen.add(item)
