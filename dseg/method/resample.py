"""Resize images and maps: separable triangle filter, widened when shrinking (our choice).

The convention of Pillow's BILINEAR and of torch's ``interpolate(mode="bilinear",
align_corners=False, antialias=True)``: pixel centres at half integers, edges repeated.
"""

from functools import lru_cache

import numpy as np

from dseg.errors import DsegError

MOST_WEIGHTS = 2**27  # of the matrix that resizes a side: half a GB (our choice)
_BLOCK = 2**20  # weights


def resize(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize the first two axes of an array.

    Args:
        array: Any real type, ``(h, w)`` or ``(h, w, channels)``.
        shape: The new ``(h, w)``, both at least 1.

    Returns:
        float32 of the new size; every value is a weighted mean of values of the input.
    """
    height, width = array.shape[:2]
    values = np.asarray(array, dtype=np.float32)
    if height != shape[0]:
        flat = resampling_matrix(height, shape[0]) @ values.reshape(height, -1)
        values = flat.reshape(shape[0], *values.shape[1:])
    if width != shape[1]:
        matrix = resampling_matrix(width, shape[1])
        values = values @ matrix.T if values.ndim == 2 else matrix @ values
    return values


# Bounded: photographs come in any number of sizes, and a matrix takes up to megabytes.
@lru_cache(maxsize=64)
def resampling_matrix(size: int, new_size: int) -> np.ndarray:
    """Weights of the ``size`` old samples in the ``new_size`` new ones: float32, rows sum to 1."""
    scale = size / new_size
    centres = (np.arange(new_size) + 0.5) * scale - 0.5
    matrix = np.empty((new_size, size), np.float32)
    step = max(1, _BLOCK // size)  # some rows at a time: in double precision, steps are large
    for start in range(0, new_size, step):
        rows = slice(start, start + step)
        distances = np.abs(np.arange(size) - centres[rows, None]) / max(1.0, scale)
        weights = np.maximum(0.0, 1.0 - distances)
        matrix[rows] = weights / weights.sum(axis=1, keepdims=True)
    matrix.setflags(write=False)  # shared by all callers
    return matrix


def match_size(soft: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A soft mask at the size of its truth: as it is, or resized to float32 in [0, 1].

    Raises:
        DsegError: It is so much larger than any map of a model that resizing has no end.
    """
    if soft.shape == shape:
        return soft
    if max(old * new for old, new in zip(soft.shape, shape, strict=True)) > MOST_WEIGHTS:
        raise DsegError(
            f"a soft mask of {soft.shape[1]} x {soft.shape[0]} cannot be brought to its truth's "
            f"{shape[1]} x {shape[0]} (width x height): give it at that size"
        )
    values = soft / np.float32(255) if soft.dtype == np.uint8 else soft
    return np.clip(resize(values, shape), 0, 1)
