"""Saliency metrics under named protocols, from histograms instead of a loop over thresholds.

A pixel of value v is foreground at the first ``levels(v)`` thresholds of a protocol and at no
other, so two histograms over the levels (of the true foreground and of the true background) hold
everything the thresholds can tell. An 8-bit map is reduced to 256 values first.
"""

from dataclasses import dataclass, field

import numpy as np

from dseg.errors import DsegError
from dseg.evaluation.protocols import STEPS, Protocol, get_protocol


@dataclass(frozen=True)
class Curves:
    """Metrics at each of K thresholds, each (K,) float64: of one image, or of a set of images."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class ImageScores:
    """Scores of one image, all in [0, 1]; ``acc`` and ``iou`` of the map above the threshold."""

    id: str
    acc: float
    iou: float
    mae: float
    max_f: float


@dataclass(frozen=True)
class _Tally:
    """The pixels of one image grouped by predicted value, (n,) each."""

    values: np.ndarray  # float64 in [0, 1]
    foreground: np.ndarray  # float64: how many pixels of the true foreground have this value
    background: np.ndarray  # float64

    def total(self) -> float:
        return float(self.foreground.sum() + self.background.sum())


def check_maps(soft: np.ndarray, truth: np.ndarray, id: str = "") -> None:
    """Raise DsegError unless ``soft`` and ``truth`` are a prediction and a mask of one image.

    Args:
        soft: (H, W) float in [0, 1], uint8 or bool.
        truth: (H, W) bool, or uint8 grey values.
        id: The image's name, for the message.
    """
    image = f"image {id}: " if id else ""
    if soft.ndim != 2 or soft.size == 0:
        raise DsegError(f"{image}the prediction has shape {soft.shape}: expected (H, W), not empty")
    if soft.shape != truth.shape:
        raise DsegError(
            f"{image}the prediction is {soft.shape} but the true mask is {truth.shape} (H, W): "
            "resize the prediction to the mask's size first"
        )
    if truth.dtype != np.bool_ and truth.dtype != np.uint8:
        raise DsegError(f"{image}the true mask is {truth.dtype}: expected bool or uint8")
    if soft.dtype == np.uint8 or soft.dtype == np.bool_:
        return
    if not np.issubdtype(soft.dtype, np.floating):
        raise DsegError(f"{image}the prediction is {soft.dtype}: expected float, uint8 or bool")
    # Written so that NaN, which compares false with everything, is caught as well.
    if not (soft.min() >= 0 and soft.max() <= 1):
        raise DsegError(f"{image}the prediction has NaN or values outside [0, 1]: clip it first")


@dataclass
class Accumulator:
    """Metrics of a set of images under one protocol, one image at a time.

    Keeps sums of the curves, and four numbers per image; no maps.

    Attributes:
        protocol: Name of the protocol.
        threshold: Values above it are foreground for accuracy and IoU; 0.5 in every paper.
        images: Scores of every image so far, in order.
    """

    protocol: str = "tokencut"
    threshold: float = 0.5
    images: list[ImageScores] = field(default_factory=list)
    _sums: np.ndarray = field(init=False, repr=False)  # (4, K): precision, recall, F, IoU

    def __post_init__(self) -> None:
        self._sums = np.zeros((4, len(get_protocol(self.protocol).thresholds)))

    def update(self, soft: np.ndarray, truth: np.ndarray, id: str = "") -> ImageScores:
        """Add one image and return its scores.

        Args:
            soft: (H, W) float in [0, 1], uint8 (read as value / 255) or bool.
            truth: (H, W) bool, or uint8 grey values cut where the protocol cuts them.
            id: The image's name, for messages.

        Raises:
            DsegError: Sizes differ; NaN or values outside [0, 1].
        """
        rule = get_protocol(self.protocol)
        check_maps(soft, truth, id)
        tally = _tally(soft, _cut(truth, rule.mask_truth), rule)
        scores = _mask_scores(tally, rule, self.threshold)
        if truth.dtype != np.bool_ and rule.curve_truth != rule.mask_truth:
            tally = _tally(soft, _cut(truth, rule.curve_truth), rule)
        curves = _curves(tally, rule)
        self._sums += (curves.precision, curves.recall, curves.f, curves.iou)
        self.images.append(ImageScores(id, *scores, max_f=float(curves.f.max())))
        return self.images[-1]

    def curves(self) -> Curves:
        """Curves averaged over the images; under ``curve``, F is that of the averages."""
        rule = get_protocol(self.protocol)
        if not self.images:
            raise DsegError(f"no image to score under protocol {self.protocol!r}: the set is empty")
        precision, recall, f, iou = self._sums / len(self.images)
        if rule.average == "max of F of means":
            f = _f_measure(precision, recall, rule)
        return Curves(rule.thresholds, precision, recall, f, iou)

    def compute(self) -> dict[str, float]:
        """Metrics of the set, all in [0, 1].

        ``acc``, ``iou``, ``mae``: means over images. ``max_f``: the protocol's. ``mean_f``: mean
        of the F curve over thresholds. ``max_iou``, ``mean_iou``: of the IoU curve.
        ``iou_at_max_f``: the IoU curve where the F curve is highest.

        Raises:
            DsegError: No image was added.
        """
        curves = self.curves()
        if get_protocol(self.protocol).average == "mean of max F":
            max_f = float(np.mean([image.max_f for image in self.images]))
        else:
            max_f = float(curves.f.max())
        return {
            "acc": float(np.mean([image.acc for image in self.images])),
            "iou": float(np.mean([image.iou for image in self.images])),
            "mae": float(np.mean([image.mae for image in self.images])),
            "max_f": max_f,
            "mean_f": float(curves.f.mean()),
            "max_iou": float(curves.iou.max()),
            "mean_iou": float(curves.iou.mean()),
            "iou_at_max_f": float(curves.iou[curves.f.argmax()]),
        }


def _cut(truth: np.ndarray, smallest: int) -> np.ndarray:
    return truth if truth.dtype == np.bool_ else truth >= smallest


def _tally(soft: np.ndarray, truth: np.ndarray, rule: Protocol) -> _Tally:
    if soft.dtype == np.bool_:
        soft = soft.view(np.uint8) * np.uint8(255)
    if soft.dtype == np.uint8:
        foreground = np.bincount(soft[truth], minlength=256)
        background = np.bincount(soft.ravel(), minlength=256) - foreground
        seen = foreground + background > 0  # the minimum and maximum are those of the map
        values = STEPS[seen]
        foreground, background = foreground[seen], background[seen]
    else:
        values = soft.ravel().astype(np.float64)
        foreground = truth.ravel()
        background = ~foreground
    return _Tally(
        rule.prepare(values), foreground.astype(np.float64), background.astype(np.float64)
    )


def _mask_scores(tally: _Tally, rule: Protocol, threshold: float) -> tuple[float, float, float]:
    """Accuracy, IoU and MAE."""
    predicted = tally.values > threshold
    hits = tally.foreground[predicted].sum()
    alarms = tally.background[predicted].sum()
    misses = tally.foreground.sum() - hits
    error = (1 - tally.values) @ tally.foreground + tally.values @ tally.background
    iou = _ratio(hits, hits + alarms + misses, rule.epsilon, rule.empty_iou)
    total = tally.total()
    return float((total - alarms - misses) / total), float(iou), float(error / total)


def _curves(tally: _Tally, rule: Protocol) -> Curves:
    count = len(rule.thresholds)
    levels = rule.levels(tally.values)
    # Foreground at threshold k are the pixels whose level is above k: sums from the top down.
    hits, alarms = (
        np.bincount(levels, weights=pixels, minlength=count + 1)[::-1].cumsum()[::-1][1:]
        for pixels in (tally.foreground, tally.background)
    )
    positives = tally.foreground.sum()
    precision = _ratio(hits, hits + alarms, rule.epsilon, rule.empty_precision)
    recall = _ratio(hits, positives, rule.epsilon, rule.empty_recall)
    f = _f_measure(precision, recall, rule)
    iou = _ratio(hits, positives + alarms, rule.epsilon, rule.empty_iou)
    return Curves(rule.thresholds, precision, recall, f, iou)


def _f_measure(precision: np.ndarray, recall: np.ndarray, rule: Protocol) -> np.ndarray:
    """F = (1 + beta^2) P R / (beta^2 P + R), and 0 where P = R = 0."""
    beta = rule.beta_squared
    return _ratio((1 + beta) * precision * recall, beta * precision + recall, rule.epsilon, 0.0)


def _ratio(
    numerator: np.ndarray, denominator: np.ndarray, epsilon: float, empty: float
) -> np.ndarray:
    """``numerator / denominator``, and ``empty`` where it is 0 / 0; or with epsilon below."""
    if epsilon > 0:
        return numerator / (denominator + epsilon)
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / safe, empty)
