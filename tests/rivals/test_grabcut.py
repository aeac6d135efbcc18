import numpy as np
import pytest
from attention_scene import disc_scene, iou

from dseg.errors import DsegError
from dseg.rivals.grabcut import grabcut
from dseg.settings.masks import MaskMethodSettings

SETTINGS = {"method": "grabcut", "exponent": 0.5, "steps": 1, "seeds": (0.5, 0.5), "iterations": 3}


def cut(scene, cross=None, **changes):
    chosen = MaskMethodSettings(**{**SETTINGS, **changes})
    return grabcut(*scene.seen(scene.cross if cross is None else cross), settings=chosen)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_disc(seed):
    scene = disc_scene(seed=seed)
    mask = cut(scene)
    assert mask.shape == (64, 64) and mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    assert iou(mask > 0.5, scene.mask) > 0.9


def test_the_same_input_gives_the_same_mask():
    scene = disc_scene(seed=4, noise=30.0, distinct=0.25, doubt=0.6)
    first = cut(scene)
    cut(disc_scene(seed=5))
    np.testing.assert_array_equal(cut(scene), first)


def test_everything_sure_is_otsu_alone():
    scene = disc_scene(seed=6)
    sure = cut(scene, seeds=(1.0, 0.0))
    np.testing.assert_array_equal(sure, cut(scene, seeds=(1.0, 0.0), iterations=1))
    assert (cut(scene, seeds=(0.3, 0.7)) != sure).any()


def test_a_walk_and_the_exponent_change_the_seeds():
    scene = disc_scene(seed=7, noise=30.0, distinct=0.25, doubt=0.6)
    masks = [cut(scene), cut(scene, steps=0), cut(scene, exponent=1.0)]
    assert any((mask != masks[0]).any() for mask in masks[1:])


def test_colours_are_read_as_rgb_and_the_image_is_left_alone():
    scene = disc_scene(seed=8)
    before = scene.image.copy()
    cut(scene)
    np.testing.assert_array_equal(scene.image, before)


def test_a_constant_map_has_no_object_and_nan_is_refused():
    scene = disc_scene(size=32, grid=8, kept=16)
    assert not cut(scene, cross=np.full((8, 8), 2.0)).any()
    with pytest.raises(DsegError, match="cross map"):
        cut(scene, cross=scene.cross * np.nan)
