"""Stage `mask_sets`: a shard of synthetic images with their attention -> masks of a mask method.

What the stage `attentioncut` gives, by one of `mask_methods`: other masks to train heads on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dseg.attentioncut import Reason, judge
from dseg.config import Settings, sections, settings_hash
from dseg.crossmap import choose, combine, recorded
from dseg.mask_methods import mask_method
from dseg.mask_settings import AttentionCutSettings
from dseg.progress import track
from dseg.shards import Shard, read_shard, write_shard

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
    way = mask_method(settings, method)
    shard = read_shard(synthesis, stage="synthesis")
    fields = shard.fields
    masks = []
    for row in track(range(len(shard.ids)), f"mask sets, {method}, {Path(synthesis).name}"):
        made = way.mask(
            recorded(fields, row),
            fields["affinity_indices"][row],
            fields["affinity_weights"][row],
            fields["image"][row],
        )
        masks.append(made > 0.5)
    _, cut = settings.mask_method(method)
    write_masks(out, shard, masks, cut, settings_hash(sections(settings, *SECTIONS)))


def write_masks(
    out: Path,
    shard: Shard,
    masks: Sequence[np.ndarray],
    cut: AttentionCutSettings,
    written_with: str,
) -> None:
    """Write masks of synthetic images with what AttentionCut's filter says of each.

    Args:
        out: The shard's file; see `run` for its fields.
        shard: The images with their attention.
        masks: bool (H, W), in the order of the shard.
        cut: Settings of the filter, and of the noun's map that it looks at.
        written_with: Hash of the settings that the stage read.
    """
    reasons = [
        judge(mask, combine(choose(recorded(shard.fields, row), cut.cross_strides)), cut)
        for row, mask in enumerate(masks)
    ]
    write_shard(
        out,
        {
            "mask": np.stack(masks),
            "area": np.array([mask.mean() for mask in masks], dtype=np.float32),
            "kept": np.array([reason is Reason.KEPT for reason in reasons]),
            "reason": np.array(reasons, dtype=np.uint8),
        },
        ids=shard.ids,
        stage="mask_sets",
        settings_hash=written_with,
    )
