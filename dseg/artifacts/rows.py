"""Rows of a field that lies in many shards, read when asked for: a set may exceed the memory.

An edge, like `dseg.artifacts.shards`, whose format it reads.
"""

import copy
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dseg.errors import DsegError
from dseg.artifacts.shards import Kind, open_shard, read_shards
from dseg.artifacts.tensors import dtype_of


class FieldRows:
    """One field of several shards as one array of rows, each read from disk when asked for.

    Files are mapped, not loaded: what is held in memory is the rows asked for. The first row that is
    asked for of a shard has all bytes of the field in that shard checked.

    Attributes:
        ids: Ids of the rows, at first all of the shards in their order.
        shape: As if it were one array, (len(ids), ...).
        dtype: Its type.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        name: str,
        *,
        kind: Kind | None = None,
        stage: str | None = None,
    ) -> None:
        """Open the field ``name`` of at least one shard; errors are those of `read_shards`."""
        self.ids = read_shards(paths, kind=kind, stage=stage, fields=[]).ids
        self._name, self._files = name, [open_shard(path)[0] for path in paths]
        parts = [file.require(name) for file in self._files]
        first = parts[0]
        for path, part in zip(paths, parts, strict=True):
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                raise DsegError(
                    f"{path}: items of {name!r} are {dtype_of(part)} {part.shape[1:]}, but those "
                    f"of {paths[0]} are {dtype_of(first)} {first.shape[1:]}"
                )
        self.shape = (len(self.ids), *first.shape[1:])
        self.dtype = dtype_of(first)
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self._order = np.arange(len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """These rows, in their order: (their number, ...)."""
        chosen = self._order[rows]
        taken = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, chosen, side="right") - 1
        for position, (row, shard) in enumerate(zip(chosen, shards, strict=True)):
            at = int(row - self._starts[shard])
            taken[position] = self._files[shard].rows(self._name)[at : at + 1][0]
        return taken

    def take(self, rows: Sequence[int] | np.ndarray) -> "FieldRows":
        """These rows alone, still unread."""
        some = copy.copy(self)
        some._order = self._order[rows]
        some.ids = tuple(self.ids[row] for row in rows)
        some.shape = (len(some.ids), *self.shape[1:])
        return some


def read_latents(paths: Sequence[Path], ids: Sequence[str]) -> FieldRows:
    """Latents float16 (n, T, C, h, w) of these items, in their order, from shards of inversion.

    They are read when asked for.

    Raises:
        DsegError: No shards are given, or none has one of the items.
    """
    if not paths:
        raise DsegError("features need latents, but no shards of the stage inversion were given")
    latents = FieldRows(paths, "latents", kind="latents")
    rows = {item: row for row, item in enumerate(latents.ids)}
    missing = [item for item in ids if item not in rows]
    if missing:
        raise DsegError(
            f"{Path(paths[0]).parent}: no latents of {missing[0]!r}, {len(missing)} are missing "
            "in all; run the stage inversion again"
        )
    return latents.take([rows[item] for item in ids])


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
