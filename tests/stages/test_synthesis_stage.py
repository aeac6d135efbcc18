"""Shards of synthetic images: how they are cut changes no image."""

import json
from pathlib import Path

import numpy as np
import pytest

from dseg.artifacts.shards import Shard, read_shards
from dseg.errors import DsegError
from dseg.settings.reading import load_sections
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash
from dseg.stages import prompts as prompts_stage
from dseg.stages.synthesis import SECTIONS, run

pytest_plugins = ("tiny_pipeline",)
COUNT = 5


def settings(folder: Path, model: Path, **synthesis: int | None) -> Settings:
    values = {
        "seed": 0,
        "model": {"path": str(model), "revision": None, "dtype": "float32", "device": "cpu"},
        "prompts": {
            "classes": ["moon", "sea lion"],
            "templates": ["a photo of a {noun} on {context}"],
            "contexts": ["sand", "sky"],
            "count": COUNT,
        },
        "synthesis": {
            "steps": 3,
            "guidance": 2.0,
            "batch_size": 1,
            "items_per_shard": 2,
            "limit": None,
        },
        "attention": {
            "cross_strides": [1, 2],
            "affinity_stride": 1,
            "timesteps": [0.0, 1.0],
            "neighbours": 8,
            "measure": "noun",
        },
    }
    values["synthesis"] |= synthesis
    file = folder / "settings.json"
    file.write_text(json.dumps(values))
    return load_sections(file)


@pytest.fixture(scope="module")
def prompts(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    prompts_stage.run(settings(folder, tiny_pipeline), folder / "prompts.parquet")
    return folder / "prompts.parquet"


def synthesise(chosen: Settings, prompts: Path, folder: Path, shards: int) -> Shard:
    files = [folder / f"{shard}.safetensors" for shard in range(shards)]
    for shard in reversed(range(shards)):
        run(chosen, prompts, shard, files[shard])
    return read_shards(files, stage="synthesis")


def test_fields(tiny_pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    chosen = settings(tmp_path, tiny_pipeline, items_per_shard=COUNT, batch_size=2)
    shard = synthesise(chosen, prompts, tmp_path, 1)
    assert {n: (a.dtype.name, a.shape) for n, a in shard.fields.items()} == {
        "image": ("uint8", (COUNT, 32, 32, 3)),
        "cross_1": ("float16", (COUNT, 8, 8)),
        "cross_2": ("float16", (COUNT, 4, 4)),
        "affinity_indices": ("int32", (COUNT, 64, 8)),
        "affinity_weights": ("float16", (COUNT, 64, 8)),
    }
    assert shard.ids == (
        "moon-00000",
        "sea-lion-00000",
        "moon-00001",
        "sea-lion-00001",
        "moon-00002",
    )
    assert shard.settings_hash == settings_hash(sections(chosen, *SECTIONS))


def test_sharding_changes_no_bit(tiny_pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    by_two = synthesise(settings(tmp_path, tiny_pipeline), prompts, tmp_path, 3)
    whole = settings(tmp_path, tiny_pipeline, items_per_shard=COUNT)
    at_once = synthesise(whole, prompts, tmp_path, 1)
    assert by_two.ids == at_once.ids
    for name, array in at_once.fields.items():
        assert np.array_equal(by_two.fields[name], array), name


def test_batches_change_no_image_visibly(
    tiny_pipeline: Path, prompts: Path, tmp_path: Path
) -> None:
    alone = settings(tmp_path, tiny_pipeline, items_per_shard=COUNT)
    together = settings(tmp_path, tiny_pipeline, items_per_shard=COUNT, batch_size=4)
    one, four = (synthesise(s, prompts, tmp_path, 1).fields for s in (alone, together))
    assert np.abs(one["image"].astype(int) - four["image"]).max() <= 1
    np.testing.assert_allclose(one["cross_1"], four["cross_1"], rtol=2e-3)


def test_there_is_no_further_shard(tiny_pipeline: Path, prompts: Path, tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="no shard 3: 5 items by 2 make 3 shards"):
        run(settings(tmp_path, tiny_pipeline), prompts, 3, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_limit_takes_the_first_prompts(
    tiny_pipeline: Path, prompts: Path, tmp_path: Path
) -> None:
    whole = synthesise(settings(tmp_path, tiny_pipeline, items_per_shard=9), prompts, tmp_path, 1)
    few = settings(tmp_path, tiny_pipeline, items_per_shard=2, limit=3)
    shard = synthesise(few, prompts, tmp_path, 2)
    assert shard.ids == whole.ids[:3]
    np.testing.assert_array_equal(shard.fields["image"], whole.fields["image"][:3])
    with pytest.raises(DsegError, match="shard"):
        run(few, prompts, 2, tmp_path / "2.safetensors")
