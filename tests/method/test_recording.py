"""Attention on given images: one pass a timestep, the same for any batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dseg.artifacts.recordings import attention_fields
from dseg.base_model.pipeline import alphas_cumprod, encode, load_pipeline
from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan
from dseg.method.recording import noised, noun_prompt, record

pytest_plugins = ("tiny_pipeline",)
PLAN = AttentionPlan(cross_strides=(1, 2), affinity_stride=2, neighbours=16)
PHRASES = [noun_prompt(noun) for noun in ("moon", "object", "sea lion")]
SEEDS = [5, 6, 7]


@pytest.fixture(scope="module")
def pipe(tiny_pipeline: Path):
    return load_pipeline(tiny_pipeline)


@pytest.fixture(scope="module")
def clean(pipe) -> torch.Tensor:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    return encode(pipe, images)


def test_prompt_names_the_noun() -> None:
    texts = [phrase.text for phrase in PHRASES]
    assert texts == ["a photo of a moon", "a photo of an object", "a photo of a sea lion"]
    assert [phrase.text[phrase.start : phrase.end] for phrase in PHRASES][1] == "object"


def test_noised_follows_the_schedule_and_the_item(pipe, clean) -> None:
    z = noised(pipe, clean, SEEDS, [0, 400, 999])
    assert z.shape == (3, 3, 4, 8, 8)
    assert torch.equal(noised(pipe, clean[1:], SEEDS[1:], [400]), z[1:, 1:2])
    alpha = alphas_cumprod(pipe)[400]
    noise = (z[:, 1] - alpha.sqrt() * clean) / (1 - alpha).sqrt()
    assert abs(float(noise.std()) - 1) < 0.1 and abs(float(noise.mean())) < 0.1


def fields(maps):
    images = np.zeros((len(maps.affinity_indices), 2, 2, 3), np.uint8)
    return attention_fields([images], [maps])


def test_a_batch_equals_its_items(pipe, clean) -> None:
    timesteps = [100, 300]
    z = noised(pipe, clean, SEEDS, timesteps)
    together = fields(record(pipe, z, timesteps, PHRASES, PLAN))
    assert {name: array.shape for name, array in together.items()} == {
        "image": (3, 2, 2, 3),
        "cross_1": (3, 8, 8),
        "cross_2": (3, 4, 4),
        "affinity_indices": (3, 16, 16),
        "affinity_weights": (3, 16, 16),
    }
    for item in range(3):
        one = slice(item, item + 1)
        alone = fields(record(pipe, z[one], timesteps, PHRASES[one], PLAN))
        for name in ("cross_1", "cross_2", "affinity_weights"):
            np.testing.assert_allclose(alone[name], together[name][one], rtol=2e-3)


def test_timesteps_are_averaged(pipe, clean) -> None:
    timesteps = [50, 800]
    z = noised(pipe, clean, SEEDS, timesteps)
    whole = record(pipe, z, timesteps, PHRASES, PLAN).cross[1].astype(float)
    parts = [
        record(pipe, z[:, i : i + 1], [t], PHRASES, PLAN).cross[1].astype(float)
        for i, t in enumerate(timesteps)
    ]
    assert np.abs(parts[0] - parts[1]).max() > 1e-3
    np.testing.assert_allclose((parts[0] + parts[1]) / 2, whole, rtol=2e-3)


def test_whole_rows_sum_to_one(pipe, clean) -> None:
    maps = record(pipe, noised(pipe, clean, SEEDS, [300]), [300], PHRASES, PLAN)
    np.testing.assert_allclose(maps.affinity_weights.astype(float).sum(-1), 1, atol=5e-3)


@pytest.mark.parametrize("name", ["tiny_sd15", "tiny_sd2"])
def test_records_either_generation(name: str, request: pytest.FixtureRequest) -> None:
    pipe = load_pipeline(request.getfixturevalue(name))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    z = noised(pipe, encode(pipe, images), SEEDS, [100, 300])
    maps = record(pipe, z, [100, 300], PHRASES, AttentionPlan((1, 2, 4, 8), 2, 16))
    assert {stride: cross.shape for stride, cross in maps.cross.items()} == {
        1: (3, 8, 8),
        2: (3, 4, 4),
        4: (3, 2, 2),
        8: (3, 1, 1),
    }
    np.testing.assert_allclose(maps.affinity_weights.astype(float).sum(-1), 1, atol=5e-3)
    assert all(np.isfinite(cross).all() and cross.std(0).max() > 0 for cross in maps.cross.values())


def test_numbers_must_agree(pipe, clean) -> None:
    z = noised(pipe, clean, SEEDS, [300])
    for timesteps, phrases in (([300, 400], PHRASES), ([300], PHRASES[:2]), ([], PHRASES)):
        with pytest.raises(DsegError, match="expected \\(prompts, timesteps, C, h, w\\)"):
            record(pipe, z, timesteps, phrases, PLAN)
