"""`dseg base`: train the embedded base model and write it as a pipeline folder.

Each part is a command: `base-encoder` (linear, in closed form), `base-decoder` and `base-unet`. The
last two need the encoder only, so both can be trained at the same time; `base-export`
(`dseg.embedded.checkpoints`) puts them together.
"""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

import torch
import torch.multiprocessing as multiprocessing
from diffusers import AutoencoderTiny
from torch.multiprocessing.spawn import ProcessRaisedException
from transformers import CLIPTokenizer

from dseg.artifacts.weights import read_weights, write_weights
from dseg.embedded import autoencoder as coder
from dseg.embedded import training as unet_training
from dseg.embedded.checkpoints import AUTOENCODER, AVERAGE
from dseg.embedded.components import (
    PATCH,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from dseg.embedded.domains import open_domain
from dseg.errors import DsegError, describe
from dseg.files import write_text
from dseg.progress import format_seconds, track
from dseg.settings.run import Settings

SECTIONS = ("seed", "base")
ENCODER_IMAGES = 2048  # enough for the covariance of 4 x 4 patches
DECODER_SEED_OFFSET = 900
ENCODER, CHECKPOINT, CURVE = "encoder.safetensors", "checkpoint.safetensors", "loss.csv"


def run_encoder(settings: Settings, out: Path) -> None:
    """Fit the linear encoder, in closed form.

    Args:
        settings: The sections named in `SECTIONS`.
        out: Folder of the training; receives encoder.safetensors.
    """
    images, _ = open_domain(settings.base).draw(
        ENCODER_IMAGES, settings.seed + DECODER_SEED_OFFSET, settings.base.size
    )
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    channels = settings.base.autoencoder.channels
    torch.manual_seed(settings.seed)
    model = build_autoencoder(channels)
    coder.fix_encoder(model, *coder.principal_components(pixels, channels))
    write_weights(out / ENCODER, model.state_dict(), kind=AUTOENCODER)


def run_decoder(settings: Settings, out: Path) -> None:
    """Train the decoder to undo the encoder.

    Args:
        settings: The sections named in `SECTIONS`.
        out: Folder of the training, with encoder.safetensors; receives autoencoder.safetensors
            and its loss curve, autoencoder.csv.

    Raises:
        DsegError: The encoder is missing.
    """
    torch.set_num_threads(1)
    plan = settings.base.autoencoder
    model = _encoder(plan.channels, out)
    images, _ = open_domain(settings.base).draw(
        plan.images, settings.seed + DECODER_SEED_OFFSET, settings.base.size
    )
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    losses = coder.train_decoder(
        model,
        pixels,
        coder.encode(model, pixels),
        steps=plan.steps,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        seed=settings.seed,
    )
    rows = []
    for step, loss in enumerate(track(losses, "decoder", plan.steps), start=1):
        rows.append((step, step * plan.batch_size, loss))
    with (out / "autoencoder.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("step", "samples", "loss"), *rows])
    write_weights(out / "autoencoder.safetensors", model.state_dict(), kind=AUTOENCODER)


def _encoder(channels: int, folder: Path) -> AutoencoderTiny:
    """The auto-encoder with the fitted encoder and a decoder as it was drawn."""
    model = build_autoencoder(channels)
    read_weights(folder / ENCODER, model, kind=AUTOENCODER, maker="the stage base-encoder")
    return model


def run_unet(settings: Settings, out: Path) -> None:
    """Train U-Net and text encoder, from the newest checkpoint if there is one.

    Args:
        settings: The sections named in `SECTIONS`.
        out: Folder of the training, with encoder.safetensors; receives checkpoint.safetensors,
            loss.csv and, at every checkpoint, the averaged weights average-<samples>.safetensors.

    Raises:
        DsegError: The encoder is missing, or the checkpoint or the curve is damaged or of another
            architecture.
    """
    _encoder(settings.base.autoencoder.channels, out)
    processes = settings.base.unet.processes
    with tempfile.TemporaryDirectory() as folder:
        rendezvous, told = Path(folder) / "rendezvous", Path(folder) / "error"
        try:
            multiprocessing.spawn(  # type: ignore[attr-defined]
                _told, (told, settings, out, rendezvous), nprocs=processes, join=True
            )
        except ProcessRaisedException as error:
            if told.exists():
                raise DsegError(told.read_text(encoding="utf-8")) from error
            raise


def _told(rank: int, told: Path, settings: Settings, out: Path, rendezvous: Path) -> None:
    """Of an error in a process of its own the caller sees a traceback: its words go to a file."""
    try:
        _unet_process(rank, settings, out, rendezvous)
    except (DsegError, OSError) as error:
        write_text(told, str(error) if isinstance(error, DsegError) else describe(error))
        raise


def _unet_process(rank: int, settings: Settings, out: Path, rendezvous: Path) -> None:
    chosen = settings.base.unet
    plan = unet_training.TrainingPlan(
        samples=chosen.samples,
        images=chosen.images,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        processes=chosen.processes,
        checkpoint_every=chosen.checkpoint_every,
        seed=settings.seed,
        size=settings.base.size,
    )
    unet_training.join(rank, plan.processes, rendezvous)
    channels = settings.base.autoencoder.channels
    model = _encoder(channels, out)
    domain = open_domain(settings.base)
    tokenizer = build_tokenizer(domain.vocabulary)
    run = _resumed(settings, tokenizer, out)
    if rank == 0:
        print(f"drawing {plan.images} images a process; from step {run.step}", flush=True)
    seed = settings.seed + unet_training.TRAIN_SEED_OFFSET + rank
    data = unet_training.training_latents(
        model.eval(), tokenizer, *domain.draw(plan.images, seed, plan.size)
    )
    empty = unet_training.tokenize(tokenizer, [""])[0]
    curve = _Curve(out / CURVE, run.step, plan.samples)

    def save(state: unet_training.Run, samples: int) -> None:
        average = out / f"average-{samples:08d}.safetensors"
        write_weights(average, state.average.state_dict(), kind=AVERAGE)
        unet_training.save_checkpoint(out / CHECKPOINT, state)

    unet_training.train(rank, plan, run, data, empty, report=curve.report, save=save)


def _resumed(settings: Settings, tokenizer: CLIPTokenizer, out: Path) -> unet_training.Run:
    """The training as it begins: anew, or from the newest checkpoint."""
    torch.manual_seed(settings.seed)
    text_encoder = build_text_encoder(tokenizer)  # first: both are drawn from one generator
    unet = build_unet(settings.base.autoencoder.channels, settings.base.size // PATCH)
    model = unet_training.Denoiser(text_encoder, unet)
    run = unet_training.start(model, settings.base.unet.learning_rate)
    if (out / CHECKPOINT).exists():
        unet_training.load_checkpoint(out / CHECKPOINT, run)
    return run


class _Curve:
    """Loss against samples: a CSV row and, now and then, a line of progress."""

    EVERY = 50  # steps

    def __init__(self, path: Path, step: int, total: int) -> None:
        self.path, self.total, self.losses = path, total, list[float]()
        self.began: tuple[float, int] | None = None
        self.told = 0.0
        rows = []
        if path.exists():  # rows past the checkpoint come again
            try:
                with path.open() as file:
                    rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
            except (ValueError, KeyError, TypeError, csv.Error) as error:
                raise DsegError(f"{path}: not the curve of a training; remove it") from error
        self.rows = rows

    def report(self, run: unet_training.Run, samples: int, loss: float, rate: float) -> None:
        self.began = self.began or (time.monotonic(), samples)
        self.losses.append(loss)
        if run.step % self.EVERY:
            return
        mean = sum(self.losses) / len(self.losses)
        self.losses.clear()
        row = {
            "step": run.step,
            "samples": samples,
            "seconds": round(run.seconds, 1),
            "loss": round(mean, 5),
            "learning_rate": f"{rate:.3g}",
        }
        self.rows.append({name: str(value) for name, value in row.items()})
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)
        if time.monotonic() - self.told > 30:
            self.told = time.monotonic()
            elapsed, done = self.told - self.began[0], samples - self.began[1]
            speed = done / elapsed if elapsed else 0.0
            left = format_seconds((self.total - samples) / speed) if speed else "unknown"
            print(
                f"U-Net: {samples}/{self.total} samples, loss {mean:.4f}, {speed:.0f} images/s, "
                f"about {left} left",
                flush=True,
            )
