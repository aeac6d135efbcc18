"""`dseg base card`: measure the embedded base model on val and write its model card."""

from __future__ import annotations

import csv
import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dseg.base_model.pipeline import load_pipeline
from dseg.datasets.opening import open_benchmark
from dseg.embedded.checkpoints import CARD_FILES
from dseg.embedded.components import PATCH
from dseg.embedded.domains import Domain, open_domain
from dseg.embedded.quality import ROOT, fitted, localisation, noun_maps, reconstruction, sample
from dseg.progress import format_seconds
from dseg.reporting.figures.galleries import learning_curve, loss_curve, save_png, sheet
from dseg.reporting.scores import read_quality
from dseg.settings.run import Settings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SECTIONS = ("base", "synthesis.steps", "synthesis.guidance", "recording", "attention")
CARDS = Path(__file__).parents[1] / "embedded"
RENDERED, PHOTOGRAPHED = "model_card.md", "photo_model_card.md"


def sample_sheet(
    pipe: StableDiffusionPipeline, domain: Domain, steps: int, guidance: float
) -> np.ndarray:
    """Prompted samples, a column for each noun and a row for each ground: uint8 (H, W, 3).

    They are the first ones drawn, for seeds that follow from the prompt: none is picked.
    """
    rows, columns = domain.grounds, domain.nouns
    prompts = [domain.caption(noun, ground) for ground in rows for noun in columns]
    images = sample(pipe, prompts, steps=steps, guidance=guidance)
    size = images.shape[1]
    grid = images.reshape(len(rows), len(columns), size, size, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(size * len(rows), -1, 3)


def run(
    settings: Settings, training: Path, val: Path, model: Path, instruments: Path, learning: Path
) -> None:
    """Measure the pipeline in `model` and write its card, README.md, with pictures beside it.

    Args:
        settings: The sections named in `SECTIONS`.
        training: Folder of the training, for its loss curve and time.
        val: The split val: captions, images, masks.
        model: The pipeline folder.
        instruments: Folder of the stage instruments, for how good they are.
        learning: The learning curve, of the command base-curve.
    """
    page, samples_png, loss_png, loss_csv, learning_png, learning_csv = (
        model / name for name in CARD_FILES
    )
    pipe = load_pipeline(model, device="cpu")
    samples = open_benchmark("saliency", val)
    domain = open_domain(settings.base)
    images = fitted(pipe, samples)
    with (training / "loss.csv").open() as file:
        curve = list(csv.DictReader(file))
    with learning.open() as file:
        learnt = list(csv.DictReader(file))
    quality = read_quality(instruments / "quality.json")
    maps = noun_maps(pipe, samples, settings.recording, share=settings.attention.measure == "share")
    save_png(loss_curve([(int(r["samples"]), float(r["loss"])) for r in curve]), loss_png)
    shutil.copy2(training / "loss.csv", loss_csv)
    shutil.copy2(learning, learning_csv)
    save_png(learning_curve(learnt), learning_png)
    picture = sample_sheet(pipe, domain, settings.synthesis.steps, settings.synthesis.guidance)
    save_png(sheet(picture, domain.nouns, domain.grounds), samples_png)
    weights = sum(file.stat().st_size for file in model.rglob("*.safetensors"))
    facts = {
        "psnr": f"{reconstruction(pipe, images):.1f}",
        "iou": f"{localisation(maps, samples):.3f}",
        "iou_root": f"{localisation(maps, samples, ROOT):.3f}",
        "accuracy": f"{100 * float(learnt[-1]['accuracy']):.1f}",
        "prompts": str(len(domain.asked)),
        "classifier": f"{100 * quality.classifier_accuracy:.1f}",
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
        "nouns": ", ".join(domain.nouns),
        "kinds": ", ".join(domain.all_kinds),
        "held_out": str(quality.images),
        "size": str(settings.base.size),
        "grid": str(settings.base.size // PATCH),
        "name": Path(settings.base.model).name,
        "guidance": f"{settings.synthesis.guidance:g}",
        "steps": str(settings.synthesis.steps),
    }
    template = CARDS / (PHOTOGRAPHED if settings.base.photographs else RENDERED)
    page.write_text(template.read_text("utf-8").format_map(facts), encoding="utf-8")
