"""MLflow gets each reproduction once, whole, or not at all."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished_run import settings_of
from made_up_scores import made_up_summary, write_tables

from dseg.artifacts.shards import write_shard
from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.reporting.mlflow import DataSet, Record, Reproduction, check_store, flatten, log
from dseg.settings.reading import load_sections
from dseg.settings.sections import sections
from dseg.stages import tracking

pytest_plugins = ("tiny_pipeline",)
SETTINGS = {"profile": "p", "head": {"epochs": 3, "pairs": None}, "list": [1, 2]}
SETTINGS["many"] = {f"key{i}": i for i in range(250)}  # more than MLflow takes at once


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all tests: making its tables takes seconds."""
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture(scope="module")
def client(store):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{store}")


@pytest.fixture
def reproduction(tmp_path):
    csv = tmp_path / "saliency.csv"
    csv.write_text("method,iou\nhead,80.10\n")
    data = [DataSet("test", "0123abc", "world/test", "evaluation")]
    table = {"method": ["head"], "iou": ["80.10"]}
    return Reproduction(
        profile="p",
        settings=SETTINGS,
        model="feed",
        whole=Record("p", {"test/head/iou": 80.1}, [], data),
        tables=[
            Record("saliency", {"test/head/iou": 80.1}, [csv], data, table),
            Record("pairs", {}, [], data),
        ],
    )


def runs(client, experiment):
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id]) if found else []


def test_a_parent_and_a_child_for_each_table(reproduction, store, client):
    parent, added = log(reproduction, experiment="first", store=store)
    assert added
    whole = client.get_run(parent)
    assert whole.info.status == "FINISHED" and whole.data.metrics == {"test/head/iou": 80.1}
    assert whole.data.tags["dseg.model"] == "feed"
    assert whole.data.params["head.epochs"] == "3" and len(whole.data.params) == 254
    children = [run for run in runs(client, "first") if run.info.run_id != parent]
    assert sorted(run.info.run_name for run in children) == ["pairs", "saliency"]
    for run in children:
        assert run.info.status == "FINISHED" and run.data.tags["mlflow.parentRunId"] == parent
        (entry,) = run.inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("test", "0123abc")
        assert entry.tags[0].value == "evaluation"


def test_files_and_table_of_a_child(reproduction, store, client, tmp_path):
    log(reproduction, experiment="first", store=store)
    (run,) = [run for run in runs(client, "first") if run.info.run_name == "saliency"]
    kept = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert kept == {"saliency.csv", "saliency.json"}
    shown = client.download_artifacts(run.info.run_id, "saliency.json", tmp_path)
    table = json.loads(Path(shown).read_text())
    assert (table["columns"], table["data"]) == (["method", "iou"], [["head", "80.10"]])


def test_the_same_results_are_logged_once(reproduction, store, client):
    first, _ = log(reproduction, experiment="once", store=store)
    second, added = log(reproduction, experiment="once", store=store)
    assert (second, added) == (first, False)
    assert len(runs(client, "once")) == 3


def test_other_results_are_another_run(reproduction, store, client):
    first, _ = log(reproduction, experiment="other", store=store)
    changed = replace(reproduction, settings=SETTINGS | {"head": {"epochs": 4}})
    second, added = log(changed, experiment="other", store=store)
    assert added and second != first and len(runs(client, "other")) == 6


def test_what_an_interruption_left_is_deleted(reproduction, store, client, tmp_path):
    lost = Record("saliency", {}, [tmp_path / "gone.csv"], [])
    with pytest.raises(DsegError, match="gone.csv: cannot be read"):
        replace(reproduction, tables=[lost]).content_hash()
    # Unreadable only when MLflow copies it: the parent and a child are begun by then.
    broken = replace(reproduction, whole=replace(reproduction.whole, metrics={"no|name": 1.0}))
    with pytest.raises(Exception, match="no|name"):
        log(broken, experiment="cut", store=store)
    left = runs(client, "cut")
    assert {run.info.status for run in left} == {"RUNNING", "FINISHED"}
    parent, added = log(reproduction, experiment="cut", store=store)
    assert added and len(runs(client, "cut")) == 3
    assert {run.info.status for run in runs(client, "cut")} == {"FINISHED"}
    assert not {run.info.run_id for run in left} & {run.info.run_id for run in runs(client, "cut")}


def test_unfinished_runs_of_another_profile_stay(reproduction, store, client):
    log(reproduction, experiment="profiles", store=store)
    place = client.get_experiment_by_name("profiles").experiment_id
    other = client.create_run(place, tags={"dseg.profile": "q"}).info.run_id
    changed = replace(reproduction, model="beef")
    log(changed, experiment="profiles", store=store)
    assert client.get_run(other).info.lifecycle_stage == "active"


def test_content_hash_sees_files_and_not_their_place(reproduction, tmp_path):
    moved = tmp_path / "elsewhere" / "saliency.csv"
    moved.parent.mkdir()
    moved.write_bytes((tmp_path / "saliency.csv").read_bytes())
    first, *rest = reproduction.tables
    same = replace(reproduction, tables=[replace(first, files=[moved]), *rest])
    assert same.content_hash() == reproduction.content_hash()
    moved.write_text("method,iou\nhead,80.11\n")
    assert same.content_hash() != reproduction.content_hash()


def test_nothing_is_written_outside_the_store(store, reproduction):
    log(reproduction, experiment="first", store=store)
    assert {path.name.split(".")[0] for path in store.parent.iterdir()} == {"mlflow", "mlruns"}
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    with sqlite3.connect(store) as database:
        places = [row[0] for row in database.execute("select artifact_uri from runs")]
    assert places and all(place.startswith(store.parent.as_uri()) for place in places)


@pytest.fixture
def own(store, reproduction, tmp_path):
    """A store in a folder of its own, with two experiments."""
    for experiment in ("own", "of others"):
        log(reproduction, experiment=experiment, store=store)
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copyfile(store, folder / store.name)
    return folder / store.name


def test_a_store_that_was_moved_takes_its_files_along(own, store, reproduction, tmp_path):
    shutil.move(store.parent / "mlruns", tmp_path / "gone")
    try:
        shutil.copytree(tmp_path / "gone", own.parent / "mlruns")
        changed = replace(reproduction, settings=SETTINGS | {"head": {"epochs": 4}})
        assert log(changed, experiment="own", store=own)[1]
        assert not (store.parent / "mlruns").exists()
    finally:
        shutil.move(tmp_path / "gone", store.parent / "mlruns")
    with closing(sqlite3.connect(own)) as database:
        query = "SELECT artifact_uri FROM runs JOIN experiments USING (experiment_id) WHERE "
        places = [row[0] for row in database.execute(query + "experiments.name = 'own'")]
        (others,) = database.execute(
            "SELECT COUNT(*) FROM runs WHERE artifact_uri NOT LIKE ?", [f"{own.parent.as_uri()}%"]
        ).fetchone()
    assert len(places) == 6 and others
    here = (own.parent / "mlruns").as_uri()
    assert all(place.startswith(f"{here}/") for place in places)
    kept = [path.name for path in (own.parent / "mlruns").rglob("saliency.csv")]
    assert len(kept) >= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE experiments SET lifecycle_stage = 'deleted'", "'own' was deleted: restore it"),
        ("UPDATE alembic_version SET version_num = '0123'", "mlflow db upgrade sqlite:///"),
        ("DROP TABLE experiments", "not a database of MLflow"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(own, reproduction, change, message):
    check_store(own, "own")
    with closing(sqlite3.connect(own)) as database, database:
        database.execute(change)
    before = own.read_bytes()
    for use in (check_store, lambda store, name: log(reproduction, experiment=name, store=store)):
        with pytest.raises(DsegError, match=f"mlflow.db: .*{message}") as said:
            use(own, "own")
        assert "\n" not in str(said.value)
    assert own.read_bytes() == before


@pytest.mark.parametrize("damage", [Path.mkdir, Path.touch, lambda path: path.write_text("text")])
def test_what_is_no_store_is_one_line(tmp_path, damage):
    damage(tmp_path / "mlflow.db")
    with pytest.raises(DsegError, match=r"mlflow.db: not a database of MLflow .* aside"):
        check_store(tmp_path / "mlflow.db", "own")


def test_flatten():
    flat = flatten({"a": {"b": 1, "c": {"d": "x"}}, "e": [1, 2], "f": None, "g": {}})
    assert flat == {"a.b": "1", "a.c.d": "x", "e": "[1, 2]", "f": "null", "g": "{}"}
    assert json.loads(flat["e"]) == [1, 2]


def test_the_stage_logs_every_table_with_its_figures_and_data(
    tmp_path, store, client, tiny_pipeline
):
    images = {"val": 8, "test": 9, "multi": 6}
    settings = settings_of(tmp_path, images, 60, model={"path": str(tiny_pipeline)})
    # As the workflow hands them over: the declared sections alone.
    given = tmp_path / "given.json"
    given.write_text(json.dumps(sections(settings, *tracking.SECTIONS)))
    handed = load_sections(given)
    results, artifacts = tmp_path / "results", tmp_path / "artifacts"
    summary = made_up_summary(settings)
    summary.write(tmp_path / "scores.parquet")
    write_tables(settings, summary, results)
    for name in ("metrics.json", "claims.md", "contrasts.json"):
        (results / name).write_text("a file to keep, not to read")
    (results / "figures").mkdir()
    for name in comparison.figures(settings):
        for suffix in ("png", "svg"):
            (results / "figures" / f"{name}.{suffix}").write_text(name)
    for name in images:
        (artifacts / "world" / name).mkdir(parents=True)
        (artifacts / "world" / name / "image.png").write_text(name)
    masks = artifacts / "masks" / "00000-of-00001.safetensors"
    fields = {"kept": np.array([True, False])}
    write_shard(
        masks, fields, ids=["a", "b"], kind="masks", stage="attentioncut", settings_hash="x"
    )

    out = artifacts / "tracking.json"

    def track():
        numbers, page = tmp_path / "scores.parquet", results / "claims.md"
        tracking.run(handed, artifacts, numbers, [masks], results, page, out, store)

    for _ in range(2):
        track()
    found = {run.info.run_name: run for run in runs(client, "dseg")}
    assert found.keys() == {"embedded", "claims", *comparison.TABLES}
    assert len(runs(client, "dseg")) == 7
    assert json.loads(out.read_text())["run"] == found["embedded"].info.run_id
    saliency = found["saliency"]
    kept = {entry.path for entry in client.list_artifacts(saliency.info.run_id)}
    assert kept >= {"gallery-test.png", "precision-recall.svg", "saliency.tex", "saliency.json"}
    iou = summary.find("rgb", "test")
    assert saliency.data.metrics["test/rgb/iou_low"] == pytest.approx(100 * iou.low, abs=1e-12)
    assert "test/rgb/max_f" in saliency.data.metrics
    assert found["embedded"].data.metrics == pytest.approx(summary.flat())
    paired = found["pairs"].data.metrics
    assert 0 < paired["test/pairs-12/p"] <= paired["test/pairs-12/p_holm"] < 0.05
    assert not any(name.endswith(("/images", "/seeds")) for name in paired)
    data = {each.dataset.name for each in found["localisation"].inputs.dataset_inputs}
    assert data == {"multi", "synthetic-pairs"}
    claims = found["claims"]
    assert "usable-segmenter/test/inversion/level/difference" in claims.data.metrics
    kept = {entry.path for entry in client.list_artifacts(claims.info.run_id)}
    assert kept == {"claims.md", "contrasts.json", "claims.json"}
    assert found["pairs"].data.params["head.epochs"] == str(settings.head.epochs)

    (artifacts / "world" / "test" / "image.png").write_text("another")
    track()
    assert len(runs(client, "dseg")) == 14


def test_the_stage_names_what_is_missing(tmp_path, store):
    settings = settings_of(tmp_path, {"val": 8}, 60)
    with pytest.raises(DsegError, match=r"world/val: no such folder"):
        out = tmp_path / "out.json"
        tracking.run(settings, tmp_path, tmp_path, [], tmp_path, tmp_path, out, store)
