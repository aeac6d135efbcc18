"""The summary: each number once, of what is asked for, and nothing lost on the way to disk."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from finished_run import settings_of
from made_up_scores import made_up_scores, made_up_summary

from dseg.errors import DsegError
from dseg.reporting import estimates
from dseg.reporting.estimates import paired, summarise
from dseg.reporting.summary import Estimate, Kind, Summary


def test_a_number_is_there_once(summary) -> None:
    keys = ["kind", "method", "reference", "benchmark", "protocol", "postprocessing", "mode"]
    assert not summary.frame.duplicated([*keys, "metric"]).any()
    assert summary.frame["value"].notna().all()
    tested = summary.frame["reference"] != ""
    assert summary.frame.loc[tested, "p"].between(0, 1).all() and tested.sum() > 40
    assert summary.frame.loc[~tested, "p"].isna().all()


def test_each_test_is_computed_once_for_tables_and_claims(settings, scores, monkeypatch) -> None:
    """AttentionCut against Otsu is in the table of mask methods, and a claim rests on it."""
    compared = []

    def note(values: np.ndarray, base: np.ndarray, *, seed: int):
        compared.append((values.tobytes(), base.tobytes()))
        return estimates_compare(values, base, seed=seed)

    estimates_compare = estimates.compare
    monkeypatch.setattr(estimates, "compare", note)
    found = summarise(settings, scores)
    assert len(compared) == len({*compared}) == (found.frame["reference"] != "").sum()
    assert found.find("attentioncut", "test", reference="otsu", kind=Kind.MASKS) is not None


def test_few_images_have_the_exact_p_value(tmp_path) -> None:
    """Six images, better on each: two of the 64 patterns of signs are as far from 0."""
    settings = settings_of(
        tmp_path, {"test": 6}, 60, variants={"head": {}, "less": {"head": {"pairs": 12}}}
    )
    scores = made_up_scores(settings)
    images = scores.images
    images.loc[images["method"] == "head", "iou"] = np.tile(np.linspace(0.5, 0.6, 6), 3)
    images.loc[images["method"] == "less", "iou"] = np.tile(np.linspace(0.4, 0.45, 6), 3)
    found = summarise(settings, scores).find("less", "test", reference="head")
    assert found is not None
    assert found.p == pytest.approx(2 / 64)
    assert found.value == pytest.approx(-0.125) and found.images == 6 and found.trainings == 3
    assert (found.own, found.other) == (pytest.approx(0.425), pytest.approx(0.55))
    assert found.low < found.value < found.high < 0


def test_only_trainings_that_both_have_are_compared() -> None:
    three, two, one = (np.arange(6.0 * n).reshape(n, 6) for n in (3, 2, 1))
    first, second = paired(three, two)
    assert len(first) == len(second) == 2 and (first == three[:2]).all()
    assert [len(each) for each in paired(three, one)] == [3, 1]


def test_it_comes_back_from_disk_as_it_was(summary, tmp_path) -> None:
    summary.write(tmp_path / "a.parquet")
    again = Summary.read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(again.frame, summary.frame, check_exact=True)
    again.write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    summary.frame.drop(columns="p").to_parquet(tmp_path / "old.parquet")
    with pytest.raises(DsegError, match=r"old\.parquet: not what the stage summary writes"):
        Summary.read(tmp_path / "old.parquet")


def test_the_scores_of_a_head_are_those_that_are_shown(summary) -> None:
    found = summary.of_variant("rgb")
    assert found.keys() == {"test", "shift", "val", "multi"}
    assert found["multi"].keys() == {"corloc"} and found["test"].keys() == {"acc", "iou", "max_f"}
    assert found["test"]["iou"] == summary.flat()["test/rgb/iou"]
    assert Summary.of([]).of_variant("rgb") == {}


def test_two_scores_of_one_training_are_refused(settings, scores) -> None:
    twice = replace(scores, table=pd.concat([scores.table, scores.table[:1]]))
    with pytest.raises(DsegError, match="a training has two of one kind"):
        summarise(settings, twice)


def test_trainings_on_different_images_are_refused(settings, scores) -> None:
    lost = (scores.images["method"] == "rgb") & (scores.images["seed"] == 1)
    lost &= scores.images["id"] == "test-0003"
    with pytest.raises(DsegError, match="trainings of rgb were scored on different images of test"):
        summarise(settings, replace(scores, images=scores.images[~lost]))


def test_a_mask_method_of_the_name_of_a_head_is_another(tmp_path) -> None:
    settings = settings_of(tmp_path, {"test": 6}, 60, variants={"otsu": {}, "rgb": {}})
    summary = made_up_summary(settings)
    head, mask = (summary.find("otsu", "test", kind=kind) for kind in (Kind.METHOD, Kind.MASKS))
    assert isinstance(head, Estimate) and isinstance(mask, Estimate) and head.value != mask.value
    assert {"test/otsu/iou", "masks/test/otsu/iou"} <= summary.flat().keys()
