"""Hashes of files and their record."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseg.datasets.public.hashes import (
    BLOCK,
    Digest,
    Hashes,
    digest,
    read_hashes,
    split_blocks,
    write_hashes,
)
from dseg.errors import DsegError
from dseg.files import file_hash


def test_published_digests(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the example of FIPS 180-2 and of RFC 1321
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(path) == Digest(3, sha256, "900150983cd24fb0d6963f7d28e17f72")
    assert file_hash(path) == sha256


def test_files_of_several_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * (BLOCK // 100)
    path = tmp_path / "large"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert [len(block) for block in split_blocks(file)] == [BLOCK, BLOCK, len(content) % BLOCK]
    assert digest(path).sha256 == file_hash(path) == hashlib.sha256(content).hexdigest()
    for read in (digest, file_hash):
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


FILE = '{"files": {"a": {"bytes": %s, "sha256": ""}}, "contents": {}}'
JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["bytes", "sha256"]), inner),
)


@given(st.binary() | st.fixed_dictionaries({"files": JSON, "contents": JSON}).map(json.dumps))
@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_record_or_one_line(tmp_path: Path, content: bytes | str) -> None:
    (tmp_path / "a.json").write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        read_hashes(tmp_path / "a.json")
    except DsegError as error:
        assert "a.json: " in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"files": {}}', '{"files": {"a": 1}, "contents": {}}'),
        *(FILE % "Infinity", FILE % ("9" * 5000), "[" * 100_000),
    ],
)
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DsegError, match=r"a\.json: not a record of hashes.*restore it"):
        read_hashes(tmp_path / "a.json")
