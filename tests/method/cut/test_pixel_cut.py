"""Any soft mask, cut by the pixel layer alone."""

from itertools import product

import numpy as np
import pytest
from attention_scene import SETTINGS, disc_scene, iou
from scipy.ndimage import gaussian_filter, zoom

from dseg.errors import DsegError
from dseg.method.cut.attentioncut import pixel_cut
from dseg.settings.masks import AttentionCutSettings


def settings(**changes):
    return AttentionCutSettings(**{**SETTINGS, **changes})


def least(soft, image, chosen):
    """The labelling of the least energy among all, by the equation, and the least energy."""
    height, width = soft.shape
    count = height * width
    odds = (soft.ravel() - 0.5) / chosen.tau
    f = np.clip(1 / (1 + np.exp(-odds)), chosen.clip, 1 - chosen.clip)
    place = [(y, x) for y in range(height) for x in range(width)]
    colours = image.reshape(-1, 3).astype(float)
    near = [
        (p, q)
        for p, q in product(range(count), repeat=2)
        if p < q and max(np.abs(np.subtract(place[p], place[q]))) == 1
    ]
    squares = [((colours[p] - colours[q]) ** 2).sum() for p, q in near]
    labels = np.array(list(product([0, 1], repeat=count)))
    total = -np.where(labels, np.log(f), np.log(1 - f)).sum(1) / count
    for (p, q), square in zip(near, squares, strict=True):
        v = np.exp(-square / 2 / np.mean(squares)) / np.hypot(*np.subtract(place[p], place[q]))
        total += chosen.lambda_contrast / count**0.5 * v * (labels[:, p] != labels[:, q])
    best = np.argsort(total)
    assert total[best[1]] > total[best[0]] + 1e-9  # one labelling, no tie
    return labels[best[0]].reshape(soft.shape).astype(bool), f.reshape(soft.shape)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [0, None, 64])
def test_it_is_the_least_of_all_masks(seed, size):
    rng = np.random.default_rng(seed)
    soft = rng.random((3, 4)).astype(np.float32)
    image = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    chosen = settings(lambda_colour=0.0, lambda_contrast=0.4, size=size)
    mask, data = least(soft, image, chosen)
    found = pixel_cut(soft, image, chosen)
    np.testing.assert_array_equal(found > 0.5, mask)
    np.testing.assert_allclose(found, (data + mask) / 2, rtol=1e-4)
    assert (mask != (soft > 0.5)).any() or seed > 0  # neighbours have a say


def test_what_weighs_nothing_leaves_the_threshold():
    scene = disc_scene(seed=1)
    soft = np.random.default_rng(0).random(scene.mask.shape).astype(np.float32)
    found = pixel_cut(soft, scene.image, settings(lambda_colour=0.0, lambda_contrast=0.0))
    np.testing.assert_array_equal(found > 0.5, soft > 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_a_soft_mask_that_is_right_stays(seed):
    scene = disc_scene(seed=seed)
    for soft in (scene.mask, scene.mask.astype(np.float32), 0.2 + 0.6 * scene.mask):
        found = pixel_cut(soft, scene.image, settings())
        assert found.dtype == np.float32 and found.shape == scene.mask.shape
        assert found.min() >= 0 and found.max() <= 1
        assert iou(found > 0.5, scene.mask) > 0.97


@pytest.mark.parametrize("size", [0, None, 64])
def test_a_ragged_soft_mask_follows_the_edge_of_the_colours(size):
    scene = disc_scene(seed=3)
    rng = np.random.default_rng(0)
    coarse = gaussian_filter(scene.mask.astype(np.float32), 4)[::8, ::8]
    soft = np.clip(zoom(coarse, 8, order=1) + rng.normal(0, 0.15, (64, 64)), 0, 1)
    found = pixel_cut(soft, scene.image, settings(size=size))
    assert iou(found > 0.5, scene.mask) > 0.95
    assert iou(found > 0.5, scene.mask) > iou(soft > 0.5, scene.mask) + 0.1


def test_a_larger_image_is_cut_at_the_working_size():
    scene = disc_scene(size=96, grid=12)
    image, mask = scene.image[:64], scene.mask[:64]
    found = pixel_cut(gaussian_filter(mask.astype(np.float32), 3), image, settings(size=48))
    assert found.shape == (64, 96) and iou(found > 0.5, mask) > 0.9


def test_nothing_of_attention_is_asked_for():
    """Other weights than those of the pixels change no bit."""
    scene = disc_scene(seed=4)
    soft = gaussian_filter(scene.mask.astype(np.float32), 3)
    soft = np.clip(soft + np.random.default_rng(0).normal(0, 0.2, soft.shape), 0, 1)
    whole = pixel_cut(soft, scene.image, settings())
    other = settings(lambda_self=9.0, lambda_link=0.0, exponent=0.3, walk_steps=4, power=1.0)
    np.testing.assert_array_equal(pixel_cut(soft, scene.image, other), whole)
    assert (pixel_cut(soft, scene.image, settings(lambda_contrast=0.0)) != whole).any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_and_nothing_stay(value):
    scene = disc_scene()
    soft = np.full(scene.mask.shape, value, np.float32)
    assert (pixel_cut(soft, scene.image, settings()) > 0.5).mean() == value


def test_bad_input_is_refused_with_one_clear_line():
    scene = disc_scene()
    holed = scene.mask.astype(np.float32)
    holed[3, 3] = np.nan
    for soft in (holed, scene.mask[:-1], scene.mask[..., None], scene.mask[0]):
        with pytest.raises(DsegError, match=r"^soft mask \(.*expected one size, and no NaN$"):
            pixel_cut(soft, scene.image, settings())
