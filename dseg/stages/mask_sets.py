"""Stage `mask_sets`: a shard of synthetic images with their attention -> masks of a mask method.

What the stage `attentioncut` gives, by one of `mask_methods`: other masks to train heads on.
"""

from pathlib import Path

from dseg.artifacts.masks import write_masks
from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import read_shard
from dseg.progress import track
from dseg.rivals.by_name import mask_method
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("attentioncut", "mask_methods")


def run(settings: Settings, method: str, synthesis: Path, out: Path) -> None:
    """Make the masks of one shard; the filter judges them as it does AttentionCut's.

    Args:
        settings: The sections named in `SECTIONS`.
        method: One of `mask_methods`.
        synthesis: A shard of the stage synthesis.
        out: The shard's file, with the same items. See `write_masks` for its fields.

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
