"""Masks of synthetic images by other ways than AttentionCut, as shards."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import Shard, write_shard
from dseg.method.cut.filter import Reason, judge
from dseg.settings.masks import AttentionCutSettings


def write_masks(
    out: Path,
    shard: Shard,
    masks: Sequence[np.ndarray],
    cut: AttentionCutSettings,
    *,
    stage: str,
    written_with: str,
) -> None:
    """Write masks of synthetic images with what AttentionCut's filter says of each.

    Args:
        out: The shard's file. Fields: mask, bool (H, W); area, float32; kept, bool; reason, uint8.
        shard: The images with their attention.
        masks: bool (H, W), in the order of the shard.
        cut: Settings of the filter, and of the noun's map that it looks at.
        stage: The stage that writes.
        written_with: Hash of the settings that the stage read.
    """
    reasons = []
    for row, mask in enumerate(masks):
        attention, _ = attention_of(shard, row)
        reasons.append(judge(mask, attention.at(cut.cross_strides).noun_map, cut))
    write_shard(
        out,
        {
            "mask": np.stack(masks),
            "area": np.array([mask.mean() for mask in masks], dtype=np.float32),
            "kept": np.array([reason is Reason.KEPT for reason in reasons]),
            "reason": np.array(reasons, dtype=np.uint8),
        },
        ids=shard.ids,
        kind="masks",
        stage=stage,
        settings_hash=written_with,
    )
