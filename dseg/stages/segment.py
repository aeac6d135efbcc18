"""`dseg segment`: somebody's own images -> masks, overlays, boxes and a table of them."""

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from dseg.errors import DsegError
from dseg.exported import SHIPPED
from dseg.overlay import overlay
from dseg.progress import format_seconds, track
from dseg.segmenter import Segmentation, Segmenter
from dseg.shards import write_atomically
from dseg.stages.photos import Photo, PhotoFile, find_photos, read_photo
from dseg.stages.segmenters import load_attentioncut, load_head

RESULTS = ("results.json", "results.csv")
ENDINGS = {"mask": "_mask.png", "soft": "_soft.png", "overlay": "_overlay.jpg"}
# A batch ends early at this many pixels: large images wait in memory for no others.
BATCH_PIXELS = 32_000_000
ANY_NOUN = "object"
EMBEDDED = (
    "warning: this model knows the embedded world only, its drawn objects on drawn "
    "backgrounds. On photographs its masks mean little; train or get a head for photographs "
    "(docs/own-photos.md)."
)
CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = (
    *"path error width height orientation area score remark boxes".split(),
    *CORNERS,  # of the largest component
    *"mask soft overlay method noun model head base_model threshold dseg".split(),
)
JPEG: Mapping[str, Any] = {"quality": 90, "subsampling": 0}  # thin lines keep their colour


@dataclass(frozen=True)
class Record:
    """What became of one file: a problem, or what was found."""

    file: PhotoFile
    problem: str
    values: Mapping[str, Any] = field(default_factory=dict)


def run(
    paths: Sequence[Path],
    /,
    out: Path,
    model: Path = SHIPPED,
    method: Literal["head", "attentioncut"] = "head",
    noun: str | None = None,
    base_model: str | None = None,
    batch_size: int = 8,
    device: str = "auto",
    force: bool = False,
) -> int:
    """Segment images, each at its own size.

    Args:
        paths: Images, and folders of images.
        out: Folder for the results: <name>_mask.png (0 or 255), <name>_soft.png (255 is 1),
            <name>_overlay.jpg, and results.json and results.csv about all images.
        model: Folder of an exported head; the shipped one, of the embedded world, if not given.
        method: head: the exported head; attentioncut: no training, with the settings and the base
            model of that folder.
        noun: What attentioncut looks for; "object" if not given.
        base_model: Another base model for attentioncut, a folder or a hub id.
        batch_size: Images computed at once; changes memory and speed only.
        device: auto, cpu, cuda, ...
        force: Overwrite results that are there.

    Returns:
        1 if an image could not be read, else 0.

    Raises:
        DsegError: Options contradict each other, results are there already, the folder for them
            cannot be written, or the model cannot be loaded.
    """
    if method == "head" and (noun is not None or base_model is not None):
        option = "--noun" if noun is not None else "--base-model"
        raise DsegError(f"{option} goes with --method attentioncut: a head is told nothing")
    if batch_size < 1:
        raise DsegError(f"--batch-size: {batch_size}, expected at least 1")
    files = find_photos(paths, out)
    _prepare(out, files, force)
    segmenter: Segmenter | None = None
    about: Mapping[str, Any] = {"method": method}
    if any(not file.problem for file in files):
        segmenter = (
            load_head(model, device=device)
            if method == "head"
            else load_attentioncut(model, noun or ANY_NOUN, base_model=base_model, device=device)
        )
        about = segmenter.about
        if about["embedded"]:
            print(EMBEDDED, file=sys.stderr)
            if noun not in (None, ANY_NOUN, *about["classes"]):
                known = ", ".join(about["classes"])
                print(f"warning: its words are {known}; {noun!r} is none", file=sys.stderr)
    start = time.monotonic()
    records: dict[Path, Record] = {}
    try:
        for record in track(_records(segmenter, files, batch_size, out), "segment", len(files)):
            records[record.file.path] = record
    except OSError as error:
        raise DsegError(
            f"{error.filename or out}: cannot be written: {error.strerror}; what was done before "
            f"is in {out / RESULTS[0]}"
        ) from error
    finally:  # when it is interrupted as well: what is done is whole and listed
        done = [records[file.path] for file in files if file.path in records]
        _write_results(out, about, done)
    failed = sum(1 for record in done if record.problem)
    print(
        f"segment: {len(done) - failed} images in {format_seconds(time.monotonic() - start)}, "
        f"{failed} not readable; all in {out / RESULTS[0]}",
        file=sys.stderr,
    )
    return 1 if failed else 0


def _prepare(out: Path, files: Sequence[PhotoFile], force: bool) -> None:
    """Make the folder for results and see that nothing in it would be lost."""
    results = [out / name for name in RESULTS]
    results += [out / name for file in files for name in _outputs(file).values()]
    there = [path for path in results if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise DsegError(
            f"{there[0]}{more} would be overwritten: name another --out, or give --force"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise DsegError(f"{out}: results cannot be written there: {error.strerror}") from error


def _outputs(file: PhotoFile) -> dict[str, str]:
    """Files of an image's results by kind, relative to the folder of results."""
    if file.problem:
        return {}
    return {kind: file.name + ending for kind, ending in ENDINGS.items()}


def _records(
    segmenter: Segmenter | None, files: Sequence[PhotoFile], batch_size: int, out: Path
) -> Iterator[Record]:
    """Read, segment and write one batch after the other; records in the order they are done."""
    batch: list[Photo] = []
    for index, file in enumerate(files):
        try:
            if file.problem:
                raise DsegError(file.problem)
            batch.append(read_photo(file))
        except DsegError as error:
            print(f"skipped {_text(file.path)}: {error}", file=sys.stderr)
            yield Record(file, str(error))
        pixels = sum(photo.image.shape[0] * photo.image.shape[1] for photo in batch)
        if len(batch) == batch_size or pixels >= BATCH_PIXELS or index == len(files) - 1:
            if segmenter is not None and batch:
                images = [photo.image for photo in batch]
                for photo, found in zip(batch, segmenter.stream(images), strict=True):
                    yield _write(out, photo, found)
            batch = []


def _write(out: Path, photo: Photo, found: Segmentation) -> Record:
    """Write the three files of an image, and only then say that it is done."""
    pictures = {
        "mask": Image.fromarray(found.mask.astype(np.uint8) * 255),
        "soft": Image.fromarray(np.round(found.soft * 255).astype(np.uint8)),
        "overlay": overlay(photo.image, found.mask, found.boxes),
    }
    for kind, name in _outputs(photo.file).items():
        options = JPEG if kind == "overlay" else {}
        write_atomically(out / name, partial(pictures[kind].save, **options))
    height, width = found.mask.shape
    values = {
        "width": width,
        "height": height,
        "orientation": photo.orientation,
        "area": round(found.area, 6),
        "score": round(found.score, 6),
        "remark": found.remark or None,
        "boxes": [
            {
                **dict(zip(CORNERS, each.box, strict=True)),
                "area": round(each.area / (height * width), 6),
                "score": round(each.score, 6),
            }
            for each in found.components
        ],
    }
    return Record(photo.file, "", values)


def _write_results(out: Path, about: Mapping[str, Any], records: Sequence[Record]) -> None:
    """Write results.json, all that is known, and results.csv, a line for each image."""
    entries = []
    for record in records:
        outputs = {} if record.problem else _outputs(record.file)
        entries.append(
            {"path": _text(record.file.path), "error": record.problem or None}
            | dict(record.values)
            | {kind: _text(Path(name)) for kind, name in outputs.items()}
        )
    text = json.dumps({**about, "images": entries}, indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / RESULTS[0], lambda path: path.write_text(text, "utf-8"))

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            for entry in entries:
                boxes = entry.get("boxes", [])
                largest = {corner: boxes[0][corner] for corner in CORNERS} if boxes else {}
                writer.writerow({**about, **entry, "boxes": len(boxes), **largest})

    write_atomically(out / RESULTS[1], write)


def _text(path: Path) -> str:
    """A path as text that any encoding of Unicode can hold, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
