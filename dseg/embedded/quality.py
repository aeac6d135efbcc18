"""How good an embedded base model is, on images whose truth is known.

Three measures, all our choice: what the auto-encoder loses (`reconstruction`), how well the noun's
attention finds the object (`localisation`), and whether samples show what was asked for
(`sample` with the kind classifier of `dseg.embedded.instruments`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dseg.base_model.pipeline import decode, encode, fit, timestep_at
from dseg.embedded.overlap import mean_iou
from dseg.method.attention import AttentionPlan
from dseg.method.cut.crossmap import normalise, otsu
from dseg.method.ground import name_ground
from dseg.method.prompts import item_seed
from dseg.method.recording import noised, noun_prompt, record
from dseg.method.resample import resize
from dseg.method.synthesis import synthesise

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from dseg.datasets.opening import Samples
    from dseg.settings.masks import RecordingSettings

PLAN = AttentionPlan((1,), 1, 64)  # what AttentionCut reads in the default run
BATCH = 32
ROOT = 0.5  # exponent of the second measure of localisation


def reconstruction(pipe: StableDiffusionPipeline, images: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio, in dB, of images uint8 (B, H, W, 3) after a round trip."""
    restored = decode(pipe, encode(pipe, images)).astype(np.float64)
    error = ((restored - images) ** 2).mean(axis=(1, 2, 3)) / 255**2
    return float(np.mean(-10 * np.log10(error)))


def noun_maps(
    pipe: StableDiffusionPipeline, samples: Samples, recording: RecordingSettings, *, share: bool
) -> np.ndarray:
    """The noun's cross map of each image, noised as a recording is: float32 (n, h, w).

    Args:
        pipe: The base model.
        samples: Images with nouns.
        recording: Its timesteps, and whether prompts say the ground.
        share: Whether it is the noun's share, see `AttentionPlan`.
    """
    images = fitted(pipe, samples)
    steps = [timestep_at(pipe, fraction) for fraction in recording.timesteps]
    seeds = [item_seed(0, sample.id) for sample in samples]
    noisy = noised(pipe, encode(pipe, images), seeds, steps)
    grounds = [name_ground(image) if recording.context else None for image in images]
    phrases = [
        noun_prompt(sample.noun or "object", ground)
        for sample, ground in zip(samples, grounds, strict=True)
    ]
    plan = replace(PLAN, share=share)
    return record(pipe, noisy, steps, phrases, plan).cross[1].astype(np.float32)


def fitted(pipe: StableDiffusionPipeline, samples: Samples) -> np.ndarray:
    """Images at the size that the model reads, uint8 (n, H, W, 3)."""
    return np.stack([fit(pipe, sample.image()) for sample in samples])


def localisation(maps: np.ndarray, samples: Samples, exponent: float = 1.0) -> float:
    """Mean IoU of the maps' powers at Otsu's threshold with the true masks.

    Args:
        maps: (n, h, w), >= 0, of `noun_maps`.
        samples: The n images, with masks.
        exponent: Of each value; below 1 it compresses the range, so that a part that draws most
            of the attention does not push the rest of the object below the threshold.
    """
    overlaps = []
    for cross, sample in zip(maps, samples, strict=True):
        truth = sample.mask()
        assert truth is not None  # a saliency layout has masks
        values = normalise(resize(cross**exponent, (truth.shape[0], truth.shape[1])))
        overlaps.append(mean_iou((values > otsu(values))[None], truth[None]))
    return float(np.mean(overlaps))


def sample(
    pipe: StableDiffusionPipeline, prompts: Sequence[str], *, steps: int, guidance: float
) -> np.ndarray:
    """Images uint8 (n, H, W, 3) of prompts, the first ones drawn, for seeds of the prompts.

    A prompt that comes again has another seed.
    """
    again: Counter[str] = Counter()
    seeds = []
    for text in prompts:
        seeds.append(item_seed(0, f"{text} {again[text]}" if again[text] else text))
        again[text] += 1
    parts = [
        synthesise(
            pipe,
            prompts[start : start + BATCH],
            [(0, 1)] * len(prompts[start : start + BATCH]),  # the attention is not looked at
            seeds[start : start + BATCH],
            steps=steps,
            guidance=guidance,
            record=(0.0, 1.0),
            plan=PLAN,
        ).images
        for start in range(0, len(prompts), BATCH)
    ]
    return np.concatenate(parts)
