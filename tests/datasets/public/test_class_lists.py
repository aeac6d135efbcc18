"""The public list of class names."""

import hashlib
import http.server
import json
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import running

from dseg.datasets.class_names import read_class_names
from dseg.datasets.public.class_lists import FOLDER, LISTS, fetch
from dseg.errors import DsegError


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
    published.write_text(json.dumps(["ant", "sea lion"]))
    with pytest.raises(DsegError, match="names.json: not the 1000 names that were recorded"):
        fetch("imagenet", out=out)
    with pytest.raises(DsegError, match="no list of classes 'coco': expected one of imagenet"):
        fetch("coco", out=out)
    assert not out.exists()


def test_the_address_names_a_commit() -> None:
    for chosen in LISTS.values():
        assert chosen.address.startswith("https://")
        assert any(len(part) == 40 for part in chosen.address.split("/"))
    assert FOLDER == Path("data/classes")
