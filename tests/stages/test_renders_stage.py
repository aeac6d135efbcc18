"""Renders with true masks, to train heads on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dseg.artifacts.shards import read_shards
from dseg.errors import DsegError
from dseg.settings.reading import load_sections
from dseg.settings.run import Settings
from dseg.stages.renders import run
from dseg.world.renders import render_pairs

NOUNS = ["moon", "gift", "moon", "key", "moon", "gift", "ball"]


def settings(folder: Path, **synthesis: int | None) -> Settings:
    values = {
        "seed": 0,
        "world": {"size": 32},
        "synthesis": {"items_per_shard": 3, "limit": None} | synthesis,
    }
    file = folder / "settings.json"
    file.write_text(json.dumps(values))
    return load_sections(file)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.parquet"
    count = len(NOUNS)
    table = pd.DataFrame({"id": [f"{noun}-{i:05d}" for i, noun in enumerate(NOUNS)]})
    table["class"] = NOUNS
    table["text"] = "a photo"
    table["token_start"], table["token_end"], table["seed"] = 1, 2, range(count)
    table["context_start"], table["context_end"] = 0, 0
    table.to_parquet(path)
    return path


def render(chosen: Settings, prompts: Path, folder: Path, shards: int) -> list[Path]:
    files = []
    for shard in range(shards):
        files += [folder / f"images-{shard}.safetensors", folder / f"masks-{shard}.safetensors"]
        run(chosen, prompts, shard, *files[-2:])
    return files


def test_every_prompt_has_a_render_of_its_class_with_its_mask(
    prompts: Path, tmp_path: Path
) -> None:
    files = render(settings(tmp_path), prompts, tmp_path, 3)
    images = read_shards(files[::2], kind="images", stage="renders")
    masks = read_shards(files[1::2], kind="masks", stage="renders")
    assert images.ids == masks.ids == tuple(pd.read_parquet(prompts)["id"])
    assert masks.fields["kept"].all()
    drawn, true = render_pairs(NOUNS, 0, 32)
    np.testing.assert_array_equal(images.fields["image"], drawn)
    np.testing.assert_array_equal(masks.fields["mask"], true)
    assert ((0.02 < masks.fields["area"]) & (masks.fields["area"] < 0.8)).all()
    np.testing.assert_allclose(masks.fields["area"], true.mean((1, 2)))


def test_how_they_are_cut_and_how_many_there_are_changes_no_render(
    prompts: Path, tmp_path: Path
) -> None:
    few = settings(tmp_path, items_per_shard=9, limit=4)
    files = render(few, prompts, tmp_path, 1)
    images = read_shards(files[:1], kind="images", stage="renders")
    assert len(images.ids) == 4
    drawn, _ = render_pairs(NOUNS, 0, 32)
    np.testing.assert_array_equal(images.fields["image"], drawn[:4])


def test_no_two_are_alike_and_the_seed_decides() -> None:
    drawn, _ = render_pairs(["moon"] * 5, 0, 32)
    assert len({image.tobytes() for image in drawn}) == 5
    other, _ = render_pairs(["moon"] * 5, 1, 32)
    assert (drawn != other).any()


def test_a_class_that_the_world_has_not() -> None:
    with pytest.raises(DsegError, match="no render of 'cat'"):
        render_pairs(["moon", "cat"], 0, 32)
