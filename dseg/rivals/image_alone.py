"""Rivals that see the image alone: no model, no noun, nothing learnt.

Each takes an image uint8 (H, W, 3) and returns a soft mask, float32 (H, W) in [0, 1], whose binary
mask is ``soft > 0.5``.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from dseg.method.cut import crossmap
from dseg.method.resample import resize
from dseg.settings.masks import ImageMethodSettings

ImageMethod = Callable[[np.ndarray], np.ndarray]

_SPECTRAL_SIDE = 64  # pixels: the scale of Hou and Zhang
_SPECTRAL_BLUR = 2.5  # deviation of the final Gaussian, pixels at that scale
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601


def image_method(settings: ImageMethodSettings) -> ImageMethod:
    """The method that an entry of `image_methods` names."""
    if settings.method == "grabcut":
        return partial(grabcut_rectangle, margin=settings.margin, iterations=settings.iterations)
    return {"otsu": otsu_luminance, "spectral-residual": spectral_residual}[settings.method]


def otsu_luminance(image: np.ndarray) -> np.ndarray:
    """Otsu's threshold of the luminance.

    The object is the side that covers less of the image's border (our choice): a photographer puts
    what is meant into the middle.
    """
    luminance = image.astype(np.float32) @ np.array(_LUMA, np.float32)
    values = crossmap.normalise(luminance)
    soft = crossmap.centre(values, crossmap.otsu(values))
    return soft if _border(soft > 0.5).mean() <= 0.5 else 1 - soft


def spectral_residual(image: np.ndarray) -> np.ndarray:
    """The spectral residual (Hou and Zhang, CVPR 2007) at Otsu's threshold.

    What the logarithm of the image's amplitude spectrum departs from its local mean by is taken
    back to the image, squared and smoothed. The threshold is our choice; theirs is three times the
    mean.
    """
    small = resize(image.astype(np.float32).mean(axis=2), (_SPECTRAL_SIDE, _SPECTRAL_SIDE))
    if crossmap.is_flat(small):  # its spectrum is rounding: nothing stands out
        return np.zeros(image.shape[:2], np.float32)
    spectrum = np.fft.fft2(small)
    amplitude = np.log(np.abs(spectrum) + 1e-8)
    residual = amplitude - cv2.blur(amplitude, (3, 3), borderType=cv2.BORDER_REPLICATE)
    saliency = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = cv2.GaussianBlur(saliency.astype(np.float32), (0, 0), _SPECTRAL_BLUR)
    values = crossmap.normalise(resize(smooth, (image.shape[0], image.shape[1])))
    return crossmap.centre(values, crossmap.otsu(values))


def grabcut_rectangle(image: np.ndarray, *, margin: float, iterations: int) -> np.ndarray:
    """GrabCut (Rother, Kolmogorov and Blake, 2004) from a rectangle in the image's middle.

    Args:
        image: uint8 (H, W, 3).
        margin: What the rectangle leaves of each side at either end, as a share, below .5.
        iterations: How often colours are fitted.

    Returns:
        float32 (H, W), 0 or 1. An image too small for a rectangle has the empty mask.
    """
    height, width = image.shape[:2]
    top, left = max(1, round(margin * height)), max(1, round(margin * width))
    rows, columns = height - 2 * top, width - 2 * left
    mask = np.zeros((height, width), np.uint8)
    if min(rows, columns) < 1:
        return mask.astype(np.float32)
    cv2.setRNGSeed(0)  # of the k-means that begins the fit
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    rectangle = (left, top, columns, rows)
    cv2.grabCut(bgr, mask, rectangle, ground, thing, iterations, cv2.GC_INIT_WITH_RECT)
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def _border(mask: np.ndarray) -> np.ndarray:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
