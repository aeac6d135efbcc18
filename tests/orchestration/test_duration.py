"""How long a run from nothing took is counted through interruptions."""

import json
import os
import time
from pathlib import Path

import pytest

from dseg.orchestration.duration import LOGS, counted


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


def test_a_killed_part_counts_up_to_the_last_word_of_its_jobs(tmp_path: Path) -> None:
    logs = tmp_path / "artifacts" / LOGS / "head"
    logs.mkdir(parents=True)
    killed = counted(tmp_path / "artifacts", tmp_path / "run.json", from_nothing=True)
    killed.__enter__()  # and never left
    now = time.time()
    for name, after in (("first", 20), ("last", 50)):
        (logs / f"{name}.log").touch()
        os.utime(logs / f"{name}.log", (now + after, now + after))
    part(tmp_path, 0)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["runs"] == 2 and 49 <= facts["seconds"] <= 51
