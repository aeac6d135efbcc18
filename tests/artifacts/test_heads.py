"""A head on disk is the head that was written, or an error that names the file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dseg.artifacts.heads import Said, read_head, read_heads, write_head, write_heads
from dseg.errors import DsegError
from dseg.method.head import Architecture, build, predict

ARCHITECTURE = Architecture("features", (3, 5), True, 8, (20, 12))
INPUTS = (torch.randn(2, 3, 5, 3), torch.randn(2, 5, 3, 2), torch.full((2, 3, 20, 12), 9.0))


def test_round_trip(tmp_path: Path) -> None:
    network = build(ARCHITECTURE, seed=3)
    about = Said(pairs=12, head={"width": 8, "filter": True})
    path = tmp_path / "folder" / "head.safetensors"
    write_head(path, network.state_dict(), ARCHITECTURE, about)
    again, architecture, said = read_head(path)
    assert (architecture, said) == (ARCHITECTURE, about)
    assert torch.equal(predict(again, INPUTS), predict(network, INPUTS))
    first = path.read_bytes()
    write_head(
        path,
        network.state_dict(),
        ARCHITECTURE,
        Said(head=dict(reversed(about.head.items())), pairs=12),
    )
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["head.safetensors"]


def test_all_trainings_are_in_one_file(tmp_path: Path) -> None:
    networks = [build(ARCHITECTURE, seed) for seed in range(12)]  # 1 and 11 start alike
    path = tmp_path / "head.safetensors"
    write_heads(path, [network.state_dict() for network in networks], ARCHITECTURE, Said(pairs=2))
    again, architecture, about = read_heads(path)
    assert (architecture, about, len(again)) == (ARCHITECTURE, Said(pairs=2), 12)
    for network, other in zip(networks, again, strict=True):
        assert torch.equal(predict(network, INPUTS), predict(other, INPUTS))
    first, _, _ = read_head(path)
    assert torch.equal(predict(first, INPUTS), predict(networks[0], INPUTS))


def test_files_that_are_no_head(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(DsegError, match=r"head\.safetensors: no such file; run the stage head"):
        read_head(path)
    write_head(path, build(ARCHITECTURE).state_dict(), ARCHITECTURE, Said())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DsegError, match="not a whole safetensors file"):
        read_head(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DsegError, match="not a file of dseg"):
        read_head(path)
    other = Architecture("rgb", (), True, 8, (20, 12))
    write_head(path, build(other).state_dict(), ARCHITECTURE, Said())
    with pytest.raises(DsegError, match="weights do not fit"):
        read_head(path)
