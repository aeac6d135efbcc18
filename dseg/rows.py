"""Rows of a field that lies in many shards, read when asked for: a set may exceed the memory.

An edge, like `dseg.shards`, whose format it reads.
"""

import copy
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dseg.errors import DsegError
from dseg.shards import read_shards

_TYPES = {"BOOL": "?", "U8": "u1", "I32": "<i4", "F16": "<f2", "F32": "<f4"}


class FieldRows:
    """One field of several shards as one array of rows, each read from disk when asked for.

    Files are mapped, not loaded: what is held in memory is the rows asked for.

    Attributes:
        ids: Ids of the rows, at first all of the shards in their order.
        shape: As if it were one array, (len(ids), ...).
        dtype: Its type.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], name: str, *, stage: str | None = None
    ) -> None:
        """Open the field ``name`` of at least one shard; errors are those of `read_shards`."""
        check = read_shards(paths, stage=stage, fields=[])
        self.ids = check.ids
        self._parts = [_map_field(Path(path), name) for path in paths]
        first = self._parts[0]
        for path, part in zip(paths, self._parts, strict=True):
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                raise DsegError(
                    f"{path}: items of {name!r} are {part.dtype} {part.shape[1:]}, but those of "
                    f"{paths[0]} are {first.dtype} {first.shape[1:]}"
                )
        self.shape = (len(self.ids), *first.shape[1:])
        self.dtype = first.dtype
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        if self._starts[-1] != len(self.ids):
            raise DsegError(
                f"{paths[0]}: {name!r} has {self._starts[-1]} rows in all for {len(self.ids)} ids; "
                f"remove the shards and run {check.stage} again"
            )

        self._order = np.arange(len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """These rows, in their order: (their number, ...)."""
        chosen = self._order[rows]
        taken = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, chosen, side="right") - 1
        for position, (row, shard) in enumerate(zip(chosen, shards, strict=True)):
            taken[position] = self._parts[shard][row - self._starts[shard]]
        return taken

    def take(self, rows: Sequence[int] | np.ndarray) -> "FieldRows":
        """These rows alone, still unread."""
        some = copy.copy(self)
        some._order = self._order[rows]
        some.ids = tuple(self.ids[row] for row in rows)
        some.shape = (len(some.ids), *self.shape[1:])
        return some


class TensorRows:
    """The same as tensors, for a training: a `RowSource`."""

    def __init__(self, rows: FieldRows, arrange: Callable[[Tensor], Tensor] = torch.clone) -> None:
        """Rows, and what is done to each batch of them, like a change of their axes."""
        self._rows, self._arrange = rows, arrange
        none = torch.from_numpy(np.empty((0, *rows.shape[1:]), rows.dtype))
        self.shape = (len(rows), *arrange(none).shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self._arrange(torch.from_numpy(self._rows[rows.numpy()]))


def scratch(shape: Sequence[int], dtype: np.dtype | type, folder: Path) -> np.ndarray:
    """An array in a nameless file of a folder: it may exceed the memory, and is gone with us.

    Raises:
        DsegError: The disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # Taken at once: a disk that is full later would end the process without a word.
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
        except OSError as error:
            raise DsegError(
                f"{folder}: no room for {size / 1e9:.1f} GB of features while a head is trained "
                f"({error.strerror}); free some, or lower features.components"
            ) from error
        return np.memmap(file, dtype, "r+", shape=tuple(shape))


def _map_field(path: Path, name: str) -> np.ndarray:
    """A field of a shard, mapped from the file: its header says where the bytes lie."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        layout = json.loads(stream.read(length))
    if name not in layout:
        known = ", ".join(sorted(set(layout) - {"__metadata__"}))
        raise DsegError(
            f"{path}: no field {name!r}, only {known}; it was written by another version: remove "
            "it and run its stage again"
        )
    entry = layout[name]
    if entry["dtype"] not in _TYPES:
        raise DsegError(f"{path}: field {name!r} has type {entry['dtype']}, which cannot be mapped")
    start, _ = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, _TYPES[entry["dtype"]])
    return np.memmap(path, _TYPES[entry["dtype"]], "r", 8 + length + start, shape)
