import numpy as np
import pytest
from attention_scene import disc_scene, iou
from skimage.filters import threshold_otsu

from dseg.crossmap import normalise
from dseg.errors import DsegError
from dseg.mask_baselines import BASELINES
from dseg.resample import resize


@pytest.mark.parametrize("name", BASELINES)
def test_each_gives_a_soft_mask_of_the_image_size_that_finds_the_disc(name):
    scene = disc_scene(size=64, seed=1)
    soft = BASELINES[name](*scene.inputs)
    assert soft.shape == (64, 64) and soft.dtype == np.float32
    assert soft.min() >= 0 and soft.max() <= 1
    assert iou(soft > 0.5, scene.mask) > 0.6


def test_otsu_puts_its_threshold_at_one_half():
    scene = disc_scene(seed=2)
    values = normalise(resize(scene.cross, (64, 64)))
    np.testing.assert_array_equal(
        BASELINES["otsu"](*scene.inputs) > 0.5, values > threshold_otsu(values)
    )


def test_the_order_of_values_is_kept():
    scene = disc_scene(seed=3)
    half, otsu = (BASELINES[name](*scene.inputs).ravel() for name in ("threshold", "otsu"))
    assert (np.diff(otsu[np.argsort(half)]) >= 0).all()


def test_the_walk_repairs_a_map_with_a_hole():
    scene = disc_scene(seed=4)
    cross = scene.cross.copy()
    y, x = np.argwhere(resize(scene.mask, (16, 16)) == 1).mean(axis=0).astype(int)
    cross[y : y + 2, x : x + 2] = 0
    holed = (cross, *scene.inputs[1:])
    scores = {name: iou(BASELINES[name](*holed) > 0.5, scene.mask) for name in BASELINES}
    assert scores["walk-1"] > scores["otsu"] + 0.02


@pytest.mark.parametrize("name", BASELINES)
def test_a_constant_map_has_no_object(name):
    scene = disc_scene(size=32, grid=8, kept=16)
    for level in (0.0, 1e-3, 7.0):
        assert not BASELINES[name](np.full((8, 8), level), *scene.inputs[1:]).any()


@pytest.mark.parametrize("name", BASELINES)
def test_a_map_with_nan_is_refused(name):
    scene = disc_scene(size=32, grid=8, kept=16)
    with pytest.raises(DsegError, match="cross map"):
        BASELINES[name](scene.cross * np.nan, *scene.inputs[1:])
