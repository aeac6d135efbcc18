"""How the result tables show numbers, and the tests that they have in common."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

from dseg.statistics import Comparison, Interval, compare, holm

K = TypeVar("K", bound=Hashable)
INTERVAL = "In brackets: 95 % interval, over images (BCa bootstrap) and trainings (Student)."
TEST = "two-sided sign-flip test over images"
KEYS = ("method", "label", "benchmark", "images", "protocol")


def against(scores: Mapping[str, np.ndarray], reference: str, seed: int) -> dict[str, Comparison]:
    """Every method but the reference, compared with it; none if the reference was not run."""
    if reference not in scores:
        return {}
    others = [name for name in scores if name != reference]
    return {name: compare(scores[name], scores[reference], seed=seed) for name in others}


def adjust(tests: Mapping[K, Comparison]) -> dict[K, float]:
    return dict(zip(tests, holm([each.p_value for each in tests.values()]), strict=True))


def show(interval: Interval | None = None, *, signed: bool = False) -> str:
    """An interval to read, like ``71.2 [69.8, 72.5]``; empty for none."""
    if interval is None:
        return ""
    sign = "+" if signed else ""
    numbers = (interval.value, interval.low, interval.high)
    value, low, high = (f"{100 * number:{sign}.1f}" for number in numbers)
    return f"{value} [{low}, {high}]"


def exact(interval: Interval | None = None) -> tuple[str, str, str]:
    if interval is None:
        return "", "", ""
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    return f"{value:.2f}", f"{low:.2f}", f"{high:.2f}"


def p_text(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
