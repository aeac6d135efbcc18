"""Sampling against diffusers' own pipeline; attention recorded beside it changes no image."""

import numpy as np
import pytest
import torch

from dseg.artifacts.recordings import attention_fields
from dseg.base_model.pipeline import decode, embed, load_pipeline
from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan
from dseg.method.prompts import fill, noun_span
from dseg.method.synthesis import initial_noise, sample, synthesise

pytest_plugins = ("tiny_pipeline",)
PHRASES = [fill("a photo of a {noun} on sand", noun) for noun in ("moon", "key", "sea", "fish")]
SEEDS = [11, 2**62, 13, 14]
PLAN = AttentionPlan(cross_strides=(1, 2), affinity_stride=1, neighbours=12)
STEPS = 6


@pytest.fixture(
    scope="module", params=["tiny_pipeline", "tiny_pipeline_kl", "tiny_sd15", "tiny_sd2"]
)
def pipe(request: pytest.FixtureRequest):
    return load_pipeline(request.getfixturevalue(request.param))


def run(pipe, items: slice = slice(None), **changes):
    phrases = PHRASES[items]
    choice = {"steps": STEPS, "guidance": 3.0, "record": (0.1, 0.6), "plan": PLAN} | changes
    return synthesise(
        pipe,
        [phrase.text for phrase in phrases],
        [noun_span(pipe.tokenizer, phrase) for phrase in phrases],
        SEEDS[items],
        **choice,
    )


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_equals_the_pipelines_own_call(pipe, guidance: float) -> None:
    result = run(pipe, guidance=guidance)
    expected = pipe(
        [phrase.text for phrase in PHRASES],
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        latents=initial_noise(pipe, SEEDS),
    ).images
    assert result.images.shape == (4, 32, 32, 3) and result.images.dtype == np.uint8
    assert result.images.std() > 5
    difference = np.abs(result.images.astype(int) - np.stack([np.asarray(i) for i in expected]))
    assert difference.max() <= 1  # rounding to integers of equal values


def test_recording_leaves_images_bit_identical(pipe) -> None:
    context = embed(pipe, [phrase.text for phrase in PHRASES])
    noise = initial_noise(pipe, SEEDS)
    unrecorded = decode(pipe, sample(pipe, noise, context, steps=STEPS, guidance=3.0))
    other = AttentionPlan(cross_strides=(2,), affinity_stride=2, neighbours=3)
    for changes in ({}, {"record": (0.0, 1.0)}, {"plan": other}):
        assert np.array_equal(run(pipe, **changes).images, unrecorded)


def test_a_batch_equals_its_items(pipe) -> None:
    together = run(pipe)
    alone = [run(pipe, slice(i, i + 1)) for i in range(4)]
    images = np.concatenate([result.images for result in alone])
    assert np.abs(images.astype(int) - together.images).max() <= 1
    wholes = attention_fields([together.images], [together.attention])
    singles = attention_fields(
        [result.images for result in alone], [result.attention for result in alone]
    )
    assert wholes.keys() == singles.keys()
    for name in wholes.keys() - {"image"}:
        whole, single = wholes[name], singles[name]
        if name == "affinity_indices":  # equal but for ties
            assert (single == whole).mean() > 0.99
        else:  # float16 has 11 bits
            np.testing.assert_allclose(single, whole, rtol=2e-3, atol=1e-6)


def test_images_follow_seed_and_prompt(pipe) -> None:
    text, span = PHRASES[0].text, noun_span(pipe.tokenizer, PHRASES[0])
    other = PHRASES[1].text
    images = synthesise(
        pipe,
        [text, text, text, other],
        [span] * 4,
        [1, 1, 2, 1],
        steps=2,
        guidance=3.0,
        record=(0.0, 1.0),
        plan=PLAN,
    ).images
    assert np.array_equal(images[0], images[1])
    assert (images[0] != images[2]).mean() > 0.5
    assert (images[0] != images[3]).any()


def test_recorded_steps_are_those_in_range(pipe) -> None:
    early, late, whole = (
        run(pipe, record=r).attention.cross[1].astype(float)
        for r in ((0.4, 1.0), (0.0, 0.4), (0.0, 1.0))
    )
    assert np.abs(early - late).max() > 1e-3
    np.testing.assert_allclose((early + late) / 2, whole, rtol=2e-3)  # three steps each


def test_noise_is_of_the_item_alone(pipe) -> None:
    noise = initial_noise(pipe, SEEDS)
    assert noise.shape == (4, 4, 8, 8)
    assert torch.equal(initial_noise(pipe, SEEDS[2:]), noise[2:])
    assert abs(float(noise.std()) - 1) < 0.1


def test_errors_name_the_setting(pipe) -> None:
    with pytest.raises(DsegError, match="attention.timesteps: .*6 sampling steps"):
        run(pipe, record=(0.01, 0.02))
    for steps in (0, 1000, 1001):  # 1000 and the grid's offset of one would be timestep 1000
        with pytest.raises(DsegError, match=f"synthesis.steps: {steps}"):
            run(pipe, steps=steps)
