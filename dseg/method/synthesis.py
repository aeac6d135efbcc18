"""Stage 1b: prompts -> images and the attention from which their masks are cut.

Deterministic DDIM (Song et al. 2021, sigma = 0) with classifier-free guidance (Ho and Salimans
2022). The loop is our own so that attention can be recorded in chosen steps only; for the same
noise it gives the images of diffusers' StableDiffusionPipeline. Steps, guidance and the timesteps
that are recorded are not known of the paper: settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.base_model.pipeline import (
    decode,
    embed,
    latent_channels,
    latent_size,
    predict,
    train_timesteps,
)
from dseg.errors import DsegError
from dseg.method.attention import (
    AttentionPlan,
    make_recorder,
    record_attention,
)
from dseg.method.cut.evidence import AttentionMaps

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, StableDiffusionPipeline


@dataclass(frozen=True)
class Synthesis:
    """Images uint8 (B, H, W, 3) and their attention."""

    images: np.ndarray
    attention: AttentionMaps


def synthesise(
    pipe: "StableDiffusionPipeline",
    prompts: Sequence[str],
    spans: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance: float,
    record: tuple[float, float],
    plan: AttentionPlan,
    contexts: Sequence[tuple[int, int]] | None = None,
) -> Synthesis:
    """Sample one batch of images and record their attention.

    Args:
        pipe: The base model.
        prompts: B texts.
        spans: First and last + 1 token of each text's noun.
        seeds: Seed of each item's noise; an item depends on its own text and seed only.
        steps: DDIM steps.
        guidance: Scale of classifier-free guidance; up to 1 there is none, and half the cost.
        record: Steps within this range of fractions of the training timesteps are averaged.
        plan: What to record.
        contexts: First and last + 1 token of each text's context, which a plan of shares needs.

    Returns:
        Images and attention of the B items.

    Raises:
        DsegError: No sampling step lies within `record`, `steps` exceeds the training timesteps,
            or the model has no attention at a stride of `plan`.
    """
    low, high = (fraction * train_timesteps(pipe) for fraction in record)
    timesteps = sampler(pipe, steps).timesteps.tolist()
    if not any(low <= timestep <= high for timestep in timesteps):
        raise DsegError(
            f"attention.timesteps: {list(record)}, expected a range that holds at least one of "
            f"the {steps} sampling steps; widen it or take more steps"
        )
    context = embed(pipe, prompts)
    recorder = make_recorder(plan, latent_size(pipe), spans, contexts, context.shape[1])

    def choose(timestep: int) -> None:
        recorder.active = low <= timestep <= high

    with record_attention(pipe.unet, recorder):
        latents = sample(
            pipe,
            initial_noise(pipe, seeds),
            context,
            steps=steps,
            guidance=guidance,
            before_step=choose,
        )
    return Synthesis(decode(pipe, latents), recorder.maps())


@torch.no_grad()
def sample(
    pipe: "StableDiffusionPipeline",
    noise: Tensor,
    context: Tensor,
    *,
    steps: int,
    guidance: float,
    before_step: Callable[[int], None] = lambda timestep: None,
) -> Tensor:
    """Latents float32 (B, C, h, w) of deterministic DDIM from `noise` of that shape.

    Args:
        pipe: The base model.
        noise: Standard normal latents.
        context: Text embeddings (B, L, D) of the prompts.
        steps: DDIM steps.
        guidance: Scale of classifier-free guidance, without effect up to 1.
        before_step: Called with each training timestep before the U-Net is.

    Raises:
        DsegError: `steps` is not a number of steps that the noise schedule has.
    """
    scheduler = sampler(pipe, steps)
    guided = guidance > 1
    if guided:
        context = torch.cat([embed(pipe, [""]).expand_as(context), context])
    latents = noise.float()
    for timestep in scheduler.timesteps.tolist():
        before_step(timestep)
        rows = torch.cat([latents, latents]) if guided else latents
        output = predict(pipe, rows, timestep, context)
        if guided:
            free, conditional = output.chunk(2)
            output = free + guidance * (conditional - free)
        latents = scheduler.step(output, timestep, latents, eta=0.0).prev_sample
    return latents


def initial_noise(pipe: "StableDiffusionPipeline", seeds: Sequence[int]) -> Tensor:
    """Standard normal latents float32 (B, C, h, w), each item's from its own CPU generator."""
    shape = (latent_channels(pipe), *latent_size(pipe))
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(pipe.device)


def sampler(pipe: "StableDiffusionPipeline", steps: int) -> "DDIMScheduler":
    """A fresh scheduler with the pipeline's noise schedule, set to a number of steps.

    Raises:
        DsegError: The schedule does not have as many steps.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    count = train_timesteps(pipe)
    if 1 <= steps <= count:
        scheduler.set_timesteps(steps)
    # An offset of the grid may push the first step past the end of a schedule that is used whole.
    if not 1 <= steps <= count or int(scheduler.timesteps[0]) >= count:
        raise DsegError(f"synthesis.steps: {steps}, expected 1 or more and fewer than {count}")
    return scheduler
