"""The head and AttentionCut as methods: the same mask for an image wherever it stands."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import dseg
from dseg.errors import DsegError
from dseg.photos.exported import read_config
from dseg.photos.methods import REMARKS, load_attentioncut

pytest_plugins = ("tiny_pipeline", "stage_two", "exported_head")


@pytest.fixture(scope="module")
def images(benchmark):
    """Images of two sizes, and noise, upright and turned."""
    noise = np.random.default_rng(3).integers(0, 256, (20, 70, 3), dtype=np.uint8)
    found = [np.array(Image.open(path)) for path in sorted((benchmark / "images").iterdir())]
    return [*found, noise, np.rot90(noise)]


def check_places_and_batches(segmenter, images):
    """One by one, all at once and in another order: the same soft masks."""
    alone = [segmenter.segment([image])[0].soft for image in images]
    together = segmenter.segment(images)
    turned = segmenter.segment(images[::-1])[::-1]
    for one, other, third in zip(alone, together, turned, strict=True):
        torch.testing.assert_close(torch.tensor(other.soft), torch.tensor(one), atol=1e-3, rtol=0)
        torch.testing.assert_close(torch.tensor(third.soft), torch.tensor(one), atol=1e-3, rtol=0)


@pytest.mark.parametrize("variant", ["inversion", "noise", "rgb"])
def test_a_head_gives_the_same_in_any_batch(heads, variant, images, tmp_path):
    segmenter = dseg.load(heads.export(variant, tmp_path / variant), device="cpu")
    check_places_and_batches(segmenter, images)
    assert segmenter.about["method"] == "head" and segmenter.about["embedded"]
    assert (segmenter.about["base_model"] is None) == (variant == "rgb")


def test_attentioncut_gives_the_same_in_any_batch(exported, images):
    segmenter = load_attentioncut(exported, "moon", device="cpu")
    check_places_and_batches(segmenter, images)
    assert segmenter.about["noun"] == "moon"


def test_attentioncut_needs_the_settings_but_no_weights(exported, images, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    (copy / "head.safetensors").unlink()
    (result,) = load_attentioncut(copy, "moon", device="cpu").segment(images[:1])
    assert result.soft.shape == images[0].shape[:2]
    assert result.remark in REMARKS.values()


def test_attentioncut_reads_the_strides_of_the_cut_whatever_a_run_records(
    exported, images, tmp_path
):
    copy = shutil.copytree(exported, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    assert config["attention"]["cross_strides"] == [1, 2]
    assert config["attentioncut"]["cross_strides"] == [1]
    config["attention"]["cross_strides"] = [1]
    (copy / "config.json").write_text(json.dumps(config))
    first, second = (
        load_attentioncut(folder, "moon", device="cpu").segment(images[:1])[0]
        for folder in (exported, copy)
    )
    np.testing.assert_array_equal(first.soft, second.soft)


def test_attentioncut_depends_on_the_noun(exported, images):
    first, second = (
        load_attentioncut(exported, noun, device="cpu").segment(images[:1])[0]
        for noun in ("moon", "cactus")
    )
    assert not np.array_equal(first.soft, second.soft)


def test_another_base_model_may_be_named_for_attentioncut(exported, tiny_pipeline_kl, images):
    segmenter = load_attentioncut(exported, "moon", base_model=str(tiny_pipeline_kl), device="cpu")
    assert segmenter.about["base_model"] != read_config(exported).base_model.identity
    assert not segmenter.about["embedded"]
    (result,) = segmenter.segment(images[:1])
    assert result.mask.shape == images[0].shape[:2]


def test_a_noun_that_does_not_fit_is_an_error_before_anything_is_computed(exported):
    with pytest.raises(DsegError, match="its noun ends at token"):
        load_attentioncut(exported, "pneumonoultramicroscopic", device="cpu")
    with pytest.raises(DsegError, match="an empty name"):
        load_attentioncut(exported, " ", device="cpu")
