"""Metric protocols against plain threshold loops, PySODMetrics and published scores."""

import csv
import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import py_sod_metrics
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.evaluation.metrics import Accumulator, Curves
from dseg.evaluation.protocols import PROTOCOLS, get_protocol

STEPS = np.arange(256) / 255


def maps() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Small predictions and truths, among them every kind of tie and emptiness."""
    rng = np.random.default_rng(0)
    truth = rng.random((24, 32)) < 0.3
    noise = rng.random(truth.shape)
    nowhere = np.zeros_like(truth)
    edges = rng.choice(STEPS, truth.shape)
    return {
        "float32": ((0.4 * truth + 0.6 * noise).astype(np.float32), truth),
        "float64": (0.4 * truth + 0.6 * noise, truth),
        "uint8": ((255 * (0.4 * truth + 0.6 * noise)).astype(np.uint8), truth),
        "on the thresholds": (edges.astype(np.float32), truth),
        "on the thresholds, float64": (edges, truth),
        "just below": (np.nextafter(edges.astype(np.float32), np.float32(0)), truth),
        "just above": (np.nextafter(edges.astype(np.float32), np.float32(1)), truth),
        "dim uint8": (rng.integers(30, 150, truth.shape, dtype=np.uint8), truth),
        "binary": (truth ^ (noise < 0.1), truth),
        "empty prediction": (np.zeros(truth.shape, np.float32), truth),
        "full prediction": (np.ones(truth.shape, np.float32), truth),
        "constant": (np.full(truth.shape, 0.5, np.float32), truth),
        "empty truth": (noise.astype(np.float32), nowhere),
        "full truth": (noise.astype(np.float32), ~nowhere),
        "both empty": (np.zeros(truth.shape, np.uint8), nowhere),
    }


MAPS = maps()


def as_float(soft: np.ndarray) -> np.ndarray:
    return soft / 255 if soft.dtype == np.uint8 else soft.astype(np.float64)


def stretched(soft: np.ndarray) -> np.ndarray:
    values = as_float(soft)
    low, high = values.min(), values.max()
    return values if high == low else (values - low) / (high - low)


def cuts(soft: np.ndarray, protocol: str) -> list[np.ndarray]:
    """The binary mask at each threshold, as the protocol's own code cuts it."""
    if protocol in ("tokencut", "selfmask"):
        values = as_float(soft).astype(np.float32)
        return [values > t for t in np.arange(0, 1, 1 / 255).astype(np.float32)]
    if protocol == "pysod":
        values = (stretched(soft) * 255).astype(np.uint8)
        return [values >= t for t in range(256)]
    return [stretched(soft) >= t for t in STEPS]


def loop(soft: np.ndarray, truth: np.ndarray, protocol: str) -> np.ndarray:
    """Precision, recall, F and IoU, (4, K), by one comparison per threshold."""
    beta, tiny = (0.09, 1e-7) if protocol == "selfmask" else (0.3, 0.0)
    if_empty = 1.0 if protocol == "tokencut" else 0.0
    if_both_empty = 0.0 if protocol == "pysod" else 1.0
    rows = []
    for mask in cuts(soft, protocol):
        hits, predicted, true = (mask & truth).sum(), mask.sum(), truth.sum()
        union = (mask | truth).sum()
        precision = hits / (predicted + tiny) if predicted + tiny else if_empty
        recall = hits / (true + tiny) if true + tiny else if_empty
        bottom = beta * precision + recall + tiny
        f = (1 + beta) * precision * recall / bottom if bottom else 0.0
        iou = hits / (union + tiny) if union + tiny else if_both_empty
        rows.append((precision, recall, f, iou))
    return np.array(rows).T


def curves_of(soft: np.ndarray, truth: np.ndarray, protocol: str, id: str = "") -> Curves:
    accumulator = Accumulator(protocol)
    accumulator.update(soft, truth, id)
    return accumulator.curves()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MAPS)
def test_histograms_equal_a_loop_over_thresholds(protocol: str, name: str) -> None:
    soft, truth = MAPS[name]
    curves = curves_of(soft, truth, protocol)
    expected = loop(soft, truth, protocol)
    assert curves.threshold.shape == expected.shape[1:]
    got = np.stack([curves.precision, curves.recall, curves.f, curves.iou])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_set_is_averaged_as_the_protocol_says(protocol: str) -> None:
    sets = list(MAPS.values())
    accumulator = Accumulator(protocol)
    for soft, truth in sets:
        accumulator.update(soft, truth)
    scores = accumulator.compute()
    per_image = np.stack([loop(soft, truth, protocol) for soft, truth in sets])  # (n, 4, K)
    precision, recall, f, iou = per_image.mean(axis=0)
    if protocol == "selfmask":
        expected = per_image[:, 2].max(axis=1).mean()
    elif protocol == "curve":
        f = 1.3 * precision * recall / (0.3 * precision + recall)
        expected = f.max()
    else:
        expected = f.max()
    assert scores["max_f"] == pytest.approx(expected, abs=1e-12)
    assert scores["mean_f"] == pytest.approx(f.mean(), abs=1e-12)
    assert scores["max_iou"] == pytest.approx(iou.max(), abs=1e-12)
    assert scores["mean_iou"] == pytest.approx(iou.mean(), abs=1e-12)
    assert scores["iou_at_max_f"] == pytest.approx(iou[f.argmax()], abs=1e-12)
    curves = accumulator.curves()
    np.testing.assert_allclose(curves.precision, precision, atol=1e-12)
    np.testing.assert_allclose(curves.recall, recall, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MAPS)
def test_accuracy_iou_and_mae_by_definition(protocol: str, name: str) -> None:
    soft, truth = MAPS[name]
    values = as_float(soft) if protocol in ("tokencut", "selfmask") else stretched(soft)
    mask = values > 0.5
    scores = Accumulator(protocol).update(soft, truth)
    assert scores.acc == pytest.approx((mask == truth).mean(), abs=1e-12)
    assert scores.mae == pytest.approx(np.abs(values - truth).mean(), abs=1e-12)
    if (mask | truth).any():
        # selfmask's epsilon costs one part in ten million of a pixel.
        assert scores.iou == pytest.approx((mask & truth).sum() / (mask | truth).sum(), abs=1e-8)
    else:
        assert scores.iou == (0.0 if protocol in ("selfmask", "pysod") else 1.0)


def test_threshold_moves_accuracy_and_iou_but_not_the_curves() -> None:
    soft, truth = MAPS["float32"]
    at_half, above = Accumulator(), Accumulator(threshold=0.7)
    for accumulator in (at_half, above):
        accumulator.update(soft, truth)
    mask = soft > 0.7
    assert above.images[0].iou == pytest.approx((mask & truth).sum() / (mask | truth).sum())
    assert above.images[0].iou != at_half.images[0].iou
    assert above.compute()["max_f"] == at_half.compute()["max_f"]


def test_a_perfect_prediction_scores_one() -> None:
    _, truth = MAPS["float32"]
    for protocol in PROTOCOLS:
        accumulator = Accumulator(protocol)
        accumulator.update(truth, truth, "a")
        scores = accumulator.compute()
        assert scores["mae"] == 0 and scores["acc"] == 1
        assert scores["iou"] == pytest.approx(1, abs=1e-6)
        assert scores["max_f"] == pytest.approx(1, abs=1e-6)
        assert accumulator.images[0].id == "a"


def test_grey_truths_are_cut_where_each_protocol_cuts_them() -> None:
    grey = np.array([[0, 1, 127, 128, 129, 255]], np.uint8)
    soft = np.ones(grey.shape, np.float32)
    foreground = {"tokencut": (5, 3), "selfmask": (1, 1), "pysod": (2, 2), "curve": (3, 3)}
    for protocol, (in_curve, in_mask) in foreground.items():
        # Everything is predicted, so precision and accuracy count the foreground pixels.
        assert curves_of(soft, grey, protocol).precision[0] * 6 == pytest.approx(in_curve)
        assert Accumulator(protocol).update(soft, grey).acc * 6 == pytest.approx(in_mask)


def package_results(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """What PySODMetrics says of 8-bit maps and masks, of everything that we compute as well."""
    handlers = {
        name: handler(with_adaptive=False, with_dynamic=dynamic, with_binary=True)
        for name, handler, dynamic in (
            ("precision", py_sod_metrics.PrecisionHandler, True),
            ("recall", py_sod_metrics.RecallHandler, True),
            ("iou", py_sod_metrics.IOUHandler, True),
            ("f", py_sod_metrics.FmeasureHandler, True),
            ("acc", py_sod_metrics.OverallAccuracyHandler, False),
        )
    }
    measures, mae = py_sod_metrics.FmeasureV2(handlers), py_sod_metrics.MAE()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces the end of its first F-measure
        older = py_sod_metrics.Fmeasure()
    for soft, grey in pairs:
        for measure in (measures, mae, older):
            measure.step(soft, grey)
    return {"new": measures.get_results(), "old": older.get_results(), **mae.get_results()}


def assert_equals_the_package(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    accumulator = Accumulator("pysod")
    for soft, grey in pairs:
        accumulator.update(soft, grey)
    scores, curves, expected = accumulator.compute(), accumulator.curves(), package_results(pairs)
    new, old = expected["new"], expected["old"]
    # The package goes from the highest threshold down.
    for ours, name in (
        (curves.precision, "precision"),
        (curves.recall, "recall"),
        (curves.iou, "iou"),
        (curves.f, "f"),
    ):
        np.testing.assert_allclose(ours[::-1], new[name]["dynamic"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curves.f[::-1], old["fm"]["curve"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curves.precision[::-1], old["pr"]["p"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(curves.recall[::-1], old["pr"]["r"], rtol=0, atol=1e-12)
    assert scores["mae"] == pytest.approx(expected["mae"], abs=1e-12)
    assert scores["acc"] == pytest.approx(new["acc"]["binary"], abs=1e-12)
    assert scores["iou"] == pytest.approx(new["iou"]["binary"], abs=1e-12)
    for ours, curve in (("f", new["f"]["dynamic"]), ("iou", new["iou"]["dynamic"])):
        assert scores[f"max_{ours}"] == pytest.approx(curve.max(), abs=1e-12)
        assert scores[f"mean_{ours}"] == pytest.approx(curve.mean(), abs=1e-12)


def random_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    masks = [rng.integers(0, 256, (37, 23), dtype=np.uint8) for _ in range(20)]
    return [
        (rng.integers(5 * k, 256 - 5 * k, mask.shape, dtype=np.uint8), mask)
        for k, mask in enumerate(masks)
    ]


def extreme_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(2)
    shape = (19, 31)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    empty, full = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    return {
        "constant map": (np.full(shape, 100, np.uint8), noise),
        "constant bright map": (np.full(shape, 200, np.uint8), noise),
        "empty map": (empty, noise),
        "full map": (full, noise),
        "binary map": (np.where(noise > 99, full, empty), noise),
        "two dim values": (np.where(noise > 99, full // 4, full // 8), noise),
        "empty mask": (noise, empty),
        "full mask": (noise, full),
        "grey mask of 128": (noise, np.full(shape, 128, np.uint8)),
        "both empty": (empty, empty),
        "both full": (full, full),
        "empty map, full mask": (empty, full),
        "full map, empty mask": (full, empty),
        "one pixel": (noise[:1, :1], full[:1, :1]),
    }


def test_pysod_equals_the_package_on_random_maps() -> None:
    assert_equals_the_package(random_pairs())


@pytest.mark.parametrize("name", extreme_pairs())
def test_pysod_equals_the_package_on_extreme_maps(name: str) -> None:
    assert_equals_the_package([extreme_pairs()[name]])


def test_pysod_equals_the_package_on_all_of_these_together() -> None:
    assert_equals_the_package([*random_pairs(), *extreme_pairs().values()])


def test_pysod_equals_the_stored_results_of_the_package(shared: Path) -> None:
    folder = shared / "data" / "metric_samples" / "pysodmetrics"
    accumulator = Accumulator("pysod")
    for path in sorted((folder / "test_data" / "masks").glob("*.png")):
        truth = np.array(Image.open(path).convert("L"))
        soft = np.array(Image.open(folder / "test_data" / "preds" / path.name).convert("L"))
        accumulator.update(soft, truth, path.stem)
    scores = accumulator.compute()
    expected = json.loads((folder / "version_performance.json").read_text())["v1_4_0"]
    assert len(accumulator.images) == 3
    assert scores["mae"] == pytest.approx(expected["MAE"], abs=1e-12)
    assert scores["max_f"] == pytest.approx(expected["maxFm"], abs=1e-12)
    assert scores["mean_f"] == pytest.approx(expected["meanFm"], abs=1e-12)


@pytest.fixture(scope="module")
def sod_scores(shared: Path) -> dict[str, dict[str, Accumulator]]:
    """Every protocol on the 300 images of SOD, for two published methods."""
    sod = shared / "data" / "sod"
    scores = {
        method: {name: Accumulator(name) for name in PROTOCOLS} for method in ("DSS", "PiCANet")
    }
    for path in sorted((sod / "masks").glob("*.png")):
        truth = np.array(Image.open(path)) > 127
        for method, accumulators in scores.items():
            soft = np.array(Image.open(sod / "saliency_maps" / method / path.name))
            for accumulator in accumulators.values():
                accumulator.update(soft, truth, path.stem)
    return scores


@pytest.mark.parametrize("method", ["DSS", "PiCANet"])
def test_published_scores_on_sod(
    sod_scores: dict[str, dict[str, Accumulator]], shared: Path, method: str
) -> None:
    folder = shared / "data" / "sod"
    expected = json.loads((folder / "expected_scores.json").read_text())[method]
    accumulator = sod_scores[method]["curve"]
    scores = accumulator.compute()
    assert len(accumulator.images) == 300
    assert scores["mae"] == pytest.approx(expected["mat_file"]["MAE"], abs=1e-10)
    for ours, theirs in (("max_f", "MaxFmeasure"), ("mean_iou", "meanIoU"), ("max_iou", "maxIoU")):
        assert scores[ours] == pytest.approx(expected["mat_file"][theirs], abs=1e-10)
    printed = expected["readme_table"]
    for ours, theirs in (
        ("max_f", "max_F"),
        ("mae", "MAE"),
        ("mean_iou", "mean_IoU"),
        ("iou_at_max_f", "IoU_at_maxF"),
    ):
        assert round(scores[ours], 3) == pytest.approx(printed[theirs], abs=0.0011)
    curves, stored = accumulator.curves(), np.load(folder / "curves_256.npz")
    for ours, theirs in (
        (curves.precision, "Pre"),
        (curves.recall, "Recall"),
        (curves.iou, "IoU"),
        (curves.f, "Fmeasure_Curve"),
    ):
        np.testing.assert_allclose(ours[::-1], stored[f"{method}_{theirs}"], atol=1e-7)


@pytest.mark.parametrize("method", ["DSS", "PiCANet"])
def test_published_mae_of_every_sod_image(
    sod_scores: dict[str, dict[str, Accumulator]], shared: Path, method: str
) -> None:
    with (shared / "data" / "sod" / "per_image_scores.csv").open(newline="") as file:
        stored = {row["image"]: row for row in csv.DictReader(file) if row["method"] == method}
    images = sod_scores[method]["curve"].images
    assert {image.id for image in images} == set(stored)
    for image in images:
        assert image.mae == pytest.approx(float(stored[image.id]["MAE"]), abs=5.1e-7)


def sod_pairs(shared: Path, method: str, every: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """8-bit maps of a published method and masks of every so many images of SOD."""
    sod = shared / "data" / "sod"
    paths = sorted((sod / "masks").glob("*.png"))[::every]
    return [
        (
            np.array(Image.open(sod / "saliency_maps" / method / path.name)),
            np.array(Image.open(path)),
        )
        for path in paths
    ]


@pytest.mark.parametrize("method", ["DSS", "PiCANet"])
def test_published_precision_recall_and_f_of_every_sod_image(shared: Path, method: str) -> None:
    """The toolbox's adaptive scores: those of the map cut at twice its mean."""
    with (shared / "data" / "sod" / "per_image_scores.csv").open(newline="") as file:
        stored = {row["image"]: row for row in csv.DictReader(file) if row["method"] == method}
    names = [path.stem for path in sorted((shared / "data" / "sod" / "masks").glob("*.png"))]
    for name, (soft, truth) in zip(names, sod_pairs(shared, method, every=1), strict=True):
        values = stretched(soft)
        cut = values >= min(2 * values.mean(), 1)
        curves = curves_of(cut, truth > 127, "curve", name)
        for ours, theirs in ((curves.precision, "precision"), (curves.recall, "recall")):
            # Any threshold but the lowest, which takes everything, finds this binary map.
            assert ours[1] == pytest.approx(float(stored[name][f"adaptive_{theirs}"]), abs=1e-6)
        assert curves.f[1] == pytest.approx(float(stored[name]["adaptive_F"]), abs=1e-6)


@pytest.mark.parametrize("method", ["DSS", "PiCANet"])
def test_pysod_equals_the_package_on_sod(shared: Path, method: str) -> None:
    assert_equals_the_package(sod_pairs(shared, method, every=10))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("method", ["DSS", "PiCANet"])
def test_every_protocol_equals_its_loop_on_sod(shared: Path, method: str, protocol: str) -> None:
    for soft, grey in sod_pairs(shared, method, every=100):
        curves = curves_of(soft, grey > 127, protocol)
        got = np.stack([curves.precision, curves.recall, curves.f, curves.iou])
        np.testing.assert_allclose(got, loop(soft, grey > 127, protocol), rtol=0, atol=1e-12)


def test_protocols_are_different_numbers_on_the_same_maps(
    sod_scores: dict[str, dict[str, Accumulator]],
) -> None:
    max_f = {name: each.compute()["max_f"] for name, each in sod_scores["PiCANet"].items()}
    assert max_f["selfmask"] > max(max_f["tokencut"], max_f["pysod"], max_f["curve"]) + 0.03
    assert len({round(value, 3) for value in max_f.values()}) == len(PROTOCOLS)


def test_no_map_is_kept() -> None:
    rng = np.random.default_rng(2)
    accumulator = Accumulator()
    soft = rng.random((96, 96), np.float32)
    accumulator.update(soft, soft > 0.5)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for index in range(20):
            accumulator.update(soft.copy(), soft > 0.5, str(index))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < soft.nbytes
    assert len(accumulator.images) == 21


@pytest.mark.parametrize(
    ("soft", "truth", "words"),
    [
        (np.zeros((4, 5)), np.zeros((5, 4), bool), r"image 7: .*\(4, 5\).*\(5, 4\)"),
        (np.zeros((1, 4, 5)), np.zeros((1, 4, 5), bool), "image 7: .*shape"),
        (np.zeros((0, 5)), np.zeros((0, 5), bool), "image 7: .*not empty"),
        (np.full((4, 5), np.nan), np.zeros((4, 5), bool), "image 7: .*NaN"),
        (np.full((4, 5), 1.01), np.zeros((4, 5), bool), "image 7: .*outside"),
        (np.full((4, 5), -0.01), np.zeros((4, 5), bool), "image 7: .*outside"),
        (np.zeros((4, 5), np.int64), np.zeros((4, 5), bool), "image 7: .*int64"),
        (np.zeros((4, 5)), np.zeros((4, 5)), "image 7: .*float64.*bool or uint8"),
    ],
)
def test_bad_maps_are_named(soft: np.ndarray, truth: np.ndarray, words: str) -> None:
    accumulator = Accumulator()
    with pytest.raises(DsegError, match=words):
        accumulator.update(soft, truth, "7")
    assert accumulator.images == []


def test_a_single_nan_is_found() -> None:
    soft = np.zeros((4, 5), np.float32)
    soft[2, 3] = np.nan
    with pytest.raises(DsegError, match="NaN"):
        Accumulator().update(soft, soft > 1)


def test_empty_sets_and_unknown_protocols() -> None:
    with pytest.raises(DsegError, match="empty"):
        Accumulator("curve").compute()
    with pytest.raises(DsegError, match="'maxF'.*tokencut, selfmask, pysod, curve"):
        get_protocol("maxF")
    with pytest.raises(DsegError, match="'maxF'"):
        Accumulator("maxF")
