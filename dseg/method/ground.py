"""What an image is on, as the word of a colour: what a prompt can say without a label.

Most of the border of a photograph is of what its object lies on or stands before. The word is the
one whose colour is nearest, in CIELAB, to the border's median.
"""

import numpy as np
from skimage.color import rgb2lab

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
