"""The command line: options from signatures, errors in one line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import yaml

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
    ((settings, shard, out, latents, quick),) = CALLS
    assert (settings.seed, shard, out, quick) == (5, 2, Path("x.txt"), True)
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


def test_a_group_lists_its_commands_and_refuses_others(group, capsys):
    for arguments, status in ((["data", "--help"], 0), (["data", "lose"], 2), (["data"], 2)):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == status
    assert "gather things" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "gather", "a", "--way", "sideways"])
    assert end.value.code == 2
