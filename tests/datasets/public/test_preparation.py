"""From archives to benchmarks that open, for each layout; SOD and VOC as they really are."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from loopback import Loopback, serve
from PIL import Image
from served_benchmarks import build_set, pack, serve_benchmark

from dseg.datasets.coco import LIST
from dseg.datasets.opening import open_benchmark
from dseg.datasets.public.catalogue import BENCHMARKS, Benchmark, Source
from dseg.datasets.public.preparation import binarise, prepare
from dseg.datasets.public.store import Store, find_defects, find_state, obtain
from dseg.errors import DsegError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as state:
        yield state


def get(
    server: Loopback, root: Path, benchmark: Benchmark, archives: dict[str, Path], **changes: object
) -> Store:
    """Serve a benchmark, fetch it, check it."""
    changed = dataclasses.replace(benchmark, **changes)
    store = Store(serve_benchmark(server, changed, archives), root)
    obtain(store, timeout=5, pause=0.001)
    assert find_state(store) == "downloaded" and list(find_defects(store)) == []
    return store


def test_sod_as_it_is(server: Loopback, shared: Path, tmp_path: Path) -> None:
    sod = shared / "data" / "sod"
    names = ("images", "masks")
    archives = {f"{name}.zip": pack(sod / name, tmp_path / f"{name}.zip") for name in names}
    sources = tuple(Source(f"{name}.zip", "", parts={name: name}) for name in names)
    server.cuts = [5_000_000]
    store = get(server, tmp_path / "data", BENCHMARKS["sod"], archives, sources=sources)
    size = (tmp_path / "images.zip").stat().st_size
    assert [request.sent for request in server.requests][:2] == [5_000_000, size - 5_000_000]
    assert prepare(store) == 0 and list(find_defects(store)) == []
    samples = open_benchmark("saliency", store.folder, images=300)
    expected = open_benchmark("saliency", sod, images=300)
    for mine, theirs in zip(samples[::60], expected[::60], strict=True):
        assert mine.id == theirs.id
        assert np.array_equal(mine.image(), theirs.image())
        assert np.array_equal(mine.mask(), theirs.mask())  # type: ignore[arg-type]


def test_voc_as_it_is(server: Loopback, shared: Path, tmp_path: Path) -> None:
    given = shared / "data" / "voc2012_100"
    devkit = tmp_path / "VOCdevkit"
    year = devkit / "VOC2012"
    shutil.copytree(given / "images", year / "JPEGImages")
    shutil.copytree(given / "Annotations", year / "Annotations")
    (year / "ImageSets" / "Main").mkdir(parents=True)
    ids = sorted(path.stem for path in (given / "images").iterdir())[:90]
    (year / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(ids))
    (year / "SegmentationClass").mkdir()
    (year / "SegmentationClass" / "a.png").write_bytes(b"not needed")
    name = BENCHMARKS["voc12"].sources[0].name
    archives = {name: pack(devkit, tmp_path / name)}
    store = get(server, tmp_path / "data", BENCHMARKS["voc12"], archives, images=90)
    assert prepare(store) is None and list(find_defects(store)) == []
    assert {path.name for path in store.folder.iterdir()} == {name, *BENCHMARKS["voc12"].holds}
    samples = open_benchmark("voc", store.folder, images=90)
    assert samples[0].boxes.tolist() == [[173, 100, 349, 351]]  # type: ignore[union-attr]
    xml = store.folder / "Annotations" / f"{ids[7]}.xml"
    xml.write_text(xml.read_text() + " ")
    (defect,) = find_defects(store)
    assert f"{ids[7]}.xml: differs" in defect


def test_dut_omron_with_its_zip_in_a_zip(server: Loopback, tmp_path: Path) -> None:
    made = build_set(tmp_path / "made")
    images, masks = (source.name for source in BENCHMARKS["dut-omron"].sources)
    inner = pack(
        made / "ground_truth_mask", tmp_path / "in" / "x.zip", inside="pixelwiseGT-new-PNG"
    )
    archives = {
        images: pack(made / "images", tmp_path / images, inside="DUT-OMRON-image"),
        masks: pack(inner.parent, tmp_path / masks),
    }
    store = get(server, tmp_path / "data", BENCHMARKS["dut-omron"], archives, images=3)
    assert prepare(store) == 0
    assert len(open_benchmark("saliency", store.folder, images=3)) == 3


def test_duts_in_one_archive(server: Loopback, tmp_path: Path) -> None:
    made = build_set(tmp_path / "made")
    top = tmp_path / "DUTS-TE"
    shutil.copytree(made / "images", top / "DUTS-TE-Image")
    shutil.copytree(made / "ground_truth_mask", top / "DUTS-TE-Mask")
    archives = {"DUTS-TE.zip": pack(top, tmp_path / "DUTS-TE.zip")}
    store = get(server, tmp_path / "data", BENCHMARKS["duts-te"], archives, images=3)
    prepare(store)
    assert len(open_benchmark("saliency", store.folder, images=3)) == 3


def test_pascal_s_is_scored_on_what_more_than_half_agree_on(
    server: Loopback, tmp_path: Path
) -> None:
    made = build_set(tmp_path / "made")
    grades = np.repeat(np.array([0, 21, 127, 128, 255], np.uint8), 2)[None].repeat(8, 0)[:, :9]
    for path in sorted((made / "ground_truth_mask").iterdir()):
        Image.fromarray(np.minimum(grades, 127 if path.stem == "0001" else 255)).save(path)
    top = tmp_path / "datasets"
    shutil.copytree(made / "images", top / "imgs" / "pascal")
    shutil.copytree(made / "images", top / "imgs" / "bruce")
    shutil.copytree(made / "ground_truth_mask", top / "masks" / "pascal")
    archives = {"salObj.zip": pack(top, tmp_path / "salObj.zip")}
    store = get(server, tmp_path / "data", BENCHMARKS["pascal-s"], archives, images=3)
    assert prepare(store) == 1
    first, empty, _ = open_benchmark("saliency", store.folder, images=3)
    assert np.array_equal(first.grey_mask(), np.where(grades > 127.5, 255, 0))  # type: ignore[arg-type]
    assert not empty.grey_mask().any()  # type: ignore[union-attr]


def test_masks_are_binarised_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    graded = build_set(tmp_path / "made") / "ground_truth_mask"
    (graded / "0002.png").write_bytes(b"")
    with pytest.raises(DsegError, match="0002.png: not a readable image"):
        binarise(graded, tmp_path / "masks")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


def test_of_coco_only_the_listed_images_are_unpacked(server: Loopback, tmp_path: Path) -> None:
    made = build_set(tmp_path / "made", 9)
    names = [f"train2014/{i:04d}.jpg" for i in (7, 2, 5)]
    (tmp_path / LIST).write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "annotations").mkdir()
    boxes = {"iscrowd": 0, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [{"id": i, "file_name": f"{i:04d}.jpg"} for i in range(9)],
        "annotations": [{"image_id": i} | boxes for i in range(9)],
    }
    (tmp_path / "annotations" / "instances_train2014.json").write_text(json.dumps(content))
    (tmp_path / "annotations" / "captions_train2014.json").write_text("not needed")
    archives = {
        LIST: tmp_path / LIST,
        "annotations_trainval2014.zip": pack(tmp_path / "annotations", tmp_path / "a.zip"),
        "train2014.zip": pack(made / "images", tmp_path / "t.zip", inside="train2014"),
    }
    store = get(server, tmp_path / "data", BENCHMARKS["coco20k"], archives, images=3)
    assert prepare(store) is None and list(find_defects(store)) == []
    assert len(list((store.folder / "train2014").iterdir())) == 3
    assert len(list((store.folder / "annotations").iterdir())) == 1
    samples = open_benchmark("coco", store.folder, images=3)
    assert [sample.id for sample in samples] == ["0002", "0005", "0007"]
    assert samples[0].boxes.tolist() == [[1, 2, 4, 6]]  # type: ignore[union-attr]


def test_an_interrupted_unpacking_is_finished(server: Loopback, tmp_path: Path) -> None:
    made = build_set(tmp_path / "made")
    archives = {
        source.name: pack(made / part, tmp_path / source.name)
        for source in BENCHMARKS["ecssd"].sources
        for part in source.parts
    }
    store = get(server, tmp_path / "data", BENCHMARKS["ecssd"], archives, images=3)
    (store.folder / ".images.zip.0123.tmp" / "images").mkdir(parents=True)
    shutil.copytree(made / "ground_truth_mask", store.folder / "ground_truth_mask")
    assert find_state(store) == "downloaded"
    prepare(store)
    assert {path.name for path in store.folder.iterdir()} == {
        "images",
        "ground_truth_mask",
        *archives,
    }


def test_a_file_that_changed_is_not_recorded_anew(tmp_path: Path) -> None:
    root = tmp_path / "data"
    build_set(root / "ecssd")
    store = Store(dataclasses.replace(BENCHMARKS["ecssd"], images=3), root)
    prepare(store)
    mask = store.folder / "ground_truth_mask" / "0001.png"
    whole = mask.read_bytes()
    Image.new("L", (9, 8)).save(mask)
    # A recorded name that is gone makes it unprepared, so that all of it is looked at again.
    (store.folder / "images" / "0002.jpg").rename(store.folder / "images" / "0002.jpeg")
    assert find_state(store) == "unpacked"
    with pytest.raises(DsegError, match=r"0001\.png: differs from what .*ecssd\.hashes\.json"):
        prepare(store)
    mask.write_bytes(whole)
    prepare(store)
    assert find_state(store) == "prepared"


def test_opening_a_large_benchmark_reads_no_image(shared: Path, tmp_path: Path) -> None:
    names = (shared / "data" / "lists" / LIST).read_text().split()
    shutil.copy(shared / "data" / "lists" / LIST, tmp_path)
    (tmp_path / "train2014").mkdir()
    source = tmp_path / names[0]
    source.write_bytes(b"")  # no image: reading it would fail
    for name in names[1:]:
        os.link(source, tmp_path / name)
    (tmp_path / "annotations").mkdir()
    content = {
        "images": [{"id": i, "file_name": Path(name).name} for i, name in enumerate(names)],
        "annotations": [{"image_id": 3, "iscrowd": 0, "bbox": [0, 0, 5, 5]}],
    }
    (tmp_path / "annotations" / "instances_train2014.json").write_text(json.dumps(content))
    samples = open_benchmark("coco", tmp_path, images=BENCHMARKS["coco20k"].images)
    assert samples[19816].path.is_file()
    assert len(samples[5:19000]) == 18995
    with pytest.raises(DsegError, match="not a readable image"):
        samples[0].image()
