"""The commands `data ...` as they are typed."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import yaml
from loopback import Loopback, serve
from served_benchmarks import build_set, pack, serve_benchmark

from dseg import cli
from dseg.datasets.public.catalogue import BENCHMARKS
from dseg.settings.run import BenchmarkSettings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A server that has three images of ECSSD, as the catalogue says for the time of a test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    small = dataclasses.replace(BENCHMARKS["ecssd"], images=3)
    made = build_set(tmp_path / "made")
    archives = {
        source.name: pack(made / part, tmp_path / "served" / source.name)
        for source in small.sources
        for part in source.parts
    }
    with serve() as state:
        monkeypatch.setitem(BENCHMARKS, "ecssd", serve_benchmark(state, small, archives))
        yield state


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "data")


def states(root: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert cli.main(["data", "list", "--root", root]) == 0
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()[2:]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: row[4] for row in cells}


def test_from_the_first_command_to_the_last(
    server: Loopback, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(states(root, capsys).values()) == {"absent"} and not Path(root).exists()
    assert cli.main(["data", "download", "ECSSD", "--root", root, "--timeout", "5"]) == 0
    assert states(root, capsys)["ecssd"] == "downloaded"
    assert cli.main(["data", "prepare", "ecssd", "--root", root]) == 0
    said = yaml.safe_load(capsys.readouterr().out.partition("\n")[2])
    assert BenchmarkSettings(**said["ecssd"]).root == f"{root}/ecssd"
    assert states(root, capsys)["ecssd"] == "prepared"
    assert cli.main(["data", "verify", "ecssd", "--root", root]) == 0
    assert "ecssd: as recorded in" in capsys.readouterr().out


def test_defects_are_lines_and_a_status(
    server: Loopback, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["data", "download", "ecssd", "--root", root])
    cli.main(["data", "prepare", "ecssd", "--root", root])
    for name in ("0000.jpg", "0002.jpg"):
        (Path(root) / "ecssd" / "images" / name).write_bytes(b"")
    capsys.readouterr()
    assert cli.main(["data", "verify", "ecssd", "sod", "--root", root]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert "0000.jpg: differs" in errors[0] and "0002.jpg: differs" in errors[1]
    assert "nothing is recorded" in errors[2]


def test_one_that_fails_does_not_stop_the_others(
    server: Loopback, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "download", "sod", "ecssd", "--root", root]) == 1
    assert "error: sod has no public address" in capsys.readouterr().err
    assert states(root, capsys)["ecssd"] == "downloaded"


def test_unknown_names_and_no_names(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "verify", "voc", "--root", root]) == 2
    assert "no data set 'voc'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "download"])
    assert end.value.code == 2


def test_another_number_of_empty_masks_is_told(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        BENCHMARKS, "pascal-s", dataclasses.replace(BENCHMARKS["pascal-s"], images=3)
    )
    made = build_set(tmp_path / "made")
    shutil.copytree(made / "images", Path(root) / "pascal-s" / "images")
    shutil.copytree(made / "ground_truth_mask", Path(root) / "pascal-s" / "masks")
    assert cli.main(["data", "prepare", "pascal-s", "--root", root]) == 0
    assert "note: 0 of its masks are empty, where 5 are known to be" in capsys.readouterr().out
