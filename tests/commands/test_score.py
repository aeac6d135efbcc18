"""The command `score`: folders of maps and masks of any origin."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseg.cli import main
from dseg.evaluation.metrics import Accumulator
from dseg.evaluation.postprocessing import MODES, WITHOUT_SETTINGS, scored_maps
from dseg.evaluation.protocols import PROTOCOLS
from dseg.method.resample import match_size

SIZES = {"a": (30, 40), "b": (25, 33)}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders soft, masks and images with the same two images."""
    rng = np.random.default_rng(0)
    for name in ("soft", "masks", "images"):
        (tmp_path / name).mkdir()
    for name, (height, width) in SIZES.items():
        mask = np.zeros((height, width), bool)
        mask[5:20, 8:25] = True
        soft = 255 * (0.6 * mask + 0.4 * rng.random(mask.shape))
        image = np.where(mask[..., None], (200, 80, 40), (30, 90, 60)).astype(np.uint8)
        Image.fromarray(soft.astype(np.uint8)).save(tmp_path / "soft" / f"{name}.png")
        # One as 0 and 1, as some archives have them.
        values = mask.astype(np.uint8) * (255 if name == "a" else 1)
        Image.fromarray(values).save(tmp_path / "masks" / f"{name}.png")
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


def score(folder: Path, *more: str) -> int:
    given = ["--predictions", str(folder / "soft"), "--masks", str(folder / "masks")]
    return main(["score", *given, *more])


def records(folder: Path, file: str = "scores.csv") -> list[dict[str, str]]:
    with (folder / "out" / file).open(newline="") as opened:
        return list(csv.DictReader(opened))


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def test_every_combination_is_scored(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(folders / "out")
    assert score(folders, "--images", str(folders / "images"), "--out", out) == 0
    shown = capsys.readouterr().out
    assert "**Scores of soft**" in shown and "Percent, 2 images" in shown
    rows = records(folders)
    ways = [(row["postprocessing"], row["mode"], row["protocol"]) for row in rows]
    assert len(ways) == len(WITHOUT_SETTINGS) * len(MODES) * len(PROTOCOLS) == len(set(ways))
    accumulators = {way: Accumulator(way[2]) for way in ways}
    for name in SIZES:
        soft, mask = read(folders / "soft" / f"{name}.png"), read(folders / "masks" / f"{name}.png")
        image = read(folders / "images" / f"{name}.jpg")
        maps = scored_maps(soft, image, postprocessing=WITHOUT_SETTINGS, modes=MODES)
        for way, accumulator in accumulators.items():
            accumulator.update(maps[way[:2]], mask > 0, name)
    for row, way in zip(rows, ways, strict=True):
        for metric, value in accumulators[way].compute().items():
            assert float(row[metric]) == pytest.approx(100 * value, abs=1e-4)
    of_images = records(folders, "images.csv")
    assert len(of_images) == 2 * len(ways)
    first = accumulators[ways[0]].images[0]
    assert float(of_images[0]["iou"]) == pytest.approx(100 * first.iou, abs=1e-4)
    assert json.loads((folders / "out" / "scores.json").read_text())[0]["images"] == 2


def test_without_images_nothing_is_postprocessed(folders: Path) -> None:
    assert score(folders, "--protocol", "pysod", "--mode", "multi", "--out",
                 str(folders / "out")) == 0  # fmt: skip
    (row,) = records(folders)
    assert (row["postprocessing"], row["mode"], row["protocol"]) == ("none", "multi", "pysod")


def test_the_cut_takes_the_settings_of_a_run(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--images", str(folders / "images"), "--out", str(folders / "out")]
    assert score(folders, *options, "--postprocessing", "none", "cut") == 2
    said = capsys.readouterr().err
    assert "--postprocessing cut takes the settings of a run: list it under" in said
    assert not (folders / "out").exists()


def test_maps_may_be_named_as_dseg_segment_names_them(folders: Path) -> None:
    plain = str(folders / "plain")
    assert score(folders, "--out", plain) == 0
    for name in SIZES:
        (folders / "soft" / f"{name}.png").rename(folders / "soft" / f"{name}_soft.png")
        other = np.zeros((3, 3), np.uint8)
        Image.fromarray(other).save(folders / "soft" / f"{name}_mask.png")
    assert score(folders, "--suffix", "_soft", "--out", str(folders / "out")) == 0
    assert (folders / "out/images.csv").read_bytes() == (folders / "plain/images.csv").read_bytes()


def test_a_threshold_reaches_accuracy_and_components(folders: Path) -> None:
    options = ["--protocol", "tokencut", "--out", str(folders / "out")]
    assert score(folders, *options, "--threshold", "0.05") == 0
    low = [float(row["iou"]) for row in records(folders)]
    assert score(folders, *options) == 0
    assert [float(row["iou"]) for row in records(folders)] > low


def test_maps_of_another_size_are_resized_as_in_a_run(folders: Path) -> None:
    small = np.random.default_rng(1).integers(0, 256, (12, 16), dtype=np.uint8)
    Image.fromarray(small).save(folders / "soft" / "b.png")
    options = ["--protocol", "tokencut", "--mode", "multi", "--out", str(folders / "out")]
    assert score(folders, *options) == 0
    accumulator = Accumulator("tokencut")
    mask = read(folders / "masks" / "b.png") > 0
    accumulator.update(match_size(small, SIZES["b"]), mask, "b")
    row = next(row for row in records(folders, "images.csv") if row["id"] == "b")
    assert float(row["iou"]) == pytest.approx(100 * accumulator.images[0].iou, abs=1e-4)


def test_a_suffix_that_was_not_given_is_named(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in SIZES:
        (folders / "soft" / f"{name}.png").rename(folders / "soft" / f"{name}_soft.png")
    assert score(folders) == 2
    assert "no file a.* but a_soft.png: give" in (said := capsys.readouterr().err)
    assert "--suffix=_soft" in said


def test_grey_truths_are_cut_at_one_half_unless_told_otherwise(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full(SIZES["a"], 200, np.uint8)).save(folders / "masks" / "a.png")
    found = {}
    for truth in ("half", "protocol"):
        options = ["--protocol", "selfmask", "--mode", "multi", "--out", str(folders / "out")]
        assert score(folders, *options, "--truth", truth) == 0
        assert "1 of 2 masks are grey, in 100.0 % of their pixels" in capsys.readouterr().err
        found[truth] = float(records(folders, "images.csv")[0]["iou"])
    assert found["half"] > found["protocol"] == 0  # selfmask: only 255 is foreground
    assert score(folders, "--truth", "some") == 2
    assert "--truth some: expected one of half, protocol" in capsys.readouterr().err


def spoil_image(folder: Path) -> None:
    Image.new("RGB", (40, 31)).save(folder / "images" / "a.jpg")


def spoil_depth(folder: Path) -> None:
    Image.fromarray(np.full((30, 40), 60000, np.uint16)).save(folder / "soft" / "a.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_image, "a.jpg is 40 x 31 but"),
        (spoil_depth, "a.png: has more than 8 bits a value"),
        (lambda folder: (folder / "soft" / "a.png").unlink(), "soft: no file a.* to go with"),
        (lambda folder: (folder / "masks" / "a.png").unlink(), "masks: no file a.* to go with"),
        (lambda folder: (folder / "images" / "a.jpg").unlink(), "images: no file a.* to go"),
        (lambda folder: (folder / "soft" / "a.png").write_text(""), "a.png: not a readable"),
        (lambda folder: (folder / "masks").rename(folder / "gone"), "masks: no such folder"),
    ],
)
def test_what_is_wrong_with_files_is_one_line(
    folders: Path, capsys: pytest.CaptureFixture[str], spoil: object, words: str
) -> None:
    spoil(folders)  # type: ignore[operator]
    out = folders / "out"
    assert score(folders, "--images", str(folders / "images"), "--out", str(out)) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert words in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "maxF"], "'maxF': expected one of tokencut"),
        (["--postprocessing", "bilateral-found"], "needs the images: add --images"),
        (["--threshold", "2"], "--threshold 2: expected a number from 0 to 1"),
        (["--mode", "largest"], "'largest': expected multi, single"),
    ],
)
def test_bad_options_are_one_line(
    folders: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert score(folders, *options) == 2
    assert words in capsys.readouterr().err


def test_the_maps_of_sod_give_the_published_scores(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sod = shared / "data" / "sod"
    options = ["--masks", str(sod / "masks"), "--out", str(tmp_path / "out")]
    maps = str(sod / "saliency_maps" / "PiCANet")
    narrow = ["--protocol", "curve", "--mode", "multi"]
    assert main(["score", "--predictions", maps, *options, *narrow]) == 0
    assert "Percent, 300 images" in capsys.readouterr().out
    (row,) = records(tmp_path)
    expected = json.loads((sod / "expected_scores.json").read_text())["PiCANet"]["mat_file"]
    for ours, theirs in (("max_f", "MaxFmeasure"), ("mae", "MAE"), ("max_iou", "maxIoU")):
        assert float(row[ours]) == pytest.approx(100 * expected[theirs], abs=1e-4)
