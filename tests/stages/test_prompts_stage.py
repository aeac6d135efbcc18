"""The table of prompts as a file."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dseg.artifacts.prompts import read_prompts
from dseg.errors import DsegError
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.sections import sections
from dseg.stages.prompts import SECTIONS, run

pytest_plugins = ("tiny_pipeline",)


@pytest.fixture
def settings(root: Path, tmp_path: Path, tiny_pipeline: Path):
    """What the workflow passes: the declared sections of the default run, with a tiny model."""
    values = sections(load_settings(root / "params.yaml"), *SECTIONS)
    values["model"]["path"] = str(tiny_pipeline)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(values))
    return load_sections(file)


def test_the_default_prompts_are_the_same_bytes_every_time(settings, tmp_path: Path) -> None:
    files = [tmp_path / name / "prompts.parquet" for name in ("one", "two")]
    for file in files:
        run(settings, file)
        assert [path.name for path in file.parent.iterdir()] == ["prompts.parquet"]
    assert files[0].read_bytes() == files[1].read_bytes()
    table = read_prompts(files[0])
    prompts = settings.prompts
    assert len(table) == prompts.count
    assert np.ptp(table["class"].value_counts()) <= 1
    assert set(table["context"]) == set(prompts.contexts)
    assert (table["token_end"] > table["token_start"]).all()
    assert table.dtypes[["token_start", "token_end", "seed"]].astype(str).tolist() == [
        "int32",
        "int32",
        "int64",
    ]


def test_classes_may_come_from_a_file(settings, tmp_path: Path) -> None:
    names = settings.prompts.classes
    assert isinstance(names, tuple)
    (tmp_path / "names.txt").write_text("\n".join(names))
    values = sections(settings, *SECTIONS)
    values["prompts"]["classes"] = {"file": str(tmp_path / "names.txt")}
    (tmp_path / "filed.json").write_text(json.dumps(values))
    run(settings, tmp_path / "listed.parquet")
    run(load_sections(tmp_path / "filed.json"), tmp_path / "filed.parquet")
    listed, filed = (read_prompts(tmp_path / f"{name}.parquet") for name in ("listed", "filed"))
    pd.testing.assert_frame_equal(listed, filed)


def test_unreadable_tables_are_named(tmp_path: Path) -> None:
    file = tmp_path / "prompts.parquet"
    with pytest.raises(DsegError, match="prompts.parquet: no readable table"):
        read_prompts(file)
    file.write_text("not parquet")
    with pytest.raises(DsegError, match="prompts.parquet: no readable table"):
        read_prompts(file)
    pd.DataFrame({"id": ["a"], "text": ["a moon"]}).to_parquet(file)
    with pytest.raises(DsegError, match="without column 'token_start'"):
        read_prompts(file)
