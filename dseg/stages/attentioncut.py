"""Stage `attentioncut`: a shard of images with their attention -> a shard of masks."""

from pathlib import Path

import numpy as np

from dseg.attentioncut import Mask, attention_cut
from dseg.config import Settings, sections, settings_hash
from dseg.crossmap import choose, combine, recorded
from dseg.errors import DsegError
from dseg.progress import track
from dseg.shards import Shard, read_shard, write_shard

SECTIONS = ("attentioncut",)
SOURCES = ("synthesis", "recording")


def run(settings: Settings, attention_shard: Path, out: Path) -> None:
    """Cut the masks of one shard.

    Args:
        settings: The sections named in `SECTIONS`.
        attention_shard: A shard of the stage synthesis or recording.
        out: The shard's file, with the same items. Fields: mask, soft, energy, area, kept, reason.

    Raises:
        DsegError: The shard is missing, not whole, of another stage or lacks a field, or an
            item's attention is unusable; the message names the file and the item.
    """
    shard = read_shard(attention_shard)
    if shard.stage not in SOURCES:
        raise DsegError(
            f"{attention_shard}: written by stage {shard.stage!r}, expected {' or '.join(SOURCES)}"
        )
    needed = {"image", "affinity_indices", "affinity_weights"}
    missing = sorted(needed - shard.fields.keys())
    if missing:
        raise DsegError(
            f"{attention_shard}: no field {missing[0]!r}; remove it and run {shard.stage} again"
        )
    masks = []
    for row in track(range(len(shard.ids)), f"attentioncut, {Path(attention_shard).name}"):
        try:
            masks.append(_cut(shard, row, settings))
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
        stage="attentioncut",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )


def _cut(shard: Shard, row: int, settings: Settings) -> Mask:
    fields = shard.fields
    return attention_cut(
        combine(choose(recorded(fields, row), settings.attentioncut.cross_strides)),
        fields["affinity_indices"][row],
        fields["affinity_weights"][row],
        fields["image"][row],
        settings.attentioncut,
    )
