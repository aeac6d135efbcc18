"""What readers of annotations share: bytes of regular files, lists, and checks of boxes."""

import math
from pathlib import Path

from dseg.datasets.sample import Sample
from dseg.errors import DsegError

# Our choices: annotators' and rounding errors reach over an edge by a pixel; no image is so large.
_LEAST, _MOST = -1.0, 1e6
Box = tuple[float, float, float, float]


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file: a pipe would wait for whoever writes into it.

    Raises:
        DsegError: There is no such file, or it may not be read.
    """
    if not path.is_file():
        said = "not a regular file" if path.exists() else "no such file"
        raise DsegError(f"{path}: cannot be read ({said}); unpack it again")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DsegError(f"{path}: cannot be read ({error.strerror}); unpack it again") from error


def read_list(path: Path) -> str:
    """The text of a list of images; raises DsegError as `read_regular`, or if it is not UTF-8."""
    try:
        return read_regular(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DsegError(f"{path}: not a list of images in UTF-8; fetch it again") from error


def check_box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """A box as it is; raises ValueError if its corners are not finite, ordered and in an image."""
    corners = (x0, y0, x1, y1)
    if not all(math.isfinite(corner) and _LEAST <= corner <= _MOST for corner in corners):
        raise ValueError(f"the box {corners} does not lie in an image")
    if not (x0 <= x1 and y0 <= y1):
        raise ValueError(f"the box {corners} ends before it begins")
    return corners


def check_upright(sample: Sample, annotated: tuple[float, float] | None, source: Path) -> None:
    """Refuse boxes of an image as it is stored where its orientation tag turns it by 90 degrees.

    Args:
        sample: The image.
        annotated: Height and width that the annotation gives, if it does. Turns by 180 degrees and
            of square images do not show in them.
        source: The annotation's file.

    Raises:
        DsegError: They are those of the stored image and not of the upright one.
    """
    if annotated is None:
        return
    height, width = sample.size()
    if annotated == (width, height) != (height, width):
        raise DsegError(
            f"{sample.path}: its orientation tag turns it to {width} x {height} (width x height), "
            f"but {source} describes it as stored, {height} x {width}: remove the tag, or turn the "
            "boxes"
        )
