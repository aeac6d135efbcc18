"""Artifacts that the stages behind synthesis start from, made of discs; fixtures for their tests.

A test module asks for them with ``pytest_plugins = ("tiny_pipeline", "stage_two")``.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dseg.artifacts.shards import Kind, write_shard
from dseg.settings.reading import load_sections
from dseg.settings.run import Settings

SIDE = 32
PAIRS = 20
IDS = tuple(f"moon-{index:05d}" for index in range(PAIRS))
BENCHMARK = {"a": (32, 32), "b": (48, 40), "c": (32, 32)}  # id: height, width


def discs(count: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of a bright disc, uint8 (n, H, W, 3), and its masks, bool (n, H, W)."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.3, 0.7, (count, 2)) * (height, width)
    radii = rng.uniform(0.15, 0.28, count) * min(height, width)
    y, x = np.mgrid[:height, :width]
    squared = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    masks = squared < radii[:, None, None] ** 2
    images = 60 + 120 * masks[..., None] + rng.normal(0, 15, (count, height, width, 3))
    return images.clip(0, 255).astype(np.uint8), masks


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Operations this small only lose time on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def make(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Settings of the tiny pipeline; keywords change keys of the sections they name."""
    folder = tmp_path_factory.mktemp("settings")

    def make(**changes: dict[str, Any]) -> Settings:
        values: dict[str, Any] = {
            "seed": 1,
            "model": {
                "path": str(tiny_pipeline),
                "revision": None,
                "dtype": "float32",
                "device": "cpu",
            },
            "benchmarks": {"test": {"layout": "saliency", "root": "elsewhere", "images": 3}},
            "inversion": {
                "steps": 10,
                "timesteps": [0.0, 0.1, 0.3],
                "prompt": "",
                "fixed_point": 0,
                "batch_size": 4,
                "items_per_shard": 2,
            },
            "features": {
                "source": "inversion",
                "inversion": "main",
                "timesteps": [0.1],
                "strides": [1, 2],
                "maps": ["decoder"],
                "weights": "trained",
                "prompt": "",
                "components": None,
            },
            "head": {
                "input": "features",
                "architecture": "multi",
                "pixels": True,
                "width": 8,
                "epochs": 4,
                "batch_size": 4,
                "learning_rate": 1e-2,
                "loss": "bce-dice",
                "seeds": 2,
                "synthesis": "main",
                "masks": "attentioncut",
                "filter": True,
                "validation_fraction": 0.2,
                "prompts": None,
                "pairs": None,
            },
            "evaluation": {"box": "largest", "threshold": 0.5},
        }
        for section, keys in changes.items():
            values[section] = values[section] | keys
        file = folder / "settings.json"
        file.write_text(json.dumps(values))
        return load_sections(file)

    return make


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two shards of the stage synthesis; of its fields only the images."""
    images, _ = discs(PAIRS, SIDE, SIDE, seed=0)
    folder = tmp_path_factory.mktemp("synthesis")
    return _halves(folder, {"image": images}, "images")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of prompts, as far as it says the class of each synthetic image."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.parquet"
    pd.DataFrame({"id": IDS, "class": ["moon"] * PAIRS}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Their masks, of which every fifth was dropped and says the opposite."""
    _, truths = discs(PAIRS, SIDE, SIDE, seed=0)
    kept = np.arange(PAIRS) % 5 != 0
    fields = {"mask": truths ^ ~kept[:, None, None], "kept": kept}
    return _halves(tmp_path_factory.mktemp("masks"), fields, "masks")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of three images on disk; one has another size than the model's images."""
    root = tmp_path_factory.mktemp("benchmark")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for seed, (item, (height, width)) in enumerate(BENCHMARK.items(), start=1):
        images, truths = discs(1, height, width, seed=seed)
        Image.fromarray(images[0]).save(root / "images" / f"{item}.png")
        Image.fromarray(truths[0].astype(np.uint8) * 255).save(root / "masks" / f"{item}.png")
    return root


def _halves(folder: Path, fields: dict[str, np.ndarray], kind: Kind) -> list[Path]:
    paths = [folder / f"0000{shard}-of-00002.safetensors" for shard in range(2)]
    for path, part in zip(paths, (slice(0, 12), slice(12, None)), strict=True):
        rows = {name: values[part] for name, values in fields.items()}
        write_shard(path, rows, ids=IDS[part], kind=kind, stage="x", settings_hash="0")
    return paths
