"""The command `score --boxes`: CorLoc of mask files against the boxes of a VOC folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseg.cli import main

BOX = """<annotation><object><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>10</xmax><ymax>9</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Three images: one whose mask finds the box, one whose does not, one without a box."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main", "maps"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/trainval.txt").write_text("a\nb\nc\n")
    for name in "abc":
        Image.new("RGB", (20, 16)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        text = "<annotation/>" if name == "c" else BOX
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
        mask = np.zeros((16, 20), np.uint8)
        mask[1:9, 2:10] = 255 * (name == "a")
        mask[12:, 15:] = 255 * (name == "b")
        Image.fromarray(mask).save(tmp_path / "maps" / f"{name}_soft.png")
    return tmp_path


def test_boxes_are_scored_outside_a_run(voc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--predictions", str(voc / "maps"), "--suffix", "_soft", "--boxes", str(voc)]
    assert main(["score", *options, "--out", str(voc / "out")]) == 0
    assert "CorLoc 50.0 percent, 2 images" in capsys.readouterr().out
    assert (voc / "out" / "corloc.csv").read_text() == "id,hit\na,1\nb,0\n"
    for more, words in (
        (["--masks", str(voc)], "give either --masks"),
        (["--protocol", "curve"], "--protocol is for masks: leave it out with --boxes"),
        (["--layout", "saliency"], "--layout saliency: expected one of voc, coco"),
    ):
        assert main(["score", *options, *more]) == 2
        assert words in capsys.readouterr().err
    (voc / "maps" / "b_soft.png").unlink()
    assert main(["score", *options]) == 2
    assert "no mask b.* among the predictions" in capsys.readouterr().err
