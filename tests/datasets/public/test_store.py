"""A benchmark on disk: fetched or taken over, recorded once and checked ever after."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from loopback import Loopback, serve
from PIL import Image
from served_benchmarks import build_set, pack, serve_benchmark

from dseg.datasets.public.catalogue import BENCHMARKS
from dseg.datasets.public.preparation import prepare
from dseg.datasets.public.store import Store, find_defects, find_state, obtain
from dseg.errors import DsegError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as state:
        yield state


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return build_set(tmp_path / "original")


@pytest.fixture
def store(tmp_path: Path, original: Path, server: Loopback) -> Store:
    """ECSSD with three images, to be fetched from the loopback server."""
    small = dataclasses.replace(BENCHMARKS["ecssd"], images=3)
    archives = {
        source.name: pack(original / part, tmp_path / "served" / source.name)
        for source in small.sources
        for part in source.parts
    }
    return Store(serve_benchmark(server, small, archives), tmp_path / "data")


def get(store: Store) -> None:
    obtain(store, timeout=5, pause=0.001)


def test_from_nothing_to_a_benchmark_that_opens(store: Store, server: Loopback) -> None:
    server.cuts = [40]
    assert find_state(store) == "absent"
    with pytest.raises(DsegError, match=r"images\.zip: no such file; `dseg data download ecssd`"):
        prepare(store)
    get(store)
    assert find_state(store) == "downloaded" and list(find_defects(store)) == []
    assert prepare(store) == 0
    assert find_state(store) == "prepared" and list(find_defects(store)) == []
    asked = len(server.requests)
    get(store)
    prepare(store)
    assert len(server.requests) == asked == 3


def test_archives_may_go_once_it_is_prepared(store: Store) -> None:
    get(store)
    prepare(store)
    for source in store.benchmark.sources:
        store.file(source).unlink()
    assert find_state(store) == "prepared" and list(find_defects(store)) == []


def test_what_is_partly_there(store: Store, server: Loopback) -> None:
    server.cuts = [40, 0, 0, 0, 0]
    with pytest.raises(DsegError, match="gave up"):
        get(store)
    assert find_state(store) == "partly downloaded"
    get(store)
    assert find_state(store) == "downloaded"


def test_a_complete_file_is_taken_over(store: Store, server: Loopback, tmp_path: Path) -> None:
    store.folder.mkdir(parents=True)
    shutil.copy(tmp_path / "served" / "images.zip", store.folder)
    get(store)
    assert [request.path for request in server.requests] == ["/ground_truth_mask.zip"]
    assert set(json.loads(store.record.read_text())["files"]) == {
        "images.zip",
        "ground_truth_mask.zip",
    }


@pytest.mark.parametrize("linked", [False, True])
def test_an_unpacked_copy_is_taken_over(
    store: Store, server: Loopback, original: Path, linked: bool
) -> None:
    store.root.mkdir(parents=True)
    if linked:
        store.folder.symlink_to(original)
    else:
        shutil.copytree(original, store.folder)
    assert find_state(store) == "unpacked"
    get(store)
    prepare(store)
    assert server.requests == [] and find_state(store) == "prepared"
    assert not list(original.glob("*.json"))


def test_a_broken_file_is_not_taken_over(store: Store, tmp_path: Path) -> None:
    store.folder.mkdir(parents=True)
    whole = (tmp_path / "served" / "images.zip").read_bytes()
    (store.folder / "images.zip").write_bytes(whole[:-100])
    with pytest.raises(DsegError, match=r"ecssd/images\.zip: not a whole archive.*fetch it again"):
        get(store)
    assert (store.folder / "images.zip").stat().st_size == len(whole) - 100
    assert not store.record.exists()


def test_a_page_in_place_of_the_file_is_refused(store: Store, server: Loopback) -> None:
    server.files["images.zip"] = b"<html>moved</html>"
    with pytest.raises(
        DsegError, match=r"a web page.*fetched from .*kept as .*images\.zip\.refused"
    ):
        get(store)
    assert not store.file(store.benchmark.sources[0]).exists()
    assert find_state(store) == "absent"


def test_a_file_that_changed_since_it_was_recorded(store: Store, server: Loopback) -> None:
    get(store)
    path = store.file(store.benchmark.sources[0])
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    (defect,) = find_defects(store)
    assert "images.zip: its SHA-256 is" in defect and str(store.record) in defect
    for act in (get, prepare):
        with pytest.raises(DsegError, match=r"images\.zip: its SHA-256"):
            act(store)
    path.unlink()
    server.files["images.zip"] = bytes(content)  # the server's copy changed as well
    with pytest.raises(DsegError, match="SHA-256.*fetched from"):
        get(store)
    assert not path.exists()


@pytest.mark.parametrize(
    ("known", "words"),
    [({"size": 7}, "published file has 7"), ({"md5": "0" * 32}, "its MD5 sum is")],
)
def test_published_sizes_and_sums(store: Store, known: dict, words: str) -> None:
    first = dataclasses.replace(store.benchmark.sources[0], **known)
    benchmark = dataclasses.replace(store.benchmark, sources=(first,))
    with pytest.raises(DsegError, match=words):
        get(Store(benchmark, store.root))
    assert not store.record.exists()


def test_broken_and_missing_files_are_all_named(store: Store) -> None:
    get(store)
    prepare(store)
    (store.folder / "images" / "0001.jpg").unlink()
    mask = store.folder / "ground_truth_mask" / "0002.png"
    mask.write_bytes(mask.read_bytes()[:-1])
    defects = list(find_defects(store))
    assert len(defects) == 3
    assert "images/0001.jpg: no such file" in defects[0] or "0001.jpg" in defects[1]
    assert any("0002.png: differs" in defect for defect in defects)
    assert "has 2 images where ECSSD has 3" in defects[2]
    with pytest.raises(DsegError, match="has 2 images where ECSSD has 3"):
        prepare(store)


def test_a_broken_image_is_named_before_any_run(store: Store, original: Path) -> None:
    (original / "images" / "0001.jpg").write_bytes(b"no picture")
    Image.new("L", (3, 3)).save(original / "ground_truth_mask" / "0002.png")
    shutil.copytree(original, store.folder)
    with pytest.raises(DsegError, match=r"0001\.jpg: not a readable image.*; .*0002\.png is 3 x 3"):
        prepare(store)
    assert find_state(store) == "unpacked"


def test_a_wrong_number_of_images(store: Store) -> None:
    more = dataclasses.replace(store.benchmark, images=1000)
    larger = Store(more, store.root)
    get(larger)
    with pytest.raises(DsegError, match="ecssd: has 3 images where ECSSD has 1000"):
        prepare(larger)
    assert find_state(larger) == "unpacked"


def test_of_an_unpacked_benchmark_its_own_lack_is_said(
    store: Store, server: Loopback, original: Path
) -> None:
    shutil.copytree(original, store.folder)
    (store.folder / "ground_truth_mask" / "0001.png").unlink()
    assert find_state(store) == "unpacked"
    for act in (get, prepare):
        with pytest.raises(DsegError, match=r"ground_truth_mask/0001\.png: missing mask"):
            act(store)
    # Folders that open too, but are not those of the archive.
    (store.folder / "ground_truth_mask").rename(store.folder / "masks")
    assert find_state(store) == "partly downloaded"
    with pytest.raises(DsegError, match=r"mask\.zip: no such file.*masks/0001\.png: missing mask"):
        prepare(store)
    assert server.requests == []
    (store.folder / "masks" / "0001.png").write_bytes((original / "images/0001.jpg").read_bytes())
    get(store)
    assert server.requests == []


def test_graded_masks_are_not_needed_where_masks_are(tmp_path: Path, original: Path) -> None:
    store = Store(dataclasses.replace(BENCHMARKS["pascal-s"], images=3), tmp_path / "data")
    shutil.copytree(original / "images", store.folder / "images")
    shutil.copytree(original / "ground_truth_mask", store.folder / "masks")
    (store.folder / "masks" / "0001.png").unlink()
    assert find_state(store) == "unpacked"
    for act in (get, prepare):
        with pytest.raises(DsegError, match=r"masks/0001\.png: missing mask"):
            act(store)


def test_nobody_is_told_to_remove_their_own_images(store: Store, original: Path) -> None:
    store.root.mkdir(parents=True)
    store.folder.symlink_to(original)
    mine = Store(dataclasses.replace(store.benchmark, images=1000), store.root)
    for act in (get, prepare):
        with pytest.raises(DsegError) as error:
            act(mine)
        assert str(error.value) == (
            f"{mine.folder}: has 3 images where ECSSD has 1000; restore the others or, if they are "
            "your own images, name this folder under `benchmarks` in a profile instead"
        )


def test_nothing_is_recorded_yet(store: Store, original: Path) -> None:
    (defect,) = find_defects(store)
    assert "nothing is recorded of it yet" in defect
    store.root.mkdir(exist_ok=True)
    store.record.write_text("{}")
    with pytest.raises(DsegError, match=r"ecssd\.hashes\.json: not a record of hashes"):
        list(find_defects(store))


def test_a_benchmark_without_an_address(tmp_path: Path, original: Path) -> None:
    store = Store(dataclasses.replace(BENCHMARKS["sod"], images=3), tmp_path / "data")
    with pytest.raises(DsegError, match="sod has no public address.*images and masks into .*sod"):
        get(store)
    with pytest.raises(DsegError, match="sod: no such folder"):
        prepare(store)
    shutil.copytree(original / "images", store.folder / "images")
    shutil.copytree(original / "ground_truth_mask", store.folder / "masks")
    get(store)
    assert prepare(store) == 0 and find_state(store) == "prepared"
