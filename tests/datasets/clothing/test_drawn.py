"""The masks of this repository: what was drawn for which photographs, and what came of it."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.clothing.outlines import MASKS, complete, read_drawn
from dseg.datasets.clothing.photographers import draw_twice, read_to_mask
from dseg.datasets.masks import read_mask


def test_every_listed_photograph_has_a_mask_and_twenty_have_a_second_outline() -> None:
    drawn, listed = read_drawn(), read_to_mask()
    assert drawn.first.keys() == listed.keys()
    assert sorted(drawn.second) == draw_twice(listed)
    assert {path.stem for path in MASKS.glob("*.png")} == listed.keys()
    for id, again in drawn.second.items():
        assert again != drawn.first[id]  # drawn, and not copied


def test_masks_are_their_outlines_completed_in_the_photographs(shared: Path) -> None:
    drawn = read_drawn()
    with zipfile.ZipFile(shared / "data" / "clothing" / "images.zip") as packed:
        for id, outline in drawn.first.items():
            with packed.open(f"{id}.jpg") as file:
                image = np.asarray(Image.open(file).convert("RGB"))
            mask = read_mask(MASKS / f"{id}.png").values > 127
            assert np.array_equal(complete(image, outline), mask), id
            assert 0.02 < mask.mean() < 0.95
