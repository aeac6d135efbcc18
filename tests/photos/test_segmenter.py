"""Images of any size through a method of one size, and back."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.evaluation.boxes import mask_to_box
from dseg.photos.segmenter import LEAST_AREA, Segmentation, Segmenter

SIZE = (32, 48)


class Brightness:
    """The simplest real method: what is bright is the object."""

    size = SIZE

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
        assert images.dtype == np.uint8 and images.shape[1:] == (*SIZE, 3)
        self.batches.append(len(images))
        soft = images.mean(axis=-1, dtype=np.float32) / 255
        return soft, ["dark" if each.max() < 0.5 else "" for each in soft]


def segmenter(**options) -> Segmenter:
    return Segmenter(Brightness(), 0.5, {}, **options)


def scene(height: int, width: int) -> np.ndarray:
    """A large and a small bright rectangle on black."""
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 8 : height // 2, width // 8 : width // 2] = 230
    image[3 * height // 4 : 7 * height // 8, 3 * width // 4 : 7 * width // 8] = 255
    return image


def test_results_are_at_the_size_of_each_image():
    sizes = [(1, 1), (1, 4000), (4000, 3), (17, 5), (480, 320), SIZE]
    results = segmenter().segment([scene(*size) for size in sizes])
    for size, result in zip(sizes, results, strict=True):
        assert result.mask.shape == result.soft.shape == size
        assert result.mask.dtype == bool and result.soft.dtype == np.float32
        assert 0 <= result.soft.min() and result.soft.max() <= 1
        np.testing.assert_array_equal(result.mask, result.soft > 0.5)
        boxes = result.boxes
        assert boxes.dtype == np.int32 and boxes.shape == (len(result.components), 4)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= size[::-1]).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_the_mask_lies_where_the_object_is():
    image = scene(320, 640)  # of another aspect than the method's size
    (result,) = segmenter().segment([image])
    truth = image[..., 0] > 0
    assert (result.mask == truth).mean() > 0.99
    assert result.area == pytest.approx(truth.mean(), abs=0.01)
    expected = [[80, 40, 320, 160], [480, 240, 560, 280]]
    assert np.abs(result.boxes - expected).max() <= 7  # half a pixel of the method's
    assert result.components[0].area > result.components[1].area
    assert all(0.8 < component.score < 1 for component in result.components)
    assert result.boxes[0].tolist() == mask_to_box(result.soft).tolist()


def test_batches_change_nothing():
    images = [scene(20 + 9 * index, 60 - 7 * index) for index in range(5)]
    alone = [segmenter(batch_size=1).segment([image])[0] for image in images]
    for size in (2, 5, 64):
        chosen = segmenter(batch_size=size)
        for one, other in zip(alone, chosen.segment(images), strict=True):
            np.testing.assert_array_equal(one.soft, other.soft)
        assert max(chosen.method.batches) == min(size, 5)


def test_stream_computes_no_batch_before_it_is_asked_for():
    chosen = segmenter(batch_size=2)
    stream = chosen.stream([scene(9, 9)] * 4)
    next(stream)
    next(stream)
    assert chosen.method.batches == [2]
    assert len(list(stream)) == 2


def test_specks_have_no_box_and_nothing_no_score():
    mask_only = np.zeros((400, 600, 3), np.uint8)
    (nothing,) = segmenter().segment([mask_only])
    assert not nothing.mask.any() and nothing.boxes.shape == (0, 4)
    assert (nothing.area, nothing.score, nothing.remark) == (0, 0, "dark")
    speck = np.zeros((*SIZE, 3), np.uint8)
    speck[0, 0] = 255
    (result,) = segmenter().segment([speck])
    assert result.mask.sum() == 1 and 1 / speck[..., 0].size < LEAST_AREA
    assert result.boxes.shape == (0, 4)


def test_the_score_falls_with_what_is_unsure_and_with_what_lies_on_the_border():
    shape, inner = (20, 20), (slice(5, 15), slice(5, 15))
    sure = np.zeros(shape, np.float32)
    sure[inner] = 1
    unsure, wide = sure.copy(), sure.copy()
    unsure[4], wide[:, :10] = 0.4, 1
    scores = [Segmentation(soft > 0.5, soft, ()).score for soft in (sure, unsure, wide, 0 * sure)]
    assert scores[0] == 1 and scores[3] == 0
    assert scores[1] == pytest.approx(100 / 120)
    assert scores[2] == pytest.approx(1 - (20 + 2 * 10 - 2) / 76)


def test_pillow_images_are_turned_upright():
    image = Image.fromarray(scene(40, 80))
    image.getexif()[0x0112] = 6
    (turned,) = segmenter().segment([image])
    (expected,) = segmenter().segment([np.rot90(scene(40, 80), -1)])
    np.testing.assert_array_equal(turned.mask, expected.mask)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_by_their_place(image):
    with pytest.raises(DsegError, match=r"image 1: an array .* expected uint8 \(H, W, 3\)"):
        segmenter().segment([scene(4, 4), image])
