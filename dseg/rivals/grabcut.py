"""A rival that cuts by colour: OpenCV's GrabCut, seeded by the noun's attention.

GrabCut (Rother, Kolmogorov and Blake, 2004) fits five Gaussians to the colours of the object and
five to those of the rest, cuts, and begins again. It is usually given a rectangle; here the noun's
cross map says where the object is (our choice).
"""

import cv2
import numpy as np

from dseg.method.cut import affinity, crossmap
from dseg.method.cut.evidence import Attention
from dseg.method.resample import resize
from dseg.settings.masks import MaskMethodSettings


def grabcut(attention: Attention, image: np.ndarray, *, settings: MaskMethodSettings) -> np.ndarray:
    """GrabCut of the image, from the cross map at its size.

    Above Otsu's threshold t of the map a pixel is probably object, below probably background.
    With the seeds (a, b), it is surely background below ``a t`` and surely object above
    ``t + b (1 - t)``.

    Args:
        attention: On the image; its affinity is not used if there is no walk.
        image: uint8 (H, W, 3).
        settings: Its exponent, steps, seeds and iterations are read.

    Returns:
        float32 (H, W), 0 or 1; the mask is where it exceeds .5.
    """
    cross, shape = attention.noun_map, (image.shape[0], image.shape[1])
    if crossmap.is_flat(cross):
        return np.zeros(shape, np.float32)
    values = crossmap.compress(cross, settings.exponent)
    if settings.steps:
        rows = attention.affinity
        values = affinity.walk(rows, resize(values, rows.shape), settings.steps)
    values = crossmap.normalise(resize(values, shape))
    threshold = crossmap.otsu(values)
    low, high = settings.seeds
    mask = np.where(values > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[values < low * threshold] = cv2.GC_BGD
    mask[values > threshold + high * (1 - threshold)] = cv2.GC_FGD
    objects = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if objects.all() or not objects.any():  # no colours to fit on one side
        return objects.astype(np.float32)
    cv2.setRNGSeed(0)  # of the k-means that begins the fit
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    whole = (0, 0, shape[1], shape[0])  # not read where a mask is given
    mode = cv2.GC_INIT_WITH_MASK
    cv2.grabCut(bgr, mask, whole, ground, thing, settings.iterations, mode)
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
