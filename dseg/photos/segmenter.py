"""Segment given images of any size: soft mask, mask and boxes, at the size of each image.

A method sees an image at the size of its model, to which it is stretched, as in training and in
every evaluation of this package: the aspect ratio is lost on the way in and restored on the way
out. Padding instead would show the method images unlike those it learnt from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from dseg.base_model.pipeline import stretch
from dseg.errors import DsegError
from dseg.evaluation.boxes import Component, components
from dseg.method.resample import resize
from dseg.photos.photo import as_rgb

# Components that cover less of the image have no box of their own: specks (our choice).
LEAST_AREA = 0.001
BATCH_SIZE = 8
# Of the score: between them lies all of which the method is not sure (our choice).
THRESHOLDS = (0.1, 0.9)


class Method(Protocol):
    """A way to segment images of one size; a batch of n gives what n batches of 1 give."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images it takes."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
        """Soft masks of a batch.

        Args:
            images: uint8 (B, H, W, 3).

        Returns:
            float32 (B, h, w) in [0, 1]; and for each image a remark on its mask, or "".
        """


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in one image of H x W pixels.

    Attributes:
        mask: bool (H, W), where ``soft`` is above the threshold.
        soft: float32 (H, W) in [0, 1].
        components: The 4-connected parts of the mask that cover at least `LEAST_AREA` of the
            image, largest first.
        remark: What speaks against the mask, as far as the method can tell; "" for nothing.
    """

    mask: np.ndarray
    soft: np.ndarray
    components: tuple[Component, ...]
    remark: str = ""

    @property
    def boxes(self) -> np.ndarray:
        """Boxes of the components, int32 (n, 4): x0, y0, x1, y1 in pixels, exclusive ends."""
        return np.array([each.box for each in self.components], dtype=np.int32).reshape(-1, 4)

    @property
    def area(self) -> float:
        """Share of the image that the mask covers."""
        return float(self.mask.mean())

    @property
    def score(self) -> float:
        """In [0, 1], 0 for an empty mask: ranks masks by how good they are, no probability.

        How little the mask changes with the threshold, times the share of the image's border that
        it leaves free (our choice, by `benchmarks/mask_scores.py`).
        """
        return stability(self.soft) * (1 - border_share(self.mask))


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A method and how its soft masks are read. `dseg.load` makes one.

    Attributes:
        method: The method.
        threshold: Soft masks above this are foreground.
        about: What it is: method, model and the like, as JSON holds it.
        batch_size: Images computed at once; changes nothing but memory and speed.
    """

    method: Method
    threshold: float
    about: Mapping[str, Any]
    batch_size: int = BATCH_SIZE

    def segment(self, images: Sequence[np.ndarray | Image.Image]) -> list[Segmentation]:
        """Segment images of any sizes.

        Args:
            images: Each a uint8 array (H, W, 3), RGB, or an image of Pillow in any mode, which is
                turned upright (`dseg.photos.photo`).

        Raises:
            DsegError: One is neither; the message says which.
        """
        return list(self.stream(images))

    def stream(self, images: Sequence[np.ndarray | Image.Image]) -> Iterator[Segmentation]:
        """As `segment`, but only one result at a time is at the size of its image."""
        for start in range(0, len(images), self.batch_size):
            batch = [
                _as_array(image, start + offset)
                for offset, image in enumerate(images[start : start + self.batch_size])
            ]
            soft, remarks = self.method(
                np.stack([stretch(image, self.method.size) for image in batch])
            )
            for image, values, remark in zip(batch, soft, remarks, strict=True):
                yield self._read(values, (image.shape[0], image.shape[1]), remark)

    def _read(self, soft: np.ndarray, shape: tuple[int, int], remark: str) -> Segmentation:
        soft = np.clip(resize(soft, shape), 0, 1)
        mask = soft > self.threshold
        return Segmentation(mask, soft, components(mask, soft, LEAST_AREA), remark)


def stability(soft: np.ndarray) -> float:
    """IoU of what is above a low and above a high threshold, 0 if nothing is: soft (H, W)."""
    low, high = (int((soft > threshold).sum()) for threshold in THRESHOLDS)
    return high / low if low else 0.0


def border_share(mask: np.ndarray) -> float:
    """Share of the image's outermost pixels that a mask (H, W) covers."""
    return float(np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]]).mean())


def _as_array(image: np.ndarray | Image.Image, index: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        return as_rgb(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DsegError(
            f"image {index}: an array {image.dtype} {image.shape}, expected uint8 (H, W, 3) in RGB"
        )
    return image
