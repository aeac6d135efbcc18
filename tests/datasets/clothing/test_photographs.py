"""Photographs of clothes: a table and a folder, each photograph with one noun and one sender."""

import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_clothing import ROWS, published_photographs, write_clothing, write_table
from PIL import Image

from dseg.datasets.clothing.photographs import (
    FOLDER,
    LEFT_OUT,
    NOUNS,
    Photograph,
    open_clothing,
    read_photographs,
)
from dseg.errors import DsegError


def test_labelled_photographs_by_id(tmp_path: Path) -> None:
    found = read_photographs(write_clothing(tmp_path))
    assert [(each.id, each.noun, each.sender) for each in found] == [
        ("a-1", "undershirt", 7),
        ("b-2", "tshirt", 7),
        ("d-4", "hat", 30),
    ]
    assert [(sample.id, sample.noun) for sample in open_clothing(tmp_path)] == [
        (each.id, each.noun) for each in found
    ]
    assert {sample.image().shape for sample in open_clothing(tmp_path)} == {(8, 6, 3)}


def test_each_noun_is_one_word_and_stands_for_one_label() -> None:
    assert len(set(NOUNS.values())) == len(NOUNS)
    assert all(re.fullmatch("[a-z]+", noun) for noun in NOUNS.values())
    assert not set(NOUNS) & set(LEFT_OUT) and "object" not in NOUNS.values()


def test_unlabelled_photographs_need_not_be_there(tmp_path: Path) -> None:
    write_clothing(tmp_path)
    (tmp_path / FOLDER / "c-3.jpg").unlink()
    assert len(read_photographs(tmp_path)) == 3
    (tmp_path / FOLDER / "a-1.jpg").unlink()
    (tmp_path / FOLDER / "b-2.jpg").unlink()
    with pytest.raises(DsegError, match=r"images/b-2\.jpg: missing, but .*images\.csv.* 1 more"):
        read_photographs(tmp_path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("../x", 1, "Hat"), "photograph 5 has image '../x'"),
        (("e-5", "Ann", "Hat"), "sender_id 'Ann'"),
        (("e-5", -1, "Hat"), "sender_id '-1'"),
        (("e-5", 1, "Sock"), "the label 'Sock', expected one of T-Shirt, .*, Other"),
        (("a-1", 1, "Hat"), "has a-1 twice"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path: Path, row: tuple[str, object, str], words: str) -> None:
    write_clothing(tmp_path)
    table = write_table(tmp_path, [*ROWS, row])
    with pytest.raises(DsegError, match=words) as error:
        read_photographs(tmp_path)
    assert str(error.value).startswith(f"{table}: ") and "\n" not in str(error.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="images: no such folder; `dseg data download clothing`"):
        read_photographs(tmp_path)
    write_clothing(tmp_path)
    write_table(tmp_path, [])
    with pytest.raises(DsegError, match="no photograph has a label"):
        read_photographs(tmp_path)
    (tmp_path / "images.csv").unlink()
    with pytest.raises(DsegError, match=r"images\.csv: no such file; restore it"):
        read_photographs(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_squares_are_upright_whatever_the_tag(tmp_path: Path, orientation: int) -> None:
    """Of a photograph with a red top and a blue foot: whichever way the camera was held."""
    upright = np.zeros((40, 24, 3), np.uint8)
    upright[:20, :, 0] = upright[20:, :, 2] = 255
    undo = {3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}.get(orientation, 0)  # quarter turns to the left
    stored = np.rot90(upright, undo) if orientation > 2 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.png"
    Image.fromarray(stored).save(path, exif=exif)
    square = Photograph("x", "hat", 0, path).square(8)
    assert square.shape == (8, 8, 3) and square.dtype == np.uint8
    assert (square[:3] == (255, 0, 0)).all() and (square[5:] == (0, 0, 255)).all()


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (8, 8), (9, 20)])
def test_a_square_is_of_the_whole_photograph(tmp_path: Path, shape: tuple[int, int]) -> None:
    """Nothing is cut away: what fills a quarter of a photograph fills a quarter of its square."""
    rows, columns = (length // 2 for length in shape)
    pixels = np.full((*shape, 3), 200, np.uint8)
    pixels[:rows, :columns] = 50
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    for size in (4, min(shape), 16):
        square = Photograph("x", "hat", 0, path).square(size)
        assert square.shape == (size, size, 3)
        assert square.mean() == pytest.approx(pixels.mean(), abs=5)
        assert (square[0, 0] < 60).all()
        assert all((square[at] > 190).all() for at in ((-1, -1), (-1, 0), (0, -1)))


def test_the_published_table(shared: Path, tmp_path: Path) -> None:
    """As SOURCE.txt counts it; and some of its photographs."""
    given = shared / "data" / "clothing"
    counts = Counter(each.noun for each in published_photographs(shared, tmp_path / "all"))
    said = (given / "SOURCE.txt").read_text().partition("Labels: ")[2].partition(".\n")[0]
    assert counts == {
        NOUNS[label]: int(count) for label, count in re.findall(r"([\w-]+) (\d+)", said)
    }
    with zipfile.ZipFile(given / "images.zip") as packed:
        packed.extractall(tmp_path, packed.namelist()[::500])
    for path in tmp_path.glob("*.jpg"):
        square = Photograph(path.stem, "hat", 0, path).square(64)
        assert square.shape == (64, 64, 3) and square.std() > 0
