"""Files that no job left as they are: found by DVC's lock and Snakemake's records."""

import base64
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from dseg.errors import DsegError
from dseg.orchestration.records import (
    RECORDS,
    changed_by_hand,
    exchanged,
    has_computed,
    locked_outputs,
    restore,
)

OUT = "results/p/tables"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A run with two tables, as its lock, its records and DVC's cache know it."""
    monkeypatch.chdir(tmp_path)
    files = {"a.csv": b"1\n", "b.csv": b"2\n"}
    entries = [{"relpath": name, "md5": md5(data)} for name, data in files.items()]
    stored = {f"{md5(b'list')}.dir": json.dumps(entries).encode()}
    stored |= {md5(data): data for data in files.values()}
    for name, data in stored.items():
        path = Path("cache", name[:2], name[2:])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, data in files.items():
        write(f"{OUT}/{name}", data, 100.0)
    return Path("cache")


def write(path: str, data: bytes, time: float, *, record: bool = True) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)
    os.utime(path, (time, time))
    if record:
        file = Path(".snakemake/metadata", base64.urlsafe_b64encode(path.encode()).decode())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"endtime": time}))


def changed(cache: Path, *, locked: bool = True, since: float = 200.0):
    lock = {OUT: f"{md5(b'list')}.dir"} if locked else {}
    return changed_by_hand([OUT], lock, cache, since)


def test_an_input_exchanged_for_an_older_file_is_noticed(tmp_path):
    made, old, edited, source = (tmp_path / name for name in ("made", "old", "edited", "source"))
    past = time.time() - 1000
    made.mkdir()
    write(f"{made}/0", b"out", past, record=False)
    write(str(old), b"from a backup", past - 1000, record=False)
    write(str(edited), b"later than what was made", past + 500, record=False)
    source.mkdir()
    old.rename(source / "old")
    assert exchanged([str(source), str(edited)], [str(made)]) == [source / "old"]
    assert exchanged([str(source)], [str(tmp_path / "nothing")]) == []
    write(f"{made}/1", b"made anew", time.time() + 10, record=False)
    assert exchanged([str(source)], [str(made)]) == []


def test_a_folder_where_nothing_was_computed_is_known(cache):
    assert has_computed()
    shutil.rmtree(RECORDS)
    assert not has_computed()


def test_what_is_as_it_was_is_nobodys(cache):
    assert changed(cache) == changed(cache, locked=False, since=0.0) == {}


@pytest.mark.parametrize("time", [100.0, 300.0])
def test_a_changed_file_is_named_and_restored(cache, time):
    """Also where whoever changed it set back its time."""
    write(f"{OUT}/a.csv", b"9\n", time, record=False)
    path = Path(OUT, "a.csv")
    assert changed(cache) == {path: md5(b"1\n")}
    assert restore(path, md5(b"1\n"), cache) and path.read_bytes() == b"1\n"
    assert not restore(path, md5(b"3\n"), cache) and not restore(path, None, cache)


def test_what_a_job_has_written_since_is_right(cache):
    write(f"{OUT}/a.csv", b"7\n", 300.0)
    assert changed(cache) == {}
    write(f"{OUT}/a.csv", b"9\n", 400.0, record=False)
    assert [*changed(cache)] == [Path(OUT, "a.csv")]


def test_without_a_lock_the_records_tell(cache):
    write(f"{OUT}/a.csv", b"9\n", 300.0, record=False)
    assert changed(cache, locked=False, since=0.0) == {Path(OUT, "a.csv"): None}


@pytest.mark.parametrize("text", ["", "[", "stages: 3", "- 1"])
def test_a_damaged_lock_is_one_line(tmp_path, text):
    file = tmp_path / "dvc.lock"
    assert locked_outputs(file) == {}
    file.write_text(text)
    with pytest.raises(DsegError, match=r"^[^\n]*dvc\.lock: empty or damaged[^\n]*$"):
        locked_outputs(file)
