"""Stage `renders`: prompts -> shards of rendered images with true masks, to train heads on.

In place of synthesised images with made masks: what a head learns from these is the upper bound of
what better masks could bring. Only the embedded world has it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from dseg.artifacts.prompts import read_nouns, read_prompts
from dseg.artifacts.shards import shard_range, write_shard
from dseg.method.cut.filter import Reason
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash
from dseg.world.renders import render_pairs

SECTIONS = ("seed", "world.size", "synthesis.items_per_shard", "synthesis.limit")


def run(settings: Settings, prompts: Path, shard: int, images: Path, masks: Path) -> None:
    """Render the images of one shard, one for each prompt, of its class.

    Args:
        settings: The sections named in `SECTIONS`.
        prompts: prompts.parquet.
        shard: Index of the shard.
        images: The shard of images. Field: image, uint8 (n, H, W, 3).
        masks: The shard of masks. Fields: mask, bool (n, H, W); area, float32; kept, bool, always
            true; reason, uint8.

    Raises:
        DsegError: There is no such shard, the prompts are not usable, or a class is not one of the
            embedded world.
    """
    chosen = settings.synthesis
    table: pd.DataFrame = read_prompts(prompts).iloc[: chosen.limit]
    ids = table["id"].tolist()
    items = shard_range(len(ids), chosen.items_per_shard, shard)
    nouns = read_nouns(prompts, ids)
    drawn, true = render_pairs(nouns, settings.seed, settings.world.size)
    own = slice(items.start, items.stop)
    ids, drawn, true = ids[own], drawn[own], true[own]
    written = settings_hash(sections(settings, *SECTIONS))
    write_shard(
        images, {"image": drawn}, ids=ids, kind="images", stage="renders", settings_hash=written
    )
    write_shard(
        masks,
        {
            "mask": true,
            "area": true.mean((1, 2)).astype(np.float32),
            "kept": np.ones(len(ids), bool),
            "reason": np.full(len(ids), Reason.KEPT, np.uint8),
        },
        ids=ids,
        kind="masks",
        stage="renders",
        settings_hash=written,
    )
