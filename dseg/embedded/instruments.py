"""Two instruments that judge an embedded base model's images; neither takes part in the method.

- The **kind classifier** names the object of an image: does the base model draw what was asked?
- The **oracle segmenter** is trained on renders with their true masks: what is a synthetic image's
  mask, where nobody knows it? There is none for photographs.

Renders are drawn for them with seeds of their own, so they know no image of the base model's
training nor of an evaluation split; of photographs the classifier learns those that the base model
learns, and is tested on those of other photographers. Architectures and training are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dseg.artifacts.weights import read_weights
from dseg.method.head import Architecture, Network, build, predict, train
from dseg.world.renderer import Scenes, annotated_scenes
from dseg.world.splits import split_seed

CLASSIFIER, SEGMENTER = "classifier", "segmenter"
CLASSIFIER_FILE, SEGMENTER_FILE = "classifier.safetensors", "segmenter.safetensors"
CLASSIFIER_BATCH = 64
CLASSIFIER_RATE = 3e-3
SEGMENTER_BATCH = 32
SEGMENTER_RATE = 5e-3
SEGMENTER_WIDTH = 32

Progress = Callable[[Iterable[int]], Iterable[int]]


def instrument_scenes(name: str, run_seed: int, count: int, size: int) -> Scenes:
    """Renders to train an instrument on, of the domain of `val`; no other use draws them."""
    return annotated_scenes(count, split_seed(run_seed, f"instrument:{name}"), size=size)


def planes(images: np.ndarray) -> Tensor:
    """Images uint8 (n, H, W, 3) as networks read them: uint8 (n, 3, H, W)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class KindClassifier(nn.Sequential):
    """Image (B, 3, H, W), 0 to 255 -> logits (B, kinds), at half resolution."""

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__(
            nn.AvgPool2d(2),
            *_block(3, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            nn.MaxPool2d(2),
            *_block(64, 96),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, len(kinds)),
        )
        self.kinds = tuple(kinds)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = super().forward(images.float() / 127.5 - 1)
        return logits


def train_classifier(
    images: np.ndarray,
    shown: Sequence[str],
    kinds: Sequence[str],
    *,
    epochs: int,
    seed: int,
    progress: Progress = iter,
) -> KindClassifier:
    """Train the kind classifier: cross-entropy, AdamW with one cycle, mirrored at random.

    Args:
        images: uint8 (n, H, W, 3).
        shown: The kind of each, one of `kinds`.
        kinds: What it tells apart.
        epochs: Passes over them.
        seed: Of weights, order and mirroring.
        progress: Wraps the epochs, to report them.
    """
    pixels, labels = planes(images), torch.tensor([kinds.index(kind) for kind in shown])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = KindClassifier(kinds).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=CLASSIFIER_RATE)
    steps = epochs * -(-len(pixels) // CLASSIFIER_BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, CLASSIFIER_RATE, max(2, steps))
    for _ in progress(range(epochs)):
        for items in torch.randperm(len(pixels), generator=generator).split(CLASSIFIER_BATCH):
            batch = pixels[items]
            mirrored = torch.rand(len(items), generator=generator) < 0.5
            batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            value = F.cross_entropy(model(batch), labels[items])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def read_classifier(folder: Path, kinds: Sequence[str]) -> KindClassifier:
    """The classifier of these kinds in a folder of the stage instruments.

    Raises:
        DsegError: It is not there, damaged, or not one of this version.
    """
    model = KindClassifier(kinds)
    path = Path(folder) / CLASSIFIER_FILE
    read_weights(path, model, kind=CLASSIFIER, maker="the stage instruments")
    return model.eval()


@torch.no_grad()
def name_kinds(model: KindClassifier, images: np.ndarray) -> list[str]:
    """The kind that the classifier sees in each image uint8 (n, H, W, 3)."""
    parts = [model(part).argmax(1) for part in planes(images).split(64)]
    return [model.kinds[int(index)] for index in torch.cat(parts)]


def segmenter_architecture(size: int) -> Architecture:
    """The oracle segmenter is the baseline's network."""
    return Architecture("rgb", (), True, SEGMENTER_WIDTH, (size, size))


def train_segmenter(
    scenes: Scenes, *, epochs: int, seed: int, progress: Progress = iter
) -> tuple[Network, dict[str, Tensor]]:
    """Train the oracle segmenter on true masks; the network and its state."""
    network = build(segmenter_architecture(scenes.images.shape[1]), seed)
    state, _ = train(
        network,
        (planes(scenes.images),),
        torch.from_numpy(scenes.masks),
        epochs=epochs,
        batch_size=SEGMENTER_BATCH,
        learning_rate=SEGMENTER_RATE,
        validation_fraction=0.05,
        seed=seed,
        progress=progress,
    )
    return network, state


def oracle_masks(network: Network, images: np.ndarray) -> np.ndarray:
    """Masks bool (n, H, W) that the oracle segmenter gives images uint8 (n, H, W, 3)."""
    return predict(network, (planes(images),)).numpy() > 0.5


def _block(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
