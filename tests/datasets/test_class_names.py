"""Files of class names, and the public list of them."""

import hashlib
import http.server
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import running

from dseg.datasets import class_names
from dseg.datasets.class_names import LISTS, fetch, read_class_names
from dseg.errors import DsegError

NAMES = ("ant", "sea lion", "jack-o'-lantern", "café table")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the public address gives, as a file; the address is on loopback."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.chdir(tmp_path)
    with running(Handler) as port:
        address = f"http://127.0.0.1:{port}/names.json"
        monkeypatch.setitem(LISTS, "imagenet", replace(LISTS["imagenet"], address=address))
        yield folder / "names.json"


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


def test_the_public_list_is_the_recorded_one(published: Path, shared: Path, capsys) -> None:
    source = shared / "data/lists/imagenet-simple-labels/imagenet-simple-labels.json"
    published.write_bytes(source.read_bytes())
    fetch("imagenet")
    file = Path("data/classes/imagenet.txt")
    names = read_class_names(file)
    assert names == tuple(json.loads(source.read_text())) and len(names) == LISTS["imagenet"].names
    assert hashlib.sha256(file.read_bytes()).hexdigest() == LISTS["imagenet"].sha256
    assert "1000 names (public domain)" in capsys.readouterr().out
    published.unlink()  # nothing is fetched again
    fetch("imagenet")
    assert "1000 names, as recorded" in capsys.readouterr().out
    file.write_text("ant\n")
    with pytest.raises(DsegError, match="imagenet.txt: holds other names than imagenet"):
        fetch("imagenet")


def test_another_list_than_the_recorded_one_is_not_kept(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "names.txt"
    with pytest.raises(DsegError, match="names.json: cannot be fetched .*404"):
        fetch("imagenet", out=out)
    published.write_text(json.dumps(NAMES))
    with pytest.raises(DsegError, match="names.json: not the 1000 names that were recorded"):
        fetch("imagenet", out=out)
    with pytest.raises(DsegError, match="no list of classes 'coco': expected one of imagenet"):
        fetch("coco", out=out)
    assert not out.exists()


def test_the_address_names_a_commit() -> None:
    for chosen in LISTS.values():
        assert chosen.address.startswith("https://")
        assert any(len(part) == 40 for part in chosen.address.split("/"))
    assert class_names.FOLDER == Path("data/classes")
