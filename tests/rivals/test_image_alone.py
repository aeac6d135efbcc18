"""Rivals that see the image alone, on things whose mask is known."""

from functools import partial

import cv2
import numpy as np
import pytest
from attention_scene import disc_scene, iou
from skimage.filters import threshold_otsu

from dseg.rivals.image_alone import (
    grabcut_rectangle,
    image_method,
    otsu_luminance,
    spectral_residual,
)
from dseg.settings.masks import ImageMethodSettings

METHODS = ("otsu", "spectral-residual", "grabcut")
grabcut = partial(grabcut_rectangle, margin=0.1, iterations=5)


def blob(shape=(64, 64), thing=(200, 60, 60), ground=(40, 60, 50), seed=0):
    """An ellipse about the middle, with noise."""
    y, x = (np.mgrid[: shape[0], : shape[1]] + 0.5) / np.array(shape)[:, None, None] - 0.5
    mask = (y / 0.3) ** 2 + (x / 0.25) ** 2 < 1
    image = np.where(mask[..., None], thing, ground)
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("name", METHODS)
def test_each_gives_a_soft_mask_of_the_size_of_the_image(name):
    method = image_method(ImageMethodSettings(method=name))
    for shape in ((64, 64), (48, 80), (30, 20), (3, 5), (1, 1)):
        image, _ = blob(shape)
        soft = method(image)
        assert soft.shape == shape and soft.dtype == np.float32
        assert soft.min() >= 0 and soft.max() <= 1
        np.testing.assert_array_equal(method(image), soft)


@pytest.mark.parametrize("name", METHODS)
def test_an_image_of_one_colour_shows_nothing(name):
    method = image_method(ImageMethodSettings(method=name))
    for level in (0, 99, 255):
        assert not (method(np.full((40, 40, 3), level, np.uint8)) > 0.5).any()


@pytest.mark.parametrize(("thing", "ground"), [(220, 60), (60, 220)])
def test_otsu_takes_what_covers_less_of_the_border(thing, ground):
    image, mask = blob(thing=(thing,) * 3, ground=(ground,) * 3)
    assert iou(otsu_luminance(image) > 0.5, mask) > 0.98
    negative = otsu_luminance(255 - image) > 0.5
    assert iou(negative, mask) > 0.98


def test_otsu_is_of_the_luminance():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image[[0, -1]] = image[:, [0, -1]] = 0
    grey = image @ np.array([0.299, 0.587, 0.114])
    found = otsu_luminance(image) > 0.5
    assert (found != (grey > threshold_otsu(grey))).mean() < 0.01
    green, blue = blob(thing=(0, 200, 0), ground=(0, 0, 200))
    assert iou(otsu_luminance(green) > 0.5, blue) > 0.98  # of one mean, but not as bright


@pytest.mark.parametrize("shape", [(64, 64), (128, 96)])
@pytest.mark.parametrize("place", [(20, 40), (44, 22)])
def test_the_spectral_residual_finds_a_small_thing(shape, place):
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = (y - place[0]) ** 2 + (x - place[1]) ** 2 < 16
    image = np.where(mask[..., None], 220, 90) + np.random.default_rng(0).normal(0, 6, (*shape, 3))
    soft = spectral_residual(image.clip(0, 255).astype(np.uint8))
    near = (y - place[0]) ** 2 + (x - place[1]) ** 2 < 100
    assert soft[mask].mean() > 0.8 > 10 * soft[~near].mean()
    assert (soft > 0.5)[near].sum() > 0.9 * (soft > 0.5).sum()


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.2])
def test_grabcut_finds_the_thing_within_the_rectangle(margin):
    image, mask = blob()
    found = grabcut_rectangle(image, margin=margin, iterations=5)
    assert set(np.unique(found)) == {0, 1} and iou(found > 0.5, mask) > 0.97
    outside = round(margin * 64)
    assert not found[:outside].any() and not found[:, -outside:].any()


def test_grabcut_is_the_same_whatever_was_cut_before():
    scene = disc_scene(seed=4, noise=30.0)
    before = scene.image.copy()
    first = grabcut(scene.image)
    assert first.any()
    grabcut(disc_scene(seed=5).image)
    cv2.setRNGSeed(7)
    np.testing.assert_array_equal(grabcut(scene.image), first)
    np.testing.assert_array_equal(scene.image, before)


def test_settings_reach_grabcut():
    image, mask = blob()
    image[8:11, 20:44] = (200, 60, 60)  # between the rectangles of the two margins
    chosen = ImageMethodSettings(method="grabcut", margin=0.2, iterations=1)
    found = image_method(chosen)(image)
    np.testing.assert_array_equal(found, grabcut_rectangle(image, margin=0.2, iterations=1))
    assert found[mask].mean() > 0.95 and not found[8:11].any()
    assert grabcut(image)[8:11, 20:44].mean() > 0.95
