"""From predictions to figures on a made-up run: each stage with the settings it declares."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_run import draw, finish, make_run, settings_of

from dseg.artifacts.shards import read_shards, write_shard
from dseg.datasets.opening import open_benchmark
from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.stages import evaluation, mask_methods, summary, tables

IMAGES = {"val": 4, "test": 6, "multi": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = settings_of(
        folder,
        IMAGES,
        14,
        recordings={"attentioncut-noise": {"noun": "class"}},
        mask_recordings={"early": {"noun": "class", "timesteps": [0.02, 0.1]}},
        variants={
            "inversion": {},
            "rgb": {"head": {"input": "rgb"}},
            "pairs-5": {"head": {"pairs": 5}},
        },
        mask_methods={
            "otsu": {"method": "otsu"},
            "threshold": {"method": "threshold"},
            "walk-1": {"method": "walk", "steps": 1},
            "attentioncut": {"method": "attentioncut"},
            "without-pixels": {"method": "attentioncut", "attentioncut": {"size": 0}},
            "daam": {"method": "daam", "cross_strides": [1, 2]},
            "early": {"method": "attentioncut", "recording": "early"},
        },
    )
    made = make_run(folder, settings)
    finish(made)
    return made


@pytest.fixture(scope="module")
def images(run):
    return pd.read_parquet(run.artifacts / "evaluation" / "images.parquet")


def test_every_method_is_scored_on_every_image(run, images):
    counts = images.groupby(["method", "benchmark", "seed"]).size()
    assert set(counts.index) == {
        (method, name, seed)
        for method in comparison.methods(run.settings)
        for name in IMAGES
        for seed in range(2 if method in run.settings.variants else 1)
    }
    assert all(counts[key] == IMAGES[key[1]] for key in counts.index)


def test_masks_are_scored_by_iou_and_boxes_by_hits(images):
    boxes = images["benchmark"] == "multi"
    assert images.loc[boxes, "hit"].isin([0, 1]).all() and images.loc[boxes, "iou"].isna().all()
    assert images.loc[~boxes, "iou"].between(0, 1).all() and images.loc[~boxes, "hit"].isna().all()


def test_iou_of_a_prediction_by_hand(run, images):
    shard = read_shards(run.shards("masks/test/rgb"))
    samples = open_benchmark("saliency", run.artifacts / "world" / "test")
    for item, trainings in zip(shard.ids, shard.fields["soft"], strict=True):
        truth = samples.make(item).mask()
        for seed, soft in enumerate(trainings):
            mask = soft > 127.5
            expected = (mask & truth).sum() / (mask | truth).sum()
            chosen = (images["method"] == "rgb") & (images["id"] == item)
            chosen &= images["seed"] == seed
            assert images.loc[chosen, "iou"].item() == pytest.approx(expected)


def test_all_foreground_covers_the_share_of_the_object(run, images):
    samples = open_benchmark("saliency", run.artifacts / "world" / "val")
    chosen = images[(images["method"] == "all-foreground") & (images["benchmark"] == "val")]
    shares = [samples.make(item).mask().mean() for item in chosen["id"]]
    assert chosen["iou"].to_numpy() == pytest.approx(np.array(shares))


def test_scores_name_protocol_and_number_of_images(run):
    table = pd.read_parquet(run.artifacts / "evaluation" / "scores.parquet")
    protocols = set(run.settings.evaluation.protocols) | {"box-largest"}
    assert set(table["protocol"]) == protocols
    for name, count in IMAGES.items():
        assert set(table.loc[table["benchmark"] == name, "images"]) == {count}
    curves = pd.read_parquet(run.artifacts / "evaluation" / "curves.parquet")
    assert set(curves["protocol"]) == {run.settings.evaluation.protocol}


def test_a_prediction_of_another_size_is_scored_at_the_size_of_the_truth(run, tmp_path):
    shard = read_shards(run.shards("masks/test/rgb"))
    large = shard.fields["soft"].repeat(2, axis=2).repeat(2, axis=3)
    path = tmp_path / "masks" / "test" / "rgb" / "00000-of-00001.safetensors"
    write_shard(
        path, {"soft": large}, ids=shard.ids, kind="masks", stage="prediction", settings_hash="x"
    )
    evaluation.run(run.given("evaluation"), run.artifacts, [path], tmp_path)
    table = pd.read_parquet(tmp_path / "images.parquet").query("method == 'rgb'")
    whole = pd.read_parquet(run.artifacts / "evaluation" / "images.parquet")
    whole = whole.query("method == 'rgb' and benchmark == 'test'")
    assert table["iou"].to_numpy() == pytest.approx(whole["iou"].to_numpy(), abs=0.01)


def test_mask_methods_are_scored_on_val_and_test(run):
    table = pd.read_parquet(run.artifacts / "mask_methods" / "images.parquet")
    counts = table.groupby(["method", "benchmark"]).size()
    assert set(counts.index) == {
        (method, name) for method in run.settings.mask_methods for name in ("val", "test")
    }
    assert table["iou"].between(0, 1).all()
    means = table.groupby("method")["iou"].mean()
    assert means["attentioncut"] > 0.5 and means["attentioncut"] != means["without-pixels"]


def test_a_method_without_its_recording_is_refused(run, tmp_path):
    usual = [path for path in run.shards("attention") if path.parent.name == "attentioncut-noise"]
    with pytest.raises(DsegError, match=r"mask_methods\.early\.recording: no shards of 'early'"):
        mask_methods.run(run.given("mask_methods"), run.artifacts, usual, tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_every_table_and_figure_is_there(run):
    for name in comparison.tables(run.settings):
        for suffix in ("csv", "md", "tex", "html"):
            assert (run.results / "tables" / f"{name}.{suffix}").stat().st_size > 50
    figures = comparison.figures(run.settings)
    assert figures == ["masks", "gallery-test", "mask-methods", "precision-recall", "pairs"]
    found = {path.name for path in (run.results / "figures").iterdir()}
    assert found == {f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")}
    assert "test/rgb/iou" in json.loads((run.results / "metrics.json").read_text())


def test_tables_of_another_run_are_removed(run):
    folder = run.results / "tables"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("gone.md", "gone.csv", "mine.txt"):
        (folder / name).write_text("of an ablation that there is no more")
    tables.run(run.given("tables"), run.summary, run.results)
    (folder / "mine.txt").unlink()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_figures_of_another_run_are_removed(run):
    folder = run.results / "figures"
    before = {path.name for path in folder.iterdir()}
    for name in ("gone.png", "gone.svg"):
        (folder / name).write_text("of an ablation that there is no more")
    draw(run)
    assert {path.name for path in folder.iterdir()} == before


def test_the_page_of_claims_links_tables_that_are_there(run):
    page = (run.results / "claims.md").read_text()
    assert f"make reproduce PROFILE={run.settings.profile}" in page
    links = set(re.findall(r"\]\((tables/[^)]+)\)", page))
    assert links and all((run.results / link).is_file() for link in links)
    records = json.loads((run.results / "contrasts.json").read_text())
    table = pd.read_csv(run.results / "tables" / "pairs.csv").set_index(["method", "benchmark"])
    (pairs,) = [record for record in records if record["claim"] == "more-data-helps"]
    assert pairs["trainings"] == 2 and pairs["benchmark"] == "test"
    assert pairs["difference"] == -table.loc[("pairs-5", "test"), "minus_reference"]


def test_predictions_that_miss_an_image_are_refused(run, tmp_path):
    first, *_ = run.shards("masks/test/rgb")
    with pytest.raises(DsegError, match=r"test/rgb: no mask of image test-0005, 1 are missing"):
        evaluation.run(run.given("evaluation"), run.artifacts, [first], tmp_path)
    assert not list(tmp_path.iterdir())


def test_predictions_of_unknown_images_are_refused(run, tmp_path):
    (shard,) = run.shards("masks/val/rgb")
    moved = tmp_path / "test" / "rgb" / shard.name
    moved.parent.mkdir(parents=True)
    moved.write_bytes(shard.read_bytes())
    with pytest.raises(DsegError, match="val-0000 is not in the benchmark"):
        evaluation.run(run.given("evaluation"), run.artifacts, [moved], tmp_path / "out")


def test_predictions_for_a_removed_benchmark_are_refused(run):
    path = Path("masks/gone/rgb/00000-of-00001.safetensors")
    with pytest.raises(DsegError, match="'gone', which is not among the benchmarks"):
        evaluation.run(run.given("evaluation"), run.artifacts, [path], run.artifacts)


def test_missing_scores_are_said(run, tmp_path):
    masks, out = run.masks, tmp_path / "scores.parquet"
    with pytest.raises(DsegError, match=r"images\.parquet: no readable table"):
        summary.run(run.given("summary"), tmp_path, tmp_path / "x.parquet", masks, out)
    with pytest.raises(DsegError, match=r"scores\.parquet: no readable table"):
        tables.run(run.given("tables"), out, tmp_path)
    pd.DataFrame({"method": ["x"]}).to_parquet(out)
    with pytest.raises(DsegError, match=r"scores\.parquet: not what the stage summary writes"):
        tables.run(run.given("tables"), out, tmp_path)
    assert not (tmp_path / "tables").exists()
