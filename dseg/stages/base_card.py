"""`dseg base card`: measure the embedded base model on val and write its model card."""

from __future__ import annotations

import csv
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dseg.attention import AttentionPlan
from dseg.config import Settings
from dseg.datasets import open_benchmark
from dseg.figures import loss_curve, save_png, sheet
from dseg.mask_baselines import BASELINES
from dseg.pipeline import decode, encode, load_pipeline, timestep_at
from dseg.progress import format_seconds
from dseg.prompts import item_seed
from dseg.recording import noised, noun_prompt, record
from dseg.synthesis import synthesise
from dseg.world.captions import caption
from dseg.world.kinds import KIND_NAMES

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from dseg.datasets import Samples

SECTIONS = ("base", "synthesis.steps", "synthesis.guidance")
CARD = Path(__file__).parents[1] / "world" / "model_card.md"
SHEET_CONTEXTS = ("wood", "grass", "sky", "brick")
PLAN = AttentionPlan((1,), 1, 64)  # what the default run records
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)


def reconstruction(pipe: StableDiffusionPipeline, images: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio, in dB, of images uint8 (B, H, W, 3) after a round trip."""
    restored = decode(pipe, encode(pipe, images)).astype(np.float64)
    error = ((restored - images) ** 2).mean(axis=(1, 2, 3)) / 255**2
    return float(np.mean(-10 * np.log10(error)))


def localisation(pipe: StableDiffusionPipeline, samples: Samples) -> float:
    """Mean IoU of the noun's cross map at Otsu's threshold, on noised images with true masks."""
    images = np.stack([sample.image() for sample in samples])
    latents = encode(pipe, images)
    steps = [timestep_at(pipe, fraction) for fraction in FRACTIONS]
    noisy = noised(pipe, latents, [item_seed(0, sample.id) for sample in samples], steps)
    phrases = [noun_prompt(sample.noun or "object") for sample in samples]
    fields = record(pipe, noisy, steps, phrases, PLAN).fields()
    scores = []
    for index, sample in enumerate(samples):
        cross = fields["cross_1"][index].astype(np.float32)
        soft = BASELINES["otsu"](
            cross,
            fields["affinity_indices"][index],
            fields["affinity_weights"][index],
            images[index],
        )
        truth = sample.mask()
        assert truth is not None  # a saliency layout has masks
        mask = soft > 0.5
        scores.append(np.sum(mask & truth) / max(1, np.sum(mask | truth)))
    return float(np.mean(scores))


def sample_sheet(pipe: StableDiffusionPipeline, steps: int, guidance: float) -> np.ndarray:
    """Prompted samples, a column for each kind and a row for each background: uint8 (H, W, 3).

    They are the first ones drawn, for seeds that follow from the prompt: none is picked.
    """
    prompts = [caption(kind, context) for context in SHEET_CONTEXTS for kind in KIND_NAMES]
    images = np.concatenate(
        [
            synthesise(
                pipe,
                prompts[row : row + len(KIND_NAMES)],
                [(0, 1)] * len(KIND_NAMES),  # the attention is not looked at
                [item_seed(0, text) for text in prompts[row : row + len(KIND_NAMES)]],
                steps=steps,
                guidance=guidance,
                record=(0.0, 1.0),
                plan=PLAN,
            ).images
            for row in range(0, len(prompts), len(KIND_NAMES))
        ]
    )
    size = images.shape[1]
    grid = images.reshape(len(SHEET_CONTEXTS), len(KIND_NAMES), size, size, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(size * len(SHEET_CONTEXTS), -1, 3)


def run(settings: Settings, training: Path, val: Path, model: Path) -> None:
    """Measure the pipeline in `model` and write README.md, samples.png and loss.png beside it.

    Args:
        settings: The sections named in `SECTIONS`.
        training: Folder of the training, for its loss curve and time.
        val: The rendered split val: captions, images, masks.
        model: The pipeline folder.
    """
    pipe = load_pipeline(model, device="cpu")
    samples = open_benchmark("saliency", val)
    images = np.stack([sample.image() for sample in samples])
    with (training / "loss.csv").open() as file:
        curve = list(csv.DictReader(file))
    save_png(loss_curve([(int(r["samples"]), float(r["loss"])) for r in curve]), model / "loss.png")
    picture = sample_sheet(pipe, settings.synthesis.steps, settings.synthesis.guidance)
    save_png(sheet(picture, KIND_NAMES, SHEET_CONTEXTS), model / "samples.png")
    weights = sum(file.stat().st_size for file in model.rglob("*.safetensors"))
    facts = {
        "psnr": f"{reconstruction(pipe, images):.1f}",
        "iou": f"{localisation(pipe, samples):.3f}",
        "images": str(len(samples)),
        "samples": f"{int(curve[-1]['samples']):,}",
        "distinct": f"{settings.base.unet.images * settings.base.unet.processes:,}",
        "batch": str(settings.base.unet.batch_size * settings.base.unet.processes),
        "processes": str(settings.base.unet.processes),
        "time": format_seconds(float(curve[-1]["seconds"])),
        "loss": f"{np.mean([float(row['loss']) for row in curve[-20:]]):.3f}",
        "decoder": f"{settings.base.autoencoder.steps * settings.base.autoencoder.batch_size:,}",
        "channels": str(settings.base.autoencoder.channels),
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), no GPU",
        "megabytes": f"{weights / 2**20:.1f}",
        "unet": f"{sum(p.numel() for p in pipe.unet.parameters()) / 1e6:.1f}",
        "kinds": ", ".join(KIND_NAMES),
        "guidance": f"{settings.synthesis.guidance:g}",
        "steps": str(settings.synthesis.steps),
    }
    (model / "README.md").write_text(CARD.read_text("utf-8").format_map(facts), encoding="utf-8")
