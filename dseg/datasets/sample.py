"""One image of a benchmark, read from disk when it is asked for."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from dseg.datasets.masks import Mask, read_mask
from dseg.datasets.picture import is_transposed, open_named, orientation, turn_upright
from dseg.errors import DsegError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, eq=False)
class Sample:
    """One image of a benchmark with what is known about it.

    Attributes:
        id: Its name within the benchmark.
        path: The image file.
        mask_path: The file of the true mask, if there is one.
        boxes: (k, 4) float64 true boxes: x0, y0, x1, y1 in pixels, 0-based, exclusive ends.
        noun: What it shows, if known.
    """

    id: str
    path: Path
    mask_path: Path | None = None
    boxes: np.ndarray | None = None
    noun: str | None = None

    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB, upright by its EXIF orientation.

        Raises:
            DsegError: The file is missing or not a readable image.
        """
        with open_named(self.path) as file:
            # Pillow would cut such values at 255 and say nothing.
            if file.mode.startswith(("I", "F")):
                raise DsegError(f"{self.path}: has more than 8 bits a value: save it with 8 bits")
            return np.array(turn_upright(file).convert("RGB"))

    def size(self) -> tuple[int, int]:
        """Height and width of the image as `image` gives it; its pixels are not decoded.

        Raises:
            DsegError: The file is missing or not a readable image.
        """
        with open_named(self.path) as file:
            width, height = file.size
            return (width, height) if is_transposed(orientation(file)) else (height, width)

    def read_mask(self) -> Mask | None:
        """The true mask with what its file was read as, see `masks`; None if there is none.

        Raises:
            DsegError: A file is missing or unreadable; the mask has another size than the image.
        """
        if self.mask_path is None:
            return None
        mask = read_mask(self.mask_path)
        height, width = self.size()
        shape = mask.values.shape
        if shape != (height, width):
            raise DsegError(
                f"{self.mask_path} is {shape[1]} x {shape[0]} but its image {self.path} "
                f"is {width} x {height} (width x height): a mask must have its image's size"
            )
        return mask

    def grey_mask(self) -> np.ndarray | None:
        """The true mask's grey values, (H, W) uint8; else as `read_mask`."""
        mask = self.read_mask()
        return None if mask is None else mask.values

    def mask(self) -> np.ndarray | None:
        """The true mask, (H, W) bool: grey values above one half; else as `grey_mask`."""
        grey = self.grey_mask()
        return None if grey is None else grey > 127


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """A benchmark: its samples in the order of their ids, each made when it is asked for.

    Attributes:
        ids: The ids, in order.
        make: From an id to its sample.
    """

    ids: tuple[str, ...]
    make: Callable[[str], Sample]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "Samples": ...

    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(self.ids[index], self.make)
        return self.make(self.ids[index])


def need_folder(folder: Path, layout: str) -> Path:
    """``folder`` itself; raises DsegError saying what to do if it is missing."""
    if folder.is_dir():
        return folder
    raise DsegError(
        f"{folder}: no such folder, but layout {layout!r} needs it; put the data set there or "
        "correct its `root` under `benchmarks` in params.yaml"
    )


def list_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Image files of a folder by id (the name without suffix), sorted by id.

    Raises:
        DsegError: Two files have one id, or there is no image.
    """
    images: dict[str, Path] = {}
    for entry in sorted(os.listdir(folder)):
        path = folder / entry
        # Archives packed on a Mac hold a "._name.jpg" beside every "name.jpg".
        if path.suffix.lower() not in suffixes or entry.startswith("."):
            continue
        if path.stem in images:
            raise DsegError(
                f"{path} and {images[path.stem].name} differ only in the suffix: keep one of them"
            )
        images[path.stem] = path
    if not images:
        raise DsegError(f"{folder} holds no image: expected files *{', *'.join(suffixes)}")
    return dict(sorted(images.items()))


def read_nouns(path: Path) -> dict[str, str]:
    """Nouns by id from a captions file, a CSV with the columns id and noun; {} without the file.

    Raises:
        DsegError: It is not such a file.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DsegError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    # A row that is too short has None where a column is missing.
    if any(row.get("id") is None or row.get("noun") is None for row in rows):
        raise DsegError(f"{path}: expected the columns id and noun in every row")
    return {row["id"]: row["noun"] for row in rows if row["noun"]}
