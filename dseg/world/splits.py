"""The evaluation splits of the embedded world, in the layouts of public benchmarks.

`val`, `test`, `shift` and its two other strengths are laid out like ECSSD (`images/`,
`ground_truth_mask/`), `multi` like PASCAL VOC (`JPEGImages/`, `Annotations/`, `ImageSets/Main/`),
so the same readers serve both. Images are PNG, where the public sets have JPEG, so that nothing is
lost. `captions.csv` (id, noun, caption) is an addition of ours.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dseg.errors import DsegError
from dseg.world.renderer import Scenes, annotated_scenes
from dseg.world.strengths import shift_strength as strength_of


@dataclass(frozen=True)
class Split:
    """How one split is drawn: its layout, its domain and the number of objects per image."""

    layout: Literal["saliency", "voc"]
    domain: Literal["train", "shift"] = "train"
    objects: tuple[int, int] = (1, 1)
    scenes: str | None = None
    """The split whose scenes these are, shifted more or less; None: its own."""


SPLITS: dict[str, Split] = {
    "val": Split("saliency"),
    "test": Split("saliency"),
    "mild": Split("saliency", domain="shift", scenes="shift"),
    "shift": Split("saliency", domain="shift"),
    "harsh": Split("saliency", domain="shift", scenes="shift"),
    "multi": Split("voc", objects=(2, 3)),
}


def find_split(name: str) -> Split:
    """Look a split up; DsegError if the world has none of that name."""
    if name not in SPLITS:
        raise DsegError(f"split {name!r}: unknown, expected one of {', '.join(SPLITS)}")
    return SPLITS[name]


def split_seed(run_seed: int, split: str) -> int:
    """Derive the seed (63 bits) of a split: far from the small run seeds that training uses."""
    digest = hashlib.sha256(f"{run_seed}:world:{split}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw_split(
    name: str, run_seed: int, count: int, *, size: int = 64, shift_strength: float = 0.5
) -> Scenes:
    """Render the scenes of a split; DsegError if the world has none of that name.

    `shift_strength` is that of the split `shift`, of which others have a share.
    """
    split = find_split(name)
    shifted = split.domain == "shift"
    return annotated_scenes(
        count,
        split_seed(run_seed, split.scenes or name),
        size=size,
        domain=split.domain,
        shift_strength=strength_of(name, shift_strength) if shifted else 0.0,
        objects=split.objects,
    )


def write_split(name: str, scenes: Scenes, folder: Path) -> None:
    """Write scenes into an existing, empty folder, in the layout of the split."""
    ids = [f"{name}-{index:04d}" for index in range(len(scenes.images))]
    write = {"saliency": _write_saliency, "voc": _write_voc}[find_split(name).layout]
    write(scenes, ids, folder)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "noun", "caption"))
        table.writerows(zip(ids, scenes.kinds, scenes.captions, strict=True))


def _write_saliency(scenes: Scenes, ids: list[str], folder: Path) -> None:
    _write_images(folder / "images", ids, scenes.images)
    _write_images(folder / "ground_truth_mask", ids, scenes.masks * np.uint8(255))


def _write_voc(scenes: Scenes, ids: list[str], folder: Path) -> None:
    _write_images(folder / "JPEGImages", ids, scenes.images)
    (folder / "Annotations").mkdir()
    for name, nouns, boxes in zip(ids, scenes.names, scenes.boxes, strict=True):
        tree = _annotation(f"{name}.png", scenes.images.shape[1], nouns, boxes)
        tree.write(folder / "Annotations" / f"{name}.xml", encoding="utf-8")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")


def _write_images(folder: Path, ids: list[str], images: NDArray[np.uint8]) -> None:
    folder.mkdir()
    for name, image in zip(ids, images, strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")


def _annotation(
    filename: str, size: int, nouns: tuple[str, ...], boxes: NDArray[np.int64]
) -> ElementTree.ElementTree[ElementTree.Element]:
    """One VOC annotation. Its coordinates count from 1 and include both ends."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = filename
    shape = ElementTree.SubElement(root, "size")
    for tag, value in (("width", size), ("height", size), ("depth", 3)):
        ElementTree.SubElement(shape, tag).text = str(value)
    for noun, (x0, y0, x1, y1) in zip(nouns, boxes.tolist(), strict=True):
        item = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(item, "name").text = noun
        ElementTree.SubElement(item, "truncated").text = "0"
        ElementTree.SubElement(item, "difficult").text = "0"
        box = ElementTree.SubElement(item, "bndbox")
        for tag, value in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            ElementTree.SubElement(box, tag).text = str(value)
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)
