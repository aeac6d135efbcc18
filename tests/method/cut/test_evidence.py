"""The attention on one image as one object."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from attention_scene import disc_scene

from dseg.errors import DsegError
from dseg.method.cut.affinity import from_rows
from dseg.method.cut.crossmap import combine
from dseg.method.cut.evidence import Attention, AttentionMaps


def attention():
    scene = disc_scene(grid=8, kept=16)
    rows = from_rows(scene.indices, scene.weights, 64, 64)
    return Attention({2: scene.cross[::2, ::2], 1: scene.cross}, rows)


def test_the_noun_map_is_of_all_strides_and_those_asked_for_of_some():
    given = attention()
    np.testing.assert_array_equal(given.noun_map, combine([given.cross[2], given.cross[1]]))
    fine = given.at((1,))
    np.testing.assert_array_equal(fine.noun_map, combine([given.cross[1]]))
    assert fine.affinity is given.affinity and list(given.at((1, 2)).cross) == [1, 2]


def test_a_stride_that_was_not_recorded_is_named():
    with pytest.raises(DsegError, match=r"no field 'cross_4' \(there are: cross_1, cross_2\)"):
        attention().at((1, 4))


def test_one_of_several_images_has_its_own_rows_and_the_grid_of_its_aspect():
    scenes = [disc_scene(grid=8, kept=16, seed=seed) for seed in range(2)]
    maps = AttentionMaps(
        {1: np.stack([scene.cross for scene in scenes])},
        np.stack([scene.indices for scene in scenes]),
        np.stack([scene.weights for scene in scenes]),
    )
    one = maps.of_image(1, (32, 128, 3))
    np.testing.assert_array_equal(one.cross[1], scenes[1].cross)
    expected = from_rows(scenes[1].indices, scenes[1].weights, 32, 128)
    assert one.affinity.shape == expected.shape == (4, 16)
    np.testing.assert_array_equal(one.affinity.indices, expected.indices)


def test_no_method_can_change_what_the_next_one_is_given():
    given = attention()
    with pytest.raises(FrozenInstanceError):
        given.affinity = given.affinity
    with pytest.raises(ValueError, match="read-only"):
        given.affinity.weights[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        given.affinity.matrix().sort_indices()
