"""Stage `oracle_masks`: synthetic images -> their masks by the oracle segmenter.

An instrument of the embedded world (`dseg.embedded.instruments`): these masks judge those of mask
methods, and are what a head can learn at best from synthesised images. No part of the method.
"""

from pathlib import Path

import torch

from dseg.artifacts.heads import read_head
from dseg.artifacts.masks import write_masks
from dseg.artifacts.shards import read_shard
from dseg.embedded.instruments import oracle_masks
from dseg.errors import DsegError
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("attentioncut",)


def run(settings: Settings, synthesis: Path, segmenter: Path, out: Path) -> None:
    """Make the masks of one shard; the filter judges them as it does AttentionCut's.

    Args:
        settings: The sections named in `SECTIONS`.
        synthesis: A shard of the stage synthesis.
        segmenter: segmenter.safetensors of the stage instruments.
        out: The shard's file, with the same items and the fields of `write_masks`.

    Raises:
        DsegError: The shard or the segmenter is missing or not usable, or the images are not of
            the size of the renders that the segmenter was trained on.
    """
    torch.set_num_threads(1)
    if not Path(segmenter).is_file():
        raise DsegError(f"{segmenter}: no oracle segmenter; run the stage instruments")
    network, architecture, _ = read_head(segmenter)
    shard = read_shard(synthesis, kind="images")
    size = shard.fields["image"].shape[1:3]
    if size != architecture.size:
        raise DsegError(
            f"{synthesis}: images are {size}, but the oracle was trained on renders of "
            f"{architecture.size}: it judges the embedded world alone; take other head.masks, and "
            "no instruments.scored"
        )
    masks = oracle_masks(network, shard.fields["image"])
    written_with = settings_hash(sections(settings, *SECTIONS))
    write_masks(
        out,
        shard,
        [*masks],
        settings.attentioncut,
        stage="oracle_masks",
        written_with=written_with,
    )
