"""Rows of a field in many shards are those of the whole array, and none is loaded unasked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dseg.artifacts.rows import FieldRows, TensorRows, scratch
from dseg.artifacts.shards import read_shards, shard_name, write_shard
from dseg.errors import DsegError

COUNTS = (3, 5, 1)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for index, count in enumerate(COUNTS):
        paths.append(tmp_path / shard_name(index, len(COUNTS)))
        fields = {
            "image": rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8),
            "mask": rng.random((count, 4, 5)) > 0.5,
            "latents": rng.normal(size=(count, 2, 3)).astype(np.float16),
            "size": rng.integers(0, 9, (count, 2), dtype=np.int32),
        }
        ids = [f"{index}-{row}" for row in range(count)]
        write_shard(paths[-1], fields, ids=ids, kind="images", stage="synthesis", settings_hash="0")
    return paths


@pytest.mark.parametrize("name", ["image", "mask", "latents", "size"])
def test_rows_are_those_of_the_whole(shards: list[Path], name: str) -> None:
    whole, rows = read_shards(shards), FieldRows(shards, name, kind="images")
    assert rows.ids == whole.ids and rows.shape == whole.fields[name].shape
    chosen = np.array([8, 0, 3, 3, 7, 2])
    assert np.array_equal(rows[chosen], whole.fields[name][chosen])
    assert np.array_equal(rows[2:6], whole.fields[name][2:6])
    assert rows[chosen].dtype == whole.fields[name].dtype
    some = rows.take([5, 1, 8])
    assert some.ids == tuple(whole.ids[row] for row in (5, 1, 8)) and len(some) == 3
    assert np.array_equal(some.take([2, 0])[:], whole.fields[name][[8, 5]])


def test_tensors_for_a_training(shards: list[Path]) -> None:
    rows = TensorRows(FieldRows(shards, "image"), lambda values: values.permute(0, 3, 1, 2))
    whole = torch.from_numpy(read_shards(shards).fields["image"]).permute(0, 3, 1, 2)
    assert len(rows) == 9 and tuple(rows.shape) == tuple(whole.shape)
    chosen = torch.tensor([6, 1, 4])
    assert torch.equal(rows[chosen], whole[chosen])


def test_bad_shards_are_named(shards: list[Path]) -> None:
    with pytest.raises(DsegError, match="no field 'depth', only image, latents"):
        FieldRows(shards, "depth")
    with pytest.raises(DsegError, match="content is 'images', expected 'latents'"):
        FieldRows(shards, "image", kind="latents")
    with pytest.raises(DsegError, match="expected at least one path"):
        FieldRows([], "image")
    fields = {"image": np.zeros((1, 2, 2, 3), np.uint8)}
    other = shards[0].parent / "other.safetensors"
    write_shard(other, fields, ids=["x"], kind="images", stage="synthesis", settings_hash="0")
    with pytest.raises(DsegError, match="items of 'image' are uint8"):
        FieldRows([*shards, other], "image")


def test_scratch_is_on_the_disk_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "head"
    values = scratch((4, 1000), np.float16, folder)
    values[2] = 1.5
    assert values.shape == (4, 1000) and values.sum(dtype=float) == 1500
    assert list(folder.iterdir()) == []
    with pytest.raises(DsegError, match="no room for .* lower features.components"):
        scratch((2**50,), np.float16, folder)
