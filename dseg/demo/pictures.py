"""What the panels of the page show: maps in colour, masks, boxes and points drawn on an image.

Arrays in, arrays out. All pictures of one image have one size, so that a place in one is the same
place in the others.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation

from dseg.method.resample import resize
from dseg.reporting.figures.galleries import BLUE, GREY, ORANGE

SIDE = 448  # pixels of the longer side: lines stay thin on the smallest image
MAP = "magma"  # as in the figures: its lightness grows with the value, so hue need not be seen
_STRENGTH = 0.8  # of a map over the image
_PALE = 0.6  # of what is outside a mask
_LINE = 3


def canvas(image: np.ndarray) -> tuple[int, int]:
    """Height and width of the pictures of an image: its aspect, the longer side `SIDE`."""
    scale = SIDE / max(image.shape[:2])
    return max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))


def plain(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 (H, W, 3) at another size; small ones keep their pixels visible."""
    grows = size[0] >= 2 * image.shape[0]
    way = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(image).resize((size[1], size[0]), way))


def heat(picture: np.ndarray, values: np.ndarray, top: float) -> np.ndarray:
    """A map in colour over the image in grey.

    Args:
        picture: uint8 (H, W, 3).
        values: (h, w), >= 0; enlarged to the picture.
        top: The value of the lightest colour; 0 that of the darkest.
    """
    height, width = picture.shape[:2]
    shares = (resize(values, (height, width)) / max(top, np.finfo(np.float32).tiny)).clip(0, 1)
    colours = 255 * colormaps[MAP](shares)[..., :3]
    grey = picture.mean(axis=2, keepdims=True)
    return np.rint(_STRENGTH * colours + (1 - _STRENGTH) * grey).astype(np.uint8)


def outlined(picture: np.ndarray, mask: np.ndarray, kept: bool) -> np.ndarray:
    """The image, paled outside a mask, with its outline: blue, or grey where it was dropped.

    Args:
        picture: uint8 (H, W, 3).
        mask: bool (h, w); enlarged to the picture.
        kept: Whether the filter keeps it.
    """
    inside = resize(mask, picture.shape[:2]) > 0.5
    drawn = np.where(inside[..., None], picture, (1 - _PALE) * picture + _PALE * 255)
    rim = binary_dilation(inside, iterations=_LINE) & ~inside  # all of the object stays in sight
    drawn[rim] = _rgb(BLUE if kept else GREY)
    return drawn.astype(np.uint8)


def boxed(picture: np.ndarray, boxes: Sequence[Sequence[int]], size: tuple[int, int]) -> np.ndarray:
    """The image with boxes around what was found.

    Args:
        picture: uint8 (H, W, 3).
        boxes: Each x0, y0, x1, y1 in pixels of an image of another size.
        size: Height and width of that image.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    scale = np.array([image.width / size[1], image.height / size[0]] * 2)
    for box in boxes:
        x0, y0, x1, y1 = np.rint(np.multiply(box, scale)).astype(int).tolist()
        # Cased in white, to be seen on whatever the image shows.
        draw.rectangle((x0 - 2, y0 - 2, x1 + 1, y1 + 1), outline="white", width=_LINE + 4)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=ORANGE, width=_LINE)
    return np.array(image)


def marked(picture: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """The picture with a ring around a point (x, y) in [0, 1], to be seen on light and dark."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    x, y = point[0] * image.width, point[1] * image.height
    for radius, colour, width in ((9, "black", 5), (8, "white", 3), (1.5, "white", 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
    return np.array(image)


def legend(steps: int = 12) -> list[str]:
    """Colours of the map from 0 to its top, as "#rrggbb"."""
    colours = np.rint(255 * colormaps[MAP](np.linspace(0, 1, steps))[:, :3]).astype(int)
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours.tolist()]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
