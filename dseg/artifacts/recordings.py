"""Attention as fields of a shard: cross_<stride>, affinity_indices and affinity_weights."""

from collections.abc import Sequence

import numpy as np

from dseg.artifacts.shards import Shard
from dseg.errors import DsegError
from dseg.method.cut.evidence import Attention, AttentionMaps

_CROSS = "cross_"


def attention_fields(
    images: Sequence[np.ndarray], maps: Sequence[AttentionMaps]
) -> dict[str, np.ndarray]:
    """Fields of a shard of images with their attention, from both batch by batch.

    Args:
        images: uint8 (B, H, W, 3) of each batch.
        maps: The attention on them.
    """
    parts = [
        {
            "image": batch,
            **{f"{_CROSS}{stride}": cross for stride, cross in each.cross.items()},
            "affinity_indices": each.affinity_indices,
            "affinity_weights": each.affinity_weights,
        }
        for batch, each in zip(images, maps, strict=True)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def attention_of(shard: Shard, row: int) -> tuple[Attention, np.ndarray]:
    """The attention on one item of such a shard, and its image, uint8 (H, W, 3).

    Raises:
        DsegError: A field is missing, or the item's self-attention is not usable.
    """
    fields = shard.fields
    for name in ("image", "affinity_indices", "affinity_weights"):
        if name not in fields:
            raise DsegError(f"no field {name!r}; remove the shard and run {shard.stage} again")
    maps = AttentionMaps(
        {
            int(name.removeprefix(_CROSS)): array
            for name, array in fields.items()
            if name.startswith(_CROSS)
        },
        fields["affinity_indices"],
        fields["affinity_weights"],
    )
    image = fields["image"][row]
    return maps.of_image(row, image.shape), image
