"""Masks of a benchmark's images by methods that see the image alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from dseg.artifacts.shards import read_shards
from dseg.datasets.opening import open_benchmark
from dseg.errors import DsegError
from dseg.method.resample import resize
from dseg.rivals.image_alone import image_method
from dseg.settings.reading import load_sections
from dseg.settings.run import Settings
from dseg.stages import evaluation
from dseg.stages.image_masks import run

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"a": (40, 60), "b": (64, 40), "c": (300, 280)}
METHODS = {
    "otsu": {"method": "otsu"},
    "residual": {"method": "spectral-residual"},
    "rectangle": {"method": "grabcut", "margin": 0.1, "iterations": 2},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of a light box on a dark ground."""
    folder = tmp_path_factory.mktemp("run") / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        mask = np.zeros((height, width), bool)
        mask[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = True
        image = np.where(mask[..., None], (210, 190, 80), (40, 60, 70))
        image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    return folder


def settings(folder: Path, per_shard: int, **more: object) -> Settings:
    path = folder / "settings.json"
    folder.mkdir(exist_ok=True)
    benchmarks = {"set": {"layout": "saliency", "root": "elsewhere", "images": 3}}
    values = {"benchmarks": benchmarks, "image_methods": METHODS}
    path.write_text(json.dumps(values | {"recording": {"items_per_shard": per_shard}} | more))
    return load_sections(path)


def made(root: Path, folder: Path, name: str, per_shard: int) -> list[Path]:
    count = -(-3 // per_shard)
    paths = [folder / "set" / name / f"{i:05d}-of-{count:05d}.safetensors" for i in range(count)]
    for shard, path in enumerate(paths):
        run(settings(folder, per_shard), "set", root, shard, name, path)
    return paths


@pytest.mark.parametrize("name", METHODS)
def test_masks_are_the_methods_of_each_image(root: Path, tmp_path: Path, name: str) -> None:
    shard = read_shards(made(root, tmp_path, name, 2), kind="masks", stage="image_masks")
    whole = read_shards(made(root, tmp_path / "whole", name, 9)) if name == "otsu" else shard
    assert shard.ids == tuple(SIZES)
    assert shard.fields["soft"].shape == (3, 256, 256)
    np.testing.assert_array_equal(shard.fields["soft"], whole.fields["soft"])
    method = image_method(settings(tmp_path, 2).image_methods[name])
    for sample, soft in zip(open_benchmark("saliency", root), shard.fields["soft"], strict=True):
        image = np.rint(resize(sample.image(), (256, 256))).astype(np.uint8)
        np.testing.assert_array_equal(soft, np.rint(255 * method(image)).astype(np.uint8))


def test_they_are_scored_as_others_are(root: Path, tmp_path: Path) -> None:
    shards = [path for name in METHODS for path in made(root, tmp_path, name, 2)]
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text())
    benchmarks = {"set": {"layout": "saliency", "root": str(root), "images": 3}}
    given = {name: defaults[name] for name in ("evaluation", "attentioncut")}
    scored = settings(tmp_path, 2, benchmarks=benchmarks, **given)
    evaluation.run(scored, tmp_path, shards, tmp_path / "scores")
    table = pd.read_parquet(tmp_path / "scores" / "images.parquet")
    iou = table.groupby("method")["iou"].mean()
    assert iou["otsu"] > 0.95 and iou["rectangle"] > 0.95
    assert set(table.groupby("method").size()) == {3}


def test_what_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    chosen, out = settings(tmp_path, 2), tmp_path / "x.safetensors"
    with pytest.raises(DsegError, match="no image method 'daam'"):
        run(chosen, "set", root, 0, "daam", out)
    with pytest.raises(DsegError, match="no benchmark 'other'"):
        run(chosen, "other", root, 0, "otsu", out)
    with pytest.raises(DsegError):
        run(chosen, "set", root, 2, "otsu", out)
    assert not out.exists()
