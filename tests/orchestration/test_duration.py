"""How long a run from nothing took is counted through interruptions."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dseg.orchestration.duration import counted


def part(folder: Path, seconds: float, *, from_nothing: bool = False, fails: bool = False) -> None:
    with counted(folder / "artifacts", folder / "run.json", from_nothing=from_nothing):
        time.sleep(seconds)
        if fails:
            raise KeyboardInterrupt


def test_an_interrupted_run_is_counted_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        part(tmp_path, 0.6, from_nothing=True, fails=True)
    assert not (tmp_path / "run.json").exists()
    part(tmp_path, 0.6)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["runs"] == 2 and facts["seconds"] >= 1
    assert set(facts) == {"seconds", "runs", "cores", "machine"}


def test_a_later_part_does_not_count(tmp_path: Path) -> None:
    part(tmp_path, 0, from_nothing=True)
    first = (tmp_path / "run.json").read_bytes()
    (tmp_path / "run.json").unlink()
    part(tmp_path, 0)
    assert not (tmp_path / "run.json").exists() and b'"runs": 1' in first
    with pytest.raises(KeyboardInterrupt):
        part(tmp_path, 0, fails=True)
    part(tmp_path, 0)
    assert not (tmp_path / "run.json").exists()


def test_a_new_run_begins_at_nought(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        part(tmp_path, 0, from_nothing=True, fails=True)
    part(tmp_path, 0, from_nothing=True)
    assert json.loads((tmp_path / "run.json").read_text())["runs"] == 1


KILLED = """
import os, signal, sys, time
from pathlib import Path
from dseg.orchestration import duration
duration.BEAT = 0.05
folder = Path(sys.argv[1])
with duration.counted(folder / "artifacts", folder / "run.json", from_nothing=True):
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_part_counts_until_shortly_before_its_end(tmp_path: Path, root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    part(tmp_path, 0)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["runs"] == 2 and facts["seconds"] >= 1
