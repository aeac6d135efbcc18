"""Stage `synthetic_masks`: synthetic images -> IoU of every mask method with an oracle's masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dseg.artifacts.prompts import read_nouns
from dseg.artifacts.shards import read_shard
from dseg.embedded.instruments import name_kinds, read_classifier
from dseg.errors import DsegError
from dseg.evaluation.mask_methods import score_methods
from dseg.files import write_atomically
from dseg.progress import track
from dseg.rivals.by_name import mask_method, synthetic_mask_methods
from dseg.settings.run import Settings
from dseg.world.kinds import KIND_NAMES

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

    The oracle's masks stand for true ones. Where it finds nothing there is nothing to compare with,
    since an empty mask would score 1 and any other 0: no method is scored there. Only methods that
    start from the attention of `MASK_RECORDING` are scored, here with the attention of
    the synthesis itself.

    Args:
        settings: The sections named in `SECTIONS`.
        synthesis: Shards of the stage synthesis, that hold so many.
        oracle: Their masks by the stage oracle_masks, in the same order.
        instruments: Folder of the stage instruments.
        prompts: prompts.parquet, which says the class of each image.
        out: Parquet file: method, id, iou and acc (NaN where the oracle finds nothing), named
            (whether the classifier sees the prompted kind), found (whether the oracle finds
            anything), kept (whether the filter would keep the oracle's mask).

    Raises:
        DsegError: A shard is not usable, or masks are of other images than the attention.
    """
    methods = {name: mask_method(settings, name) for name in synthetic_mask_methods(settings)}
    classifier, left = read_classifier(instruments, KIND_NAMES), settings.instruments.scored or 0
    parts: list[pd.DataFrame] = []
    for path, mask_path in zip(synthesis, oracle, strict=True):
        shard, masks = read_shard(path, kind="images"), read_shard(mask_path, kind="masks")
        if shard.ids != masks.ids:
            raise DsegError(f"{mask_path}: masks of other images than {path}: make them again")
        ids = shard.ids[:left]
        if not ids:
            break
        left -= len(ids)
        truths = masks.fields["mask"][: len(ids)]
        rows: list[tuple[str, str, float, float]] = []
        for index, item in enumerate(track(ids, f"synthetic masks, {path.name}")):
            if not truths[index].any():
                rows += [(name, item, np.nan, np.nan) for name in methods]
                continue
            truth = truths[index].astype(np.uint8) * np.uint8(255)
            rows += score_methods(
                methods, shard, index, truth, item, settings.evaluation.protocol, path
            )
        table = pd.DataFrame(rows, columns=["method", "id", "iou", "acc"])
        named = name_kinds(classifier, shard.fields["image"][: len(ids)])
        facts = pd.DataFrame(
            {
                "id": ids,
                "named": np.array(named) == np.array(read_nouns(prompts, ids)),
                "found": truths.any((1, 2)),
                "kept": masks.fields["kept"][: len(ids)],
            }
        )
        parts.append(table.merge(facts, on="id", validate="many_to_one"))
    whole = pd.concat(parts, ignore_index=True)
    write_atomically(Path(out), lambda temporary: whole.to_parquet(temporary, index=False))
