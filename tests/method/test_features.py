"""Decoder features of a tiny U-Net: right tensors, and a network left as it was found."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from dseg.base_model.pipeline import embed, load_pipeline
from dseg.errors import DsegError
from dseg.method.features import captured, decoder_channels, decoder_features

pytest_plugins = ("tiny_pipeline",)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """Three resolutions of 8, 16 and 24 channels, like the embedded model in small."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16, 24),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=12,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()


@pytest.fixture()
def latents() -> torch.Tensor:
    return torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture()
def prompt() -> torch.Tensor:
    return torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(2))


def hooks(unet: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules()
    )


def test_channels_and_sizes_by_stride(unet, latents, prompt):
    assert decoder_channels(unet) == {4: 24, 2: 16, 1: 8}
    features = decoder_features(unet, latents, [100, 300], [1, 2, 4], prompt)
    assert [tuple(f.shape) for f in features] == [(3, 16, 8, 8), (3, 32, 4, 4), (3, 48, 2, 2)]
    assert not any(f.requires_grad for f in features)


def test_the_finest_feature_is_what_the_output_layers_read(unet, latents, prompt):
    """An independent way to the same tensor: the rest of the network gives the model's output."""
    (feature,) = decoder_features(unet, latents[:1], [100], [1], prompt)
    with torch.no_grad():
        output = unet(latents[0], 100, prompt.expand(3, -1, -1)).sample
        rest = unet.conv_out(unet.conv_act(unet.conv_norm_out(feature)))
    torch.testing.assert_close(rest, output)


def test_a_coarse_feature_is_what_its_upsampler_reads(unet, latents, prompt):
    (feature,) = decoder_features(unet, latents[:1], [100], [2], prompt)
    seen = []
    handle = (
        unet.up_blocks[1]
        .upsamplers[0]
        .register_forward_hook(lambda module, inputs, output: seen.append(output))
    )
    with torch.no_grad():
        unet(latents[0], 100, prompt.expand(3, -1, -1))
        handle.remove()
        torch.testing.assert_close(unet.up_blocks[1].upsamplers[0](feature, None), seen[0])


def test_timesteps_are_concatenated_in_order(unet, latents, prompt):
    both = decoder_features(unet, latents, [100, 300], [2], prompt)[0]
    first = decoder_features(unet, latents[:1], [100], [2], prompt)[0]
    second = decoder_features(unet, latents[1:], [300], [2], prompt)[0]
    torch.testing.assert_close(both, torch.cat([first, second], dim=1))
    assert not torch.allclose(second, decoder_features(unet, latents[1:], [900], [2], prompt)[0]), (
        "the network must be told the timestep"
    )


def test_items_do_not_depend_on_their_batch_and_prompts_may_differ(unet, latents, prompt):
    together = decoder_features(unet, latents, [100, 300], [1, 2], prompt)
    alone = decoder_features(unet, latents[:, 1:2], [100, 300], [1, 2], prompt)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b, atol=1e-5, rtol=1e-5)
    prompts = torch.cat([prompt, prompt + 1, prompt])
    mixed = decoder_features(unet, latents, [100, 300], [1], prompts)[0]
    torch.testing.assert_close(mixed[0], together[0][0])
    assert not torch.allclose(mixed[1], together[0][1])


def test_the_network_stops_after_the_last_feature(unet, latents, prompt):
    calls = []
    handle = unet.up_blocks[2].register_forward_pre_hook(lambda *_: calls.append(1))
    decoder_features(unet, latents, [100, 300], [2, 4], prompt)
    assert not calls
    decoder_features(unet, latents, [100, 300], [1], prompt)
    assert len(calls) == 2
    handle.remove()


def test_no_hook_stays_behind(unet, latents, prompt):
    with torch.no_grad():
        before = unet(latents[0], 100, prompt.expand(3, -1, -1)).sample
    decoder_features(unet, latents, [100, 300], [1, 2, 4], prompt)
    assert hooks(unet) == 0
    with pytest.raises(RuntimeError):  # a latent of the wrong depth fails inside the network
        decoder_features(unet, latents[:, :, :3], [100, 300], [1, 2], prompt)
    assert hooks(unet) == 0
    with pytest.raises(KeyboardInterrupt), captured(unet, [1]):
        raise KeyboardInterrupt
    assert hooks(unet) == 0
    with torch.no_grad():
        assert torch.equal(unet(latents[0], 100, prompt.expand(3, -1, -1)).sample, before)


@pytest.mark.parametrize("name", ["tiny_sd15", "tiny_sd2"])
def test_the_decoder_of_stable_diffusion(name, request, latents):
    pipe = load_pipeline(request.getfixturevalue(name))
    assert decoder_channels(pipe.unet) == {8: 64, 4: 64, 2: 32, 1: 16}
    context = embed(pipe, [""])
    maps = decoder_features(pipe.unet, latents, [100, 300], [1, 2, 4, 8], context)
    assert [tuple(m.shape) for m in maps] == [
        (3, 32, 8, 8),
        (3, 64, 4, 4),
        (3, 128, 2, 2),
        (3, 128, 1, 1),
    ]
    # of the finest, the network's output is made
    unet, last = pipe.unet, maps[0][:, 16:]
    with torch.no_grad():
        expected = unet(latents[1], 300, context.expand(3, -1, -1)).sample
        output = unet.conv_out(unet.conv_act(unet.conv_norm_out(last)))
    torch.testing.assert_close(output, expected)


def test_a_decoder_of_one_resolution_has_stride_1(latents, prompt):
    torch.manual_seed(0)
    single = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=12,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()
    assert decoder_channels(single) == {1: 8}
    assert decoder_features(single, latents, [1, 2], [1], prompt)[0].shape == (3, 16, 8, 8)


def test_bad_requests_are_errors(unet, latents, prompt):
    with pytest.raises(DsegError, match=r"expected some of \[1, 2, 4\]"):
        decoder_features(unet, latents, [100, 300], [3], prompt)
    with pytest.raises(DsegError, match="strides"):
        decoder_features(unet, latents, [100, 300], [], prompt)
    with pytest.raises(DsegError, match="2 sets of latents for 1 timesteps"):
        decoder_features(unet, latents, [100], [1], prompt)
    assert hooks(unet) == 0
