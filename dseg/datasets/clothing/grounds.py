"""What a garment lies on, as the word of a colour: what a caption can say without a label.

A garment is photographed on a floor, a bed, a wall: most of the border of a photograph is of that.
The word is the one whose colour is nearest, in CIELAB, to the border's median.
"""

import numpy as np
from skimage.color import rgb2lab

from dseg.datasets.clothing.photographs import NOUNS
from dseg.method.prompts import article_of

# Our choice: the basic colour words of English, and tan for light wood and carpets; sRGB, in shades
# as rooms have them, settled on photographs of the split train.
GROUNDS = {
    "black": (25, 25, 25),
    "grey": (125, 125, 125),
    "white": (225, 225, 225),
    "brown": (105, 70, 45),
    "tan": (195, 165, 130),
    "red": (165, 45, 45),
    "orange": (215, 130, 50),
    "yellow": (215, 195, 90),
    "green": (100, 140, 65),
    "blue": (65, 95, 160),
    "purple": (100, 75, 140),
    "pink": (205, 110, 150),
}
VOCABULARY = ("a", "an", "photo", "of", "on", *NOUNS.values(), *GROUNDS)
"""All words of all captions."""
_BORDER = 12  # the border is a twelfth of the shorter side wide
_LAB = rgb2lab(np.array(list(GROUNDS.values()), np.uint8))


def name_ground(image: np.ndarray) -> str:
    """The word of `GROUNDS` for the border of a photograph.

    Args:
        image: uint8 (H, W, 3) RGB.
    """
    width = max(1, min(image.shape[:2]) // _BORDER)
    inside = np.zeros(image.shape[:2], bool)
    inside[width:-width, width:-width] = True
    median = np.median(rgb2lab(image[~inside]), axis=0)
    return list(GROUNDS)[int(np.square(_LAB - median).sum(axis=1).argmin())]


def caption(noun: str, ground: str | None = None) -> str:
    """Say `a photo of a NOUN [on GROUND]`."""
    return f"a photo of {article_of(noun)} {noun}" + (f" on {ground}" if ground else "")
