"""Indices of folders of shards."""

import numpy as np
import pandas as pd
import pytest

from dseg.artifacts.shards import shard_name, write_shard
from dseg.errors import DsegError
from dseg.stages.index import run


def shards(folder, count, items=2):
    paths = [folder / shard_name(index, count) for index in range(count)]
    for index, path in enumerate(paths):
        ids = [f"{folder.name}-{index}-{item}" for item in range(items)]
        write_shard(
            path, {"x": np.zeros(items)}, ids=ids, kind="masks", stage="cut", settings_hash="0"
        )
    return paths


def test_each_folder_is_indexed(tmp_path):
    paths = shards(tmp_path / "a", 2) + shards(tmp_path / "b", 1)
    run(paths)
    table = pd.read_parquet(tmp_path / "a" / "index.parquet")
    assert table["id"].tolist() == ["a-0-0", "a-0-1", "a-1-0", "a-1-1"]
    assert len(pd.read_parquet(tmp_path / "b" / "index.parquet")) == 2


def test_shards_of_another_partition_are_removed(tmp_path):
    old, new = shards(tmp_path, 3), shards(tmp_path, 2)
    run(new)
    assert not any(path.exists() for path in old)
    assert len(pd.read_parquet(tmp_path / "index.parquet")) == 4


def test_missing_shard(tmp_path):
    first, second = shards(tmp_path, 2)
    second.unlink()
    with pytest.raises(DsegError, match="expected the 2 shards"):
        run([first, second])
    assert not (tmp_path / "index.parquet").exists()
