"""Files that once gave a traceback, a hang or a wrong number: each is one error, or right."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dseg.artifacts.heads import read_heads
from dseg.artifacts.rows import FieldRows
from dseg.artifacts.shards import read_shard, shard_name
from dseg.datasets.public.unpack import check_archive, unpack
from dseg.errors import DsegError
from dseg.orchestration.plan import Plan
from dseg.settings.reading import load_sections, load_settings

SHARD = shard_name(0, 1)
READERS: dict[str, Callable[[Path], object]] = {  # by the end of a file's name
    "read_shard": read_shard,
    "heads": read_heads,
    "index": read_shard,
    "rows": lambda path: FieldRows([path], "soft")[:],
}


def refused(path: Path, read: Callable[[Path], object]) -> None:
    begun = time.process_time()
    with pytest.raises(DsegError) as caught:
        read(path)
    assert time.process_time() - begun < 2
    assert path.name in str(caught.value) and len(str(caught.value)) < 1000


def test_arrays(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "data" / "faults" / "shards").iterdir())
    for path in paths:
        refused(Path(shutil.copy(path, tmp_path / SHARD)), READERS[path.name.split("_", 1)[1]])
    assert len(paths) > 10


def test_archives(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "data" / "faults" / "archive").iterdir())
    for path in paths:
        for read in (check_archive, lambda path: unpack(path, tmp_path, {"images": "images"})):
            refused(path, read)
    assert len(paths) == 5 and not any(tmp_path.iterdir())


def test_settings(shared: Path, root: Path) -> None:
    paths = sorted((shared / "data" / "faults" / "settings").iterdir())
    for path in paths:
        for read in (load_sections, lambda path: load_settings(root / "params.yaml", [path])):
            refused(path, read)
    assert len(paths) > 10


def test_a_profile_whose_paths_a_shell_would_run(
    shared: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the workflow makes of such paths, `tests/workflow` shows; here nothing lies there."""
    for name in ("dseg", "models", "params.yaml"):
        (tmp_path / name).symlink_to(root / name)
    own = tmp_path / "workflow" / "profiles" / "mine" / "params.yaml"
    own.parent.mkdir(parents=True)
    shutil.copy(shared / "data" / "faults" / "profile" / "quoting.yaml", own)
    monkeypatch.chdir(tmp_path)
    plan = Plan("mine")
    with pytest.raises(
        DsegError, match=r"prompts\.classes\.file: no file data/cls/my classes\.txt"
    ):
        plan.check_inputs()
    names = tmp_path / "data" / "cls" / "my classes.txt"
    names.parent.mkdir(parents=True)
    names.write_text("moon\n")
    with pytest.raises(DsegError, match=r"benchmarks\.own\.root: no folder data/my imgs"):
        plan.check_inputs()
    (tmp_path / "data" / "my imgs").mkdir()
    with pytest.raises(DsegError, match=r"benchmarks\.evil\.root: no folder data/\$\(touch PWN2\)"):
        plan.check_inputs()
