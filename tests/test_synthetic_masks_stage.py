"""An oracle segmenter's masks of synthetic images, and what it says of mask methods."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_run import make_run, settings_of

from dseg import comparison
from dseg.errors import DsegError
from dseg.mask_tables import synthetic_mask_table
from dseg.scores import Scores
from dseg.shards import read_shard, read_shards, write_shard
from dseg.stages import instruments, oracle_masks, synthetic_masks
from dseg.stages.scores import read_scores
from dseg.world.instruments import oracle_masks as masks_of

COUNT, SCORED = 24, 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose instruments were trained on few renders, and its synthetic images' masks."""
    folder = tmp_path_factory.mktemp("run")
    few = {"images": 600, "epochs": 2, "scored": SCORED}
    run = make_run(folder, settings_of(folder, {"val": 6, "test": 2}, COUNT, instruments=few))
    trained = run.artifacts / "instruments"
    instruments.run(run.given("instruments"), run.artifacts / "world" / "val", trained)
    for path in run.shards("synthesis"):
        oracle_masks.run(
            run.given("oracle_masks"),
            path,
            trained / "segmenter.safetensors",
            run.artifacts / "mask_sets" / "oracle" / path.name,
        )
    return run


@pytest.fixture(scope="module")
def table(run) -> pd.DataFrame:
    out = run.artifacts / "synthetic_masks" / "images.parquet"
    synthetic_masks.run(
        run.given("synthetic_masks"),
        run.shards("synthesis"),
        run.shards("mask_sets/oracle"),
        run.artifacts / "instruments",
        run.artifacts / "prompts" / "prompts.parquet",
        out,
    )
    return pd.read_parquet(out)


def test_the_masks_are_the_segmenters(run) -> None:
    shard = read_shards(run.shards("synthesis"))
    made = read_shards(run.shards("mask_sets/oracle"), stage="mask_sets")
    network = instruments.read_segmenter(run.artifacts / "instruments")
    np.testing.assert_array_equal(made.fields["mask"], masks_of(network, shard.fields["image"]))
    assert made.ids == shard.ids
    assert np.array_equal(made.fields["kept"], made.fields["reason"] == 0)
    np.testing.assert_allclose(made.fields["area"], made.fields["mask"].mean((1, 2)), rtol=1e-6)


def test_every_method_is_scored_by_the_oracles_masks(run, table: pd.DataFrame) -> None:
    names = comparison.synthetic_mask_methods(run.settings)
    assert set(table["method"]) == set(names)
    assert "attentioncut" in names and "attentioncut-inverted" not in names
    assert table.groupby("method")["id"].nunique().eq(SCORED).all()
    oracle = read_shards(run.shards("mask_sets/oracle")).fields["mask"]
    own = read_shards(run.shards("masks")).fields["mask"]
    expected = [(a & b).sum() / (a | b).sum() for a, b in zip(oracle, own, strict=True)][:SCORED]
    rows = table[table["method"] == "attentioncut"]
    np.testing.assert_allclose(rows["iou"], expected, rtol=1e-5)
    # The images are renders of the prompted kinds, so the classifier names some, though not all:
    # it was trained on few.
    assert table.drop_duplicates("id")["named"].mean() > 2 / 12


def test_the_table_says_how_good_the_oracle_is(run, table: pd.DataFrame) -> None:
    scores = read(run, table)
    made = synthetic_mask_table(run.settings, scores)
    assert made.name == comparison.SYNTHETIC_MASKS in comparison.tables(run.settings)
    assert len(made.cells) == len(comparison.synthetic_mask_methods(run.settings))
    quality = json.loads((run.artifacts / "instruments" / "quality.json").read_text())
    assert f"own IoU is {100 * quality['segmenter_iou']:.1f} on 6 renders" in made.note
    assert f"first {SCORED} synthetic images" in made.note
    row = next(row for row in made.records if row[0] == "attentioncut")
    iou = 100 * table[table["method"] == "attentioncut"]["iou"].mean()
    assert float(row[5]) == pytest.approx(iou, abs=0.01)


def test_masks_of_other_images_are_an_error(run, tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="masks of other images"):
        synthetic_masks.run(
            run.given("synthetic_masks"),
            run.shards("synthesis"),
            swapped(run, tmp_path),
            run.artifacts / "instruments",
            run.artifacts / "prompts" / "prompts.parquet",
            tmp_path / "out.parquet",
        )


def swapped(run, folder: Path) -> list[Path]:
    """The oracle's masks in another order."""
    paths = []
    for path in run.shards("mask_sets/oracle"):
        shard = read_shard(path)
        paths.append(folder / path.name)
        order = shard.ids[::-1]
        write_shard(paths[-1], shard.fields, ids=order, stage=shard.stage, settings_hash="")
    return paths


def read(run, table: pd.DataFrame) -> Scores:
    """The scores of a run, of which only those on synthetic images were made."""
    folder = run.artifacts / "evaluation"
    folder.mkdir(exist_ok=True)
    empty = pd.DataFrame(columns=["postprocessing", "mode"])
    for name in ("images", "scores", "curves"):
        empty.to_parquet(folder / f"{name}.parquet")
    empty.to_parquet(run.artifacts / "mask_methods.parquet")
    return read_scores(
        folder,
        run.artifacts / "mask_methods.parquet",
        run.shards("masks"),
        "multi",
        synthetic_masks=[run.artifacts / "synthetic_masks" / "images.parquet"],
        quality=[run.artifacts / "instruments" / "quality.json"],
    )
