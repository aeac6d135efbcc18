"""A tiny data set of clothes in the layout of the published one."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.clothing.photographs import Photograph, read_photographs

Row = tuple[str, object, str]
"""Image, sender and label of a row of the table."""
ROWS: tuple[Row, ...] = (
    ("b-2", 7, "T-Shirt"),
    ("a-1", 7, "Undershirt"),
    ("c-3", 0, "Not sure"),
    ("d-4", 30, "Hat"),
)


def write_table(folder: Path, rows: Iterable[Row] = ROWS) -> Path:
    """The table of photographs, as it is published: with a column that is not used."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,sender_id,label,kids", *(f"{i},{s},{label},False" for i, s, label in rows)]
    table = folder / "images.csv"
    table.write_text("".join(f"{line}\n" for line in lines))
    return table


def write_clothing(folder: Path, rows: Iterable[Row] = ROWS) -> Path:
    """The folder with the table and a small picture for each row."""
    rows = list(rows)
    write_table(folder, rows)
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for name, _, _ in rows:
        pixels = rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.jpg")
    return folder


def published_photographs(shared: Path, folder: Path) -> tuple[Photograph, ...]:
    """What the published table says of its photographs, whose files are empty here."""
    given = shared / "data" / "clothing"
    (folder / "images").mkdir(parents=True)
    (folder / "images.csv").symlink_to(given / "images.csv")
    with zipfile.ZipFile(given / "images.zip") as packed:
        for name in packed.namelist():
            (folder / "images" / name).touch()
    return read_photographs(folder)
