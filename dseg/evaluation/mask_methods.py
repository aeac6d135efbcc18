"""Every way to make a mask of one image's attention, held against a mask that stands for truth."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import Shard
from dseg.errors import DsegError
from dseg.evaluation.metrics import Accumulator
from dseg.method.resample import match_size
from dseg.rivals.thresholds import Baseline


def score_methods(
    methods: Mapping[str, Baseline],
    shard: Shard,
    row: int,
    truth: np.ndarray,
    item: str,
    protocol: str,
    path: Path,
) -> list[tuple[str, str, float, float]]:
    """Method, image, IoU and accuracy of the mask that every method makes of one image.

    Args:
        methods: By name.
        shard: Of recorded attention.
        row: The image's in it.
        truth: uint8 (H, W), the true mask.
        item: The image's id.
        protocol: The one of the setting `evaluation.protocol`.
        path: Of the shard, for errors.

    Raises:
        DsegError: The image's attention is not usable.
    """
    try:
        attention, image = attention_of(shard, row)
    except DsegError as error:
        raise DsegError(f"{path}: image {item}: {error}") from error
    shape = (truth.shape[0], truth.shape[1])
    scores = Accumulator(protocol)
    rows = []
    for name, method in methods.items():
        try:
            mask = method(attention, image)
        except DsegError as error:
            raise DsegError(f"{path}: mask method {name}: {error}") from error
        score = scores.update(match_size(mask, shape), truth, item)
        rows.append((name, item, score.iou, score.acc))
    return rows
