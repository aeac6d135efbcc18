"""Stage `mask_sets`: a shard of synthetic images with their attention -> masks of a mask method.

What the stage `attentioncut` gives, by one of `mask_methods`: other masks to train heads on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import Shard, read_shard, write_shard
from dseg.method.cut.attentioncut import Reason, judge
from dseg.progress import track
from dseg.rivals.by_name import mask_method
from dseg.settings.masks import AttentionCutSettings
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("attentioncut", "mask_methods")


def run(settings: Settings, method: str, synthesis: Path, out: Path) -> None:
    """Make the masks of one shard; the filter judges them as it does AttentionCut's.

    Args:
        settings: The sections named in `SECTIONS`.
        method: One of `mask_methods`.
        synthesis: A shard of the stage synthesis.
        out: The shard's file, with the same items. Fields: mask, bool (H, W); area, float32; kept,
            bool; reason, uint8.

    Raises:
        DsegError: There is no such method, the shard is not usable, or an item's attention is not.
    """
    make = mask_method(settings, method)
    shard = read_shard(synthesis, kind="images")
    masks = []
    for row in track(range(len(shard.ids)), f"mask sets, {method}, {Path(synthesis).name}"):
        masks.append(make(*attention_of(shard, row)) > 0.5)
    _, cut = settings.mask_method(method)
    written_with = settings_hash(sections(settings, *SECTIONS))
    write_masks(out, shard, masks, cut, stage="mask_sets", written_with=written_with)


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
        out: The shard's file; see `run` for its fields.
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
