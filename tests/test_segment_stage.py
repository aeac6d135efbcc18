"""`dseg segment`, from files to files."""

import csv
import json
import os
import stat
import sys

import numpy as np
import pytest
from PIL import Image

from dseg.cli import main
from dseg.stages import segment

pytest_plugins = ("tiny_pipeline", "stage_two", "exported_head")


@pytest.fixture
def photos(benchmark, tmp_path):
    """A folder of three images, one of them turned, one of few bytes and one not readable."""
    folder = tmp_path / "photos"
    (folder / "köttbullar ☃").mkdir(parents=True)
    images = sorted((benchmark / "images").iterdir())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images[1]).save(folder / "turned.jpg", exif=exif)
    Image.open(images[0]).save(folder / "köttbullar ☃" / "a b.png")
    Image.new("L", (1, 1), 9).save(folder / "dot.gif")
    return folder


def run(exported, *words, out, status=0):
    arguments = ["segment", *map(str, words), "--model", str(exported), "--out", str(out)]
    assert main([*arguments, "--device", "cpu"]) == status


def results(out):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return json.loads((out / "results.json").read_text("utf-8")), rows


def test_every_image_gets_its_files_and_its_line(exported, photos, tmp_path, capsys):
    out = tmp_path / "out"
    run(exported, photos, out=out)
    said, rows = results(out)
    assert [image["path"] for image in said["images"]] == [row["path"] for row in rows]
    assert {image["mask"] for image in said["images"]} == {
        "turned_mask.png",
        "dot_mask.png",
        "köttbullar ☃/a b_mask.png",
    }
    listed = {image[kind] for image in said["images"] for kind in ("mask", "soft", "overlay")}
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == listed | {"results.json", "results.csv"}
    for image, row in zip(said["images"], rows, strict=True):
        mask, soft = (Image.open(out / image[kind]) for kind in ("mask", "soft"))
        assert mask.size == soft.size == (image["width"], image["height"])
        assert set(np.unique(mask)) <= {0, 255}
        assert ((np.array(soft) >= 128) >= (np.array(mask) > 0)).all()
        assert image["area"] == pytest.approx((np.array(mask) > 0).mean(), abs=1e-5)
        assert image["error"] is None and row["error"] == ""
        assert int(row["boxes"]) == len(image["boxes"])
        if image["boxes"]:
            assert int(row["x1"]) == image["boxes"][0]["x1"] <= image["width"]
    turned = next(image for image in said["images"] if image["orientation"] == 6)
    assert (turned["width"], turned["height"]) == (48, 40)  # stored as 40 x 48
    assert said["method"] == "head" and len(said["base_model"]) == 64
    error = capsys.readouterr().err
    assert "warning: this model knows the embedded world only" in error
    assert "segment: 3 images in" in error


def test_batches_and_the_place_of_a_file_change_nothing(exported, photos, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    run(exported, photos, out=first)
    monkeypatch.setattr(segment, "BATCH_PIXELS", 1)  # every image is a batch of its own
    run(exported, photos / "turned.jpg", photos, "--batch-size", 2, out=second)
    one, other = (
        {image["path"]: image for image in results(out)[0]["images"]} for out in (first, second)
    )
    assert one.keys() == other.keys()
    for path, image in one.items():
        assert other[path]["area"] == pytest.approx(image["area"], abs=2e-3)
        soft = [np.array(Image.open(out / image["soft"])).astype(int) for out in (first, second)]
        assert np.abs(soft[0] - soft[1]).max() <= 1


def test_the_same_call_gives_the_same_bytes(exported, photos, tmp_path):
    out = tmp_path / "out"
    run(exported, photos, out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run(exported, photos, "--force", out=out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_nothing_is_overwritten_without_force(exported, photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "dot_mask.png").write_text("mine")
    run(exported, photos, out=out, status=2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "dot_mask.png would be overwritten" in error
    assert [path.name for path in out.iterdir()] == ["dot_mask.png"]
    assert (out / "dot_mask.png").read_text() == "mine"
    run(exported, photos, "--force", out=out)
    assert Image.open(out / "dot_mask.png").size == (1, 1)
    run(exported, photos / "dot.gif", out=out, status=2)
    assert "results.json and 4 more would be overwritten" in capsys.readouterr().err


def test_what_cannot_be_read_is_skipped_and_reported(exported, photos, tmp_path, capsys):
    out = tmp_path / "out"
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "empty.png").touch()
    run(exported, photos, tmp_path / "missing.jpg", out=out, status=1)
    said, rows = results(out)
    errors = {os.path.basename(image["path"]): image["error"] for image in said["images"]}
    assert errors == {
        "broken.jpg": "not an image of a known format",
        "dot.gif": None,
        "empty.png": "an empty file",
        "turned.jpg": None,
        "a b.png": None,
        "missing.jpg": "no such file",
    }
    assert [row["error"] for row in rows] == [error or "" for error in errors.values()]
    assert not list(out.glob("broken*"))
    error = capsys.readouterr().err
    assert f"skipped {tmp_path / 'missing.jpg'}: no such file\n" in error
    assert "segment: 3 images in" in error and "3 not readable" in error


def test_nothing_readable_needs_no_model(tmp_path):
    run(tmp_path / "no model", tmp_path / "missing.jpg", out=tmp_path / "out", status=1)
    said, rows = results(tmp_path / "out")
    assert said["images"] == [{"path": str(tmp_path / "missing.jpg"), "error": "no such file"}]
    assert rows[0]["mask"] == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--noun", "cat"], "--noun goes with --method attentioncut"),
        (["--base-model", "x/y"], "--base-model goes with --method attentioncut"),
        (["--batch-size", "0"], "--batch-size: 0, expected at least 1"),
    ],
)
def test_options_that_do_not_fit_are_an_error(exported, photos, tmp_path, words, reason, capsys):
    run(exported, photos, *words, out=tmp_path / "out", status=2)
    assert capsys.readouterr().err.startswith(f"error: {reason}")
    assert not (tmp_path / "out").exists()


def test_attentioncut_is_told_a_noun(exported, photos, tmp_path, capsys):
    words = ("--method", "attentioncut", "--noun")
    run(exported, photos, *words, "moon", out=tmp_path / "moon")
    assert results(tmp_path / "moon")[0]["noun"] == "moon"
    assert "its words are" not in capsys.readouterr().err
    run(exported, photos / "dot.gif", *words, "cat", out=tmp_path / "cat")
    assert "'cat' is none" in capsys.readouterr().err


def test_an_interrupted_run_leaves_whole_files_and_their_list(
    exported, photos, tmp_path, monkeypatch
):
    segmenter = segment.load_head(exported, device="cpu")
    method, calls = segmenter.method, []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return method(images)

    interrupted.size = method.size
    stopping = type(segmenter)(interrupted, segmenter.threshold, segmenter.about)
    monkeypatch.setattr(segment, "load_head", lambda *_, **__: stopping)
    out = tmp_path / "out"
    run(exported, photos, "--batch-size", 1, out=out, status=130)
    (done,) = results(out)[0]["images"]
    names = {done["mask"], done["soft"], done["overlay"], "results.json", "results.csv"}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == names


def test_a_place_that_cannot_be_written_is_one_line(exported, photos, tmp_path, capsys):
    (tmp_path / "file").touch()
    run(exported, photos, out=tmp_path / "file", status=2)
    run(exported, photos, out=tmp_path / "file" / "deeper", status=2)
    error = capsys.readouterr().err
    assert error.count("results cannot be written there") == 2 and error.count("\n") == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_one_line(exported, photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    run(exported, photos, out=out, status=2)
    assert "results cannot be written there" in capsys.readouterr().err


def test_a_folder_that_fails_on_the_way_is_one_line(exported, photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "köttbullar ☃").touch()  # where a folder of results has to go
    run(exported, photos, "--batch-size", 1, out=out, status=2)
    assert "cannot be written" in capsys.readouterr().err
    assert [image["mask"] for image in results(out)[0]["images"]] == [
        "dot_mask.png",
        "turned_mask.png",
    ]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_name_that_is_not_unicode(exported, photos, tmp_path):
    source = os.fsencode(photos / "dot.gif")
    os.rename(source, source.replace(b"dot", b"d\xff\xfet"))
    run(exported, photos, out=tmp_path / "out")
    paths = [image["path"] for image in results(tmp_path / "out")[0]["images"]]
    assert any(path.endswith(r"d\xff\xfet.gif") for path in paths)


def test_real_photographs(exported, shared, tmp_path):
    paths = sorted((shared / "data" / "sod" / "images").glob("*.jpg"))[:3]
    assert len(paths) == 3
    run(exported, *paths, out=tmp_path / "out")
    for image, path in zip(results(tmp_path / "out")[0]["images"], paths, strict=True):
        with Image.open(path) as photo, Image.open(tmp_path / "out" / image["mask"]) as mask:
            assert photo.size == mask.size == (image["width"], image["height"])
