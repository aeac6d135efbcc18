"""Stage `oracle_masks`: synthetic images -> their masks by the oracle segmenter.

An instrument of the embedded world (`dseg.world.instruments`): these masks judge those of mask
methods, and are what a head can learn at best from synthesised images. No part of the method.
"""

from pathlib import Path

import numpy as np
import torch

from dseg.attentioncut import Reason, judge
from dseg.checkpoint import read_head
from dseg.config import Settings, sections, settings_hash
from dseg.crossmap import choose, combine, recorded
from dseg.shards import read_shard, write_shard
from dseg.world.instruments import oracle_masks

SECTIONS = ("attentioncut",)


def run(settings: Settings, synthesis: Path, segmenter: Path, out: Path) -> None:
    """Make the masks of one shard; the filter judges them as it does AttentionCut's.

    Args:
        settings: The sections named in `SECTIONS`.
        synthesis: A shard of the stage synthesis.
        segmenter: segmenter.safetensors of the stage instruments.
        out: The shard's file, with the same items and the fields of the stage mask_sets.

    Raises:
        DsegError: The shard or the segmenter is missing or not usable.
    """
    torch.set_num_threads(1)
    network, _, _ = read_head(segmenter)
    shard = read_shard(synthesis, stage="synthesis")
    masks = oracle_masks(network, shard.fields["image"])
    strides = settings.attentioncut.cross_strides
    crosses = [
        combine(choose(recorded(shard.fields, row), strides)) for row in range(len(shard.ids))
    ]
    reasons = [
        judge(mask, cross, settings.attentioncut)
        for mask, cross in zip(masks, crosses, strict=True)
    ]
    write_shard(
        out,
        {
            "mask": masks,
            "area": masks.mean((1, 2)).astype(np.float32),
            "kept": np.array([reason is Reason.KEPT for reason in reasons]),
            "reason": np.array(reasons, dtype=np.uint8),
        },
        ids=shard.ids,
        stage="mask_sets",  # whose readers take these in their place
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
