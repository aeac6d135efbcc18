"""PASCAL VOC: images with annotated boxes, and lists of the images of each split."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dseg.datasets.annotation import Box, check_box, check_upright, read_list, read_regular
from dseg.datasets.sample import Sample, Samples, list_images, need_folder, read_nouns
from dseg.errors import DsegError


def open_voc(root: Path, *, split: str = "trainval", keep_difficult: bool = True) -> Samples:
    """A split of a VOC folder: JPEGImages, Annotations, ImageSets/Main/<split>.txt.

    If ``root`` has a ``captions.csv`` (columns id, noun, caption; not part of VOC), its nouns are
    given too.

    Args:
        root: The folder of one year, VOCdevkit/VOC2007 or the like.
        split: Name of the list of images.
        keep_difficult: False drops the objects marked difficult or truncated (LOST's --no_hard);
            an image may then have no box.

    Raises:
        DsegError: A folder or the list is missing; an image of the list or its annotation is.
    """
    images = list_images(need_folder(need_folder(root, "voc") / "JPEGImages", "voc"))
    annotations = need_folder(root / "Annotations", "voc")
    ids = _read_split(need_folder(root / "ImageSets" / "Main", "voc") / f"{split}.txt")
    described = {path.stem for path in annotations.glob("*.xml")}
    missing = [root / "JPEGImages" / f"{id}.jpg" for id in ids if id not in images]
    missing += [annotations / f"{id}.xml" for id in ids if id not in described]
    if missing:
        raise DsegError(
            f"{missing[0]}: no such file, but the split {split!r} lists it; {len(missing)} files "
            "are missing in all: unpack the data set again"
        )
    nouns = read_nouns(root / "captions.csv")

    def make(id: str) -> Sample:
        described = annotations / f"{id}.xml"
        boxes, size = read_annotation(described, keep_difficult=keep_difficult)
        sample = Sample(id, images[id], boxes=boxes, noun=nouns.get(id))
        check_upright(sample, size, described)
        return sample

    return Samples(tuple(sorted(ids)), make)


def read_annotation(
    path: Path, *, keep_difficult: bool = True
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """What an annotation file says.

    VOC counts pixels from 1 and includes both ends: (xmin, xmax) becomes (xmin - 1, xmax).

    Returns:
        Boxes (k, 4) float64, 0-based with exclusive ends; the image's height and width if given.

    Raises:
        DsegError: Missing, not XML, or an object without a proper box.
    """
    content = read_regular(path)
    try:
        root = ElementTree.fromstring(content)
        objects = root.findall("object")
        boxes = [_box(item) for item in objects if keep_difficult or not _is_hard(item)]
        size = [root.findtext(f"size/{side}") for side in ("height", "width")]
        height, width = (None if text is None else float(text) for text in size)
    # LookupError: an encoding that there is not.
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise DsegError(f"{path}: not a VOC annotation ({error}); unpack it again") from error
    shape = None if height is None or width is None else (height, width)
    return np.array(boxes, np.float64).reshape(-1, 4), shape


def _box(item: ElementTree.Element) -> Box:
    # Parts of a person have boxes of their own, deeper down: this path takes the object's.
    text = [item.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = (float("nan" if value is None else value) for value in text)
    if not (x0 <= x1 and y0 <= y1):
        raise ValueError(f"bndbox {text} is not xmin <= xmax, ymin <= ymax")
    return check_box(x0 - 1, y0 - 1, x1, y1)


def _is_hard(item: ElementTree.Element) -> bool:
    return any(item.findtext(mark, "0").strip() == "1" for mark in ("difficult", "truncated"))


def _read_split(path: Path) -> list[str]:
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))[:8]) or "none"
        raise DsegError(f"{path}: no such list of images; lists there: {there}")
    # Lists of one class have a second column, 1 or -1: the id is the first.
    lines = read_list(path).splitlines()
    ids = [line.split()[0] for line in lines if line.strip()]
    if not ids or len(set(ids)) < len(ids):
        raise DsegError(f"{path}: expected one image id a line, each once, and at least one")
    return ids
