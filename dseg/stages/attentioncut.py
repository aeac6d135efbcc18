"""Stage `attentioncut`: a shard of images with their attention -> a shard of masks."""

from pathlib import Path

import numpy as np

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import read_shard, write_shard
from dseg.errors import DsegError
from dseg.method.cut.attentioncut import attention_cut
from dseg.progress import track
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("attentioncut",)


def run(settings: Settings, attention_shard: Path, out: Path) -> None:
    """Cut the masks of one shard.

    Args:
        settings: The sections named in `SECTIONS`.
        attention_shard: A shard of the stage synthesis or recording.
        out: The shard's file, with the same items. Fields: mask, soft, energy, area, kept, reason.

    Raises:
        DsegError: The shard is missing, not whole, of another kind or lacks a field, or an
            item's attention is unusable; the message names the file and the item.
    """
    shard = read_shard(attention_shard, kind="images")
    masks = []
    for row in track(range(len(shard.ids)), f"attentioncut, {Path(attention_shard).name}"):
        try:
            masks.append(attention_cut(*attention_of(shard, row), settings.attentioncut))
        except DsegError as error:
            raise DsegError(f"{attention_shard}: item {shard.ids[row]}: {error}") from error
    write_shard(
        out,
        {
            "mask": np.stack([mask.mask for mask in masks]),
            "soft": np.stack([mask.soft for mask in masks]).astype(np.float16),
            "energy": np.array([mask.energy for mask in masks], dtype=np.float32),
            "area": np.array([mask.area for mask in masks], dtype=np.float32),
            "kept": np.array([mask.kept for mask in masks], dtype=bool),
            "reason": np.array([mask.reason for mask in masks], dtype=np.uint8),
        },
        ids=shard.ids,
        kind="masks",
        stage="attentioncut",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
