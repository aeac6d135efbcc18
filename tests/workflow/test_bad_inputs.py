"""Inputs that are missing or damaged end a run with one clear line, and no results of them."""

import re
import shutil

import pytest
from clones import SNAKEMAKE, fails_with
from PIL import Image

pytestmark = pytest.mark.slow


def partial_files(clone):
    return [path for path in (clone.folder / "artifacts").rglob("*") if ".tmp" in path.name]


def test_corrupt_image_and_mask_of_another_size(broken):
    """In a benchmark of the user's own, whose name the shell would run if it were not quoted."""
    own = 'data/it\'s $(touch PWN) "ü"'
    folder = broken.folder / own
    shutil.copytree(broken.folder / "artifacts/smoke/world/val", folder)
    image = sorted((folder / "images").iterdir())[1]
    mask = sorted((folder / "ground_truth_mask").iterdir())[2]
    whole, right = image.read_bytes(), mask.read_bytes()
    image.write_bytes(whole[:100])
    Image.new("L", (20, 30)).save(mask)
    broken.set("benchmarks", val={"layout": "saliency", "root": own, "images": 8})
    scores = "artifacts/smoke/mask_methods/images.parquet"
    recorded = "artifacts/smoke/attention/val/attentioncut-noise/00000-of-00001.safetensors"

    fails_with(
        broken.call(*SNAKEMAKE, scores, check=False),
        rf"{re.escape(own)}/images/{image.name}: not a",
    )
    assert not (broken.folder / recorded).exists() and partial_files(broken) == []

    image.write_bytes(whole)
    wrong_size = rf"{mask.name} is 20 x 30 but its image .+ is 64 x 64"
    fails_with(broken.call(*SNAKEMAKE, scores, check=False), wrong_size)
    assert not (broken.folder / scores).exists() and partial_files(broken) == []

    mask.write_bytes(right)
    broken.reproduce()
    assert broken.agree() and not broken.repro()
    assert not any(broken.folder.rglob("PWN"))


def test_truncated_shard(broken):
    shard = broken.folder / "artifacts/smoke/attention/val/attentioncut-noise"
    (shard,) = shard.glob("*-of-*")
    shard.write_bytes(shard.read_bytes()[:2000])
    # By Snakemake alone: `make reproduce` would take the whole shard from DVC's cache.
    scores = "artifacts/smoke/mask_methods/images.parquet"
    done = broken.call(*SNAKEMAKE, scores, check=False)
    fails_with(done, rf"{shard.name}: not a whole safetensors file")
    assert not (broken.folder / scores).exists()
    assert partial_files(broken) == []


def test_missing_model(broken):
    (broken.folder / "models" / "dseg-tiny").rename(broken.folder / "models" / "other")
    before = broken.digests("artifacts", "results", besides=())
    fails_with(broken.reproduce(check=False), r"model\.path: no pipeline in models/dseg-tiny")
    assert broken.digests("artifacts", "results", besides=()) == before
