"""COCO20K: 19,817 images of COCO train2014 with boxes, the object-discovery papers' subset."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from dseg.datasets.annotation import check_box, check_upright, read_list, read_regular
from dseg.datasets.sample import Sample, Samples, need_folder
from dseg.errors import DsegError

_Corners = tuple[int, int, int, int]
LIST = "coco_20k_filenames.txt"  # ships with LOST and TokenCut


def open_coco(root: Path, *, keep_crowd: bool = False) -> Samples:
    """The images that the list names, with the boxes of their objects.

    ``root`` holds coco_20k_filenames.txt (lines ``train2014/<image>.jpg``), these images and
    annotations/instances_train2014.json. As in LOST, boxes are rounded to whole pixels. The
    annotations of all of train2014 are read at once, which takes some GB of memory for a moment.

    Args:
        root: The folder.
        keep_crowd: False drops boxes of crowds, as LOST does; an image may then have no box.

    Raises:
        DsegError: A file or folder is missing, or one is not what it should be.
    """
    need_folder(root, "coco")
    images = _read_list(root)
    annotations = root / "annotations" / "instances_train2014.json"
    boxes, sizes = _read_boxes(annotations, set(images), keep_crowd)

    def make(id: str) -> Sample:
        sample = Sample(id, images[id], boxes=np.array(boxes[id], np.float64).reshape(-1, 4))
        check_upright(sample, sizes.get(id), annotations)
        return sample

    return Samples(tuple(images), make)


def _read_list(root: Path) -> dict[str, Path]:
    """Image files by id (the name without suffix), sorted."""
    path = root / LIST
    if not path.is_file():
        raise DsegError(
            f"{path}: no such list of images; take it from LOST's or TokenCut's datasets/"
        )
    names = read_list(path).split()
    images = {Path(name).stem: root / name for name in sorted(names)}
    if not names or len(images) < len(names):
        raise DsegError(f"{path}: expected one image file a line, each once, and at least one")
    folders = {image.parent for image in images.values()}
    try:
        there = {entry for folder in folders for entry in folder.glob("*")}
    except (OSError, ValueError) as error:
        raise DsegError(f"{path}: names what cannot be a file ({error!r})") from error
    missing = [image for image in images.values() if image not in there]
    if missing:
        raise DsegError(
            f"{missing[0]}: no such file, but {LIST} lists it; {len(missing)} images are missing "
            "in all: unpack train2014.zip again"
        )
    return images


def _read_boxes(
    path: Path, ids: set[str], keep_crowd: bool
) -> tuple[dict[str, list[_Corners]], dict[str, tuple[float, float]]]:
    """Boxes by id, and heights and widths by id where they are given."""
    boxes: dict[str, list[_Corners]] = {id: [] for id in ids}
    text = read_regular(path)
    try:
        content: dict[str, Any] = json.loads(text)
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        sizes = {
            names[image["id"]]: (image["height"], image["width"])
            for image in content["images"]
            if "height" in image and "width" in image
        }
        by_image = defaultdict(list)
        for item in content["annotations"]:
            if keep_crowd or not item["iscrowd"]:
                by_image[names[item["image_id"]]].append(_corners(*item["bbox"]))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DsegError(
            f"{path}: not a COCO annotation file ({_short(error)}); unpack it again"
        ) from error
    unknown = ids - set(names.values())
    if unknown:
        raise DsegError(f"{path}: does not describe {min(unknown)}, which {LIST} names")
    return boxes | {id: by_image[id] for id in ids & by_image.keys()}, sizes


def _short(error: Exception) -> str:
    return repr(error)[:200]


def _corners(x: float, y: float, width: float, height: float) -> _Corners:
    check_box(x, y, x + width, y + height)
    return round(x), round(y), round(x + width), round(y + height)
