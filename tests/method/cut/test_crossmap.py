import numpy as np
import pytest
from skimage.filters import threshold_otsu

from dseg.errors import DsegError
from dseg.method.cut.crossmap import (
    check,
    combine,
    compress,
    is_flat,
    normalise,
    otsu,
)


@pytest.mark.parametrize("seed", range(5))
def test_otsu_agrees_with_scikit_image(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.2, 0.1, 300), rng.normal(0.8, 0.1, 40 * (seed + 1))])
    assert otsu(values) == pytest.approx(threshold_otsu(values), abs=1e-9)


def test_otsu_of_two_values_parts_them():
    values = np.array([[0.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(values > otsu(values), values == 3)


def test_otsu_of_equal_values_puts_none_in_the_upper_class():
    values = np.full((3, 3), 0.7)
    assert not (values > otsu(values)).any()


def test_normalise_spans_zero_to_one_in_order():
    values = np.array([[3.0, 1.0], [2.0, 5.0]])
    np.testing.assert_allclose(normalise(values), [[0.5, 0], [0.25, 1]])
    assert not normalise(np.full((2, 2), 4.0)).any()


def test_what_rounding_makes_of_a_constant_is_flat():
    noise = np.random.default_rng(0).random((8, 8))
    assert is_flat(0.3 * (1 + 1e-6 * noise)) and is_flat(np.zeros((2, 2)))
    assert not is_flat(0.3 * (1 + 1e-3 * noise))
    assert not normalise(0.3 * (1 + 1e-6 * noise)).any()


def test_combine_of_one_map_is_the_map_over_its_mean():
    cross = np.random.default_rng(0).random((4, 6))
    np.testing.assert_allclose(combine([cross]), cross / cross.mean(), rtol=1e-5)


def test_combine_weighs_resolutions_alike_whatever_their_scale():
    rng = np.random.default_rng(1)
    fine, coarse = rng.random((16, 16)), rng.random((8, 8))
    combined = combine([fine, coarse])
    assert combined.shape == (16, 16)
    np.testing.assert_allclose(combined, combine([coarse * 1000, fine * 1e-3]), rtol=1e-4)
    np.testing.assert_allclose(combined.mean(), 1, rtol=1e-5)


def test_combine_of_a_flat_map_keeps_the_other_ones_peak():
    peaked = np.zeros((4, 4))
    peaked[2, 1] = 1
    combined = combine([peaked, np.ones((2, 2))])
    assert np.unravel_index(combined.argmax(), combined.shape) == (2, 1)
    assert not combine([np.zeros((2, 2))]).any()


@pytest.mark.parametrize(
    "cross",
    [np.ones(4), np.ones((0, 3)), np.array([[1.0, np.nan]]), np.array([[np.inf, 0.0]]), -np.eye(2)],
)
def test_what_is_no_map_is_refused(cross):
    with pytest.raises(DsegError, match="cross map"):
        check(cross)
    with pytest.raises(DsegError, match="cross map"):
        combine([cross])


def test_combine_of_nothing_is_refused():
    with pytest.raises(DsegError, match="no cross map"):
        combine([])


def test_compress_is_a_power_relative_to_the_maximum():
    cross = np.array([[0.0, 0.25], [0.5, 1.0]], np.float16) * 4
    np.testing.assert_allclose(compress(cross, 0.5), np.sqrt([[0, 0.25], [0.5, 1]]), rtol=1e-3)
    np.testing.assert_allclose(compress(cross, 1.0), [[0, 0.25], [0.5, 1]], rtol=1e-3)
    assert not compress(np.zeros((2, 2)), 0.5).any()
