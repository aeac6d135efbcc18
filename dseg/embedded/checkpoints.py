"""Checkpoints of the embedded base model's training, and the pipeline folder made of one."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from dseg.artifacts.weights import read_weights
from dseg.embedded.components import (
    PATCH,
    assemble,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from dseg.embedded.domains import open_domain
from dseg.embedded.training import Denoiser
from dseg.errors import DsegError
from dseg.files import system_errors
from dseg.settings.run import Settings

AUTOENCODER, AVERAGE = "autoencoder", "averaged denoiser"  # kinds of weights
# What the stage base_card writes beside the model, in the order in which it takes them.
CARD_FILES = ("README.md", "samples.png", "loss.png", "loss.csv", "learning.png", "learning.csv")


def averages(training: Path) -> list[Path]:
    """The averaged weights that a training has saved, average-<samples>.safetensors, in order."""
    return sorted(training.glob("average-*.safetensors"))


def samples_seen(average: Path) -> int:
    """How many samples a checkpoint had seen, by its name average-<samples>.safetensors."""
    return int(re.sub(r"\D", "", average.stem))


def export(settings: Settings, training: Path, out: Path, average: Path | None = None) -> None:
    """Write the pipeline folder from trained parts; the model card in it stays.

    Args:
        settings: The section base.
        training: Folder of the training of both, decoder and U-Net.
        out: The pipeline folder; replaced as a whole.
        average: The averaged weights to take; the newest if not given.

    Raises:
        DsegError: Nothing was trained yet.
    """
    saved = [average] if average else averages(training)
    if not saved:
        raise DsegError(f"{training}: no average-*.safetensors; train the U-Net first")
    channels = settings.base.autoencoder.channels
    tokenizer = build_tokenizer(open_domain(settings.base).vocabulary)
    autoencoder = build_autoencoder(channels)
    path = training / "autoencoder.safetensors"
    read_weights(path, autoencoder, kind=AUTOENCODER, maker="the stage base-decoder")
    model = Denoiser(
        build_text_encoder(tokenizer), build_unet(channels, settings.base.size // PATCH)
    )
    read_weights(saved[-1], model, kind=AVERAGE, maker="the stage base-unet")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        staged = Path(folder) / "pipeline"
        pipe = assemble(tokenizer, model.text_encoder, model.unet, autoencoder)
        with system_errors():
            pipe.save_pretrained(staged)
        for kept in CARD_FILES:
            if (out / kept).exists():
                shutil.copy2(out / kept, staged / kept)
        if out.exists():
            out.rename(Path(folder) / "old")
        staged.rename(out)
