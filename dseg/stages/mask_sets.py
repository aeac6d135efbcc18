"""Stage `mask_sets`: a shard of synthetic images with their attention -> masks of a mask method.

What the stage `attentioncut` gives, by one of `mask_methods`: other masks to train heads on.
"""

from functools import partial
from pathlib import Path

import numpy as np

from dseg.attentioncut import Reason, attention_cut, judge
from dseg.config import Settings, sections, settings_hash
from dseg.crossmap import combine
from dseg.mask_baselines import Baseline, threshold_half, walk_otsu
from dseg.progress import track
from dseg.shards import read_shard, write_shard

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
    make = _maker(settings, method)
    _, cut = settings.mask_method(method)
    shard = read_shard(synthesis, stage="synthesis")
    crosses = sorted(name for name in shard.fields if name.startswith("cross_"))
    masks, reasons = [], []
    for row in track(range(len(shard.ids)), f"mask sets, {method}, {Path(synthesis).name}"):
        cross = combine([shard.fields[name][row] for name in crosses])
        made = make(
            cross,
            shard.fields["affinity_indices"][row],
            shard.fields["affinity_weights"][row],
            shard.fields["image"][row],
        )
        masks.append(made > 0.5)
        reasons.append(judge(masks[-1], cross, cut))
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
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )


def _maker(settings: Settings, name: str) -> Baseline:
    method, cut = settings.mask_method(name)
    if method.method == "threshold":
        return threshold_half
    if method.method == "attentioncut":
        return lambda cross, indices, weights, image: (
            attention_cut(cross, indices, weights, image, cut).mask
        )
    return partial(walk_otsu, steps=0 if method.method == "otsu" else method.steps)
