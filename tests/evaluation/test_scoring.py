"""From predictions and truths to the table, the aggregates and the baselines."""

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from dseg.errors import DsegError
from dseg.evaluation.boxes import mask_to_box
from dseg.evaluation.metrics import Accumulator
from dseg.evaluation.protocols import PROTOCOLS
from dseg.evaluation.scoring import Case, Evaluation, Evaluator, all_foreground, centre_prior


def evaluate(cases: Iterable[Case], **chosen: Any) -> Evaluation:
    evaluator = Evaluator(**chosen)
    for case in cases:
        evaluator.update(case)
    return evaluator.result()


def cases() -> list[Case]:
    """Three images of different sizes with masks and boxes."""
    rng = np.random.default_rng(0)
    made = []
    for index, (height, width) in enumerate([(20, 30), (16, 16), (31, 17)]):
        mask = np.zeros((height, width), bool)
        mask[4 : height // 2 + 2, 5 : width // 2 + 3] = True
        noise = rng.random(mask.shape)
        soft = (255 * (0.5 * mask + 0.45 * noise)).astype(np.uint8)
        truth = mask_to_box(mask)
        assert truth is not None
        box = truth if index else np.array([0, 0, 2, 2])
        made.append(Case(f"image-{index}", soft, box, mask, truth[None].astype(float)))
    return made


def test_the_table_has_each_image_and_the_scores_are_the_accumulators() -> None:
    made = cases()
    result = evaluate(made, protocol="pysod")
    assert list(result.table.columns) == ["id", "acc", "iou", "mae", "max_f", "hit"]
    assert result.table["id"].tolist() == [case.id for case in made]
    assert result.table["hit"].tolist() == [0, 1, 1]
    assert result.corloc == pytest.approx(2 / 3)
    for name in PROTOCOLS:
        accumulator = Accumulator(name)
        for case in made:
            assert case.mask is not None
            accumulator.update(case.soft, case.mask)
        for metric, value in accumulator.compute().items():
            assert result.scores[name, metric] == value
        if name == "pysod":
            assert result.table["max_f"].tolist() == [image.max_f for image in accumulator.images]
            assert result.table["iou"].mean() == pytest.approx(result.scores["pysod", "iou"])


def test_only_the_wanted_protocols_are_computed() -> None:
    result = evaluate(cases(), protocols=["curve"], protocol="tokencut")
    assert {protocol for protocol, _ in result.scores} == {"curve", "tokencut"}
    assert result.curves.groupby("protocol").size().to_dict() == {"curve": 256, "tokencut": 255}


def test_curves_are_a_precision_recall_table() -> None:
    curves = evaluate(cases()).curves
    columns = ["protocol", "threshold", "precision", "recall", "f", "iou"]
    assert list(curves.columns) == columns
    for _, curve in curves.groupby("protocol"):
        assert (np.diff(curve["threshold"]) > 0).all()
        assert (np.diff(curve["recall"]) <= 1e-12).all()  # a higher threshold finds no more
        assert curve[columns[1:]].stack().between(0, 1).all()


def test_masks_alone_and_boxes_alone() -> None:
    masked = evaluate([Case(case.id, case.soft, case.box, case.mask) for case in cases()])
    assert masked.table["hit"].isna().all() and masked.corloc is None
    assert masked.table["iou"].notna().all()
    boxed = evaluate([Case(case.id, case.soft, case.box, None, case.boxes) for case in cases()])
    assert boxed.scores == {} and boxed.corloc == pytest.approx(2 / 3)
    assert boxed.table["iou"].isna().all() and boxed.curves.empty
    assert list(boxed.curves.columns) == list(masked.curves.columns)


def test_an_image_without_true_boxes_is_left_out_of_corloc() -> None:
    first, second, third = cases()
    second = Case(second.id, second.soft, second.box, None, np.zeros((0, 4)))
    third = Case(third.id, third.soft, None, None, third.boxes)  # no box predicted: a miss
    result = evaluate([first, second, third])
    np.testing.assert_array_equal(result.table["hit"], [0, np.nan, 0])
    assert result.corloc == 0


def test_threshold_reaches_accuracy_and_iou() -> None:
    made = cases()
    low, high = (evaluate(made, threshold=value).table for value in (0.05, 0.6))
    for case, table in ((made[1], low), (made[1], high)):
        assert case.mask is not None
        mask = case.soft / 255 > (0.05 if table is low else 0.6)
        assert table["acc"][1] == pytest.approx((mask == case.mask).mean())


def test_cases_are_taken_one_at_a_time() -> None:
    maps: list[weakref.ref[np.ndarray]] = []
    alive = []

    def stream() -> Iterator[Case]:
        for index in range(10):
            soft = np.full((8, 8), index, np.uint8)
            maps.append(weakref.ref(soft))
            yield Case(str(index), soft, mask=soft > 4)
            alive.append(sum(each() is not None for each in maps))

    assert len(evaluate(stream()).table) == 10
    assert max(alive) <= 2


def test_bad_sets_name_the_image() -> None:
    first, second, _ = cases()
    with pytest.raises(DsegError, match="nothing to evaluate"):
        evaluate([])
    with pytest.raises(DsegError, match="image image-0: predicted twice"):
        evaluate([first, first])
    with pytest.raises(DsegError, match="image image-1: neither"):
        evaluate([first, Case(second.id, second.soft)])
    with pytest.raises(DsegError, match=r"image image-1: .*\(16, 16\).*\(20, 30\)"):
        evaluate([Case(second.id, second.soft, None, first.mask)])
    with pytest.raises(DsegError, match="'maxF'"):
        evaluate([first], protocol="maxF")


def test_the_centre_prior_is_centred_and_covers_what_it_says() -> None:
    prior = centre_prior(200, 300)
    assert prior.dtype == np.float32 and prior.shape == (200, 300)
    assert 0 < prior.min() and prior.max() <= 1
    np.testing.assert_allclose(prior, prior[::-1, ::-1], rtol=1e-6)
    assert (prior > 0.5).mean() == pytest.approx(np.pi * 2 * np.log(2) / 16, abs=2e-3)
    assert np.unravel_index(centre_prior(5, 7).argmax(), (5, 7)) == (2, 3)


def test_all_foreground_scores_the_share_of_the_object() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:4, :5] = True
    soft = all_foreground(10, 10)
    scores = evaluate([Case("a", soft, mask_to_box(soft), mask)]).scores
    assert scores["tokencut", "iou"] == scores["tokencut", "acc"] == pytest.approx(0.2)
    assert scores["tokencut", "max_f"] == pytest.approx(1.3 * 0.2 / (0.3 * 0.2 + 1))
