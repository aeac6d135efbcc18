"""The profile `sd15-mini` to its very end: a model of its layout, photographs, and few of each."""

import shutil
from pathlib import Path

import pytest
import yaml
from test_workflow import copy_of_working_tree

pytest_plugins = ("tiny_pipeline",)
pytestmark = pytest.mark.slow
PROFILE = "sd15-mini"
IMAGES = 6
# Sizes alone, shards that hold all, since starting a job costs more than its images here, and a
# filter that lets pass what random weights make.
SMALLER = {
    "model": {"revision": None, "dtype": "float32", "device": "cpu"},
    "prompts": {"count": IMAGES},
    "synthesis": {"steps": 4, "items_per_shard": IMAGES},
    "attention": {"timesteps": [0.0, 1.0], "neighbours": 8},
    "recording": {"timesteps": [0.2], "items_per_shard": IMAGES},
    "attentioncut": {"area": [0.0, 1.0], "border": 1.0, "focus": 0.0},
    "inversion": {"steps": 10, "timesteps": [0.0, 0.1], "items_per_shard": IMAGES},
    "head": {"width": 8, "epochs": 1, "batch_size": 2, "seeds": 2, "validation_fraction": 0.34},
}


@pytest.fixture
def clone(root: Path, shared: Path, tiny_sd15: Path, tmp_path: Path):
    """A clone whose profile has the model of random weights, and photographs as its benchmark."""
    clone = copy_of_working_tree(root, tmp_path / "clone")
    file = clone.folder / "workflow/profiles" / PROFILE / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for section, values in SMALLER.items():
        params[section] = params.get(section, {}) | values
    params["model"]["path"] = str(tiny_sd15)
    (benchmark,) = params["benchmarks"].values()
    benchmark |= {"images": IMAGES, "limit": IMAGES - 1}
    file.write_text(yaml.safe_dump(params))
    names = clone.folder / params["prompts"]["classes"]["file"]
    names.parent.mkdir(parents=True)
    names.write_text("starfish\ndonut\nmoon\ndaisy\nfish\nkey\n")
    sod = shared / "data" / "sod"
    for kind in ("images", "masks"):
        target = clone.folder / benchmark["root"] / kind
        target.mkdir(parents=True)
        for image in sorted((sod / "images").iterdir())[:IMAGES]:
            (found,) = (sod / kind).glob(f"{image.stem}.*")
            shutil.copyfile(found, target / found.name)
    clone.env["PROFILE"] = PROFILE
    return clone


def test_it_ends_with_tables_a_report_and_nothing_left_to_do(clone) -> None:
    clone.call("bash", "workflow/reproduce.sh")
    results = clone.folder / "results" / PROFILE
    for name in ("tables/saliency.csv", "tables/saliency-benchmarks.csv", "report.html"):
        assert (results / name).is_file(), sorted(results.rglob("*"))
    assert "nothing to be done" in clone.call("bash", "workflow/reproduce.sh").stdout
