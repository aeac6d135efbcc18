"""Files of class names."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseg.datasets.class_names import read_class_names
from dseg.errors import DsegError

NAMES = ("ant", "sea lion", "jack-o'-lantern", "café table")


def test_text_and_json_are_the_same_names(tmp_path: Path) -> None:
    text, listed = tmp_path / "names.txt", tmp_path / "names.json"
    text.write_text("\ufeff" + "\r\n\n  ".join(NAMES), encoding="utf-8")
    listed.write_text(json.dumps(NAMES))
    assert read_class_names(text) == read_class_names(listed) == NAMES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("names.txt", b"\n \n", "no class names; expected one a line"),
        ("names.txt", b"ant\nbee\nant\n", "'ant' is there twice"),
        ("names.txt", b"caf\xe9\n", "no readable file of class names"),
        ("names.json", b"[", "not valid JSON"),
        ("names.json", b'{"0": "ant"}', "expected a JSON list of class names"),
        ("names.json", b'["ant", ""]', "expected a JSON list of class names"),
        ("names.json", b'["ant", "sea\\nlion"]', "no name on one line"),
        ("names.json", b'["\\ud800"]', "no name on one line"),
        ("names.json", b"[" * 100_000, "not valid JSON"),
        ("names.txt", b"ant\n" * 300_000, "more than 1 MiB"),
    ],
)
def test_bad_files_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DsegError, match=f"{name}: .*{message}"):
        read_class_names(tmp_path / name)
    with pytest.raises(DsegError, match="absent.txt: no readable file"):
        read_class_names(tmp_path / "absent.txt")


@given(st.binary() | st.lists(st.text()).map(lambda names: json.dumps(names).encode()))
@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_names_or_one_line(tmp_path: Path, content: bytes) -> None:
    for name in ("names.txt", "names.json"):
        (tmp_path / name).write_bytes(content)
        try:
            names = read_class_names(tmp_path / name)
        except DsegError as error:
            assert f"{name}: " in str(error) and "\n" not in str(error)
        else:
            assert names and all(each.strip() == each != "" for each in names)
