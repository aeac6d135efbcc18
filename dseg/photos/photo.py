"""One way from any image that Pillow opens to upright RGB; our choices for modes without one.

- Transparency is laid on white.
- Grey of 16 bits is scaled by its range, 65535. Integers of 32 bits and floating values have no
  range of their own: the image's lowest value becomes black, its highest white.
- CMYK, YCbCr, LAB and HSV are converted without colour profiles, which are not read at all.
- Of several frames the first is taken.

An image is converted a strip of rows at a time: beside it and the result little more is held in
memory, however large it is.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from dseg.datasets.picture import turn_upright
from dseg.errors import DsegError

_UNBOUNDED = ("I", "F")
_WHITE = (255, 255, 255, 255)
_STRIP = 1 << 20  # pixels


def as_rgb(image: Image.Image) -> np.ndarray:
    """An image upright by its EXIF orientation, uint8 (H, W, 3).

    Raises:
        DsegError: It holds no pixels, or NaN or infinite values.
    """
    if 0 in image.size:
        raise DsegError("an image without pixels")
    image = turn_upright(image)
    low, high = _range(image)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in _strips(image):
        if high > low:
            grey = (np.asarray(strip, np.float64) - low) / (high - low)
            rgb[rows] = np.round(grey * 255).astype(np.uint8)[..., None]
        elif image.mode in _UNBOUNDED:  # all of one value
            rgb[rows] = 0
        elif image.has_transparency_data:
            coloured = strip.convert("RGBA")
            white = Image.new("RGBA", coloured.size, _WHITE)
            rgb[rows] = np.asarray(Image.alpha_composite(white, coloured).convert("RGB"))
        else:
            rgb[rows] = np.asarray(strip.convert("RGB"))
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Parts of an image of its full width, from the top down, and the rows that they are."""
    step = max(1, _STRIP // image.width)
    for start in range(0, image.height, step):
        end = min(start + step, image.height)
        yield slice(start, end), image.crop((0, start, image.width, end))


def _range(image: Image.Image) -> tuple[float, float]:
    """The values of grey that become black and white; twice the same where the mode says it."""
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    if image.mode not in _UNBOUNDED:
        return 0.0, 0.0
    ends = []
    for _, strip in _strips(image):
        values = np.asarray(strip)
        if not np.isfinite(values).all():
            raise DsegError("an image with NaN or infinite values")
        ends += [float(values.min()), float(values.max())]
    return min(ends), max(ends)
