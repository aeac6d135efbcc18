"""Parquet tables that a stage wrote, read whole."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from dseg.errors import DsegError

MOST_BYTES = 2**31
"""Of a table in memory, as its file announces it (our choice: the study's largest has 30 MB)."""


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table; what its file says of its size is bounded before anything is allocated.

    Args:
        path: The file.
        columns: Those to read; None takes all.

    Raises:
        DsegError: It is missing, damaged, too large, or lacks a column.
    """
    again = "no readable table; run the stage that makes it"
    if not path.is_file():
        raise DsegError(f"{path}: {again}")
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            announced = file.metadata
            groups = [announced.row_group(index) for index in range(announced.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if not 0 <= size <= MOST_BYTES or not 0 <= announced.num_rows <= 2**31:
                raise DsegError(f"{path}: a table of {size} bytes; {again}")
            found = file.read(columns=None if columns is None else list(columns)).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise DsegError(f"{path}: {again}") from error
    missing = [name for name in columns or () if name not in found]
    if missing:
        raise DsegError(f"{path}: a table without column {missing[0]!r}; {again}")
    return found
