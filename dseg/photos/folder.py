"""Somebody's own images: found in files and folders, named for their results, read one by one."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dseg.datasets.picture import MAX_PIXELS, UNKNOWN, open_picture, orientation
from dseg.errors import DsegError
from dseg.photos.photo import as_rgb

_HEIC = (".heic", ".heif", ".hif")
_RAW = tuple(".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .raf .rw2 .orf .pef .raw".split())
# What is not read, and what to do about it.
HINTS = {
    _HEIC: "HEIC is not read: convert it to JPEG or PNG",
    _RAW: "raw is not read: develop it to JPEG or PNG",
    (".svg", ".pdf"): "it is not a raster image: export it to PNG",
}
# What is taken from a folder: what is an image by its suffix, also where it is not read, so that
# it is named and not passed over. A file that is named itself is read whatever it is called.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .mpo .jp2 .j2k .jpx .png .apng .webp .avif .bmp .dib .gif .tif "
    ".tiff .tga .ppm .pgm .pbm .pnm".split()
).union(_HEIC, _RAW)


@dataclass(frozen=True)
class PhotoFile:
    """One image file, or a path at which there is none.

    Attributes:
        path: As given, or found under a folder that was given.
        name: Of its results, unique: a relative path without suffix, with / between its parts; ""
            where there is a problem.
        problem: Why there is nothing to read; "" if there may be.
    """

    path: Path
    name: str
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Photo:
    """One image that was read: uint8 (H, W, 3), upright, and the EXIF orientation it had."""

    file: PhotoFile
    image: np.ndarray
    orientation: int


def find_photos(paths: Sequence[Path], out: Path) -> list[PhotoFile]:
    """The image files that paths name, each once, in the order given and sorted within folders.

    Names of results mirror the folders below the deepest one that all paths share. Files of one
    folder that differ in the suffix only keep it in their names.

    Args:
        paths: Files, and folders that are searched with all that is below them: for suffixes of
            images, without hidden files and links to folders.
        out: Where results go; it is not searched.

    Returns:
        At least one entry for each path; those with a problem are named as well.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        for each, problem in _search(path, Path(os.path.abspath(out))):
            found.setdefault(Path(os.path.abspath(each)), (each, problem))
    there = [Path(os.path.abspath(path)) for path in paths if os.path.exists(path)]
    # A path at which there is nothing has no results, so it has no say in where they go.
    shared = Path(os.path.commonpath([_folder(at) for at in there] or [Path(os.sep)]))
    readable = [at for at, (_, problem) in found.items() if not problem]
    names = {at: at.with_suffix("") for at in readable}
    count = Counter(_key(name) for name in names.values())
    names = {at: at if count[_key(name)] > 1 else name for at, name in names.items()}
    # x.png.jpg and the two files x.png and x.jpg would meet again: then all keep their suffix.
    if len({_key(name) for name in names.values()}) < len(names):
        names = {at: at for at in readable}
    return [
        PhotoFile(path, "" if problem else names[at].relative_to(shared).as_posix(), problem)
        for at, (path, problem) in found.items()
    ]


def read_photo(file: PhotoFile, most_pixels: int = MAX_PIXELS) -> Photo:
    """Read an image.

    Args:
        file: Where it lies.
        most_pixels: What has more is refused before it is decoded.

    Raises:
        DsegError: It is not readable; the message says why, without its path.
    """
    try:
        with open_picture(file.path, most_pixels) as image:
            return Photo(file, as_rgb(image), orientation(image))
    except DsegError as error:
        if str(error) == UNKNOWN:
            raise DsegError(_hint(file.path)) from error
        raise


def _search(path: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """Files and problems at a path."""
    # os.path and not Path: what may not be looked at is not there, and no error.
    if os.path.isfile(path):
        yield path, "" if os.path.getsize(path) else "an empty file"
        return
    if not os.path.isdir(path):
        yield path, "neither a file nor a folder" if os.path.exists(path) else "no such file"
        return
    problems: list[OSError] = []
    count = 0
    for folder, folders, names in os.walk(path, onerror=problems.append):
        at = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(os.path.abspath(at / name)) != out
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                count += 1
                yield from _search(at / name, out)
    for problem in problems:
        yield Path(problem.filename), f"cannot be searched: {problem.strerror}"
    if not count and not problems:
        yield path, "a folder without images"


def _folder(at: Path) -> Path:
    return at if os.path.isdir(at) else at.parent


def _hint(path: Path) -> str:
    for suffixes, hint in HINTS.items():
        if path.suffix.lower() in suffixes:
            return hint
    return UNKNOWN


def _key(path: Path) -> str:
    """What two names must differ in to be two files on every file system."""
    return str(path).casefold()
