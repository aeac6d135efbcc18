"""Annotations, lists and files that are hostile or odd: each is one error, and none hangs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseg.datasets.annotation import check_box
from dseg.datasets.masks import read_mask
from dseg.datasets.opening import open_benchmark
from dseg.datasets.sample import Sample
from dseg.datasets.voc import read_annotation
from dseg.errors import DsegError

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "box", [(0, 0, INF, 1), (NAN, 0, 1, 1), (-5, 0, 1, 1), (3, 0, 1, 1), (0, -INF, 1, 1)]
)
def test_boxes_outside_every_image_are_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="the box"):
        check_box(*box)


@pytest.mark.parametrize("edge", ["inf", "-7", "1e400", "nan", ""])
def test_voc_boxes_that_are_none(tmp_path: Path, edge: str) -> None:
    box = f"<xmin>{edge}</xmin><ymin>1</ymin><xmax>inf</xmax><ymax>5</ymax>"
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation><object><bndbox>{box}</bndbox></object></annotation>")
    with pytest.raises(DsegError, match=r"a\.xml: not a VOC annotation"):
        read_annotation(path)


def make_coco(root: Path, content: object) -> Path:
    (root / "annotations").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(root / "a.jpg")
    (root / "coco_20k_filenames.txt").write_text("a.jpg\n")
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "annotations" / "instances_train2014.json").write_text(text)
    return root


@pytest.mark.parametrize("bbox", [[1, 2, INF, 4], [-9, 0, 3, 3], [1, 2, -4, 4], [1, 2, 10**400, 4]])
def test_coco_boxes_that_are_none(tmp_path: Path, bbox: list[float]) -> None:
    item = {"image_id": 1, "iscrowd": 0, "bbox": bbox}
    root = make_coco(
        tmp_path / "coco", {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [item]}
    )
    with pytest.raises(DsegError, match="json: not a COCO annotation file"):
        open_benchmark("coco", root)


def test_known_faults_are_one_error_each(shared: Path, tmp_path: Path) -> None:
    faults = shared / "data" / "faults"
    for number, path in enumerate(sorted((faults / "coco").glob("*.json"))):
        root = make_coco(tmp_path / str(number), path.read_text())
        with pytest.raises(DsegError, match="not a COCO annotation file") as caught:
            open_benchmark("coco", root)
        assert len(str(caught.value)) < 600
    (list_,) = (faults / "coco").glob("*.txt")
    root = make_coco(tmp_path / "list", "{}")
    shutil.copy(list_, root / "coco_20k_filenames.txt")
    with pytest.raises(DsegError, match="not a list of images in UTF-8"):
        open_benchmark("coco", root)
    for path in (faults / "voc").glob("*.xml"):
        with pytest.raises(DsegError, match="not a VOC annotation"):
            read_annotation(path)
    for path in (faults / "sample").iterdir():
        png = Path(shutil.copy(path, tmp_path / "a.png"))
        for read in (Sample("a", png).image, lambda png=png: read_mask(png)):
            with pytest.raises(DsegError, match=r"a\.png: not a readable image"):
                read()


def test_a_pipe_is_no_image_and_no_annotation(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(DsegError, match=r"x\.png: not a readable image \(not a regular file\)"):
        Sample("x", tmp_path / "x.png").image()
    with pytest.raises(DsegError, match=r"x\.png: cannot be read \(not a regular file\)"):
        read_annotation(tmp_path / "x.png")


def test_boxes_of_the_stored_image_are_refused_where_a_tag_turns_it(
    shared: Path, tmp_path: Path
) -> None:
    samples = open_benchmark("voc", shared / "data" / "faults" / "voc_exif")
    with pytest.raises(DsegError, match=r"turns it to 120 x 200 .* as stored, 200 x 120: remove"):
        samples[0]
    image = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 120}
    root = make_coco(tmp_path / "coco", {"images": [image], "annotations": []})
    turned = Image.fromarray(np.zeros((120, 200, 3), np.uint8))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(root / "a.jpg", exif=exif)
    with pytest.raises(DsegError, match="turns it to 120 x 200"):
        open_benchmark("coco", root)[0]
    turned.save(root / "a.jpg")
    assert open_benchmark("coco", root)[0].size() == (120, 200)
