"""Stage `synthetic_masks`: synthetic images -> IoU of every mask method with an oracle's masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dseg import comparison
from dseg.config import Settings
from dseg.errors import DsegError
from dseg.mask_methods import mask_method
from dseg.progress import track
from dseg.shards import read_shard, write_atomically
from dseg.stages.captions import read_nouns
from dseg.stages.instruments import read_classifier
from dseg.stages.mask_methods import score_methods
from dseg.world.instruments import name_kinds

SECTIONS = (
    "attentioncut",
    "mask_methods",
    "evaluation.protocol",
    "instruments.scored",
)


def run(
    settings: Settings,
    synthesis: Sequence[Path],
    oracle: Sequence[Path],
    instruments: Path,
    prompts: Path,
    out: Path,
) -> None:
    """Score the mask methods on the first `instruments.scored` synthetic images.

    The oracle's masks stand for true ones. Only methods that start from the attention of
    `comparison.MASK_RECORDING` are scored, here with the attention of the synthesis itself.

    Args:
        settings: The sections named in `SECTIONS`.
        synthesis: Shards of the stage synthesis, that hold so many.
        oracle: Their masks by the stage oracle_masks, in the same order.
        instruments: Folder of the stage instruments.
        prompts: prompts.parquet, which says the class of each image.
        out: Parquet file: method, id, iou, acc, named (whether the classifier sees the prompted
            kind), found (whether the filter would keep the oracle's mask).

    Raises:
        DsegError: A shard is not usable, or masks are of other images than the attention.
    """
    methods = {
        name: mask_method(settings, name) for name in comparison.synthetic_mask_methods(settings)
    }
    classifier, left = read_classifier(instruments), settings.instruments.scored or 0
    parts: list[pd.DataFrame] = []
    for path, mask_path in zip(synthesis, oracle, strict=True):
        shard, masks = read_shard(path, stage="synthesis"), read_shard(mask_path, stage="mask_sets")
        if shard.ids != masks.ids:
            raise DsegError(f"{mask_path}: masks of other images than {path}: make them again")
        ids = shard.ids[:left]
        if not ids:
            break
        left -= len(ids)
        rows = [
            row
            for index, item in enumerate(track(ids, f"synthetic masks, {path.name}"))
            for row in score_methods(
                methods,
                shard,
                index,
                masks.fields["mask"][index].astype(np.uint8) * np.uint8(255),
                item,
                settings.evaluation.protocol,
                path,
            )
        ]
        table = pd.DataFrame(rows, columns=["method", "id", "iou", "acc"])
        named = name_kinds(classifier, shard.fields["image"][: len(ids)])
        facts = pd.DataFrame(
            {
                "id": ids,
                "named": np.array(named) == np.array(read_nouns(prompts, ids)),
                "found": masks.fields["kept"][: len(ids)],
            }
        )
        parts.append(table.merge(facts, on="id", validate="many_to_one"))
    whole = pd.concat(parts, ignore_index=True)
    write_atomically(Path(out), lambda temporary: whole.to_parquet(temporary, index=False))
