"""The table of post-processings, from scores of a small run."""

import numpy as np
import pandas as pd
import pytest
from finished_run import make_run, settings_of

from dseg.reporting import comparison
from dseg.reporting.estimates import summarise
from dseg.reporting.forms import write_table
from dseg.reporting.scores import read_scores
from dseg.reporting.tables.postprocessing import LABELS, postprocessing_table
from dseg.stages import evaluation, tracking

NAMED = ["inversion", "attentioncut-object"]
CHOSEN = {
    "modes": ["multi", "single"],
    "postprocessing": ["none", "cut", "bilateral-tokencut", "bilateral-found"],
    "postprocessed": NAMED,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    images = {"val": 3, "test": 6, "shift": 6}
    return make_run(folder, settings_of(folder, images, 24, evaluation=CHOSEN))


@pytest.fixture(scope="module")
def images(run) -> pd.DataFrame:
    shards = run.predictions
    evaluation.run(run.given("evaluation"), run.artifacts, shards, run.artifacts / "evaluation")
    return pd.read_parquet(run.artifacts / "evaluation" / "images.parquet")


def test_only_the_methods_named_are_scored_in_every_way(images: pd.DataFrame) -> None:
    ways = images.groupby("method").apply(
        lambda rows: len(set(zip(rows["postprocessing"], rows["mode"], strict=True))),
        include_groups=False,
    )
    assert set(ways[NAMED]) == {len(LABELS)}
    assert set(ways.drop(NAMED)) == {1}
    plain = images[~images["method"].isin(NAMED)]
    assert set(plain["postprocessing"]) == {"none"} and set(plain["mode"]) == {"multi"}


def test_there_is_a_table_where_there_is_something_to_compare(run) -> None:
    def shown(**changes) -> list[str]:
        evaluation = run.settings.evaluation.model_copy(update=changes)
        settings = run.settings.model_copy(update={"evaluation": evaluation})
        there = comparison.POSTPROCESSING in comparison.tables(settings)
        return comparison.postprocessed(settings) if there else []

    assert shown() == ["attentioncut-object", "inversion"]
    assert shown(postprocessing=("none",)) == ["attentioncut-object", "inversion"]
    assert shown(postprocessing=("none",), modes=("multi",)) == []
    assert shown(postprocessed=()) == []
    every = {*run.settings.recordings, *run.settings.variants}
    assert set(shown(postprocessed=None)) == every


def test_each_row_is_the_mean_of_its_scores(run, images: pd.DataFrame) -> None:
    settings = run.settings
    assert comparison.POSTPROCESSING in comparison.tables(settings)
    made = made_of(run)
    assert len(made.cells) == len(NAMED) * len(LABELS)
    assert [row[1] for row in made.cells[: len(LABELS)]] == list(LABELS.values())
    columns = [column.heading for column in made.columns]
    for record in made.records:
        row = dict(zip(columns, record, strict=True))
        own = images[
            (images["method"] == row["method"])
            & (images["benchmark"] == row["benchmark"])
            & (images["postprocessing"] == row["postprocessing"])
            & (images["mode"] == row["mode"])
        ]
        assert float(row["iou"]) == pytest.approx(100 * own["iou"].mean(), abs=0.01)
        plain = (row["postprocessing"], row["mode"]) == ("none", "multi")
        assert (row["p_holm"] == "") == (row["d_z"] == "") == plain
        assert (row["seeds"] == "") == (row["method"] == "attentioncut-object")
        if not plain:
            base = next(
                float(other[columns.index("iou")])
                for other in made.records
                if other[:3] == record[:3] and other[6:8] == ("none", "multi")
            )
            assert float(row["minus_none"]) == pytest.approx(float(row["iou"]) - base, abs=0.02)
    assert np.isfinite([float(record[columns.index("iou_low")]) for record in made.records]).all()


def made_of(run):
    folder = run.artifacts / "evaluation"
    methods = run.artifacts / "methods.parquet"
    pd.DataFrame(columns=["method", "benchmark", "id", "iou", "acc"]).to_parquet(methods)
    scores = read_scores(folder, methods, run.masks)
    return postprocessing_table(run.given("tables"), summarise(run.given("summary"), scores))


def test_a_table_of_every_name_is_written(run, images: pd.DataFrame) -> None:
    write_table(made_of(run), run.results)
    assert {path.suffix for path in run.results.iterdir()} == {".csv", ".md", ".tex", ".html"}


def test_every_way_has_metrics_of_its_own_in_mlflow(run, images: pd.DataFrame) -> None:
    made = made_of(run)
    metrics = tracking.table_metrics(made)
    found = {name for name in metrics if name.endswith("/iou")}
    assert len(found) == len(made.frame)
    row = made.frame.iloc[0]
    key = f"{row['benchmark']}/{row['method']}/{row['postprocessing']}/{row['mode']}/iou"
    own = images[(images["method"] == row["method"]) & (images["benchmark"] == row["benchmark"])]
    own = own[(own["postprocessing"] == row["postprocessing"]) & (own["mode"] == row["mode"])]
    assert metrics[key] == pytest.approx(100 * own["iou"].mean(), abs=1e-9)  # and not rounded
