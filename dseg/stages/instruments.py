"""Stage `instruments`: renders -> a kind classifier and an oracle segmenter, and how good they are.

They judge the embedded world's images (`dseg.world.instruments`); no part of the method reads them.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dseg.checkpoint import read_head, write_head
from dseg.config import Settings
from dseg.datasets import Samples, open_benchmark
from dseg.errors import DsegError
from dseg.head import Network
from dseg.progress import track
from dseg.shards import write_atomically
from dseg.world.instruments import (
    CLASSIFIER,
    SEGMENTER,
    KindClassifier,
    instrument_scenes,
    name_kinds,
    oracle_masks,
    segmenter_architecture,
    train_classifier,
    train_segmenter,
)
from dseg.world.quality import mean_iou, true_masks

SECTIONS = ("seed", "world.size", "instruments.images", "instruments.epochs")
CLASSIFIER_FILE, SEGMENTER_FILE = "classifier.safetensors", "segmenter.safetensors"
QUALITY_FILE = "quality.json"


def run(settings: Settings, val: Path, out: Path) -> None:
    """Train both instruments and measure them on val.

    Args:
        settings: The sections named in `SECTIONS`.
        val: The rendered split val: captions, images, masks.
        out: Folder for classifier.safetensors, segmenter.safetensors and quality.json, which says
            how many of val's images the classifier names rightly and the segmenter's mean IoU.
    """
    torch.set_num_threads(1)
    chosen, out, seed = settings.instruments, Path(out), settings.seed
    out.mkdir(parents=True, exist_ok=True)
    scenes = instrument_scenes(CLASSIFIER, seed, chosen.images, settings.world.size)
    classifier = train_classifier(
        scenes, epochs=chosen.epochs, seed=seed, progress=lambda epochs: track(epochs, CLASSIFIER)
    )
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    write_atomically(out / CLASSIFIER_FILE, lambda temporary: save_file(state, temporary))
    scenes = instrument_scenes(SEGMENTER, seed, chosen.images, settings.world.size)
    segmenter, weights = train_segmenter(
        scenes, epochs=chosen.epochs, seed=seed, progress=lambda epochs: track(epochs, SEGMENTER)
    )
    quality = measure(classifier, segmenter, open_benchmark("saliency", val))
    about = {"trained_on": "renders with true masks", **quality}
    architecture = segmenter_architecture(settings.world.size)
    write_head(out / SEGMENTER_FILE, weights, architecture, about)
    text = json.dumps(quality, indent=1) + "\n"
    write_atomically(out / QUALITY_FILE, lambda temporary: temporary.write_text(text))


def measure(classifier: KindClassifier, segmenter: Network, samples: Samples) -> dict[str, float]:
    """Share of images named rightly, and mean IoU of the oracle's masks with the true ones."""
    images = np.stack([sample.image() for sample in samples])
    named = name_kinds(classifier, images)
    right = [name == sample.noun for name, sample in zip(named, samples, strict=True)]
    return {
        "images": len(samples),
        "classifier_accuracy": float(np.mean(right)),
        "segmenter_iou": mean_iou(oracle_masks(segmenter, images), true_masks(samples)),
    }


def read_classifier(folder: Path) -> KindClassifier:
    """The kind classifier in a folder of `run`.

    Raises:
        DsegError: It is not there, or not one of this version.
    """
    path = Path(folder) / CLASSIFIER_FILE
    model = KindClassifier()
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DsegError(f"{path}: no kind classifier; run the stage instruments") from error
    return model.eval()


def read_segmenter(folder: Path) -> Network:
    """The oracle segmenter in a folder of `run`; DsegError if it is not there or damaged."""
    network, _, _ = read_head(Path(folder) / SEGMENTER_FILE)
    return network
