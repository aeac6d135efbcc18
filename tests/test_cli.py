"""The command line: options from signatures, errors in one line."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseg import cli
from dseg.errors import DsegError

CALLS = []


def stage(settings, shard: int, out: str | Path, latents: Sequence[Path] = (), quick: bool = False):
    """Do something.

    Args:
        settings: Sections.
        shard: Index of the shard,
            counted from 0: 100 % of them.
        out: Where.
        latents: Some files.
        quick: Not to wait.

    Raises:
        DsegError: If shard is 13.
    """
    if shard == 13:
        raise DsegError("shard 13: expected another")
    CALLS.append((settings, shard, out, latents, quick))


stage.__annotations__["settings"] = object


@pytest.fixture(autouse=True)
def command(monkeypatch, tmp_path):
    """A command `cut` that calls `stage`; its settings file."""
    CALLS.clear()
    monkeypatch.setattr(cli, "COMMANDS", {"cut": ("errors", "stage", "cut something")})
    monkeypatch.setattr("dseg.errors.stage", stage, raising=False)
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"seed": 5}))
    return path


def test_options_are_the_arguments_of_the_function(command):
    arguments = ["--settings", str(command), "--shard", "00002", "--out", "x.txt"]
    assert cli.main(["cut", *arguments, "--latents", "a", "b", "--quick"]) == 0
    ((given_settings, shard, out, latents, quick),) = CALLS
    assert (given_settings.seed, shard, out, quick) == (5, 2, Path("x.txt"), True)
    assert latents == [Path("a"), Path("b")]


def test_optional_lists_may_be_empty_or_left_out(command):
    arguments = ["--settings", str(command), "--shard", "1", "--out", "x"]
    cli.main(["cut", *arguments])
    cli.main(["cut", "--latents", *arguments])
    assert [list(latents) for _, _, _, latents, _ in CALLS] == [[], []]


def test_help_says_what_the_docstring_says(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["cut", "--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--shard INT Index of the shard, counted from 0: 100 % of them." in said


def test_errors_of_the_user_are_one_line(command, capsys):
    arguments = ["--settings", str(command), "--out", "x", "--shard"]
    assert cli.main(["cut", *arguments, "13"]) == 2
    assert capsys.readouterr().err == "error: shard 13: expected another\n"
    command.write_text("seed: few")
    assert cli.main(["cut", *arguments, "1"]) == 2
    assert re.fullmatch(r"error: \S+settings\.yaml: seed: expected .*\n", capsys.readouterr().err)


def test_unknown_and_missing_arguments_end_with_status_2(command):
    for arguments in (["saw"], [], ["cut", "--shard", "1"]):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 2


def gather(paths: Sequence[Path], /, way: Literal["fast", "safe"] = "safe") -> int:
    """Gather files.

    Args:
        paths: What to gather.
        way: How.
    """
    CALLS.append((paths, way))
    return 1 if Path("broken") in paths else 0


@pytest.fixture
def group(monkeypatch):
    """Commands `data gather` and `data cut`."""
    commands = {
        "data gather": ("errors", "gather", "gather things"),
        "data cut": ("errors", "stage", "cut something"),
    }
    monkeypatch.setattr(cli, "COMMANDS", commands)
    monkeypatch.setattr("dseg.errors.gather", gather, raising=False)


def test_positional_arguments_are_given_without_a_name(group):
    assert cli.main(["data", "gather", "a", "b", "--way", "fast"]) == 0
    assert CALLS == [([Path("a"), Path("b")], "fast")]


def test_a_status_that_the_function_returns_is_the_program_s(group):
    assert cli.main(["data", "gather", "a", "broken"]) == 1


def act(
    *,
    path: Path | None = None,
    word: Sequence[str] = ("a", "b"),
    way: Sequence[Literal["fast", "safe"]] = (),
    count: int = 1,
    quick: bool = False,
    fail: str = "",
) -> None:
    """Do nothing, or fail as the system does."""
    if fail:
        raise FAILURES[fail]
    CALLS.append((path, list(word), list(way), count, quick))


FAILURES = {
    "full": OSError(errno.ENOSPC, "No space left on device", "a.json"),
    "rights": PermissionError(errno.EACCES, "Permission denied", b"d\xff.txt"),
    "library": OSError("of a library,\nin lines"),
    "nameless": OSError(errno.EIO, "Input/output error"),
}


@pytest.fixture
def acting(monkeypatch):
    monkeypatch.setattr(cli, "COMMANDS", {"act": ("errors", "act", "act")})
    monkeypatch.setattr("dseg.errors.act", act, raising=False)


def test_errors_of_the_system_are_one_line_with_what_to_do(acting, capsys):
    said = []
    for name in FAILURES:
        assert cli.main(["act", "--fail", name]) == 2
        said.append(capsys.readouterr().err)
    assert said == [
        "error: a.json: No space left on device: make room on that disk and call it again\n",
        "error: d\\udcff.txt: Permission denied: change the rights of the file or its folder, or "
        "name another place\n",
        "error: of a library, in lines\n",
        "error: Input/output error: the disk or the way to it fails: check it\n",
    ]


def test_lists_are_gathered_and_single_values_given_once(acting, capsys):
    assert cli.main(["act", "--word", "x", "y", "--way", "fast", "--word", "z"]) == 0
    assert CALLS == [(None, ["x", "y", "z"], ["fast"], 1, False)]
    for words, reason in (
        (["--count", "1", "--count", "1"], "argument --count: given twice"),
        (["--path", "a", "--pat", "b"], "argument --path: given twice"),
        (["--word"], "argument --word: expected at least one argument"),
        (["--way"], "argument --way: expected at least one argument"),
        (["--path", ""], "argument --path: an empty path"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(["act", *words])
        assert end.value.code == 2 and reason in capsys.readouterr().err
    assert len(CALLS) == 1


WORDS = st.lists(st.sampled_from(["fast", "x", "7", "ü", "a b", "\udcff", "$(x)"]), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(WORDS, min_size=1, max_size=4))
def test_a_list_is_the_same_however_it_is_parted(acting, parts):
    CALLS.clear()
    words = [word for part in parts for word in ("--word", *part)]
    assert cli.main(["act", *words]) == 0
    assert CALLS == [(None, [word for part in parts for word in part], [], 1, False)]


TOKENS = ["--path", "--word", "--way", "--count", "--quick", "--fail", "fast", "full", "", "-1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(argv=st.lists(st.sampled_from(TOKENS) | st.text(max_size=4), max_size=8))
def test_any_words_run_or_are_refused(acting, argv):
    try:
        assert cli.main(["act", *argv]) in (0, 2)
    except (SystemExit, KeyError) as end:  # KeyError: of `act`, of another failure than it knows
        assert isinstance(end, KeyError) or end.code in (0, 2)


def piped(command: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, **more
    )


def test_output_that_nobody_reads_ends_quietly(root):
    call = f"{sys.executable} -m dseg data list"
    ended = piped(f"{call} | true", cwd=root)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")
    assert piped(f"{call} 2>&1 | true", cwd=root).stderr == ""
    full = piped(f"{call} > /dev/full", cwd=root)
    assert full.returncode == 2 and full.stderr.count("\n") == 1
    assert "No space left on device: make room on that disk" in full.stderr


def test_a_name_that_is_not_unicode_is_printed(root):
    name = os.fsdecode(b"d\xff")
    call = [sys.executable, "-m", "dseg", "data", "list", "--root", name]
    ended = subprocess.run(call, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr == "" and r"d\udcff" in ended.stdout


def test_a_user_whom_the_system_does_not_know(root, tmp_path):
    code = (
        "import getpass, pwd, sys\n"
        "def unknown(user): raise KeyError(user)\n"
        "pwd.getpwuid = unknown\n"
        "from dseg.cli import main\n"
        "sys.exit(main(['data', 'list']) or not getpass.getuser().isdigit())"
    )
    names = {"HOME", "LOGNAME", "USER", "LNAME", "USERNAME"}
    env = {name: value for name, value in os.environ.items() if name not in names}
    command = {"args": [sys.executable, "-c", code], "capture_output": True, "text": True}
    homeless = subprocess.run(**command, cwd=tmp_path, env=env | {"PYTHONPATH": str(root)})
    assert homeless.returncode == 2 and homeless.stderr.count("\n") == 1
    assert homeless.stderr.startswith("error: this user has no home folder")
    env |= {"HOME": str(tmp_path), "PYTHONPATH": str(root)}
    nameless = subprocess.run(**command, cwd=tmp_path, env=env)
    assert nameless.returncode == 0, nameless.stderr


def test_sigterm_ends_a_command_with_what_it_does_at_its_end(monkeypatch):
    def wait() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one does not cut the end short
            CALLS.append("ended")

    monkeypatch.setattr(cli, "COMMANDS", {"wait": ("errors", "wait", "wait")})
    monkeypatch.setattr("dseg.errors.wait", wait, raising=False)
    assert cli.main(["wait"]) == 128 + signal.SIGTERM
    assert CALLS == ["ended"] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_group_lists_its_commands_and_refuses_others(group, capsys):
    for arguments, status in ((["data", "--help"], 0), (["data", "lose"], 2), (["data"], 2)):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == status
    assert "gather things" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "gather", "a", "--way", "sideways"])
    assert end.value.code == 2
