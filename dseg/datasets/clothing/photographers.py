"""Who is learnt from and who is tested on: no photographer is in two splits.

A person photographs garments in one room, in one light, often one garment several times. A split by
photographs would test on what was learnt; a split by photographers asks for other rooms.
"""

import csv
import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from dseg.datasets.clothing.photographs import Photograph

# Of the photographers, about: a base model learns train, every choice is made on val.
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
# The first whole number for which `is_fair`; some photographers sent hundreds of photographs.
SEED = 1
TO_MASK = {"val": 60, "test": 150}
"""How many photographs of each split are masked by hand."""
TWICE = 20
"""How many of these are masked a second time, by somebody who has not seen the first mask."""
TO_MASK_LIST = Path(__file__).with_name("to_mask.csv")
_COMMON, _FEWEST = 100, 8  # photographs of a noun: in all, and in each split
_OFF = 0.03  # by which a split's share of the photographs may differ from its share above


def find_split(sender: int, seed: int = SEED) -> str:
    """The split of a photographer, a key of `SHARES`; it depends on the two numbers alone."""
    ends = list(accumulate(SHARES.values()))
    return list(SHARES)[bisect_right(ends[:-1], _draw(f"{seed}/{sender}"))]


def split_by_sender(
    photographs: Iterable[Photograph], seed: int = SEED
) -> dict[str, tuple[Photograph, ...]]:
    """The photographs of each split of `SHARES`, in their order."""
    splits: dict[str, list[Photograph]] = {split: [] for split in SHARES}
    for photograph in photographs:
        splits[find_split(photograph.sender, seed)].append(photograph)
    return {split: tuple(members) for split, members in splits.items()}


def is_fair(splits: Mapping[str, Sequence[Photograph]]) -> bool:
    """Whether splits have about their shares of photographs and enough of every common noun.

    Enough are eight in each split, common is a noun with 100 photographs or more (our choices).
    """
    nouns = {split: Counter(each.noun for each in members) for split, members in splits.items()}
    everywhere = sum(nouns.values(), Counter[str]())
    total = everywhere.total()
    return all(
        abs(counts.total() / total - SHARES[split]) <= _OFF
        and all(counts[noun] >= _FEWEST for noun, n in everywhere.items() if n >= _COMMON)
        for split, counts in nouns.items()
    )


def draw_to_mask(photographs: Iterable[Photograph]) -> dict[str, str]:
    """Photographs to be masked by hand, drawn at random: id -> split, by split and id.

    Only the ids of a split decide which of them are drawn: no label and no pixel does.
    """
    splits = split_by_sender(photographs)
    return {
        id: split
        for split, count in TO_MASK.items()
        for id in sorted(
            sorted((each.id for each in splits[split]), key=lambda id: _draw(f"mask/{id}"))[:count]
        )
    }


def draw_twice(ids: Iterable[str]) -> list[str]:
    """Those of the photographs to be masked that are masked twice, drawn at random, by id."""
    return sorted(sorted(ids, key=lambda id: _draw(f"twice/{id}"))[:TWICE])


def read_to_mask() -> dict[str, str]:
    """The list that `draw_to_mask` made of the published photographs, before any was masked."""
    with TO_MASK_LIST.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["split"] for row in csv.DictReader(file)}


def _draw(text: str) -> float:
    """A number in [0, 1) that is drawn for a text, the same in every place and version."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
