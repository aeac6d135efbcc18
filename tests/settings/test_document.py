"""Files of settings that nobody vouches for: each gives a mapping or one line, and soon."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dseg.errors import DsegError
from dseg.settings.document import MOST_BYTES, read_document, shorten
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.sections import sections

SLOW_MACHINE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = st.sampled_from(
    ["seed", "head", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&a ", "*a", "<<", "!!int ", "? "]
    + ["1e-05", "2020-13-45", "0x_", "1:60", ".inf", "'", '"', "|", "\t", "\0", "\\ud800", "~", ","]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3)
)


@pytest.fixture
def document(tmp_path: Path):
    def read(text: str) -> dict[str, Any]:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return read_document(tmp_path / "mine.yaml")

    return read


@SLOW_MACHINE
@given(st.binary() | st.lists(WORDS).map("".join).map(str.encode))
def test_any_bytes_are_a_mapping_or_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    try:
        read_document(tmp_path / "mine.yaml")
    except DsegError as error:
        assert "mine.yaml: " in str(error) and "\n" not in str(error)


@SLOW_MACHINE
@given(data=st.data())
def test_any_value_at_any_key_is_settings_or_lines(root: Path, tmp_path: Path, data: Any) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    place = values
    while True:
        key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=9) | SCALARS)
        inner = place.get(key)
        if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(VALUES)
    text = yaml.safe_dump(values) if data.draw(st.booleans()) else json.dumps(values)
    (tmp_path / "mine.yaml").write_text(text)
    for read in (load_settings, load_sections):
        try:
            read(tmp_path / "mine.yaml")
        except DsegError as error:
            assert all("mine.yaml: " in line for line in str(error).split("\n")[:5])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: !!int abc", 'line 1: not valid YAML: tag "tag:yaml.org,2002:int"'),
        ("head: !!map [1]", "not valid YAML: tag"),
        ("a: 1\nseed: " + "9" * 5000, "line 2: not valid YAML: a number of 5000 characters"),
        ("seed: 0x" + "f" * 5000, "a number of 5002 characters"),
        ("seed: 1:" * 3000 + "1.0", "not valid YAML"),
        ("head: &a {width: *a}", '"a" refers to what it is a part of'),
        ("seed: " + "[" * 3000, "more than 20 levels"),
        ("seed:" + " -" * 3000, "not valid YAML"),
        ("a: &a0 [x]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}]\n" for i in range(99)), "20 levels"),
        ("a: &a [" + "x," * 99 + "]\nb: &b [" + "*a," * 99 + "]\nc: [*b, *b]", "more than 10000"),
        (
            "a: &a " + "x" * 100_000 + "\nb: [" + "*a," * 9000 + "]",
            "more than 10000 keys and values",
        ),
        ("a: &a {b: 1}\nc: {<<: *a, b: 2, b: 3}", "key 'b' occurs twice"),
        ("k" * 100_000 + ": 1\n" + "k" * 100_000 + ": 2", "not valid YAML"),
        ("# " + "x" * MOST_BYTES, "more than 256 KiB"),
        ("[" * 40_000, "more than 20 levels"),
        ("x: [" + "1," * 90_000, "more than 10000 keys and values"),
    ],
)
def test_what_no_settings_need_is_refused_at_once(document, text: str, says: str) -> None:
    begun = time.process_time()
    with pytest.raises(DsegError) as caught:
        document(text)
    assert time.process_time() - begun < 2
    assert says in str(caught.value) and len(str(caught.value)) < 500


def test_numbers_as_json_and_dvc_write_them(document, root: Path, tmp_path: Path) -> None:
    text = "a: 1e-05, b: -2E+3, c: .5e1, d: 1.e2, e: 1.0e-3, f: '1e-05', g: 12, h: e5, i: 1e"
    assert document(f"{{{text}, j: 0x1e5}}") == {
        **{"a": 1e-05, "b": -2000.0, "c": 5.0, "d": 100.0, "e": 0.001, "f": "1e-05", "g": 12},
        **{"h": "e5", "i": "1e", "j": 0x1E5},
    }
    (tmp_path / "small.yaml").write_text("head: {learning_rate: 1e-05}")
    whole = load_settings(root / "params.yaml", [tmp_path / "small.yaml"])
    assert whole.head.learning_rate == 1e-05
    (tmp_path / "stage.json").write_text(json.dumps(sections(whole, "head")))
    assert load_sections(tmp_path / "stage.json").head == whole.head


def test_a_date_is_text_and_aliases_within_bounds_are_read(document) -> None:
    text = "a: 2020-13-45\nb: &b {c: [1, 2], d: 3}\ne: *b\nf: {<<: *b, d: 4}\ng: {<<: *b, d: 5}"
    b = {"c": [1, 2], "d": 3}
    assert document(text) == {
        "a": "2020-13-45", "b": b, "e": b, "f": b | {"d": 4}, "g": b | {"d": 5}
    }  # fmt: skip


def test_of_a_long_value_only_the_beginning_is_written() -> None:
    assert shorten({"a": [1, None, "ü"]}) == '{"a": [1, null, "ü"]}'
    endless: list[Any] = ["x"] * 9
    for _ in range(40):
        endless = [endless] * 9
    assert len(shorten(endless)) == 60
