"""Write the numbers of docs/benchmarks.md about clothes, and the list of those to be masked.

python docs/clothing.py data/benchmarks/clothing

The folder is what `dseg data prepare clothing` makes. The list depends on ids alone, so another
size of the photographs changes neither it nor the splits. A minute on one core.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dseg.datasets.clothing.outlines import complete, read_drawn
from dseg.datasets.clothing.photographers import (
    SHARES,
    TO_MASK_LIST,
    draw_to_mask,
    split_by_sender,
)
from dseg.datasets.clothing.photographs import NOUNS, Photograph, read_photographs
from dseg.files import write_text
from dseg.method.ground import GROUNDS, name_ground

PAGE = Path(__file__).parent / "benchmarks.md"
BEGIN = "<!-- clothes: written by `python docs/clothing.py FOLDER`; not to be edited -->"
END = "<!-- end of clothes -->"


def describe_splits(photographs: Sequence[Photograph]) -> str:
    """Photographs of each noun, photographers and photographs to be masked, by split."""
    splits = split_by_sender(photographs)
    counts = {split: Counter(each.noun for each in members) for split, members in splits.items()}
    to_mask = Counter(draw_to_mask(photographs).values())
    senders = {split: len({each.sender for each in splits[split]}) for split in SHARES}
    rows: dict[str, Mapping[str, int]] = {
        label if noun == label.lower() else f"{label}: *{noun}*": {
            split: counts[split][noun] for split in SHARES
        }
        for label, noun in NOUNS.items()
    }
    rows["**photographs**"] = {split: len(splits[split]) for split in SHARES}
    rows["**photographers**"] = senders
    rows["**to be masked by hand**"] = {split: to_mask[split] for split in SHARES}
    return _table("label: *noun*", rows)


def describe_grounds(photographs: Sequence[Photograph]) -> str:
    """Photographs of each ground, by split."""
    counts = {
        split: Counter(name_ground(each.image()) for each in members)
        for split, members in split_by_sender(photographs).items()
    }
    return _table("ground", {g: {split: counts[split][g] for split in SHARES} for g in GROUNDS})


def describe_masks(photographs: Sequence[Photograph]) -> str:
    """How well two masks of one photograph agree."""
    drawn = read_drawn()
    twice = [each for each in photographs if each.id in drawn.second]
    overlaps = []
    for each in twice:
        image = each.image()
        one, other = (complete(image, way[each.id]) for way in (drawn.first, drawn.second))
        overlaps.append(100 * (one & other).sum() / (one | other).sum())
    return (
        f"{len(drawn.first)} photographs are masked, {len(twice)} of them twice, blind. The two "
        f"masks of a photograph have an IoU of {np.mean(overlaps):.1f} % on average, "
        f"{min(overlaps):.1f} at least: no method can be said to be better than that."
    )


def _table(heading: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    head = [_row(heading, SHARES), _row("---", ["---:"] * len(SHARES))]
    return "\n".join([*head, *(_row(name, cells.values()) for name, cells in rows.items())])


def _row(name: str, cells: Iterable[object]) -> str:
    shown = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return f"| {name} | {' | '.join(shown)} |"


def main(folder: Path) -> None:
    """Write both files, from the photographs in a folder."""
    photographs = read_photographs(folder)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    tables = "\n\n".join(
        [describe_splits(photographs), describe_grounds(photographs), describe_masks(photographs)]
    )
    write_text(PAGE, f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")
    listed = "".join(f"{id},{split}\n" for id, split in draw_to_mask(photographs).items())
    write_text(TO_MASK_LIST, f"id,split\n{listed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
