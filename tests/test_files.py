"""Files are written whole, hashed and locked."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from dseg.errors import DsegError
from dseg.files import locked, write_atomically, write_json, write_text

HOLDS = """
import sys, time
from pathlib import Path
from dseg.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_given_back(tmp_path):
    path = tmp_path / "smoke" / ".lock"
    with locked(path):
        with pytest.raises(DsegError, match=r"\.lock: another run is busy"):
            with locked(path, busy="another run is busy"):
                pass
    with locked(path, busy="another run is busy"):
        pass


def test_a_lock_ends_with_its_process(tmp_path, root):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE, cwd=root
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(DsegError, match="busy"):
            with locked(path, busy="busy"):
                pass
        os.kill(holder.pid, signal.SIGKILL)
    with locked(path, busy="busy"):
        pass


def test_a_file_whose_name_is_as_long_as_may_be(tmp_path):
    path = tmp_path / f"{'n' * 251}.txt"
    write_text(path, "whole")
    assert path.read_text() == "whole" and [*tmp_path.iterdir()] == [path]


def test_an_error_of_the_system_names_the_file_that_was_to_be_written(tmp_path):
    (tmp_path / "file").touch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError) as full:
            write_text(tmp_path / "a.txt", "more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.value.filename == str(tmp_path / "a.txt")
    with pytest.raises(FileExistsError) as other:
        write_text(tmp_path / "file" / "a.txt", "")
    assert other.value.filename == str(tmp_path / "file")
    write_text(tmp_path / "b.txt", "d\udcff")
    assert (tmp_path / "b.txt").read_text() == "d\\udcff"


def test_what_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    with pytest.raises(OSError):
        write_atomically(path, _half)
    assert path.read_text() == '{\n "a": 1\n}\n' and [*tmp_path.iterdir()] == [path]


def _half(temporary):
    temporary.write_text("half")
    raise OSError("full disk")
