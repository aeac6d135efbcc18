"""The instruments: what they learn from few renders, and that they can be read back."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_clothing import write_clothing

from dseg.artifacts.heads import read_head
from dseg.datasets.clothing.photographers import split_by_sender
from dseg.datasets.clothing.photographs import NOUNS, read_photographs
from dseg.embedded import instruments
from dseg.embedded.domains import COARSE, open_domain
from dseg.errors import DsegError
from dseg.reporting.scores import read_quality
from dseg.stages import instruments as stage
from dseg.stages import world
from dseg.world.kinds import KIND_NAMES
from dseg.world.splits import draw_split


@pytest.fixture(scope="module")
def scenes():
    return instruments.instrument_scenes("classifier", 0, 600, 64)


def test_the_classifier_learns_the_kinds(scenes):
    model = instruments.train_classifier(scenes.images, scenes.kinds, KIND_NAMES, epochs=4, seed=0)
    held_out = draw_split("val", 7, 96)
    named = instruments.name_kinds(model, held_out.images)
    assert np.mean([a == b for a, b in zip(named, held_out.kinds, strict=True)]) > 0.8


def test_training_is_the_same_for_the_same_seed(scenes):
    few = instruments.instrument_scenes("classifier", 0, 64, 64)
    first, second = (
        instruments.train_classifier(few.images, few.kinds, KIND_NAMES, epochs=1, seed=3)
        for _ in range(2)
    )
    named = [instruments.name_kinds(model, few.images) for model in (first, second)]
    assert named[0] == named[1]


def test_the_segmenter_learns_the_masks():
    scenes = instruments.instrument_scenes("segmenter", 0, 256, 64)
    network, _ = instruments.train_segmenter(scenes, epochs=3, seed=0)
    held_out = draw_split("val", 7, 32)
    masks = instruments.oracle_masks(network, held_out.images)
    overlap = (masks & held_out.masks).sum((1, 2)) / (masks | held_out.masks).sum((1, 2))
    assert masks.shape == (32, 64, 64) and overlap.mean() > 0.6


def test_instruments_see_no_image_of_an_evaluation_split_nor_of_each_other():
    pictures = [
        instruments.instrument_scenes("classifier", 0, 12, 64).images,
        instruments.instrument_scenes("segmenter", 0, 12, 64).images,
        draw_split("val", 0, 12).images,
        draw_split("test", 0, 12).images,
    ]
    flat = np.concatenate(pictures).reshape(48, -1)
    assert len(np.unique(flat, axis=0)) == 48


def test_the_stage_writes_what_can_be_read_back(tmp_path):
    settings = SimpleNamespace(
        seed=0,
        world=SimpleNamespace(size=64, images={"val": 6}, shift_strength=0.5),
        base=SimpleNamespace(size=64, photographs=None),
        instruments=SimpleNamespace(images=24, epochs=1),
    )
    world.run(settings, "val", tmp_path / "val")
    stage.run(settings, tmp_path / "val", tmp_path / "out")
    images = draw_split("val", 0, 3).images
    classifier = instruments.read_classifier(tmp_path / "out", KIND_NAMES)
    assert len(instruments.name_kinds(classifier, images)) == 3
    network, *_ = read_head(tmp_path / "out" / "segmenter.safetensors")
    masks = instruments.oracle_masks(network, images)
    assert masks.shape == (3, 64, 64) and masks.dtype == bool
    with pytest.raises(DsegError, match="no such file; run the stage instruments"):
        instruments.read_classifier(tmp_path / "elsewhere", KIND_NAMES)
    with pytest.raises(DsegError, match="classifier.safetensors"):  # of other kinds
        instruments.read_classifier(tmp_path / "out", KIND_NAMES[1:])


def test_of_photographs_there_is_the_classifier_alone(tmp_path):
    rows = [
        (f"{sender}-{noun}", sender, label) for sender in range(20) for label, noun in NOUNS.items()
    ]
    clothes = write_clothing(tmp_path / "clothes", rows)
    settings = SimpleNamespace(
        seed=0,
        world=SimpleNamespace(size=64),
        base=SimpleNamespace(size=16, photographs=str(clothes)),
        instruments=SimpleNamespace(images=24, epochs=1),
    )
    out = tmp_path / "out"
    stage.run(settings, tmp_path / "val", out)  # of which nothing is read
    assert {path.name for path in out.iterdir()} == {"classifier.safetensors", "quality.json"}
    kinds = open_domain(settings.base).all_kinds
    classifier = instruments.read_classifier(out, kinds)
    val = split_by_sender(read_photographs(clothes))["val"]
    named = instruments.name_kinds(classifier, np.stack([each.square(16) for each in val]))
    right = [each.noun in COARSE[kind] for each, kind in zip(val, named, strict=True)]
    quality = read_quality(out / "quality.json")
    assert quality.images == len(val) > 0 and quality.segmenter_iou is None
    assert quality.classifier_accuracy == pytest.approx(np.mean(right))


def test_the_classifier_tells_any_kinds_apart():
    images = np.zeros((40, 16, 16, 3), np.uint8)
    images[::2, :, :8] = 255
    images[1::2, :8] = 255
    shown = ["upright", "lying"] * 20
    model = instruments.train_classifier(images, shown, ("lying", "upright"), epochs=20, seed=0)
    assert instruments.name_kinds(model, images) == shown
