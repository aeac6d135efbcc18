"""The masked photographs as benchmarks, of photographs and masks that are made up."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from made_clothing import write_clothing
from PIL import Image

from dseg.datasets.clothing import masked
from dseg.datasets.clothing.grounds import caption
from dseg.datasets.clothing.photographs import read_photographs
from dseg.datasets.opening import open_benchmark
from dseg.errors import DsegError
from dseg.method.ground import name_ground

TO_MASK = {"a-1": "val", "b-2": "test", "d-4": "test"}
COUNTS = {"val": 1, "test": 2}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photographs 8 x 6, of which masks are known: their upper three rows."""
    mask = np.zeros((8, 6), bool)
    mask[:3] = True
    masks = tmp_path / "masks"
    masks.mkdir()
    for id in TO_MASK:
        Image.fromarray(mask).save(masks / f"{id}.png")
    monkeypatch.setattr(masked, "MASKS", masks)
    monkeypatch.setattr(masked, "TO_MASK", COUNTS)
    monkeypatch.setattr(masked, "read_to_mask", lambda: TO_MASK)
    return write_clothing(tmp_path / "clothing")


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_split_is_a_benchmark_with_nouns(root: Path) -> None:
    assert masked.write_masked(root) == COUNTS
    known = {each.id: each for each in read_photographs(root)}
    for split, count in COUNTS.items():
        samples = open_benchmark("saliency", root / split, images=count)
        assert set(samples.ids) == {id for id, its in TO_MASK.items() if its == split}
        for sample in samples:
            photograph = known[sample.id]
            assert sample.noun == photograph.noun
            assert np.array_equal(sample.image(), photograph.image())
            mask = sample.mask()
            assert mask is not None and mask[:3].all() and not mask[3:].any()
        with (root / split / "captions.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                photograph = known[row["id"]]
                assert row["caption"] == caption(row["noun"], name_ground(photograph.image()))


def test_what_is_there_already_is_left_as_it_is(root: Path) -> None:
    (root / "val").mkdir()
    (root / "val" / "mine.txt").write_text("of somebody")
    assert masked.write_masked(root) == COUNTS
    assert list(files(root / "val")) == ["mine.txt"] and len(files(root / "test")) == 5
    before = files(root)
    (root / "images" / "a-1.jpg").unlink()  # nor is anything read
    del before["images/a-1.jpg"]
    masked.write_masked(root)
    assert files(root) == before


def test_a_photograph_with_a_mask_must_be_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked, "read_to_mask", lambda: {**TO_MASK, "e-5": "val"})
    with pytest.raises(DsegError, match="has no photograph e-5, which has a mask; empty the"):
        masked.write_masked(root)
    assert {each.name for each in root.iterdir()} == {"images", "images.csv"}


def test_a_split_is_written_whole_or_not_at_all(root: Path) -> None:
    (root / "images" / "d-4.jpg").write_bytes(b"no image")
    with pytest.raises(DsegError, match=r"d-4\.jpg"):
        masked.write_masked(root)
    # Files whose name begins with a dot are looked for as well.
    assert set(os.listdir(root)) == {"images", "images.csv", "val"}


def test_masks_are_enlarged_to_larger_photographs(root: Path) -> None:
    for id in TO_MASK:
        pixels = np.full((48, 36, 3), 99, np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{id}.jpg")
    masked.write_masked(root)
    for sample in open_benchmark("saliency", root / "test", images=2):
        mask = sample.mask()
        assert mask is not None and mask.shape == (48, 36)
        assert mask[:18].all() and not mask[18:].any()


def test_a_mask_of_the_size_asked_for_is_itself() -> None:
    mask = np.random.default_rng(0).random((9, 7)) > 0.5
    assert masked.enlarge(mask, (9, 7)) is mask
    large = masked.enlarge(mask, (27, 21))
    assert np.array_equal(large[1::3, 1::3], mask)  # the middle of each old pixel keeps its side
