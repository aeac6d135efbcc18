import numpy as np
import pytest
from PIL import Image

from dseg.method.resample import resampling_matrix, resize


@pytest.mark.parametrize("shape", [(16, 16), (33, 20), (128, 70), (7, 200)])
def test_agrees_with_pillow(shape):
    array = np.random.default_rng(0).random((48, 64)).astype(np.float32)
    pillow = Image.fromarray(array).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resize(array, shape), np.asarray(pillow), atol=1e-5)


def test_channels_are_resized_one_by_one():
    array = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    resized = resize(array, (30, 7))
    assert resized.shape == (30, 7, 3) and resized.dtype == np.float32
    for channel in range(3):
        np.testing.assert_allclose(
            resized[..., channel], resize(array[..., channel], (30, 7)), rtol=1e-5
        )


def test_the_same_size_changes_nothing():
    array = np.random.default_rng(2).integers(0, 256, (9, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(array, (9, 5)), array)


def test_shrinking_by_a_whole_factor_keeps_the_mean():
    array = np.random.default_rng(3).random((64, 64))
    tiled = np.tile(array[:8, :8], (8, 8))
    assert resize(tiled, (8, 8))[1:-1, 1:-1].mean() == pytest.approx(array[:8, :8].mean(), rel=1e-4)


def test_the_shared_matrix_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        resampling_matrix(4, 8)[0, 0] = 1
