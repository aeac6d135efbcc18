"""The reader of masks: every usual kind gives the same mask, or one error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseg.cli import main
from dseg.datasets.masks import Remarks, read_mask
from dseg.errors import DsegError

OBJECT = np.zeros((6, 9), bool)
OBJECT[1:4, 2:5] = True


def _palette() -> Image.Image:
    indices = OBJECT * np.uint8(15)
    indices[5] = 255  # void
    image = Image.fromarray(indices).convert("P")
    image.putpalette([0, 0, 0, *[128, 0, 0] * 254, 224, 224, 192])
    image.putdata(indices.ravel().tolist())
    return image


def _alpha() -> Image.Image:
    pixels = np.full((*OBJECT.shape, 4), 255, np.uint8)
    pixels[..., 3] = OBJECT * 255
    return Image.fromarray(pixels)


KINDS = {
    "": Image.fromarray(OBJECT * np.uint8(255)),
    "0 and 1": Image.fromarray(OBJECT.astype(np.uint8)),
    "palette": _palette(),
    "alpha channel": _alpha(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.png", "a.PNG"])
def test_every_kind_is_the_same_mask(tmp_path: Path, kind: str, name: str) -> None:
    KINDS[kind].save(tmp_path / name)
    mask = read_mask(tmp_path / name)
    assert mask.kind == kind and not mask.jpeg and mask.grey_share == 0
    assert np.array_equal(mask.values, OBJECT * np.uint8(255))


def test_what_may_mean_several_things_is_refused(tmp_path: Path) -> None:
    coloured = np.zeros((*OBJECT.shape, 4), np.uint8)
    coloured[..., 0], coloured[..., 3] = OBJECT * 255, 255
    Image.fromarray(coloured).save(tmp_path / "a.png")
    with pytest.raises(DsegError, match=r"a\.png: a mask in colours"):
        read_mask(tmp_path / "a.png")
    coloured[2:, :, 3] = 0
    Image.fromarray(coloured).save(tmp_path / "a.png")
    with pytest.raises(DsegError, match=r"a\.png: has colours and an alpha channel"):
        read_mask(tmp_path / "a.png")


def test_grey_jpeg_and_empty_masks_are_said_once(tmp_path: Path) -> None:
    remarks = Remarks(Path("masks"))
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(np.full((4, 4), 128, np.uint8)).save(tmp_path / name)
        remarks.add(read_mask(tmp_path / name))
    grey, jpeg = remarks.lines()
    assert grey == "masks: 2 of 2 masks are grey, in 100.0 % of their pixels: cut at one half"
    assert jpeg == "masks: 2 of 2 masks are JPEG, which blurs edges"
    empty = Remarks(Path("masks"))
    Image.new("L", (4, 4)).save(tmp_path / "c.png")
    empty.add(read_mask(tmp_path / "c.png"))
    assert empty.lines() == ["masks: every mask is empty"]


@pytest.mark.parametrize("name", ["score01", "scorealpha", "scorepal", "mixedmask"])
def test_masks_of_every_kind_score_right(
    shared: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = shared / "data" / "faults" / name
    options = ["--protocol", "tokencut", "--mode", "multi"]
    given = ["--predictions", str(folder / "maps"), "--masks", str(folder / "masks")]
    assert main(["score", *given, *options]) == 0
    shown = capsys.readouterr()
    assert "| 98.5" in shown.out or "| 100.0 | 98.5" in shown.out
    if name != "mixedmask":
        assert "note: " in shown.err
