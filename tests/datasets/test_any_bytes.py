"""Whatever the bytes of a file: its reader gives a value or one DsegError."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dseg.datasets.annotation import read_list
from dseg.datasets.coco import open_coco
from dseg.datasets.masks import read_mask
from dseg.datasets.sample import Sample
from dseg.datasets.voc import read_annotation
from dseg.errors import DsegError


def _encoded(format: str) -> bytes:
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


XML = b"""<?xml version='1.0' encoding='utf-8'?><annotation><size><width>9</width><height>6</height>
</size><object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>6</ymax></bndbox></object>
</annotation>"""
JSON = b"""{"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 6}],
"annotations": [{"image_id": 1, "iscrowd": 0, "bbox": [1, 2, 3, 4]}]}"""
SEEDS = (_encoded("PNG"), _encoded("JPEG"), _encoded("BMP"), XML, JSON, b"train2014/a.jpg\n")


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    """Any bytes, or a proper file with some of its bytes replaced, added or cut off."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=4) | st.sampled_from([b"1e999", b"-9", b"null", b"[[", b"Infinity"])
        )
    return bytes(content)


def _image(path: Path) -> object:
    return Sample("a", path).image(), Sample("a", path).size()


def _coco(path: Path) -> object:
    folder = path.parent / "coco"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "coco_20k_filenames.txt").write_text("a.jpg")
    (folder / "a.jpg").write_bytes(SEEDS[1])
    (folder / "annotations" / "instances_train2014.json").write_bytes(path.read_bytes())
    return list(open_coco(folder))


def _coco_list(path: Path) -> object:
    folder = path.parent / "list"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "coco_20k_filenames.txt").write_bytes(path.read_bytes())
    (folder / "annotations" / "instances_train2014.json").write_bytes(JSON)
    return open_coco(folder)


@pytest.mark.parametrize(
    "reader", [_image, read_mask, read_annotation, _coco, _coco_list, read_list]
)
@settings(
    max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=_files())
def test_any_bytes_give_a_value_or_one_error(
    tmp_path: Path, reader: Callable[[Path], object], content: bytes
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    try:
        reader(path)
    except DsegError as error:
        assert len(str(error)) < 1000
