"""A mask on its image: seen on any ground, at a bounded size."""

import numpy as np
import pytest

from dseg.photos.overlay import LONGEST, overlay


@pytest.mark.parametrize("grey", [0, 90, 160, 255])
def test_the_outline_stands_out_on_every_ground(grey):
    image = np.full((120, 160, 3), grey, np.uint8)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    picture = np.array(overlay(image, mask, np.zeros((0, 4), np.int32))).astype(int)
    assert picture.shape == (120, 160, 3)
    assert (picture[5, 5] == grey).all()  # outside, nothing is changed
    assert np.abs(picture[60, 80] - grey).max() > 40  # the tint
    row = picture[60, 34:47]
    assert np.abs(row - grey).sum(axis=1).max() > 250  # the outline, on either ground
    assert np.ptp(row.sum(axis=1)) > 200


def test_an_object_at_the_border_has_a_closed_outline():
    image = np.full((60, 60, 3), 255, np.uint8)
    whole = np.array(overlay(image, np.ones((60, 60), bool), np.zeros((0, 4), np.int32)))
    assert (whole[0, 30] != whole[30, 30]).any()
    nothing = np.array(overlay(image, np.zeros((60, 60), bool), np.zeros((0, 4), np.int32)))
    np.testing.assert_array_equal(nothing, image)


def test_boxes_are_drawn_on_their_own_pixels():
    image = np.full((50, 80, 3), 128, np.uint8)
    picture = np.array(overlay(image, np.zeros((50, 80), bool), np.array([[10, 20, 40, 45]])))
    changed = (picture != 128).any(axis=-1)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (10, 20, 40, 45)
    assert not changed[25:40, 15:35].any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 2), (2000, 3000)])
def test_any_size_is_drawn_and_large_ones_are_reduced(height, width):
    mask = np.zeros((height, width), bool)
    mask[: (height + 1) // 2] = True
    box = np.array([[0, 0, width, (height + 1) // 2]])
    picture = overlay(np.zeros((height, width, 3), np.uint8), mask, box)
    assert max(picture.size) == min(LONGEST, max(height, width))
    assert picture.width / picture.height == pytest.approx(width / height, rel=0.01) or 1 in (
        picture.size
    )
