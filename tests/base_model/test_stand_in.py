"""The architecture of Stable Diffusion 1.5, built without values: tensors of the device "meta"."""

from collections import Counter

import pytest
import torch

from dseg.base_model.pipeline import image_size, latent_size, train_timesteps
from dseg.base_model.stand_in import PARAMETERS, VOCABULARY, build_stand_in, made_up_tokenizer
from dseg.commands.plan import FAMILY
from dseg.commands.stand_in import is_family
from dseg.method.attention import attention_layers
from dseg.method.features import decoder_channels


@pytest.fixture(scope="module")
def pipe():
    with torch.device("meta"):
        return build_stand_in()


def test_parameters_are_those_of_the_published_model(pipe) -> None:
    counts = {
        name: sum(parameter.numel() for parameter in getattr(pipe, name).parameters())
        for name in ("unet", "vae", "text_encoder")
    }
    assert (
        counts
        == PARAMETERS
        == {
            "unet": 859_520_964,
            "vae": 83_653_863,
            "text_encoder": 123_060_480,
        }
    )


def test_attention_lies_where_the_published_model_has_it(pipe) -> None:
    layers = attention_layers(pipe.unet)
    assert Counter((kind, stride) for kind, stride, _ in layers) == {
        (kind, stride): 1 if stride == 8 else 5
        for kind in ("self", "cross")
        for stride in (1, 2, 4, 8)
    }
    assert {module.heads for _, _, module in layers} == {8}


def test_sizes_that_a_plan_assumes_are_those_of_the_networks(pipe) -> None:
    assert FAMILY.image == image_size(pipe)
    assert FAMILY.latents == (pipe.unet.config.in_channels, *latent_size(pipe))
    assert FAMILY.channels == decoder_channels(pipe.unet)
    assert FAMILY.train_timesteps == train_timesteps(pipe)


def test_made_up_tokens_are_as_many_and_mark_start_and_end() -> None:
    tokenizer = made_up_tokenizer()
    assert len(tokenizer) == VOCABULARY
    ids = tokenizer("a photo of a goldfish").input_ids
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert ids[1] == ids[-1 - len(tokenizer("goldfish").input_ids) + 1]  # "a" is one token
    assert max(ids) < VOCABULARY


def test_the_family_is_known_by_its_names() -> None:
    assert is_family("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert is_family("CompVis/stable-diffusion-v1-4")
    assert not is_family("stabilityai/stable-diffusion-2-1") and not is_family("models/dseg-tiny")
