"""A mask on its image, for looking at: a tint, an outline, and the boxes of its components."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# At most this on the longer side: a picture to look at, which the mask beside it is not.
LONGEST = 1600
COLOUR = (236, 0, 140)  # rare in photographs
TINT = 0.35
# A light line in a dark seam stands out on light and on dark ground alike.
LIGHT, DARK = (255, 255, 255), (16, 16, 16)


def overlay(image: np.ndarray, mask: np.ndarray, boxes: np.ndarray) -> Image.Image:
    """Draw the mask and boxes of an image over it.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (H, W).
        boxes: Integers (n, 4), x0, y0, x1, y1 with exclusive ends.

    Returns:
        RGB, of the image's size, or reduced to `LONGEST` on the longer side.
    """
    height, width = mask.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    shape = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    shape = shape.point(lambda value: 255 * (value > 127))
    picture = Image.composite(
        Image.blend(picture, Image.new("RGB", size, COLOUR), TINT), picture, shape
    )
    line = 1 + max(size) // 400
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        x0, y0, x1, y1 = (float(value) * scale for value in box)
        corners = (
            round(x0),
            round(y0),
            max(round(x0), round(x1) - 1),
            max(round(y0), round(y1) - 1),
        )
        draw.rectangle(corners, outline=DARK, width=line + 1)
        draw.rectangle(corners, outline=LIGHT, width=max(1, line // 2))
    for colour, reach in ((DARK, line + 1), (COLOUR, line)):
        picture.paste(colour, mask=_band(shape, reach))
    return picture


def _band(shape: Image.Image, reach: int) -> Image.Image:
    """Pixels within ``reach`` of the outline, inside and outside."""
    size = 2 * reach + 1
    # Beyond the border counts as outside: an outline closes where the object is cut off.
    padded = Image.new("L", (shape.width + 2 * reach, shape.height + 2 * reach))
    padded.paste(shape, (reach, reach))
    grown = np.asarray(padded.filter(ImageFilter.MaxFilter(size)))
    shrunk = np.asarray(padded.filter(ImageFilter.MinFilter(size)))
    band = (grown != shrunk)[reach : reach + shape.height, reach : reach + shape.width]
    return Image.fromarray(band.astype(np.uint8) * 255)
