"""`dseg segment`: somebody's own images -> masks, overlays, boxes and a table of them."""

import csv
import errno
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from dseg.errors import DsegError, describe
from dseg.files import write_bytes, write_text
from dseg.photos.exported import SHIPPED, read_config
from dseg.photos.folder import Photo, PhotoFile, find_photos, read_photo
from dseg.photos.methods import load_attentioncut, load_head
from dseg.photos.overlay import overlay
from dseg.photos.results import read_results
from dseg.photos.segmenter import Segmentation, Segmenter
from dseg.progress import format_seconds, track
from dseg.settings.document import shorten
from dseg.settings.masks import TOLD, WRONG

RESULTS = ("results.json", "results.csv")
ENDINGS = {"mask": "_mask.png", "soft": "_soft.png", "overlay": "_overlay.jpg"}
# A batch ends early at this many pixels: large images wait in memory for no others.
BATCH_PIXELS = 32_000_000
SAVE_S = 60.0  # between two writings of the list of what is done, for a call that is killed
ANY_NOUN = "object"
EMBEDDED = (
    "warning: this model knows the embedded world only, its drawn objects on drawn "
    "backgrounds. On photographs its masks mean little; train or get a head for photographs "
    "(docs/own-photos.md)."
)
NAMED = 6  # classes that a note names
LEARNT = (
    "note: this head learnt from synthetic images of {classes}. What is unlike them it may miss "
    "(docs/own-photos.md)."
)
CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = (
    *"path error width height orientation area score remark boxes".split(),
    *CORNERS,  # of the largest component
    *"mask soft overlay method noun model head base_model threshold dseg".split(),
)
PNG: Mapping[str, Any] = {"format": "PNG"}
JPEG: Mapping[str, Any] = {"format": "JPEG", "quality": 90, "subsampling": 0}  # thin lines stay


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
    resume: bool = False,
) -> int:
    """Segment images, each at its own size.

    Args:
        paths: Images, and folders of images.
        out: Folder for the results: <name>_mask.png (0 or 255), <name>_soft.png (255 is 1),
            <name>_overlay.jpg, and results.json and results.csv about all images.
        model: Folder of an exported head; the shipped one, of photographs, if not given.
        method: head: the exported head; attentioncut: no training, with the settings and the base
            model of that folder.
        noun: What attentioncut looks for; if not given, what the settings of the head's run say of
            every image, or "object".
        base_model: Another base model for attentioncut, a folder or a hub id.
        batch_size: Images computed at once; changes memory and speed only.
        device: auto, cpu, cuda, ...
        force: Overwrite results that are there.
        resume: Go on with the same call where it ended: images whose results are there and whole
            keep them. Where there is nothing to go on with, it begins.

    Returns:
        1 if there is an image without results, else 0.

    Raises:
        DsegError: Options contradict each other, results are there already, or those of another
            call, the folder for them is one that is searched for images or cannot be written, or
            the model cannot be loaded.
    """
    if force and resume:
        raise DsegError("--force begins anew and --resume goes on: give one of them")
    if method == "head" and (noun is not None or base_model is not None):
        option = "--noun" if noun is not None else "--base-model"
        raise DsegError(f"{option} goes with --method attentioncut: a head is told nothing")
    if batch_size < 1:
        raise DsegError(f"--batch-size: {batch_size}, expected at least 1")
    files = find_photos(paths, out)
    _check_place(out, paths, files)
    earlier = read_results(out / RESULTS[0]) if resume else None
    _prepare(out, files, force or earlier is not None)
    for file, other in _same_but_suffix(files):
        print(
            f"note: {_text(file.path)} and {_text(other.path)} differ in the suffix only: their "
            f"results keep it, as in {_outputs(file)['mask']}",
            file=sys.stderr,
        )
    segmenter: Segmenter | None = None
    about: Mapping[str, Any] = {"method": method}
    if any(not file.problem for file in files):
        segmenter = (
            load_head(model, device=device)
            if method == "head"
            else load_attentioncut(
                model, noun or _usual_noun(model, base_model), base_model=base_model, device=device
            )
        )
        about = segmenter.about
        if about["embedded"]:
            print(EMBEDDED, file=sys.stderr)
            if noun not in (None, ANY_NOUN, *about["classes"]):
                known = ", ".join(about["classes"])
                print(f"warning: its words are {known}; {noun!r} is none", file=sys.stderr)
        elif method == "head":
            known, more = about["classes"][:NAMED], len(about["classes"]) - NAMED
            classes = ", ".join(known) + (f" and {more} more" if more > 0 else "")
            print(LEARNT.format(classes=classes), file=sys.stderr)
    records = {} if earlier is None else _kept(earlier, about, files, out)
    kept = len(records)
    left = [file for file in files if file.path not in records]
    start = saved = time.monotonic()

    def save() -> None:
        _write_results(out, about, [records[file.path] for file in files if file.path in records])

    save()  # what a call that is killed has to go on with
    try:
        for record in track(_records(segmenter, left, batch_size, out), "segment", len(left)):
            records[record.file.path] = record
            if time.monotonic() - saved > SAVE_S:
                save()
                saved = time.monotonic()
    except OSError as error:
        raise DsegError(
            f"{describe(error)}; {_images(len(records))} done, go on with --resume"
        ) from error
    finally:  # when it is interrupted as well: what is done is whole and listed
        try:
            save()
        except OSError as error:
            print(f"warning: {describe(error)}. Done are:", file=sys.stderr)
            print(*(_text(path) for path in records), sep="\n", file=sys.stderr)
    failed = sum(1 for record in records.values() if record.problem)
    before = f", {kept} of them before" if kept else ""
    print(
        f"segment: {_images(len(records) - failed)} in "
        f"{format_seconds(time.monotonic() - start)}{before}, {failed} skipped; all in "
        f"{_text(out / RESULTS[0])}",
        file=sys.stderr,
    )
    return 1 if failed else 0


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _check_place(out: Path, paths: Sequence[Path], files: Sequence[PhotoFile]) -> None:
    """See that no result comes to lie where the same call would find it as an image."""
    own = os.path.realpath(out)
    searched = {os.path.realpath(path): path for path in paths if os.path.isdir(path)}
    places = {os.path.realpath((out / file.name).parent) for file in files if not file.problem}
    for folder, given in searched.items():
        # A folder for results below one that is searched is itself left out.
        if own == folder or not _is_below(own, folder) and _any_below(places, folder):
            raise DsegError(
                f"--out {out}: results would lie among the images of {given} and be taken for "
                f"images the next time: name a folder of its own, like {given / 'masks'}"
            )


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _any_below(places: Collection[str], folder: str) -> bool:
    return any(_is_below(place, folder) for place in places)


def _prepare(out: Path, files: Sequence[PhotoFile], overwrite: bool) -> None:
    """Make the folder for results and see that nothing in it would be lost."""
    results = [out / name for name in RESULTS]
    results += [out / name for file in files for name in _outputs(file).values()]
    # os.path and not Path: a name that is too long is not there, and no error yet.
    there = [path for path in results if os.path.exists(path)]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise DsegError(
            f"{there[0]}{more} would be overwritten: name another --out, or give --force, or "
            "--resume to go on with a call that was interrupted"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise DsegError(f"{out}: results cannot be written there: {error.strerror}") from error


def _same_but_suffix(files: Sequence[PhotoFile]) -> Iterator[tuple[PhotoFile, PhotoFile]]:
    """Files whose results keep the suffix, each with the one for which they do."""
    first: dict[Path, PhotoFile] = {}
    for file in files:
        if not file.problem and file.name.endswith(file.path.suffix):
            stem = file.path.with_suffix("")
            if stem in first:
                yield first[stem], file
            first.setdefault(stem, file)


def _usual_noun(model: Path, base_model: str | None) -> str:
    """What an image is said to show where nobody says it; another base model may not know it."""
    noun = read_config(model).recording.noun
    return ANY_NOUN if base_model is not None or noun in (TOLD, WRONG) else noun


def _kept(
    earlier: Mapping[str, Any], about: Mapping[str, Any], files: Sequence[PhotoFile], out: Path
) -> dict[Path, Record]:
    """What of an earlier call need not be done again.

    An image is done where its three files are whole and not older than the image.

    Raises:
        DsegError: It was another call: of another model, or with images that this one has not.
    """
    rows = [row for row in earlier["images"] if not row.get("error")]
    known = {_text(file.path): file for file in files}
    now = json.loads(json.dumps(dict(about)))
    for key in sorted({*earlier, *now} - {"images"}) if rows else []:
        if earlier.get(key) != now.get(key):
            raise DsegError(
                f"{out / RESULTS[0]}: {key[:60]} was {shorten(earlier.get(key))} and is "
                f"{shorten(now.get(key))}: go on with the same options, name "
                "another --out, or give --force to begin anew"
            )
    records = {}
    for row in rows:
        if row["path"] not in known:
            raise DsegError(
                f"{out / RESULTS[0]}: has {row['path'][:200]}, which this call has not: give all "
                "paths of the first call, name another --out, or give --force to begin anew"
            )
        file = known[row["path"]]
        if not file.problem and _is_done(row, file, out):
            values = {key: row[key] for key in row if key not in {"path", "error", *ENDINGS}}
            records[file.path] = Record(file, "", values)
    return records


def _is_done(row: Mapping[str, Any], file: PhotoFile, out: Path) -> bool:
    try:
        for kind, name in _outputs(file).items():
            path = out / name
            with Image.open(path) as image:
                image.verify()
                whole = kind == "overlay" or image.size == (row["width"], row["height"])
            if not whole or path.stat().st_mtime < file.path.stat().st_mtime:
                return False
    except Exception:  # Pillow raises nearly anything on a damaged file
        return False
    return True


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
            yield _skipped(file, str(error))
        pixels = sum(photo.image.shape[0] * photo.image.shape[1] for photo in batch)
        if len(batch) == batch_size or pixels >= BATCH_PIXELS or index == len(files) - 1:
            if segmenter is not None and batch:
                images = [photo.image for photo in batch]
                for photo, found in zip(batch, segmenter.stream(images), strict=True):
                    yield _write(out, photo, found)
            batch = []


def _skipped(file: PhotoFile, problem: str) -> Record:
    print(f"skipped {_text(file.path)}: {problem}", file=sys.stderr)
    return Record(file, problem)


def _write(out: Path, photo: Photo, found: Segmentation) -> Record:
    """Write the three files of an image, and only then say that it is done."""
    pictures = {
        "mask": Image.fromarray(found.mask.astype(np.uint8) * 255),
        "soft": Image.fromarray(np.round(found.soft * 255).astype(np.uint8)),
        "overlay": overlay(photo.image, found.mask, found.boxes),
    }
    outputs = _outputs(photo.file)
    try:
        for kind, name in outputs.items():
            # Encoded first: Pillow's own errors of a full disk name neither file nor reason.
            encoded = io.BytesIO()
            pictures[kind].save(encoded, **(JPEG if kind == "overlay" else PNG))
            write_bytes(out / name, encoded.getvalue())
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        for name in outputs.values():
            if os.path.exists(out / name):
                (out / name).unlink()
        return _skipped(photo.file, "its name is too long for those of its results: shorten it")
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
    write_text(out / RESULTS[0], text)

    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for entry in entries:
        boxes = entry.get("boxes", [])
        largest = {corner: boxes[0][corner] for corner in CORNERS} if boxes else {}
        writer.writerow({**about, **entry, "boxes": len(boxes), **largest})
    write_text(out / RESULTS[1], table.getvalue())


def _text(path: Path) -> str:
    """A path as text that any encoding of Unicode can hold, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
