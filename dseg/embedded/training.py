"""Training of the embedded base model's U-Net and text encoder.

Several processes of one thread each share every batch (on a CPU faster than one process of
several threads). Batches, noise and caption dropout of a step follow from (seed, rank, step)
alone, so a run resumed from a checkpoint goes on as if it had not been interrupted.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import CLIPTextModel, CLIPTokenizer

from dseg.artifacts.tensors import TensorFile
from dseg.artifacts.weights import load_weights, read_state, write_weights
from dseg.embedded.autoencoder import encode, warm_cosine
from dseg.embedded.components import build_scheduler

KIND = "checkpoint"
OPTIMIZER = "optimizer/"
CAPTION_DROPOUT = 0.1  # these see the empty prompt, which guidance and inversion need
EMA_DECAY = 0.999
WARM_UP = 0.01  # of the run
TRAIN_SEED_OFFSET = 1000  # rank r draws its images from seed + offset + r


@dataclass(frozen=True)
class TrainingPlan:
    """What `train` needs to know; see `base.unet` in params.yaml."""

    samples: int  # seen in all, with repetition
    images: int  # drawn by each process
    batch_size: int  # of each process
    learning_rate: float
    processes: int
    checkpoint_every: int  # samples
    seed: int
    size: int  # side of the images


class Denoiser(nn.Module):
    """Text encoder and U-Net as one module: tokens and noisy latents to the predicted velocity."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def forward(self, latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Velocity (B, C, h, w) of latents (B, C, h, w) at timesteps (B,), for tokens (B, L)."""
        states = self.text_encoder(tokens)[0]
        velocity: Tensor = self.unet(latents, timesteps, states, return_dict=False)[0]
        return velocity


@dataclass
class Run:
    """State of a training run: what a checkpoint holds."""

    model: Denoiser
    average: Denoiser  # exponential moving average of the weights: what is shipped
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0


def start(model: Denoiser, learning_rate: float) -> Run:
    """Begin a run from the model as it is."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01
    )
    return Run(model, average, optimizer)


def training_latents(
    autoencoder: AutoencoderTiny,
    tokenizer: CLIPTokenizer,
    images: np.ndarray,
    captions: Sequence[str],
) -> tuple[Tensor, Tensor]:
    """Encode captioned images uint8 (N, H, W, 3): latents float16 (N, C, h, w), tokens (N, L)."""
    latents = encode(autoencoder, torch.from_numpy(images).permute(0, 3, 1, 2))
    return latents * autoencoder.config.scaling_factor, tokenize(tokenizer, captions)


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Tokens (N, L) of captions, padded as pipelines pad them."""
    tokens: Tensor = tokenizer(
        list(captions), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return tokens


def draw_batch(
    latents: Tensor, tokens: Tensor, empty: Tensor, scheduler: DDIMScheduler, batch: int, key: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw noisy latents, timesteps, tokens and target velocity of one step, from its key alone."""
    generator = torch.Generator().manual_seed(key)
    chosen = torch.randint(len(latents), (batch,), generator=generator)
    clean = latents[chosen].float()
    dropped = torch.rand(batch, generator=generator) < CAPTION_DROPOUT
    text = torch.where(dropped[:, None], empty, tokens[chosen])
    # stratified over the batch: every step sees all noise levels
    spread = (torch.arange(batch) + torch.rand(1, generator=generator)) / batch
    timesteps = (spread * scheduler.config.num_train_timesteps).long()
    noise = torch.randn(clean.shape, generator=generator)
    noisy = scheduler.add_noise(clean, noise, timesteps)
    return noisy, timesteps, text, scheduler.get_velocity(clean, noise, timesteps)


def train(
    rank: int,
    plan: TrainingPlan,
    run: Run,
    data: tuple[Tensor, Tensor],
    empty: Tensor,
    *,
    report: Callable[[Run, int, float, float], None],
    save: Callable[[Run, int], None],
) -> None:
    """Train until `plan.samples` have been seen; every process calls this with its own data.

    Args:
        rank: Number of this process; only rank 0 reports and saves.
        plan: Sizes and rates.
        run: Started or resumed; changed in place.
        data: Latents and tokens of this process.
        empty: Tokens (L,) of the empty prompt.
        report: Called as (run, samples, loss, learning rate) after each step.
        save: Called as (run, samples) at each checkpoint and at the end.
    """
    scheduler = build_scheduler()
    shared = DistributedDataParallel(run.model, gradient_as_bucket_view=True)
    weights: list[Tensor] = list(run.model.parameters())
    averages: list[Tensor] = list(run.average.parameters())
    per_step = plan.batch_size * plan.processes
    steps = -(-plan.samples // per_step)
    every = max(1, plan.checkpoint_every // per_step)
    began = time.monotonic() - run.seconds
    while run.step < steps:
        rate = plan.learning_rate * warm_cosine(run.step / steps, warm=WARM_UP)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        key = (plan.seed * 1_000_003 + run.step) * 64 + rank
        noisy, timesteps, text, velocity = draw_batch(*data, empty, scheduler, plan.batch_size, key)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        loss = F.mse_loss(shared(noisy, timesteps, text), velocity)
        run.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        run.optimizer.step()
        run.step += 1
        decay = min(EMA_DECAY, (1 + run.step) / (10 + run.step))
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - decay)
        if rank == 0:
            run.seconds = time.monotonic() - began
            report(run, run.step * per_step, loss.item(), rate)
            if run.step % every == 0 or run.step == steps:
                save(run, run.step * per_step)


def join(rank: int, processes: int, rendezvous: Path) -> None:
    """Enter the group of training processes that meet at the file `rendezvous`."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=processes
    )


def save_checkpoint(path: Path, run: Run) -> None:
    """Write weights, average and optimiser as safetensors, whole or not at all."""
    tensors: dict[str, Tensor] = {
        "step": torch.tensor(run.step),
        "seconds": torch.tensor(run.seconds, dtype=torch.float64),
    }
    for prefix, module in (("model", run.model), ("average", run.average)):
        tensors |= {f"{prefix}/{name}": value for name, value in module.state_dict().items()}
    for index, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{index}/{name}": value for name, value in state.items()}
    write_weights(path, tensors, kind=KIND)


def load_checkpoint(path: Path, run: Run) -> None:
    """Bring `run` to the state of a checkpoint.

    Raises:
        DsegError: The file is damaged, or not a checkpoint of this architecture.
    """
    file = TensorFile(path, kind=KIND, maker="the stage base-unet")
    for prefix, module in (("model", run.model), ("average", run.average)):
        load_weights(file, module, f"{prefix}/")
    # A parameter that the loss does not depend on has no state.
    there = {name.split("/")[1] for name in file.arrays if name.startswith(OPTIMIZER)}
    state: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(run.model.parameters()):
        if str(index) in there:
            like = {"step": torch.tensor(0.0), "exp_avg": parameter, "exp_avg_sq": parameter}
            state[index] = read_state(file, like, f"{OPTIMIZER}{index}/")
    if len(state) < len(there):
        raise file.damaged("its optimiser has a state of no parameter of the model")
    step, seconds = file.read("step"), file.read("seconds")
    if step.shape or step.dtype != np.int64 or not 0 <= step < 2**40:
        raise file.damaged("'step' is no number of steps")
    if seconds.shape or seconds.dtype != np.float64 or not 0 <= seconds < 1e9:
        raise file.damaged("'seconds' is no time")
    run.optimizer.load_state_dict(run.optimizer.state_dict() | {"state": state})
    run.step, run.seconds = int(step), float(seconds)
