"""Stage `instruments`: renders -> a kind classifier and an oracle segmenter, with their measures.

They judge an embedded base model's images (`embedded.instruments`); no part of the method reads
them. Of photographs nobody knows the masks, so there is the classifier alone.
"""

from pathlib import Path

import numpy as np
import torch

from dseg.artifacts.heads import Said, write_head
from dseg.artifacts.weights import write_weights
from dseg.datasets.opening import Samples, open_benchmark
from dseg.embedded.domains import open_domain
from dseg.embedded.instruments import (
    CLASSIFIER,
    CLASSIFIER_FILE,
    SEGMENTER,
    SEGMENTER_FILE,
    KindClassifier,
    instrument_scenes,
    name_kinds,
    oracle_masks,
    segmenter_architecture,
    train_classifier,
    train_segmenter,
)
from dseg.embedded.overlap import mean_iou, true_masks
from dseg.files import write_json
from dseg.method.head import Network
from dseg.progress import track
from dseg.settings.run import Settings

SECTIONS = (
    "seed",
    "world.size",
    "instruments.images",
    "instruments.epochs",
    "base.photographs",
    "base.size",
)
QUALITY_FILE = "quality.json"


def run(settings: Settings, val: Path, out: Path) -> None:
    """Train the instruments and measure them on val.

    Args:
        settings: The sections named in `SECTIONS`.
        val: The split val, of renders or of photographs with masks: captions, images, masks.
        out: Folder for classifier.safetensors, segmenter.safetensors and quality.json, which says
            how many of val's images the classifier names rightly and the segmenter's mean IoU.
    """
    torch.set_num_threads(1)
    chosen, out, seed = settings.instruments, Path(out), settings.seed
    out.mkdir(parents=True, exist_ok=True)
    domain = open_domain(settings.base)
    size = settings.base.size if domain.held_out else settings.world.size
    classifier = train_classifier(
        *domain.labelled(chosen.images, seed, size),
        domain.all_kinds,
        epochs=chosen.epochs,
        seed=seed,
        progress=lambda epochs: track(epochs, CLASSIFIER),
    )
    write_weights(out / CLASSIFIER_FILE, classifier.state_dict(), kind=CLASSIFIER)
    if domain.held_out:
        images, kinds = domain.held_out(size)
        right = np.equal(name_kinds(classifier, images), kinds)
        write_json(
            out / QUALITY_FILE, {"images": len(kinds), "classifier_accuracy": float(right.mean())}
        )
        return
    scenes = instrument_scenes(SEGMENTER, seed, chosen.images, settings.world.size)
    segmenter, weights = train_segmenter(
        scenes, epochs=chosen.epochs, seed=seed, progress=lambda epochs: track(epochs, SEGMENTER)
    )
    quality = measure(classifier, segmenter, open_benchmark("saliency", val))
    about = Said.model_validate({"trained_on": "renders with true masks", **quality})
    architecture = segmenter_architecture(settings.world.size)
    write_head(out / SEGMENTER_FILE, weights, architecture, about)
    write_json(out / QUALITY_FILE, quality)


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
