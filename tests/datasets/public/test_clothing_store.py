"""The data set of clothes on disk: from the public archive, or from a copy that somebody has."""

import dataclasses
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import yaml
from loopback import Loopback, serve
from made_clothing import ROWS, write_clothing, write_table
from PIL import Image
from served_benchmarks import pack, serve_benchmark

from dseg import cli
from dseg.datasets.clothing import masked
from dseg.datasets.clothing.photographers import TO_MASK, read_to_mask
from dseg.datasets.clothing.photographs import read_photographs
from dseg.datasets.opening import open_benchmark
from dseg.datasets.public.catalogue import BENCHMARKS
from dseg.datasets.public.hashes import digest
from dseg.datasets.public.preparation import prepare
from dseg.datasets.public.store import Store, find_defects, find_state, obtain
from dseg.errors import DsegError
from dseg.settings.run import BenchmarkSettings

NOUNS = {"a-1": "undershirt", "b-2": "tshirt", "d-4": "hat"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as state:
        yield state


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_clothing(tmp_path / "original")


@pytest.fixture
def store(tmp_path: Path, original: Path, server: Loopback) -> Store:
    """The data set with three labelled photographs, served as the publisher packs it."""
    (original / "README.md").write_text("not needed")
    (source,) = BENCHMARKS["clothing"].sources
    archive = pack(original, tmp_path / "served" / source.name, inside="clothing-dataset-7ed86a9")
    sums = {"images.csv": digest(original / "images.csv").sha256}
    small = dataclasses.replace(BENCHMARKS["clothing"], images=3, sums=sums)
    return Store(serve_benchmark(server, small, {source.name: archive}), tmp_path / "data")


def get(store: Store) -> None:
    obtain(store, timeout=5, pause=0.001)


def pack_copy(images: Iterable[Path], folder: Path, inside: str = "") -> Path:
    """Photographs as copies hand them on: in an archive, mostly without a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "images.zip", "w") as packed:
        for path in images:
            packed.write(path, f"{inside}{path.name}")
    return folder


def is_whole(store: Store) -> bool:
    found = {each.id: each.noun for each in read_photographs(store.folder)}
    return find_state(store) == "prepared" and list(find_defects(store)) == [] and found == NOUNS


def test_from_the_public_archive(store: Store, server: Loopback) -> None:
    server.cuts = [60]
    get(store)
    assert find_state(store) == "downloaded" and list(find_defects(store)) == []
    assert prepare(store) is None and is_whole(store)
    assert [request.sent for request in server.requests][0] == 60 and len(server.requests) == 2
    (source,) = store.benchmark.sources
    kept = {path.name for path in store.folder.iterdir()}
    assert kept == {"images", "images.csv", source.name}
    store.file(source).unlink()
    assert is_whole(store)


@pytest.mark.parametrize("inside", ["", "images/", "photographs of mine/images/"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_copy_is_taken_over(
    store: Store, server: Loopback, original: Path, tmp_path: Path, linked: bool, inside: str
) -> None:
    copy = pack_copy((original / "images").iterdir(), tmp_path / "copy", inside)
    write_table(copy)
    store.folder.mkdir(parents=True)
    for path in copy.iterdir():
        place = store.folder / path.name
        place.symlink_to(path) if linked else place.write_bytes(path.read_bytes())
    assert find_state(store) == "downloaded"
    get(store)
    prepare(store)
    assert is_whole(store) and server.requests == []
    assert {path.name for path in copy.iterdir()} == {"images.zip", "images.csv"}
    recorded = json.loads(store.record.read_text())
    assert recorded["files"]["images.zip"]["sha256"] == digest(copy / "images.zip").sha256
    assert set(recorded["contents"]) == {"images.csv", *(f"images/{id}.jpg" for id in NOUNS)}


def test_a_copy_without_its_table_is_completed(
    store: Store, server: Loopback, original: Path
) -> None:
    pack_copy((original / "images").iterdir(), store.folder)
    assert find_state(store) == "partly downloaded"
    get(store)
    prepare(store)
    assert is_whole(store) and len(server.requests) == 1


def test_a_copy_that_lacks_a_photograph_is_named(
    store: Store, server: Loopback, original: Path
) -> None:
    pack_copy([original / "images" / "a-1.jpg"], store.folder)
    write_table(store.folder)
    get(store)
    with pytest.raises(DsegError, match=r"images/b-2\.jpg: missing, but .* 1 more"):
        prepare(store)
    assert find_state(store) == "unpacked" and server.requests == []


def test_a_copy_that_changed_since_it_was_recorded(store: Store, original: Path) -> None:
    pack_copy((original / "images").iterdir(), store.folder)
    write_table(store.folder)
    get(store)
    pack_copy([original / "images" / "a-1.jpg"], store.folder)
    (defect,) = find_defects(store)
    assert "images.zip: its SHA-256 is" in defect
    for act in (get, prepare):
        with pytest.raises(DsegError, match=r"images\.zip: its SHA-256 is"):
            act(store)


def test_an_unpacked_copy_is_taken_over(store: Store, server: Loopback, original: Path) -> None:
    store.root.mkdir()
    store.folder.symlink_to(original)
    get(store)
    prepare(store)
    assert is_whole(store) and server.requests == []


def test_another_table_is_refused(store: Store, original: Path) -> None:
    write_table(original, [("a-1", 8, "Undershirt"), *(row for row in ROWS if row[0] != "a-1")])
    store.root.mkdir()
    store.folder.symlink_to(original)
    with pytest.raises(DsegError, match=r"images\.csv: its SHA-256 is .*, the published file's"):
        prepare(store)
    assert not store.record.exists()


def test_another_number_of_photographs(store: Store, original: Path) -> None:
    store.root.mkdir()
    store.folder.symlink_to(original)
    more = Store(dataclasses.replace(store.benchmark, images=5096), store.root)
    with pytest.raises(DsegError) as error:
        prepare(more)
    assert str(error.value) == (
        f"{more.folder}: has 3 images where Clothing dataset has 5096; restore the others"
    )


def test_the_copy_as_it_is(
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commands as they are typed, on links to the files that are handed on; masks are made."""
    root, given = ["--root", str(tmp_path)], shared / "data" / "clothing"
    masks = tmp_path / "drawn"
    masks.mkdir()
    monkeypatch.setattr(masked, "MASKS", masks)
    for id in read_to_mask():
        Image.fromarray(np.eye(4, dtype=bool)).save(masks / f"{id}.png")
    (tmp_path / "clothing").mkdir()
    for name in ("images.csv", "images.zip"):
        (tmp_path / "clothing" / name).symlink_to(given / name)
    assert cli.main(["data", "download", "clothing", *root]) == 0
    assert cli.main(["data", "prepare", "clothing", *root]) == 0
    assert cli.main(["data", "verify", "clothing", *root]) == 0
    said = capsys.readouterr().out
    assert "clothing: prepared; 5096 photographs with labels" in said
    entries = [line for line in said.splitlines() if line.startswith("  ")]
    for split, entry in yaml.safe_load("\n".join(entries)).items():
        chosen = BenchmarkSettings(**entry)
        samples = open_benchmark(chosen.layout, Path(chosen.root), images=chosen.images)
        assert len(samples) == TO_MASK[split] and all(sample.noun for sample in samples)
    assert len(read_photographs(tmp_path / "clothing")) == 5096
