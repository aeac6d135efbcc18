"""An oracle segmenter's masks of synthetic images, and what it says of mask methods."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from finished_run import make_run, settings_of

from dseg.artifacts.heads import read_head
from dseg.artifacts.shards import read_shard, read_shards, write_shard
from dseg.embedded.instruments import oracle_masks as masks_of
from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.reporting.estimates import summarise
from dseg.reporting.scores import Scores, read_scores
from dseg.reporting.table import Table
from dseg.reporting.tables.masks import synthetic_mask_table
from dseg.rivals.by_name import synthetic_mask_methods
from dseg.stages import instruments, oracle_masks, synthetic_masks
from dseg.stages.head import read_pairs

COUNT, SCORED = 24, 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose instruments were trained on few renders, and its synthetic images' masks."""
    folder = tmp_path_factory.mktemp("run")
    few = {"images": 600, "epochs": 2, "scored": SCORED}
    run = make_run(folder, settings_of(folder, {"val": 6, "test": 2}, COUNT, instruments=few))
    trained = run.artifacts / "instruments"
    instruments.run(run.given("instruments"), run.artifacts / "world" / "val", trained)
    for path in run.images:
        oracle_masks.run(
            run.given("oracle_masks"),
            path,
            trained / "segmenter.safetensors",
            run.artifacts / "masks/main/oracle" / path.name,
        )
    return run


@pytest.fixture(scope="module")
def table(run) -> pd.DataFrame:
    out = run.artifacts / "synthetic_masks" / "images.parquet"
    synthetic_masks.run(
        run.given("synthetic_masks"),
        run.images,
        run.shards("masks/main/oracle"),
        run.artifacts / "instruments",
        run.artifacts / "prompts" / "prompts.parquet",
        out,
    )
    return pd.read_parquet(out)


def test_the_masks_are_the_segmenters(run) -> None:
    shard = read_shards(run.images)
    made = read_shards(run.shards("masks/main/oracle"), kind="masks", stage="oracle_masks")
    network, *_ = read_head(run.artifacts / "instruments" / "segmenter.safetensors")
    np.testing.assert_array_equal(made.fields["mask"], masks_of(network, shard.fields["image"]))
    assert made.ids == shard.ids
    assert np.array_equal(made.fields["kept"], made.fields["reason"] == 0)
    np.testing.assert_allclose(made.fields["area"], made.fields["mask"].mean((1, 2)), rtol=1e-6)


def test_every_method_is_scored_by_the_oracles_masks(run, table: pd.DataFrame) -> None:
    names = synthetic_mask_methods(run.settings)
    assert set(table["method"]) == set(names)
    assert "attentioncut" in names and "attentioncut-inverted" not in names
    assert table.groupby("method")["id"].nunique().eq(SCORED).all()
    oracle = read_shards(run.shards("masks/main/oracle")).fields["mask"]
    own = read_shards(run.masks).fields["mask"]
    expected = [(a & b).sum() / (a | b).sum() for a, b in zip(oracle, own, strict=True)][:SCORED]
    rows = table[table["method"] == "attentioncut"]
    np.testing.assert_allclose(rows["iou"], expected, rtol=1e-5)
    # The images are renders of the prompted kinds, so the classifier names some, though not all:
    # it was trained on few.
    assert table.drop_duplicates("id")["named"].mean() > 2 / 12


def test_the_table_says_how_good_the_oracle_is(run, table: pd.DataFrame) -> None:
    made = shown(run, table)
    assert made.name == comparison.SYNTHETIC_MASKS in comparison.tables(run.settings)
    assert len(made.cells) == len(synthetic_mask_methods(run.settings))
    quality = json.loads((run.artifacts / "instruments" / "quality.json").read_text())
    assert f"own IoU is {100 * quality['segmenter_iou']:.1f} on 6 renders" in made.note
    assert f"first {SCORED} synthetic images" in made.note
    row = next(row for row in made.records if row[0] == "attentioncut")
    iou = 100 * table[table["method"] == "attentioncut"]["iou"].mean()
    assert float(row[5]) == pytest.approx(iou, abs=0.01)


def test_where_the_oracle_finds_nothing_no_method_is_scored(run, table, tmp_path: Path) -> None:
    blank = run.shards("masks/main/oracle")
    first = read_shard(blank[0])
    fields = {name: array.copy() for name, array in first.fields.items()}
    fields["mask"][1] = False
    fields["kept"][1] = False
    path = tmp_path / blank[0].name
    write_shard(path, fields, ids=first.ids, kind=first.kind, stage=first.stage, settings_hash="")
    out = tmp_path / "images.parquet"
    synthetic_masks.run(
        run.given("synthetic_masks"),
        run.images,
        [path, *blank[1:]],
        run.artifacts / "instruments",
        run.artifacts / "prompts" / "prompts.parquet",
        out,
    )
    made = pd.read_parquet(out)
    lost = made["id"] == first.ids[1]
    assert made[lost]["iou"].isna().all() and not made[lost]["found"].any()
    assert len(made[lost]) == made["method"].nunique()
    before = table[table["found"] & (table["id"] != first.ids[1])].reset_index(drop=True)
    after = made[made["found"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, before)
    found = shown(run, made)
    scored = made.drop_duplicates("id")["found"].sum()
    assert f"Of the first {SCORED} synthetic images, those {scored} on which it finds" in found.note
    assert {row[3] for row in found.records} == {str(scored)}


def test_the_images_that_show_what_was_asked_for_are_told_apart(run, table) -> None:
    named = table[(table["method"] == "attentioncut") & table["named"] & table["found"]]
    note = shown(run, table).note
    assert f"on those alone AttentionCut has {100 * named['iou'].mean():.1f}." in note
    never = shown(run, table.assign(named=False)).note
    assert "on 0.0 % of" in never and "on those alone" not in never


def test_scores_that_are_asked_for_and_not_given_are_said(run, table) -> None:
    without = summarise(run.settings, replace(read(run, table), synthetic=None))
    with pytest.raises(DsegError, match=r"instruments\.scored: no scores .* were given"):
        synthetic_mask_table(run.settings, without)
    with pytest.raises(DsegError, match=r"images\.parquet: expected quality\.json"):
        read_scores(
            run.artifacts / "evaluation",
            run.artifacts / "mask_methods.parquet",
            run.masks,
            synthetic_masks=[run.artifacts / "synthetic_masks" / "images.parquet"],
        )


def test_metrics_have_the_oracles_scores(run, table) -> None:
    flat = summarise(run.settings, read(run, table)).flat()
    iou = table[(table["method"] == "otsu") & table["found"]]["iou"]
    assert flat["masks/synthetic/otsu/iou"] == pytest.approx(100 * iou.mean(), abs=0.005)


def test_the_oracle_judges_images_of_its_own_size_alone(run, tmp_path: Path) -> None:
    shard = read_shard(run.images[0])
    large = {**shard.fields, "image": shard.fields["image"].repeat(2, axis=1).repeat(2, axis=2)}
    path, out = tmp_path / "00000-of-00001.safetensors", tmp_path / "masks.safetensors"
    write_shard(path, large, ids=shard.ids, kind="images", stage="synthesis", settings_hash="")
    given = run.given("oracle_masks")
    with pytest.raises(DsegError, match=r"images are \(128, 128\), but the oracle was trained on"):
        oracle_masks.run(given, path, run.artifacts / "instruments" / "segmenter.safetensors", out)
    with pytest.raises(DsegError, match="no oracle segmenter; run the stage instruments"):
        oracle_masks.run(given, path, tmp_path / "segmenter.safetensors", out)
    assert not out.exists()


def test_a_head_takes_the_oracles_masks(run) -> None:
    head = run.settings.head.model_copy(update={"masks": "oracle", "filter": False})
    paths = run.shards("masks/main/oracle")
    ids, _, targets = read_pairs(run.images, paths, head)
    made = read_shards(paths)
    assert ids == made.ids
    learnt = targets[torch.arange(len(ids))].numpy()
    np.testing.assert_array_equal(learnt, made.fields["mask"])


def test_masks_of_other_images_are_an_error(run, tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="masks of other images"):
        synthetic_masks.run(
            run.given("synthetic_masks"),
            run.images,
            swapped(run, tmp_path),
            run.artifacts / "instruments",
            run.artifacts / "prompts" / "prompts.parquet",
            tmp_path / "out.parquet",
        )


def swapped(run, folder: Path) -> list[Path]:
    """The oracle's masks in another order."""
    paths = []
    for path in run.shards("masks/main/oracle"):
        shard = read_shard(path)
        paths.append(folder / path.name)
        order = shard.ids[::-1]
        write_shard(
            paths[-1], shard.fields, ids=order, kind=shard.kind, stage=shard.stage, settings_hash=""
        )
    return paths


def shown(run, table: pd.DataFrame) -> Table:
    """The table of mask methods on synthetic images, of these scores."""
    return synthetic_mask_table(run.settings, summarise(run.settings, read(run, table)))


def read(run, table: pd.DataFrame) -> Scores:
    """The scores of a run, of which only those on synthetic images were made, with this table."""
    folder = run.artifacts / "evaluation"
    folder.mkdir(exist_ok=True)
    keys = ["method", "benchmark", "seed", "postprocessing", "mode", "id"]
    empty = pd.DataFrame(columns=[*keys, "protocol", "metric", "value", "images", "iou", "hit"])
    for name in ("images", "scores", "curves"):
        empty.to_parquet(folder / f"{name}.parquet")
    empty.to_parquet(run.artifacts / "mask_methods.parquet")
    scores = read_scores(
        folder,
        run.artifacts / "mask_methods.parquet",
        run.masks,
        synthetic_masks=[run.artifacts / "synthetic_masks" / "images.parquet"],
        quality=[run.artifacts / "instruments" / "quality.json"],
    )
    assert scores.synthetic is not None
    return replace(scores, synthetic=replace(scores.synthetic, masks=table))
