"""The auto-encoder of the embedded base model: principal components in, convolutions out.

The encoder is linear and known in closed form (the principal components of 4 x 4 patches, partly
whitened), so the U-Net can be trained at once; only the decoder is learned. Our choice: on two
CPU cores a learned encoder costs an hour for what this one gives in a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor

from dseg.embedded.components import PATCH


def patches(images: Tensor) -> Tensor:
    """Cut images in [0, 1] into 4 x 4 patches: (B, 3, H, W) -> (B, H/4, W/4, 48)."""
    return F.pixel_unshuffle(images, PATCH).permute(0, 2, 3, 1)


def principal_components(images: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Fit the linear encoder z = projection (patch - mean), with z of mean square 1.

    A component of standard deviation s is scaled by s^-1/2: halfway to whitening, so that coarse
    structure outlives fine detail in the noise.

    Args:
        images: (B, 3, H, W) in [0, 1].
        channels: Number of components kept.

    Returns:
        mean (48,) and projection (channels, 48).
    """
    flat = patches(images).reshape(-1, 3 * PATCH * PATCH).double()
    mean = flat.mean(0)
    variance, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    deviation = variance.flip(0)[:channels].sqrt()
    scale = deviation.rsqrt()
    scale = scale / (deviation * scale).square().mean().sqrt()
    vectors = vectors.flip(1)[:, :channels]
    vectors = vectors * vectors.sum(0).sign()  # eigenvectors have no sign of their own
    return mean.float(), (scale[:, None] * vectors.T).float()


def fix_encoder(autoencoder: AutoencoderTiny, mean: Tensor, projection: Tensor) -> None:
    """Write the linear encoder into the convolutions of `autoencoder`, in place.

    Two stride-2 convolutions gather the pixels of a patch without mixing them, the last one
    projects. Latents are divided by the scaling factor, which pipelines multiply back.
    """
    pick, gather_2, gather_4, project = autoencoder.encoder.layers
    scale = 1 / autoencoder.config.scaling_factor
    order = torch.arange(3 * PATCH * PATCH).view(3, PATCH, PATCH)  # pixel_unshuffle's channels
    with torch.no_grad():
        for layer in (pick, gather_2, gather_4, project):
            layer.weight.zero_()
        pick.bias.zero_()
        project.weight.zero_()
        for colour in range(3):
            pick.weight[colour, colour, 1, 1] = 1
            for dy in range(2):
                for dx in range(2):
                    fine = 4 * colour + 2 * dy + dx
                    # padding 1, so kernel index 1 is the even pixel and 2 the odd one
                    gather_2.weight[fine, colour, 1 + dy, 1 + dx] = 1
                    for ey in range(2):
                        for ex in range(2):
                            target = order[colour, 2 * ey + dy, 2 * ex + dx]
                            gather_4.weight[target, fine, 1 + ey, 1 + ex] = 1
        project.weight[:, :, 1, 1] = scale * projection
        project.bias.copy_(-scale * projection @ mean)
    autoencoder.encoder.requires_grad_(False)


@torch.no_grad()
def encode(autoencoder: AutoencoderTiny, images: Tensor) -> Tensor:
    """Encode uint8 (N, 3, H, W) to latents float16 (N, C, H/4, W/4), not scaled."""
    return torch.cat(
        [autoencoder.encoder(part.float() / 127.5 - 1).half() for part in images.split(256)]
    )


def train_decoder(
    autoencoder: AutoencoderTiny,
    images: Tensor,
    latents: Tensor,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Iterator[float]:
    """Train the decoder to undo the encoder, by mean squared error; yield the loss of each step.

    Args:
        autoencoder: Its encoder stays as it is; its decoder is trained in place.
        images: uint8 (N, 3, H, W).
        latents: What the encoder makes of them, not scaled: float16 (N, C, H/4, W/4).
        steps: Number of optimiser steps, with warm-up and cosine decay.
        batch_size: Images a step.
        learning_rate: Of AdamW, at its peak.
        seed: Of the order of images.
    """
    decoder = autoencoder.decoder.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warm_cosine(step / steps, warm=0.02)
        chosen = torch.randint(len(images), (batch_size,), generator=generator)
        batch = images[chosen].float() / 127.5 - 1
        encoded = latents[chosen].float().contiguous(memory_format=torch.channels_last)
        loss = F.mse_loss(decoder(encoded), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def warm_cosine(fraction: float, *, warm: float, floor: float = 0.02) -> float:
    """Learning-rate factor after `fraction` of training: linear warm-up, then cosine decay."""
    if fraction < warm:
        return max(fraction / warm, 1e-3)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (fraction - warm) / (1 - warm)))


@torch.no_grad()
def psnr(autoencoder: AutoencoderTiny, images: Tensor, batch_size: int = 64) -> float:
    """Peak signal-to-noise ratio of a round trip, in dB, mean over images uint8 (N, 3, H, W)."""
    values = []
    for batch in images.split(batch_size):
        given = batch.float() / 127.5 - 1
        restored = autoencoder.decode(autoencoder.encode(given).latents).sample.clamp(-1, 1)
        error = (restored - given).square().mean((1, 2, 3)) / 4  # of images in [0, 1]
        values.append(-10 * error.log10())
    return torch.cat(values).mean().item()
