"""One way from any image that Pillow opens to upright RGB; our choices for modes without one.

- Transparency is laid on white.
- Grey of 16 bits is scaled by its range, 65535. Integers of 32 bits and floating values have no
  range of their own: the image's lowest value becomes black, its highest white.
- CMYK, YCbCr, LAB and HSV are converted without colour profiles, which are not read at all.
- Of several frames the first is taken.
"""

import numpy as np
from PIL import Image

from dseg.datasets.picture import turn_upright
from dseg.errors import DsegError

_UNBOUNDED = ("I", "F")
_WHITE = (255, 255, 255, 255)


def as_rgb(image: Image.Image) -> np.ndarray:
    """An image upright by its EXIF orientation, uint8 (H, W, 3).

    Raises:
        DsegError: It holds no pixels, or NaN or infinite values.
    """
    if 0 in image.size:
        raise DsegError("an image without pixels")
    image = turn_upright(image)
    if image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.float32) / 65535
    elif image.mode in _UNBOUNDED:
        grey = _stretched(np.asarray(image, dtype=np.float64))
    elif image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, _WHITE)
        return np.array(Image.alpha_composite(white, coloured).convert("RGB"))
    else:
        return np.array(image.convert("RGB"))
    return np.repeat(np.round(grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def _stretched(values: np.ndarray) -> np.ndarray:
    """Values (H, W) from their range to [0, 1]; a constant image becomes 0."""
    if not np.isfinite(values).all():
        raise DsegError("an image with NaN or infinite values")
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
