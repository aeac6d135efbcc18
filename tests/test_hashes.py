"""Hashes of files and their record."""

import hashlib
from pathlib import Path

import pytest

from dseg.datasets.hashes import (
    BLOCK,
    Digest,
    Hashes,
    digest,
    read_hashes,
    sha256_of,
    split_blocks,
    write_hashes,
)
from dseg.errors import DsegError


def test_published_digests(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the example of FIPS 180-2 and of RFC 1321
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(path) == Digest(3, sha256, "900150983cd24fb0d6963f7d28e17f72")
    assert sha256_of(path) == sha256


def test_files_of_several_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (BLOCK // 100)
    path = tmp_path / "large"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert [len(block) for block in split_blocks(file)] == [BLOCK, BLOCK, len(content) % BLOCK]
    assert digest(path).sha256 == sha256_of(path) == hashlib.sha256(content).hexdigest()
    for read in (digest, sha256_of):
        with pytest.raises(DsegError, match="gone: cannot be read"):
            read(tmp_path / "gone")


def test_a_record_comes_back_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    files = {"b.zip": Digest(1, "bb"), "a.zip": Digest(2, "aa")}
    contents = {"z": "1", "y": "2"}
    for name, turn in (("one", 1), ("two", -1)):
        write_hashes(
            tmp_path / name,
            Hashes(dict(list(files.items())[::turn]), dict(list(contents.items())[::turn])),
        )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_hashes(tmp_path / "one") == Hashes(files, contents)
    assert read_hashes(tmp_path / "three") == Hashes()


@pytest.mark.parametrize("text", ["", "[]", '{"files": {}}', '{"files": {"a": 1}, "contents": {}}'])
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DsegError, match=r"a\.json: not a record of hashes.*restore it"):
        read_hashes(tmp_path / "a.json")
