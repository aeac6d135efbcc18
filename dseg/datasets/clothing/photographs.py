"""Clothes as people photographed them, one garment a photograph: who took it and what it shows.

The layout of the clothing dataset: `images/` and the table `images.csv`. Its licence and numbers
are in docs/benchmarks.md.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.sample import Sample, Samples, list_images
from dseg.errors import DsegError

TABLE, FOLDER = "images.csv", "images"
# The published labels as words of a caption: each one word, in small letters.
NOUNS = {
    "T-Shirt": "tshirt",
    "Longsleeve": "longsleeve",
    "Pants": "pants",
    "Shoes": "shoes",
    "Shirt": "shirt",
    "Dress": "dress",
    "Outwear": "jacket",
    "Shorts": "shorts",
    "Hat": "hat",
    "Skirt": "skirt",
    "Polo": "polo",
    "Undershirt": "undershirt",
    "Blazer": "blazer",
    "Hoodie": "hoodie",
    "Body": "bodysuit",
    "Top": "top",
    "Blouse": "blouse",
}
LEFT_OUT = ("Not sure", "Skip", "Other")
_COLUMNS = ("image", "sender_id", "label")
_MOST_BYTES = 2**22  # of the table; the published one has 0.3 MB
_ID, _SENDER = re.compile(r"[0-9A-Za-z][\w-]{0,99}", re.ASCII), re.compile(r"\d{1,9}", re.ASCII)
_AGAIN = "restore it, or empty the folder, then download and prepare `clothing` again"


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Attributes:
        id: Its name in the data set.
        noun: What it shows, one of `NOUNS`.
        sender: The photographer's number.
        path: The image file.
    """

    id: str
    noun: str
    sender: int
    path: Path

    def image(self) -> np.ndarray:
        """The photograph, upright, uint8 (H, W, 3) RGB.

        Raises:
            DsegError: The file is missing or not a readable image.
        """
        return Sample(self.id, self.path).image()

    def square(self, size: int) -> np.ndarray:
        """All of it, brought to a square as a base model reads it: uint8 (size, size, 3) RGB.

        Raises:
            DsegError: As `image`.
        """
        return squared(self.image(), size)


def squared(image: np.ndarray, size: int) -> np.ndarray:
    """An image uint8 (H, W, 3) resized to (size, size, 3), as those are that a base model reads."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def read_photographs(root: Path) -> tuple[Photograph, ...]:
    """The photographs with a label that says what they show, by id; no image is opened.

    Args:
        root: A folder with `TABLE` and `FOLDER`.

    Raises:
        DsegError: A file is missing, or the table is not one of photographs, senders and labels.
    """
    table = root / TABLE
    images = root / FOLDER
    if not images.is_dir():
        raise DsegError(
            f"{images}: no such folder; `dseg data download clothing` and `dseg data prepare "
            "clothing` make it"
        )
    paths = list_images(images)
    found: dict[str, Photograph] = {}
    missing = []
    for id, sender, label in _read_rows(table):
        if label in LEFT_OUT:
            continue
        if id in found:
            raise DsegError(f"{table}: has {id} twice; {_AGAIN}")
        if id not in paths:
            missing.append(id)
            continue
        found[id] = Photograph(id, NOUNS[label], sender, paths[id])
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DsegError(f"{images / missing[0]}.jpg: missing, but {table} names it{more}; {_AGAIN}")
    if not found:
        raise DsegError(f"{table}: no photograph has a label that says what it shows; {_AGAIN}")
    return tuple(found[id] for id in sorted(found))


def open_clothing(root: Path) -> Samples:
    """The photographs as samples with nouns, without masks or boxes; as `read_photographs`."""
    found = {each.id: each for each in read_photographs(root)}
    return Samples(tuple(found), lambda id: Sample(id, found[id].path, noun=found[id].noun))


def _read_rows(table: Path) -> list[tuple[str, int, str]]:
    """Id, sender and label of each row, checked."""
    if not table.is_file():
        raise DsegError(f"{table}: no such file; {_AGAIN}")
    with table.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DsegError(f"{table}: more than {_MOST_BYTES >> 20} MiB; {_AGAIN}")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DsegError(f"{table}: not a CSV file in UTF-8 ({error}); {_AGAIN}") from error
    found = []
    for number, row in enumerate(rows, start=1):
        # A row that is too short has None where a column is missing.
        id, sender, label = (row.get(column) or "" for column in _COLUMNS)
        if not _ID.fullmatch(id) or not _SENDER.fullmatch(sender):
            raise DsegError(
                f"{table}: photograph {number} has image {id[:60]!r} and sender_id "
                f"{sender[:60]!r}, expected the columns {', '.join(_COLUMNS)}, an id and a "
                f"number; {_AGAIN}"
            )
        if label not in NOUNS and label not in LEFT_OUT:
            raise DsegError(
                f"{table}: photograph {number} has the label {label[:60]!r}, expected one of "
                f"{', '.join((*NOUNS, *LEFT_OUT))}; {_AGAIN}"
            )
        found.append((id, int(sender), label))
    return found
