"""`dseg segment`, from files to files."""

import csv
import json
import os
import resource
import signal
import stat
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dseg.cli import main
from dseg.commands import segment

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
    assert "segment: 3 images in" in error and "3 skipped" in error


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


@pytest.fixture
def stopping(exported, monkeypatch):
    """Makes a call be told to end in its second batch, by a real signal."""

    def stop(number):
        segmenter = segment.load_head(exported, device="cpu")
        method, calls = segmenter.method, []

        def ended(images):
            calls.append(len(images))
            if len(calls) == 2:
                os.kill(os.getpid(), number)
                time.sleep(10)
            return method(images)

        ended.size = method.size
        ending = type(segmenter)(ended, segmenter.threshold, segmenter.about)
        monkeypatch.setattr(segment, "load_head", lambda *_, **__: ending)

    return stop


def files(out):
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_call_that_is_told_to_end_is_gone_on_with(
    exported, photos, tmp_path, stopping, monkeypatch, capsys, number, status
):
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(exported, photos, "--batch-size", 1, out=whole)
    stopping(number)
    run(exported, photos, "--batch-size", 1, out=out, status=status)
    monkeypatch.undo()
    (done,) = results(out)[0]["images"]
    stamp = (out / done["mask"]).stat().st_mtime_ns
    run(exported, photos, "--batch-size", 1, out=out, status=2)
    assert "--resume to go on" in capsys.readouterr().err
    run(exported, photos, "--batch-size", 1, "--resume", out=out)
    assert "segment: 3 images in" in (error := capsys.readouterr().err)
    assert ", 1 of them before, 0 skipped" in error
    assert (out / done["mask"]).stat().st_mtime_ns == stamp
    one, other = files(whole), files(out)
    assert {path.relative_to(whole): value for path, value in one.items()} == {
        path.relative_to(out): value for path, value in other.items()
    }


def test_resume_does_again_what_is_not_whole_and_begins_where_nothing_is(
    exported, photos, tmp_path, capsys
):
    out = tmp_path / "out"
    run(exported, photos, "--resume", out=out)
    before = files(out)
    (out / "dot_mask.png").write_bytes(before[out / "dot_mask.png"][:-20])
    (out / "turned_soft.png").unlink()
    os.utime(photos / "köttbullar ☃" / "a b.png", (2e9, 2e9))  # newer than its results
    capsys.readouterr()
    run(exported, photos, "--resume", out=out)
    assert "segment: 3 images in" in (error := capsys.readouterr().err) and "before" not in error
    assert files(out) == before


def test_resume_refuses_what_is_another_call(exported, heads, photos, tmp_path, capsys):
    out, other = tmp_path / "out", heads.export("rgb", tmp_path / "rgb")
    run(exported, photos, out=out)
    before = files(out)
    run(other, photos, "--resume", out=out, status=2)
    assert 'results.json: base_model was "' in capsys.readouterr().err
    run(exported, photos / "dot.gif", "--resume", out=out, status=2)
    assert "which this call has not: give all paths" in capsys.readouterr().err
    run(exported, photos, "--resume", "--force", out=out, status=2)
    assert "give one of them" in capsys.readouterr().err
    assert files(out) == before
    (out / "results.json").write_text("{")
    run(exported, photos, "--resume", out=out, status=2)
    assert "results.json: no JSON" in capsys.readouterr().err


def test_its_own_results_are_never_taken_for_images(exported, photos, tmp_path, capsys):
    (tmp_path / "link").symlink_to(photos)
    (photos / "other").mkdir()
    Image.new("L", (2, 2)).save(photos / "other" / "b.png")
    for paths, out in (
        ([photos], photos),
        ([photos], tmp_path / "link"),
        ([photos / "other", photos / "köttbullar ☃"], photos),  # mirrored: in those folders
    ):
        run(exported, *paths, "--force", out=out, status=2)
        assert "would lie among the images of" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*_mask.png"))
    run(exported, photos, out=photos / "masks")
    run(exported, photos, "--force", out=photos / "masks")
    assert len(results(photos / "masks")[0]["images"]) == 4


def test_an_empty_path_is_not_the_current_folder(exported, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    with pytest.raises(SystemExit) as end:
        run(exported, "", out=tmp_path / "out")
    assert end.value.code == 2 and "an empty path" in capsys.readouterr().err


@pytest.mark.parametrize("length", [236, 205 + 50 - 4])
def test_a_name_too_long_for_results_costs_that_image_only(
    exported, photos, tmp_path, capsys, length
):
    name = "n" * (length - 4) + ".gif"
    (photos / "dot.gif").rename(photos / name)
    too_long = length > 255 - len("_overlay.jpg") + 4
    run(exported, photos, out=tmp_path / "out", status=int(too_long))
    images = {image["path"]: image for image in results(tmp_path / "out")[0]["images"]}
    assert len(images) == 3 and bool(images[str(photos / name)]["error"]) == too_long
    assert ("its name is too long" in capsys.readouterr().err) == too_long
    assert len(list((tmp_path / "out").rglob("*.png"))) == (4 if too_long else 6)


def test_a_full_disk_names_what_was_done(exported, photos, tmp_path, capsys):
    Image.new("L", (3, 3), 9).save(photos / "a.gif")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    Image.fromarray(noise).save(photos / "e.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The nearest to a full disk that needs no rights: no file may grow beyond so many bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, hard))
    try:
        run(exported, photos, "--batch-size", 1, out=tmp_path / "out", status=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err
    assert f"error: {tmp_path / 'out' / 'e_mask.png'}: File too large; 2 images done" in error
    assert "results.json: File too large. Done are:\n" in error
    assert f"{photos / 'a.gif'}\n{photos / 'dot.gif'}\n" in error
    assert not list((tmp_path / "out").glob(".*"))


def test_images_by_any_suffix_are_read_or_named(exported, photos, tmp_path, capsys):
    Image.new("L", (4, 4)).save(photos / "dot.jfif", format="JPEG")
    (photos / "raw.DNG").write_bytes(b"raw")
    (photos / "notes.txt").write_text("no image")
    run(exported, photos, out=tmp_path / "out", status=1)
    error = capsys.readouterr().err
    assert f"skipped {photos / 'raw.DNG'}: raw is not read" in error and "notes" not in error
    assert "dot.jfif differ in the suffix only: their results keep it, as in dot.gif_mask.png" in (
        error
    )
    assert (tmp_path / "out" / "dot.jfif_mask.png").exists()


def test_one_image_is_one_image(exported, photos, tmp_path, capsys):
    run(exported, photos / "dot.gif", out=tmp_path / "out")
    assert "segment: 1 image in" in capsys.readouterr().err


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
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {out / 'köttbullar ☃'}: ") and "a file stands where" in error
    assert error.endswith("; 2 images done, go on with --resume")
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


def test_untold_the_noun_is_what_the_heads_run_says_of_every_image(root):
    heads = root / "models"
    assert segment._usual_noun(heads / "dseg-head-photos", None) == "tshirt"
    assert segment._usual_noun(heads / "dseg-head-photos", "OWNER/NAME") == "object"
    assert segment._usual_noun(heads / "dseg-head-embedded", None) == "object"
