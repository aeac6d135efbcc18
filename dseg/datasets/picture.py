"""The one place where image files are opened: checked by their header before they are decoded.

Pillow reads nearly everything and raises nearly anything; here a file is an image or one error. Of
the metadata only the EXIF orientation is read, and what else is wrong with it is no matter.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from dseg.errors import DsegError

# Our choice: phones make photos of 108 million pixels. Decoded as RGB that is a third of a GB, and
# a file of a few kB may ask for it.
MAX_PIXELS = 110_000_000
# Pillow fills up what is missing at the end of some files. No PNG has more pixels a byte: deflate
# makes 1 of 1032 bytes, of 8 pixels each. Below a million it is no matter.
_MOST_PER_BYTE, _PLAUSIBLE = 8 * 1032, 2**20
UNKNOWN = "not an image of a known format"
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def open_picture(path: Path, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """An image file as Pillow opens it; its pixels are decoded when they are asked for.

    What goes wrong while it is open, in the decoder as well, is turned into a DsegError.

    Args:
        path: The file.
        most_pixels: Files whose header says more are refused before anything is decoded.

    Raises:
        DsegError: There is no such file, or it is not an image; the message says why, in one line
            and without the path.
    """
    # Opening a pipe would wait for whoever writes into it.
    if not path.is_file():
        raise DsegError("not a regular file" if path.exists() else "no such file")
    too_large = f"too large: more than {most_pixels:,} pixels"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of sizes that are still decoded
            with Image.open(path) as image:
                if image.width * image.height > most_pixels:
                    raise DsegError(f"{too_large} ({image.width:,} x {image.height:,})")
                size = path.stat().st_size
                if image.width * image.height > max(_PLAUSIBLE, size * _MOST_PER_BYTE):
                    raise DsegError(
                        f"damaged: {size} bytes for {image.width:,} x {image.height:,} pixels"
                    )
                if image.format == "EPS":  # a program, which another program would have to run
                    raise DsegError("PostScript is not read: export it to PNG")
                yield image
    except DsegError:
        raise
    except UnidentifiedImageError as error:
        raise DsegError(UNKNOWN) from error
    except Image.DecompressionBombError as error:
        raise DsegError(too_large) from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        said = " ".join(str(error).split()) or type(error).__name__
        raise DsegError(f"damaged or not readable: {said}") from error


@contextmanager
def open_named(path: Path) -> Iterator[Image.Image]:
    """As `open_picture`, for files of data sets: its errors name the path and what to do."""
    try:
        with open_picture(path) as image:
            yield image
    except DsegError as error:
        if str(error).startswith(str(path)):
            raise
        if not path.exists():
            raise DsegError(f"{path}: no such file; restore it from the data set") from error
        raise DsegError(
            f"{path}: not a readable image ({error}); fetch it again from the data set"
        ) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 where the metadata has none or cannot be read."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(found) if found in _TURNS else 1
    except Exception:  # as many kinds as there are of damaged metadata
        return 1


def turn_upright(image: Image.Image) -> Image.Image:
    """The image turned and mirrored as its EXIF orientation asks; nothing else of it is read."""
    image.load()  # so that damaged pixels are not taken for damaged metadata
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def is_transposed(orientation: int) -> bool:
    """Whether an EXIF orientation swaps width and height."""
    return orientation in (5, 6, 7, 8)
