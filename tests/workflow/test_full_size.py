"""The full-size profiles to their very end: a model of their layout, photographs, few of each."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from clones import copy_of_working_tree, run_to_its_end
from PIL import Image

pytest_plugins = ("tiny_pipeline",)
pytestmark = pytest.mark.slow
IMAGES = 6
# Sizes alone, shards that hold all, since starting a job costs more than its images here, and a
# filter that lets pass what random weights make.
SMALLER: dict[str, dict[str, Any]] = {
    "model": {"revision": None, "dtype": "float32", "device": "cpu"},
    "prompts": {"count": IMAGES},
    "synthesis": {"steps": 4, "items_per_shard": IMAGES},
    "attention": {"timesteps": [0.0, 1.0], "neighbours": 8},
    "recording": {"timesteps": [0.2], "items_per_shard": IMAGES},
    "attentioncut": {"area": [0.0, 1.0], "border": 1.0, "focus": 0.0, "size": 32},
    "inversion": {"steps": 10, "timesteps": [0.0, 0.1, 0.3], "items_per_shard": IMAGES},
    "head": {"width": 8, "epochs": 1, "batch_size": 2, "seeds": 2, "validation_fraction": 0.34},
}


def saliency(root: Path, photos: Path) -> None:
    """Photographs of SOD with their masks."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for image in sorted((photos / "sod" / "images").iterdir())[:IMAGES]:
        (mask,) = (photos / "sod" / "masks").glob(f"{image.stem}.*")
        shutil.copyfile(image, root / "images" / image.name)
        shutil.copyfile(mask, root / "masks" / mask.name)


def voc(root: Path, photos: Path) -> None:
    """Photographs of VOC with their boxes, and the list of them."""
    images = sorted((photos / "voc2012_100" / "images").iterdir())[:IMAGES]
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for image in images:
        shutil.copyfile(image, root / "JPEGImages" / image.name)
        described = photos / "voc2012_100" / "Annotations" / f"{image.stem}.xml"
        shutil.copyfile(described, root / "Annotations" / described.name)
    names = "".join(f"{image.stem}\n" for image in images)
    (root / "ImageSets/Main/trainval.txt").write_text(names)


def coco(root: Path, photos: Path) -> None:
    """Photographs of VOC again, as COCO has them: all boxes in one file."""
    (root / "train2014").mkdir(parents=True)
    (root / "annotations").mkdir()
    images, boxes = [], []
    for number, image in enumerate(sorted((photos / "voc2012_100" / "images").iterdir())[:IMAGES]):
        shutil.copyfile(image, root / "train2014" / image.name)
        width, height = Image.open(image).size
        said = {"id": number, "file_name": image.name, "width": width, "height": height}
        images.append(said)
        boxes.append({"image_id": number, "iscrowd": 0, "bbox": [9, 9, width / 2, height / 2]})
    text = json.dumps({"images": images, "annotations": boxes})
    (root / "annotations/instances_train2014.json").write_text(text)
    names = "".join(f"train2014/{image['file_name']}\n" for image in images)
    (root / "coco_20k_filenames.txt").write_text(names)


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {"saliency": saliency, "voc": voc, "coco": coco}


@pytest.fixture
def clone(profile: str, root: Path, shared: Path, tiny_sd15: Path, tmp_path: Path):
    """A clone whose profile has the model of random weights, and photographs as its benchmarks."""
    clone = copy_of_working_tree(root, tmp_path / "clone")
    file = clone.folder / "workflow/profiles" / profile / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for section, values in SMALLER.items():
        params[section] = params.get(section, {}) | values
    params["model"]["path"] = str(tiny_sd15)
    for benchmark in params["benchmarks"].values():
        benchmark |= {"images": IMAGES, "limit": IMAGES - 1}
        LAYOUTS[benchmark["layout"]](clone.folder / benchmark["root"], shared / "data")
    for variant in params["variants"].values():
        if "pairs" in variant.get("head", {}):
            variant["head"]["pairs"] = IMAGES - 1
    file.write_text(yaml.safe_dump(params))
    names = clone.folder / params["prompts"]["classes"]["file"]
    names.parent.mkdir(parents=True)
    names.write_text("starfish\ndonut\nmoon\ndaisy\nfish\nkey\n")
    return clone


TABLES = ("saliency", "saliency-benchmarks")


@pytest.mark.parametrize(
    ("profile", "tables"),
    [
        ("sd15-mini", TABLES),
        pytest.param(
            "sd15",
            (*TABLES, "localisation", "localisation-benchmarks", "pairs"),
            marks=pytest.mark.every_profile,
        ),
    ],
)
def test_it_ends_with_tables_a_report_and_nothing_left_to_do(
    clone, profile: str, tables: Sequence[str]
) -> None:
    run_to_its_end(clone, profile, tables)
