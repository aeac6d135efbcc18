"""The artifact format: folders of safetensors shards with a JSON header and a Parquet index.

A shard is named ``00003-of-00016.safetensors`` and holds one array per field, all with the same
first dimension, one row per item. Its header (`dseg.artifacts.tensors`) says what kind of content
it is, which stage wrote it, with which settings, for which items. A shard is written under a
temporary name, flushed to disk and renamed: a shard that exists is whole. Readers ask for a kind;
which stage made it is for people and for those who look after runs.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from dseg.artifacts.tensors import TensorFile, write_tensors
from dseg.errors import DsegError
from dseg.files import write_atomically
from dseg.settings.fields import Section, Text, Texts

Kind = Literal["images", "latents", "masks"]
"""What shards hold: images, with the attention on them where it was recorded; latents of images on
their way to noise; or masks of images, whoever made them."""
SHARD_NAME = re.compile(r"(\d{5})-of-(\d{5})\.safetensors")


class ShardAbout(Section):
    """What the header of a shard says beside its fields."""

    stage: Text
    settings_hash: str
    ids: Texts


@dataclass(frozen=True)
class Shard:
    """Some items of one stage's output.

    Attributes:
        kind: What they are.
        stage: The stage that wrote it.
        settings_hash: Hash of the settings that stage read.
        ids: One id per item, unique.
        fields: Arrays by name, each ``(len(ids), ...)``.
    """

    kind: str
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
    kind: Kind,
    stage: str,
    settings_hash: str,
) -> None:
    """Write a shard atomically; the same content gives the same bytes.

    Args:
        path: Where; its folder is made if need be.
        fields: Arrays by name, each ``(len(ids), ...)``, boolean, integer or floating.
        ids: One id per item, unique, none empty.
        kind: What they are.
        stage: The stage that writes.
        settings_hash: Hash of the settings the stage read.

    Raises:
        DsegError: There is no field, ids repeat or are no text, a field has another number of rows
            than there are ids, or a type that cannot be stored.
    """
    path = Path(path)
    if not fields:
        raise DsegError(f"{path}: a shard needs at least one field")
    _check_unique(ids, path)
    for name, array in fields.items():
        if array.ndim == 0 or len(array) != len(ids):
            raise DsegError(f"{path}: field {name!r} is {array.shape} for {len(ids)} ids")
    try:
        about = ShardAbout(stage=stage, settings_hash=settings_hash, ids=tuple(ids))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DsegError(f"{path}: {where}: {first['input']!r}: {first['msg']}") from error
    write_tensors(path, fields, kind=kind, about=about)


def read_shard(
    path: str | os.PathLike[str],
    *,
    kind: Kind | None = None,
    stage: str | None = None,
    fields: Iterable[str] | None = None,
) -> Shard:
    """Read one shard.

    Args:
        path: The shard's file.
        kind: What it must hold; None accepts anything.
        stage: The stage that must have written it; None accepts any.
        fields: The fields to read; None reads all. The others are neither loaded nor checked.

    Raises:
        DsegError: The file is missing or damaged, of another format, kind or stage, or lacks a
            field. The message names the file.
    """
    file, about = open_shard(path, kind=kind, stage=stage)
    names = sorted(file.arrays) if fields is None else list(fields)
    for name in names:
        file.require(name)
    arrays = {name: file.read(name) for name in names}
    return Shard(file.kind, about.stage, about.settings_hash, about.ids, arrays)


def read_shards(
    paths: Sequence[str | os.PathLike[str]],
    *,
    kind: Kind | None = None,
    stage: str | None = None,
    fields: Iterable[str] | None = None,
) -> Shard:
    """Read several shards of one stage and concatenate them in the order given.

    Args:
        paths: At least one shard.
        kind: As in :func:`read_shard`; None reads what the first shard holds.
        stage: As in :func:`read_shard`.
        fields: As in :func:`read_shard`; None reads the fields of the first shard from all.

    Raises:
        DsegError: As :func:`read_shard`; also if no path is given, an id occurs twice, item
            shapes differ, or the shards come from different stages or settings.
    """
    if not paths:
        raise DsegError("no shards to read: expected at least one path")
    first = read_shard(paths[0], kind=kind, stage=stage, fields=fields)
    parts = [first]
    for path in paths[1:]:
        part = read_shard(path, kind=kind, stage=first.stage, fields=tuple(first.fields))
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
    return Shard(first.kind, first.stage, first.settings_hash, ids, joined)


def open_shard(
    path: str | os.PathLike[str], *, kind: Kind | None = None, stage: str | None = None
) -> tuple[TensorFile, ShardAbout]:
    """A shard's file and its header, of which the latter was checked; no field is read.

    Raises:
        DsegError: As `read_shard`.
    """
    file = TensorFile(path, kind=kind, maker="the stage that makes it")
    about = file.about(ShardAbout)
    if stage is not None and about.stage != stage:
        raise DsegError(f"{path}: written by stage {about.stage!r}, expected {stage!r}")
    for name, array in file.arrays.items():
        if array.shape[:1] != (len(about.ids),):
            raise file.damaged(f"field {name!r} is {array.shape} for {len(about.ids)} ids")
    return file, about


def _check_unique(ids: Sequence[str], where: Path) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for item in ids:
        if item in seen:
            raise DsegError(f"{where}: item {item!r} occurs twice")
        seen.add(item)
