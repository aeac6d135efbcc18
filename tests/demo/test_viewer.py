"""What the demo page shows, without the page: pictures and text about an image."""

import re
from pathlib import Path

import numpy as np
import pytest
from attention_scene import SETTINGS, disc_scene

from dseg.base_model.pipeline import load_pipeline, stretch
from dseg.demo import pictures, viewer
from dseg.demo.viewer import VIEWS, Look, Viewer
from dseg.errors import DsegError
from dseg.method.recording import noun_prompt
from dseg.photos.inspection import Attended
from dseg.photos.segmenter import Segmenter
from dseg.reporting.figures.galleries import BLUE, GREY
from dseg.settings.reading import load_settings

pytest_plugins = ("tiny_pipeline",)


class Bright:
    """What is brighter than the rest, as a method of `Segmenter`."""

    size = (32, 32)

    def __call__(self, images):
        return images.mean(axis=3, dtype=np.float32) / 255, [""] * len(images)


@pytest.fixture(scope="module")
def settings(root: Path):
    return load_settings(root / "params.yaml")


@pytest.fixture(scope="module")
def watcher(tiny_pipeline: Path, settings) -> Viewer:
    return Viewer(load_pipeline(tiny_pipeline), settings, Segmenter(Bright(), 0.5, {}))


@pytest.fixture(scope="module")
def disc():
    """A disc with the attention that a good model would give it; the same at twice the width."""
    scene = disc_scene()
    attended = Attended(scene.image, noun_prompt("disc"), scene.inputs[0])
    image = np.repeat(scene.image, 2, axis=1)
    return scene, Look(image, attended, image, attended.peak, "made up")


def test_pictures_of_an_image_have_one_size_and_its_aspect(watcher, disc) -> None:
    _, look = disc
    found = watcher.find(look, SETTINGS)
    panels = [viewer.image_panel(look, found), viewer.cross_panel(look)]
    panels += [viewer.affinity_panel(look, view) for view in VIEWS]
    panels += [viewer.mask_panel(look, found)]
    assert {(panel.shape, panel.dtype.name) for panel in panels} == {((224, 448, 3), "uint8")}
    assert len({panel.tobytes() for panel in panels}) == len(panels)


def test_boxes_and_area_are_those_of_the_image_as_given(watcher, disc) -> None:
    scene, look = disc
    found = watcher.find(look, SETTINGS)
    rows, columns = np.flatnonzero(scene.mask.any(1)), np.flatnonzero(scene.mask.any(0))
    truth = [2 * columns[0], rows[0], 2 * columns[-1] + 2, rows[-1] + 1]
    np.testing.assert_allclose(found.boxes[0], truth, atol=6)
    text = viewer.verdict(look, found)
    assert text.startswith("**Kept.** ") and "128 × 64 pixels" in text and "made up" in text
    (share,) = re.findall(r"covers ([\d.]+) %", text)
    assert abs(float(share) - 100 * scene.mask.mean()) < 3


def test_a_dropped_mask_is_grey_and_says_why(watcher, disc) -> None:
    _, look = disc
    kept = watcher.find(look, SETTINGS)
    dropped = watcher.find(look, {**SETTINGS, "area": (0.6, 0.9)})
    assert (kept.kept, dropped.kept) == (True, False)
    assert "**Dropped**: it covers less than 60% of the image." in viewer.verdict(look, dropped)
    for found, colour in ((kept, BLUE), (dropped, GREY)):
        panel = viewer.mask_panel(look, found)
        assert (panel == tuple(bytes.fromhex(colour[1:]))).all(axis=2).sum() > 500


def test_the_affinity_is_brightest_where_it_is_taken_from(disc) -> None:
    _, look = disc
    inside = viewer.at_point(look, (224, 112))
    assert inside.point == pytest.approx((0.5, 0.5), abs=0.01)
    panel = viewer.affinity_panel(inside, next(iter(VIEWS))).astype(float).mean(axis=2)
    assert panel[112 - 30 : 112 + 30, 224 - 30 : 224 + 30].mean() > 2 * panel[:20, :40].mean()


def test_the_head_needs_no_noun_and_has_no_filter(watcher, disc) -> None:
    _, look = disc
    found = watcher.predict(look)
    assert found.mask.shape == (64, 128) and found.kept
    assert viewer.verdict(look, found).strip().startswith("The mask covers")


def test_looking_at_an_image_names_prompt_and_levels(watcher) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    look = watcher.look(image, " moon ")
    assert look.image.shape == (20, 30, 3) and look.attended.image.shape == (32, 32, 3)
    assert "“a photo of a moon” on the image noised to 0.1, 0.2" in look.origin
    with pytest.raises(DsegError, match="no word 'zebra', .* strawberry, starfish"):
        watcher.look(image, "zebra")


def test_large_images_are_reduced(watcher) -> None:
    look = watcher.look(np.zeros((1500, 3000, 3), np.uint8), "moon")
    assert look.image.shape == (512, 1024, 3)


def test_another_noun_on_a_large_image_finds_what_a_fresh_upload_finds(watcher) -> None:
    image = np.random.default_rng(4).integers(0, 256, (1100, 1300, 3), np.uint8)
    image[300:800, 400:900] |= 128
    again = watcher.look_again(watcher.look(image, "moon"), "gear")
    fresh = watcher.look(image, "gear")
    np.testing.assert_array_equal(again.image, fresh.image)
    np.testing.assert_array_equal(
        again.attended.attention.noun_map, fresh.attended.attention.noun_map
    )
    np.testing.assert_array_equal(
        watcher.find(again, SETTINGS).mask, watcher.find(fresh, SETTINGS).mask
    )
    assert again.attended.noun == "gear" and again.point == fresh.point


def test_the_head_sees_a_large_image_as_it_was_given(watcher) -> None:
    # Fine stripes: reduced in two steps they come out otherwise than in one.
    image = np.zeros((1500, 3000, 3), np.uint8)
    image[300:900, 1000:2001:2] = 255
    image[::7] ^= 96
    look = watcher.look(image, "moon")
    np.testing.assert_array_equal(look.fitted, stretch(image, watcher.segmenter.method.size))
    assert (look.fitted != stretch(look.image, watcher.segmenter.method.size)).any()
    (wanted,) = watcher.segmenter.segment([image])
    scale = image.shape[1] / look.image.shape[1]
    boxes = np.multiply(watcher.predict(look).boxes, scale)
    np.testing.assert_allclose(boxes, wanted.boxes, atol=scale)


def test_long_prompts_and_nouns_are_refused_at_once(watcher) -> None:
    image, long = np.zeros((8, 8, 3), np.uint8), "moon " * 200_000
    look = watcher.look(image, "moon")
    for ask in (
        lambda: watcher.look(image, long),
        lambda: watcher.look_again(look, long),
        lambda: watcher.imagine("a photo of a moon", long, 0),
    ):
        with pytest.raises(DsegError, match="the noun has 1,000,000 characters: expected 300 at"):
            ask()
    with pytest.raises(DsegError, match="the prompt has 1,000,000 characters"):
        watcher.imagine(long, "moon", 0)


def test_a_prompt_says_its_own_noun(watcher) -> None:
    look, unknown = watcher.imagine("a photo of a gift on zebra", "moon", 5)
    assert look.attended.noun == "gift" and unknown == ["zebra"]
    again, _ = watcher.imagine("a photo of a gift on zebra", "gift", 5)
    np.testing.assert_array_equal(look.image, again.image)
    look, unknown = watcher.imagine("a photo of a gift on zebra", "zebra", 5)
    assert look.attended.noun == "gift" and unknown == ["zebra"]
    for prompt in ("a photo", "a photo of a zebra"):
        with pytest.raises(DsegError, match="has no noun to look for: expected .*strawberry"):
            watcher.imagine(prompt, "zebra", 5)


def test_renders_are_the_same_each_time_and_others_on_each_page(watcher, settings) -> None:
    first, again, second = watcher.renders(0), watcher.renders(0), watcher.renders(1)
    assert len(first) == 8 and {noun for _, noun in first} <= set(settings.prompts.classes)
    for (image, noun), (same, noun_again), (other, _) in zip(first, again, second, strict=True):
        np.testing.assert_array_equal(image, same)
        assert noun == noun_again and (image != other).any()


def test_small_images_keep_their_pixels_visible() -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    assert pictures.canvas(image) == (448, 448)
    np.testing.assert_array_equal(pictures.plain(image, (448, 448))[28::56, 28::56], image)


def test_the_map_grows_lighter_with_the_value() -> None:
    values = np.linspace(0, 1, 32)[None].repeat(2, axis=0)
    drawn = pictures.heat(np.full((2, 32, 3), 100, np.uint8), values, top=1.0)
    lightness = drawn[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert pictures.legend(3)[0] == "#000004" and len(pictures.legend()) == 12


def test_a_mask_s_outline_lies_outside_it_and_nothing_inside_is_touched() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    drawn = pictures.outlined(picture, mask, kept=True)
    np.testing.assert_array_equal(drawn[mask], picture[mask])
    assert (drawn[7:10, 15] == tuple(bytes.fromhex(BLUE[1:]))).all()
    assert drawn[0, 0].min() >= 0.6 * 255 - 1
