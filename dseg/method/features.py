"""Stage 2b: features of the frozen U-Net for latents at chosen timesteps.

A feature map is the last hidden state of the decoder ("up" path) at one resolution, before the
upsampler to the next. Resolutions are named by their stride relative to the latent grid: 1 is the
latent grid itself, 2 half of it, and so on, in any UNet2DConditionModel. Which blocks the paper
reads is not known; timesteps and strides are settings (our choice). Two ablations read something
else: the attention that AttentionCut starts from, and a U-Net that was never trained.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan, Recorder, record_attention


class _Complete(Exception):
    """Raised inside the U-Net once every feature is captured: the rest need not be computed."""


def decoder_channels(unet: UNet2DConditionModel) -> dict[int, int]:
    """Channels of the decoder's feature map at each stride it has, coarsest first."""
    return {stride: block.resnets[-1].out_channels for stride, block in _blocks(unet).items()}


@contextmanager
def captured(unet: UNet2DConditionModel, strides: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Capture decoder features while the U-Net runs inside the ``with`` block.

    The U-Net stops at the finest stride asked for: its call does not return, the block just ends.
    Hooks are removed however the block ends.

    Args:
        unet: The network; call it once inside the block.
        strides: Strides relative to the latent grid.

    Yields:
        A dictionary that the call fills: stride -> (B, C, h / stride, w / stride).

    Raises:
        DsegError: The decoder has no such stride.
    """
    blocks = _blocks(unet)
    missing = sorted(set(strides) - set(blocks))
    if missing or not strides:
        raise DsegError(
            f"features.strides: {list(strides)}, expected some of {sorted(blocks)}, "
            "the strides of this model's decoder"
        )
    features: dict[int, Tensor] = {}

    def keep(stride: int, hidden: Tensor) -> None:
        features[stride] = hidden
        if stride == min(strides):
            raise _Complete

    handles = []
    for stride in strides:
        block = blocks[stride]
        if block.upsamplers:
            handles.append(
                block.upsamplers[0].register_forward_pre_hook(
                    lambda module, inputs, stride=stride: keep(stride, inputs[0])
                )
            )
        else:
            handles.append(
                block.register_forward_hook(
                    lambda module, inputs, output, stride=stride: keep(stride, output)
                )
            )
    try:
        yield features
    except _Complete:
        pass
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def decoder_features(
    unet: UNet2DConditionModel,
    latents: Tensor,
    timesteps: Sequence[int],
    strides: Sequence[int],
    prompt: Tensor,
) -> tuple[Tensor, ...]:
    """Features of a batch of images, the timesteps concatenated on the channels.

    Args:
        unet: The frozen network.
        latents: Latents at each timestep, (T, B, C, h, w).
        timesteps: The T training timesteps they are at.
        strides: Resolutions wanted, relative to the latent grid.
        prompt: Prompt embedding, (1, L, D) for all items or (B, L, D).

    Returns:
        For each stride, in the order given: (B, T * channels, h / stride, w / stride), in the
        U-Net's type and on its device. Channels are those of `decoder_channels`.

    Raises:
        DsegError: Not one timestep for each set of latents, or a stride the decoder lacks.
    """
    if len(timesteps) != len(latents) or len(latents) == 0:
        raise DsegError(f"{len(latents)} sets of latents for {len(timesteps)} timesteps")
    embedding = prompt.to(unet.device, unet.dtype).expand(latents.shape[1], -1, -1)
    parts: list[dict[int, Tensor]] = []
    for sample, timestep in zip(latents, timesteps, strict=True):
        with captured(unet, strides) as features:
            unet(sample.to(unet.device, unet.dtype), timestep, embedding)
        parts.append(features)
    return tuple(torch.cat([part[stride] for part in parts], dim=1) for stride in strides)


@torch.no_grad()
def attention_features(
    unet: UNet2DConditionModel,
    latents: Tensor,
    timesteps: Sequence[int],
    stride: int,
    prompt: Tensor,
    nouns: Tensor,
) -> Tensor:
    """Attention as features: the noun's cross map, and for each cell where it looks.

    Args:
        unet: The frozen network.
        latents: Latents at each timestep, (T, B, C, h, w).
        timesteps: The T training timesteps they are at.
        stride: Resolution of the attention, relative to the latent grid.
        prompt: Prompt embeddings, (B, L, D).
        nouns: Weight of each token in the noun's map, (B, L).

    Returns:
        float32 (B, T * (1 + N), h / stride, w / stride), N being the number of cells: for each
        timestep the cross map, then the attention to each cell; means over layers and heads.

    Raises:
        DsegError: The model has no attention at this stride.
    """
    plan = AttentionPlan((stride,), stride, neighbours=1)
    embedding = prompt.to(unet.device, unet.dtype)
    size = (latents.shape[-2], latents.shape[-1])
    parts: list[Tensor] = []
    for sample, timestep in zip(latents, timesteps, strict=True):
        recorder = Recorder(plan, size, nouns, active=True)
        with record_attention(unet, recorder):
            unet(sample.to(unet.device, unet.dtype), timestep, embedding)
        cross = recorder.mean_cross()[stride]  # (B, h, w)
        rows = recorder.mean_affinity().transpose(1, 2)  # (B, N, N): to a cell, from each
        parts += [cross[:, None], rows.unflatten(2, cross.shape[1:])]
    return torch.cat(parts, dim=1)


def untrained(unet: UNet2DConditionModel, seed: int) -> UNet2DConditionModel:
    """A U-Net of the same layout with weights as they were before training, drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = UNet2DConditionModel.from_config(unet.config)
    fresh.eval().requires_grad_(False).to(unet.device, unet.dtype)
    return fresh


def _blocks(unet: UNet2DConditionModel) -> dict[int, Any]:
    """The last up block at each stride: an upsampler at its end leads to the next stride."""
    stride = 2 ** sum(bool(block.upsamplers) for block in unet.up_blocks)
    blocks: dict[int, Any] = {}
    for block in unet.up_blocks:
        blocks[stride] = block
        if block.upsamplers:
            stride //= 2
    return blocks
