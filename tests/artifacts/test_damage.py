"""Files of arrays of which any byte was changed: the same values, or one error naming the file."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dseg.artifacts.heads import Said, read_heads, write_head
from dseg.artifacts.rows import FieldRows
from dseg.artifacts.shards import read_shard, write_shard
from dseg.errors import DsegError, describe
from dseg.method.networks import Architecture, build

FIELDS = {"soft": np.arange(128, dtype=np.uint8).reshape(2, 8, 8), "area": np.ones(2, np.float32)}


def shard(path: Path) -> Path:
    said = {"ids": ["a", "b"], "kind": "masks", "stage": "prediction", "settings_hash": "x"}
    write_shard(path, FIELDS, **said)
    return path


def head(path: Path) -> Path:
    architecture = Architecture("rgb", (), True, 4, (8, 8))
    write_head(path, build(architecture).state_dict(), architecture, Said(pairs=2))
    return path


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "shard": (shard, lambda path: read_shard(path).fields["soft"].tobytes()),
    "rows": (shard, lambda path: FieldRows([path], "soft")[:].tobytes()),
    "head": (
        head,
        lambda path: [
            value.numpy().tobytes() for value in read_heads(path)[0][0].state_dict().values()
        ],
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_no_changed_bit_changes_a_value(name: str, tmp_path: Path) -> None:
    write, read = READERS[name]
    path = write(tmp_path / "file.safetensors")
    whole, right = path.read_bytes(), read(path)
    bits = np.random.default_rng(0).choice(8 * len(whole), 300, replace=False)
    seen = 0
    for bit in map(int, bits):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert read(path) == right
        except DsegError as error:
            assert str(path) in str(error)
            seen += 1
    assert seen > 100


def test_only_what_is_read_is_checked(tmp_path: Path) -> None:
    path = shard(tmp_path / "file.safetensors")
    whole = path.read_bytes()
    body = len(whole) - sum(array.nbytes for array in FIELDS.values())
    path.write_bytes(whole[:body] + bytes(255 - byte for byte in whole[body:]))
    assert read_shard(path, fields=[]).ids == ("a", "b")
    message = r"file\.safetensors: damaged: the bytes of 'soft' do not agree with .*; remove it"
    with pytest.raises(DsegError, match=message):
        read_shard(path, fields=["soft"])
    rows = FieldRows([path], "soft")
    with pytest.raises(DsegError, match=message):
        rows[:1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    architecture = Architecture("rgb", (), True, 4, (8, 8))
    state = build(architecture).state_dict()
    state["logits.bias"] = torch.full_like(state["logits.bias"], value)
    path = tmp_path / "head.safetensors"
    write_head(path, state, architecture, Said())
    with pytest.raises(DsegError, match="infinite or no numbers"):
        read_heads(path)


def test_a_disk_without_room_is_an_error_of_the_system(tmp_path: Path) -> None:
    path = shard(tmp_path / "file.safetensors")
    whole = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            head(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert describe(caught.value) == f"{path}: File too large"
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]
