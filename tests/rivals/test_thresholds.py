import numpy as np
import pytest
from attention_scene import disc_scene, iou
from skimage.filters import threshold_otsu

from dseg.errors import DsegError
from dseg.method.cut.affinity import from_rows
from dseg.method.cut.crossmap import normalise
from dseg.method.resample import resize
from dseg.rivals.thresholds import BASELINES, add_up


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


def test_adding_up_weighs_maps_by_how_much_they_hold():
    rng = np.random.default_rng(0)
    fine, coarse = rng.random((16, 16)).astype(np.float32), rng.random((8, 8)).astype(np.float32)
    np.testing.assert_allclose(add_up([fine]), fine)
    level = np.full((8, 8), 3.0, np.float32)
    np.testing.assert_allclose(add_up([fine, level]), (fine + 3) / 2, rtol=1e-5)
    loud = add_up([fine, 1000 * coarse])
    assert loud.shape == (16, 16) and loud.min() >= 0
    near = np.corrcoef(loud.ravel(), resize(coarse, (16, 16)).ravel())[0, 1]
    assert near > 0.95
    with pytest.raises(DsegError, match="no cross map"):
        add_up([])


def test_daam_keeps_what_exceeds_two_fifths_of_the_range():
    scene = disc_scene(seed=2)
    ramp = np.linspace(1, 2, 64, dtype=np.float32)[None].repeat(64, 0)
    mask = BASELINES["daam"](*scene.seen(ramp)) > 0.5
    np.testing.assert_array_equal(mask[0], np.linspace(0, 1, 64) > 0.4)


def test_dataset_diffusion_is_the_fourth_power_of_the_self_attention():
    scene = disc_scene(size=32, grid=8, kept=64, seed=3)
    rows = from_rows(scene.indices, scene.weights, 32, 32).matrix().toarray()
    values = (np.linalg.matrix_power(rows, 4) @ scene.cross.ravel()).reshape(8, 8)
    small = scene.image[::4, ::4]
    got = BASELINES["dataset-diffusion"](scene.inputs[0], small) > 0.5
    np.testing.assert_array_equal(got, normalise(values) > 0.6)


def test_the_square_root_lifts_what_is_attended_to_less():
    scene = disc_scene(seed=2)
    cross = scene.cross**3
    areas = [(BASELINES[n](*scene.seen(cross)) > 0.5).sum() for n in ("otsu", "otsu-sqrt")]
    assert areas[0] < areas[1]


def test_the_order_of_values_is_kept():
    scene = disc_scene(seed=3)
    half, otsu = (BASELINES[name](*scene.inputs).ravel() for name in ("threshold", "otsu"))
    assert (np.diff(otsu[np.argsort(half)]) >= 0).all()


def test_the_walk_repairs_a_map_with_a_hole():
    scene = disc_scene(seed=4)
    cross = scene.cross.copy()
    y, x = np.argwhere(resize(scene.mask, (16, 16)) == 1).mean(axis=0).astype(int)
    cross[y : y + 2, x : x + 2] = 0
    holed = scene.seen(cross)
    scores = {name: iou(BASELINES[name](*holed) > 0.5, scene.mask) for name in BASELINES}
    assert scores["walk-1"] > scores["otsu"] + 0.02


@pytest.mark.parametrize("name", BASELINES)
def test_a_constant_map_has_no_object(name):
    scene = disc_scene(size=32, grid=8, kept=16)
    for level in (0.0, 1e-3, 7.0):
        assert not BASELINES[name](*scene.seen(np.full((8, 8), level))).any()


@pytest.mark.parametrize("name", BASELINES)
def test_a_map_with_nan_is_refused(name):
    scene = disc_scene(size=32, grid=8, kept=16)
    with pytest.raises(DsegError, match="cross map"):
        BASELINES[name](*scene.seen(scene.cross * np.nan))
