"""Attention on given images: what AttentionCut needs to segment an image that was not synthesised.

The image's latents are brought to a few noise levels and the U-Net looks at each once, with a
prompt that names the noun or says "object". Levels and prompt are our choice; the paper applies
AttentionCut to synthetic images. What comes out is what synthesis gives for its own images.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dseg.base_model.pipeline import alphas_cumprod, embed, predict
from dseg.errors import DsegError
from dseg.method.attention import (
    AttentionPlan,
    make_recorder,
    record_attention,
)
from dseg.method.cut.evidence import AttentionMaps
from dseg.method.inversion import noise_to
from dseg.method.prompts import Phrase, context_span, fill, noun_span

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

TEMPLATE = "a photo of {article} {noun}"
ON = " on {context}"


def noun_prompt(noun: str, context: str | None = None) -> Phrase:
    """The prompt that stands for any image of a noun, or for any on a ground."""
    return fill(TEMPLATE, noun) if context is None else fill(TEMPLATE + ON, noun, context)


def noised(
    pipe: "StableDiffusionPipeline",
    latents: Tensor,
    seeds: Sequence[int],
    timesteps: Sequence[int],
) -> Tensor:
    """Clean latents with noise added, as the diffusion process has them at each timestep.

    Args:
        pipe: The base model, for its noise schedule.
        latents: (B, C, h, w).
        seeds: One for each item's noise, the same at all timesteps.
        timesteps: T training timesteps.

    Returns:
        float32 (B, T, C, h, w).
    """
    alphas = alphas_cumprod(pipe)
    return torch.stack([noise_to(latents, float(alphas[t]), seeds) for t in timesteps], dim=1)


def record(
    pipe: "StableDiffusionPipeline",
    latents: Tensor,
    timesteps: Sequence[int],
    phrases: Sequence[Phrase],
    plan: AttentionPlan,
) -> AttentionMaps:
    """Mean attention of one batch of images over timesteps, one pass of the U-Net for each.

    Args:
        pipe: The base model.
        latents: Latents at each timestep, noised or inverted, (B, T, C, h, w).
        timesteps: The T training timesteps they are at.
        phrases: B prompts with their nouns.
        plan: What to record.

    Raises:
        DsegError: Numbers of latents, timesteps and phrases do not agree, a noun is cut off by
            the tokenizer, or the model has no attention at a stride of `plan`.
    """
    if latents.shape[:2] != (len(phrases), len(timesteps)) or not timesteps:
        raise DsegError(
            f"latents {tuple(latents.shape)} for {len(phrases)} prompts and {len(timesteps)} "
            "timesteps: expected (prompts, timesteps, C, h, w)"
        )
    context = embed(pipe, [phrase.text for phrase in phrases])
    spans = [noun_span(pipe.tokenizer, phrase) for phrase in phrases]
    size = (latents.shape[-2], latents.shape[-1])
    contexts = [context_span(pipe.tokenizer, phrase) for phrase in phrases]
    recorder = make_recorder(plan, size, spans, contexts, context.shape[1])
    recorder.active = True
    latents = latents.to(pipe.device)
    with record_attention(pipe.unet, recorder):
        for index, timestep in enumerate(timesteps):
            predict(pipe, latents[:, index], timestep, context)
    return recorder.maps()
