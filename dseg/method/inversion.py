"""Stage 2a: latents of a given image along the deterministic DDIM trajectory.

The paper maps an image back to the diffusion process ("inversion") and reads features there; how
many steps, which timesteps and which prompt it uses is not known. Here (our choice): an image's
latents stand for timestep 0, the lowest noise level the network was trained on, and are carried
up an even grid of timesteps by the probability-flow ODE, discretised as in DDIM (Song et al.
2021, equation 12 with sigma = 0). ``alpha`` is always their cumulative product, the share of
signal variance: ``x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise``.

One point is disputed among implementations: at which sample and timestep the network is asked for
the noise of the step from (x_t, t) up to the next grid point u. `invert` asks at (x_t, t), an
explicit Euler step of the ODE. Sampling would have come down from (x_u, u), so the exact inverse
of sampling is the x_u whose own noise leads back to x_t; ``fixed_point`` iterations approach it,
starting from x_t. The first of them asks at (x_t, u), an old sample with a new time: for epsilon
models that is what null-text inversion (Mokady et al. 2023) and diffusers' DDIMInverseScheduler
do. Euler and one iteration cost one network evaluation a step and are of first order; k iterations
cost k.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.base_model.pipeline import (
    alphas_cumprod,
    embed_each,
    encode,
    predict,
    train_timesteps,
)
from dseg.errors import DsegError
from dseg.method.prompts import Phrase, captions
from dseg.settings.run import InversionSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network under its prompts, and the diffusion process that it was trained on.

    Attributes:
        network: (sample (B, C, h, w), timestep) -> output (B, C, h, w), both float32.
        alphas: Cumulative alpha of every training timestep, (train_timesteps,), in (0, 1].
        timesteps: Those it is asked at: an ascending grid, such as `grid` makes.
        prediction_type: What the network predicts: "epsilon", "v_prediction" or "sample".
    """

    network: Callable[[Tensor, int], Tensor]
    alphas: Tensor
    timesteps: Sequence[int]
    prediction_type: str


def denoiser(pipe: "StableDiffusionPipeline", said: Sequence[Phrase], steps: int) -> Denoiser:
    """That of a base model under B captions, on a grid of ``steps``.

    Raises:
        DsegError: ``steps`` is not a size of a grid.
    """
    context = embed_each(pipe, [phrase.text for phrase in said])  # (B, L, D)
    return Denoiser(
        lambda sample, timestep: predict(pipe, sample, timestep, context),
        alphas_cumprod(pipe),
        grid(steps, train_timesteps(pipe)),
        pipe.scheduler.config.prediction_type,
    )


def grid(steps: int, train_timesteps: int) -> tuple[int, ...]:
    """Evenly spaced timesteps 0 <= t < train_timesteps, ascending from 0.

    Raises:
        DsegError: ``steps`` is not in 1 .. train_timesteps.
    """
    if not 1 <= steps <= train_timesteps:
        raise DsegError(
            f"inversion.steps: {steps}, expected 1 to {train_timesteps}, "
            "the number of training timesteps of the model"
        )
    return tuple(round(index * train_timesteps / steps) for index in range(steps))


def snap(fraction: float, steps: int, train_timesteps: int) -> int:
    """The timestep of `grid` nearest to a fraction of the training timesteps (ties: the lower).

    Raises:
        DsegError: ``fraction`` is not in [0, 1], or ``steps`` is not a size of a grid.
    """
    if not 0.0 <= fraction <= 1.0:
        raise DsegError(f"timestep {fraction}: expected a fraction of the training timesteps, 0-1")
    target = fraction * train_timesteps
    return min(grid(steps, train_timesteps), key=lambda timestep: abs(timestep - target))


def split(
    sample: Tensor, model_output: Tensor, alpha: float, prediction_type: str
) -> tuple[Tensor, Tensor]:
    """The clean sample and the noise that a model output implies for a sample at level ``alpha``.

    Args:
        sample: Latents at ``alpha``, any shape.
        model_output: What the network said of them, same shape.
        alpha: Cumulative alpha of the sample, in [0, 1]; above 0 for "epsilon", which says
            nothing of the clean sample in pure noise, and below 1 for "sample", likewise.
        prediction_type: "epsilon", "v_prediction" (Salimans & Ho 2022) or "sample".

    Raises:
        DsegError: Unknown prediction type, or ``alpha`` outside its range.
    """
    if not 0.0 <= alpha <= 1.0:
        raise DsegError(f"alpha {alpha}: expected a cumulative alpha in [0, 1]")
    signal, noise = alpha**0.5, (1.0 - alpha) ** 0.5
    if prediction_type == "v_prediction":
        return signal * sample - noise * model_output, signal * model_output + noise * sample
    if prediction_type == "epsilon":
        if signal == 0.0:
            raise DsegError("epsilon prediction has no clean sample at alpha 0 (pure noise)")
        return (sample - noise * model_output) / signal, model_output
    if prediction_type == "sample":
        if noise == 0.0:
            raise DsegError("sample prediction has no noise at alpha 1 (a clean sample)")
        return model_output, (sample - signal * model_output) / noise
    raise DsegError(
        f"prediction type {prediction_type!r}: expected one of {', '.join(PREDICTION_TYPES)}"
    )


def ddim_step(
    sample: Tensor,
    model_output: Tensor,
    alpha_from: float,
    alpha_to: float,
    prediction_type: str,
) -> Tensor:
    """One deterministic DDIM step between two noise levels, towards less noise or towards more.

    DDIM, equation 12 with sigma = 0: ``x' = sqrt(alpha') x_0 + sqrt(1 - alpha') noise`` with both
    terms from `split` at ``alpha_from``, the level at which the network saw ``sample``.

    Args:
        sample: Latents at ``alpha_from``, any shape.
        model_output: The network's output for them, same shape.
        alpha_from: Cumulative alpha of ``sample``; its range is that of `split`.
        alpha_to: Cumulative alpha of the result, in [0, 1].
        prediction_type: "epsilon", "v_prediction" or "sample".

    Returns:
        Latents at ``alpha_to``, shape of ``sample``.

    Raises:
        DsegError: As `split`.
    """
    clean, noise = split(sample, model_output, alpha_from, prediction_type)
    return alpha_to**0.5 * clean + (1.0 - alpha_to) ** 0.5 * noise


def invert(
    model: Denoiser, latents: Tensor, *, chosen: Sequence[int], fixed_point: int = 0
) -> Tensor:
    """Carry clean latents up the DDIM trajectory and keep them at the chosen timesteps.

    Args:
        model: The network and its grid.
        latents: Latents of the images, (B, C, h, w); they stand for the grid's first timestep.
        chosen: Timesteps of the grid at which latents are wanted, in any order.
        fixed_point: 0 takes explicit Euler steps, k > 0 as many fixed-point iterations of the
            implicit step (see the module): max(1, k) network evaluations a step.

    Returns:
        float32 (T, B, C, h, w), one entry for each chosen timestep, in the order given.

    Raises:
        DsegError: The grid is not ascending or a chosen timestep is not on it.
    """
    denoise, alphas, kind = model.network, model.alphas, model.prediction_type
    timesteps = model.timesteps
    if any(later <= earlier for earlier, later in pairwise(timesteps)):
        raise DsegError(f"timesteps {list(timesteps)}: expected an ascending grid")
    off_grid = sorted(set(chosen) - set(timesteps))
    if off_grid or not chosen:
        raise DsegError(
            f"chosen timesteps {list(chosen)}: expected at least one, all on the grid "
            f"{timesteps[0]}, {timesteps[1] if len(timesteps) > 1 else ''} ... {timesteps[-1]}"
        )
    sample = latents.float()
    states = {timesteps[0]: sample}
    for current, following in pairwise(timesteps):
        if current >= max(chosen):
            break
        here, there = float(alphas[current]), float(alphas[following])
        if fixed_point == 0:
            lifted = ddim_step(sample, denoise(sample, current), here, there, kind)
        else:
            lifted = sample
            for _ in range(fixed_point):
                _, noise = split(lifted, denoise(lifted, following), there, kind)
                lifted = ddim_step(sample, noise, here, there, "epsilon")
        sample = lifted
        if following in chosen:
            states[following] = lifted
    return torch.stack([states[timestep] for timestep in chosen])


def regenerate(model: Denoiser, latents: Tensor, *, start: int) -> Tensor:
    """Sample down the DDIM trajectory: what inverted latents come back to.

    Args:
        model: The network and its grid, as in `invert`.
        latents: Latents at ``start``, (B, C, h, w).
        start: Timestep of the grid that the latents are at.

    Returns:
        float32 (B, C, h, w) at the grid's first timestep.

    Raises:
        DsegError: ``start`` is not on the grid.
    """
    alphas, timesteps = model.alphas, model.timesteps
    if start not in timesteps:
        raise DsegError(f"timestep {start}: expected one of the grid {list(timesteps)}")
    sample = latents.float()
    down = [timestep for timestep in reversed(timesteps) if timestep <= start]
    for current, following in pairwise(down):
        here, there = float(alphas[current]), float(alphas[following])
        output = model.network(sample, current)
        sample = ddim_step(sample, output, here, there, model.prediction_type)
    return sample


def noise_to(latents: Tensor, alpha: float, seeds: Sequence[int]) -> Tensor:
    """Add noise to clean latents in one shot: the usual alternative to inversion.

    The noise of an item depends on its seed alone: not on the batch, and not on ``alpha``, so that
    several noise levels of one item lie on one line, as several timesteps of an inversion do.

    Args:
        latents: Clean latents, (B, C, h, w).
        alpha: Cumulative alpha of the noise level, in [0, 1].
        seeds: One seed for each item.

    Returns:
        float32 (B, C, h, w) on the device of ``latents``.

    Raises:
        DsegError: Not one seed for each item, or ``alpha`` outside [0, 1].
    """
    if len(seeds) != len(latents):
        raise DsegError(f"{len(latents)} latents but {len(seeds)} seeds: expected one each")
    if not 0.0 <= alpha <= 1.0:
        raise DsegError(f"alpha {alpha}: expected a cumulative alpha in [0, 1]")
    noise = torch.stack(
        [
            torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    ).to(latents.device)
    return alpha**0.5 * latents.float() + (1.0 - alpha) ** 0.5 * noise


def invert_images(
    pipe: "StableDiffusionPipeline",
    images: np.ndarray,
    inversion: InversionSettings,
    said: Sequence[Phrase] | None = None,
) -> np.ndarray:
    """Latents of one batch of images, uint8 (B, H, W, 3), at `inversion.timesteps`.

    Args:
        pipe: The base model.
        images: uint8 (B, H, W, 3), at the model's size.
        inversion: How to invert.
        said: The caption of each image; None says the same of all, `inversion.prompt`.

    Returns:
        float16 (B, T, C, h, w).
    """
    count = train_timesteps(pipe)
    if said is None:
        said = captions(inversion.prompt, [None] * len(images))
    states = invert(
        denoiser(pipe, said, inversion.steps),
        encode(pipe, images),
        chosen=[snap(fraction, inversion.steps, count) for fraction in inversion.timesteps],
        fixed_point=inversion.fixed_point,
    )  # (T, B, C, h, w)
    return states.transpose(0, 1).to("cpu", torch.float16).numpy()
