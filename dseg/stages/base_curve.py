"""`dseg stage base-curve`: how localisation and samples grow while the base model trains.

Every checkpoint's averaged weights are measured with the same prompts, seeds and images.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dseg.base_model.pipeline import load_pipeline
from dseg.datasets.opening import open_benchmark
from dseg.embedded.checkpoints import averages, export, samples_seen
from dseg.embedded.domains import open_domain
from dseg.embedded.instruments import name_kinds, read_classifier
from dseg.embedded.quality import ROOT, localisation, noun_maps, sample
from dseg.files import write_atomically
from dseg.progress import track
from dseg.settings.run import Settings

SECTIONS = ("seed", "base", "synthesis.steps", "synthesis.guidance", "recording", "attention")
FIRST = 5_000  # samples; from here the checkpoints measured grow by about a third
GROWTH = 1.33
COLUMNS = ("samples", "localisation", "localisation_root", "accuracy")


def run(settings: Settings, training: Path, instruments: Path, val: Path, out: Path) -> None:
    """Measure the checkpoints of a training, spaced evenly on a logarithmic scale.

    Args:
        settings: The sections named in `SECTIONS`.
        training: Folder of the training, with average-<samples>.safetensors.
        instruments: Folder of the stage instruments.
        val: The split val: captions, images, masks.
        out: CSV file: samples seen, IoU of the noun's map and of its root at Otsu's threshold,
            share of sampled images of which the classifier names the prompted kind.
    """
    torch.set_num_threads(1)
    domain = open_domain(settings.base)
    classifier = read_classifier(instruments, domain.all_kinds)
    samples = open_benchmark("saliency", val)
    prompts = [domain.caption(noun, ground) for noun, ground in domain.asked]
    asked = [domain.kinds[noun] for noun, _ in domain.asked]
    rows: list[Mapping[str, Any]] = []
    for path in track(spaced(averages(training)), "learning curve"):
        with tempfile.TemporaryDirectory() as folder:
            export(settings, training, Path(folder) / "model", path)
            pipe = load_pipeline(Path(folder) / "model", device="cpu")
        images = sample(
            pipe, prompts, steps=settings.synthesis.steps, guidance=settings.synthesis.guidance
        )
        named = name_kinds(classifier, images)
        maps = noun_maps(
            pipe, samples, settings.recording, share=settings.attention.measure == "share"
        )
        rows.append(
            {
                "samples": samples_seen(path),
                "localisation": round(localisation(maps, samples), 4),
                "localisation_root": round(localisation(maps, samples, ROOT), 4),
                "accuracy": round(float(np.equal(named, asked).mean()), 4),
            }
        )
        _write(rows, Path(out))


def spaced(paths: Sequence[Path]) -> list[Path]:
    """The checkpoints to measure: each about a third later than the one before, and the last."""
    chosen: list[Path] = []
    for path in paths:
        least = samples_seen(chosen[-1]) * GROWTH if chosen else FIRST
        if samples_seen(path) >= least:
            chosen.append(path)
    if paths and paths[-1] not in chosen:
        chosen.append(paths[-1])
    return chosen


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)
