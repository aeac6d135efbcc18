"""Views of photographs to learn from: how often each is shown, how it is cut, what is said."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_clothing import write_clothing
from PIL import Image

from dseg.datasets.clothing.grounds import caption
from dseg.datasets.clothing.photographs import Photograph, read_photographs
from dseg.datasets.clothing.views import GROUNDLESS, LEAST, captioned_views
from dseg.method.ground import name_ground

NOUNS = ("tshirt", "hat", "pants", "undershirt", "shoes")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    """Five photographs of five sizes; each is of one colour, which tells it from the others."""
    folder = tmp_path_factory.mktemp("photographs")
    made = []
    for index, noun in enumerate(NOUNS):
        path = folder / f"{noun}.png"
        pixels = np.full((24 + 4 * index, 40 - 4 * index, 3), 50 * index, np.uint8)
        Image.fromarray(pixels).save(path)
        made.append(Photograph(noun, noun, index, path))
    return made


def gradient(folder: Path) -> Photograph:
    """Of which red says the column and green the row."""
    rows, columns = np.mgrid[:100, :80]
    pixels = np.stack([3 * columns, 2 * rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    path = folder / "gradient.png"
    Image.fromarray(pixels).save(path)
    return Photograph("gradient", "hat", 0, path)


@pytest.mark.parametrize("size", [8, 16, 40])
def test_views_are_squares_of_the_size_asked_for(photographs: list[Photograph], size: int) -> None:
    views, said = captioned_views(photographs, 7, 3, size)
    assert views.shape == (7, size, size, 3) and views.dtype == np.uint8 and len(said) == 7


def test_every_photograph_is_shown_once_a_turn(photographs: list[Photograph]) -> None:
    views, said = captioned_views(photographs, 3 * len(NOUNS) + 2, 1, 8)
    shown = [NOUNS[round(view.mean() / 50)] for view in views]
    assert all(each.split()[4] == noun for each, noun in zip(said, shown, strict=True))
    turns = [shown[start : start + 5] for start in range(0, 15, 5)]
    assert all(sorted(turn) == sorted(NOUNS) for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1
    assert max(Counter(shown).values()) == 4 and len(set(shown[15:])) == 2


def test_a_view_follows_from_its_seed_and_its_number(tmp_path: Path) -> None:
    photographs = read_photographs(write_clothing(tmp_path))
    views, said = captioned_views(photographs, 12, 5, 16)
    again, said_again = captioned_views(photographs, 12, 5, 16)
    assert np.array_equal(views, again) and said == said_again
    fewer, said_fewer = captioned_views(photographs, 7, 5, 16)
    assert np.array_equal(fewer, views[:7]) and said_fewer == said[:7]
    assert not np.array_equal(captioned_views(photographs, 12, 6, 16)[0], views)
    # Some crops of so small pictures are the same; views of one photograph are not.
    assert len(np.unique(views.reshape(12, -1), axis=0)) > 9


def test_a_crop_keeps_most_of_each_side_and_half_are_mirrored(tmp_path: Path) -> None:
    views, _ = captioned_views([gradient(tmp_path)], 200, 0, 40)
    left, right = views[:, :, 0, 0].mean(1) / 3, views[:, :, -1, 0].mean(1) / 3
    top, bottom = views[:, 0, :, 1].mean(1) / 2, views[:, -1, :, 1].mean(1) / 2
    mirrored = left > right
    assert 0.35 < mirrored.mean() < 0.65 and (bottom > top).all()
    for first, last, side in ((np.minimum(left, right), np.maximum(left, right), 80),
                              (top, bottom, 100)):  # fmt: skip
        kept = (last - first) / side
        assert kept.min() > LEAST - 0.04 and kept.max() < 1.01
        assert np.ptp(kept) > 0.08 and np.ptp(first) > 0.08 * side  # crops differ
    assert len(np.unique(views.reshape(200, -1), axis=0)) > 180


def test_the_whole_photograph_names_the_ground(tmp_path: Path) -> None:
    photographs = read_photographs(write_clothing(tmp_path))
    _, said = captioned_views(photographs, 600, 2, 8)
    expected = {caption(each.noun, name_ground(each.image())) for each in photographs}
    groundless = {caption(each.noun) for each in photographs}
    assert set(said) == expected | groundless
    assert abs(np.mean([each in groundless for each in said]) - GROUNDLESS) < 0.04
