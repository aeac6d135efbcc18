"""What a training reads its pairs from."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class RowSource(Protocol):
    """Rows by their numbers: a tensor, or something that reads them from disk when asked."""

    @property
    def shape(self) -> Sequence[int]:
        """As of a tensor: the first number is that of rows."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...
