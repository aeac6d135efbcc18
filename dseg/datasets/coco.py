"""COCO20K: 19,817 images of COCO train2014 with boxes, the object-discovery papers' subset."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from dseg.datasets.sample import Sample, Samples, need_folder
from dseg.errors import DsegError

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
    boxes = _read_boxes(annotations, set(images), keep_crowd)

    def make(id: str) -> Sample:
        return Sample(id, images[id], boxes=np.array(boxes[id], np.float64).reshape(-1, 4))

    return Samples(tuple(images), make)


def _read_list(root: Path) -> dict[str, Path]:
    """Image files by id (the name without suffix), sorted."""
    path = root / LIST
    if not path.is_file():
        raise DsegError(
            f"{path}: no such list of images; take it from LOST's or TokenCut's datasets/"
        )
    names = path.read_text(encoding="utf-8").split()
    images = {Path(name).stem: root / name for name in sorted(names)}
    if not names or len(images) < len(names):
        raise DsegError(f"{path}: expected one image file a line, each once, and at least one")
    there = {entry for folder in {p.parent for p in images.values()} for entry in folder.glob("*")}
    missing = [image for image in images.values() if image not in there]
    if missing:
        raise DsegError(
            f"{missing[0]}: no such file, but {LIST} lists it; {len(missing)} images are missing "
            "in all: unpack train2014.zip again"
        )
    return images


def _read_boxes(
    path: Path, ids: set[str], keep_crowd: bool
) -> dict[str, list[tuple[int, int, int, int]]]:
    boxes: dict[str, list[tuple[int, int, int, int]]] = {id: [] for id in ids}
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        by_image = defaultdict(list)
        for item in content["annotations"]:
            if keep_crowd or not item["iscrowd"]:
                by_image[names[item["image_id"]]].append(_corners(*item["bbox"]))
    except OSError as error:
        raise DsegError(
            f"{path}: cannot be read ({error.strerror}); unpack annotations_trainval2014.zip"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DsegError(
            f"{path}: not a COCO annotation file ({error!r}); unpack it again"
        ) from error
    unknown = ids - set(names.values())
    if unknown:
        raise DsegError(f"{path}: does not describe {min(unknown)}, which {LIST} names")
    return boxes | {id: by_image[id] for id in ids & by_image.keys()}


def _corners(x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
    return round(x), round(y), round(x + width), round(y + height)
