"""Outlines on drawn shapes: whatever a hand misses by a pixel or two, the edge decides."""

import json
from pathlib import Path

import numpy as np
import pytest

from dseg.datasets.clothing.outlines import (
    STRIP,
    Drawn,
    Outline,
    Polygon,
    as_outline,
    complete,
    fill,
    read_drawn,
    read_outline,
    write_drawn,
)
from dseg.errors import DsegError

SHAPE = (72, 60)
GARMENT, GROUND = (150, 40, 60), (170, 165, 150)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    x0, y0, x1, y1 = map(float, (left, top, right, bottom))
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def photograph(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """A garment of one colour on another, with the noise of a camera."""
    image = np.where(mask[..., None], GARMENT, GROUND)
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_polygon_has_the_pixels_whose_centre_is_inside() -> None:
    mask = fill([box(2, 1, 5, 3)], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(mask, expected)
    wider = fill([box(1.7, 0.7, 5.3, 3.3)], (6, 8))  # short of the next centres
    assert np.array_equal(wider, expected)
    assert fill([box(1.2, 1, 5, 3)], (6, 8))[1:3, 1].all()
    assert not fill([], (6, 8)).any()


def test_polygons_are_joined_and_may_reach_over_the_rim() -> None:
    one, other = box(0, 0, 3, 3), box(2, 2, 5, 5)
    joined = fill([one, other], (6, 6))
    assert np.array_equal(joined, fill([one], (6, 6)) | fill([other], (6, 6)))
    assert fill([box(-50, -50, 50, 50)], (6, 8)).all()
    assert np.array_equal(fill([box(-9, 2, 99, 4)], (6, 8)), fill([box(0, 2, 8, 4)], (6, 8)))


@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("way", ["moved", "grown"])
def test_an_outline_that_is_off_by_two_pixels_gives_the_same_mask(off: int, way: str) -> None:
    truth = fill([box(16, 12, 44, 58)], SHAPE)
    drawn = (
        box(16 + off, 12 - off, 44 + off, 58 - off)
        if way == "moved"
        else box(16 - off, 12 - off, 44 + off, 58 + off)
    )
    found = complete(photograph(truth), Outline((drawn,)))
    assert found.shape == SHAPE and found.dtype == bool
    assert overlap(found, truth) > 0.98
    if off:
        assert overlap(found, truth) > overlap(fill([drawn], SHAPE), truth) + 0.02


def test_without_a_strip_the_polygons_are_the_mask() -> None:
    truth = fill([box(16, 12, 44, 58)], SHAPE)
    drawn, hole = box(13, 15, 40, 61), box(20, 20, 24, 24)
    found = complete(photograph(truth), Outline((drawn,), (hole,), strip=0))
    assert np.array_equal(found, fill([drawn], SHAPE) & ~fill([hole], SHAPE))


def test_where_no_edge_is_to_be_seen_the_mask_is_the_outline_within_its_strip() -> None:
    drawn = fill([box(16, 12, 44, 58)], SHAPE)
    blank = np.full((*SHAPE, 3), 128, np.uint8)
    found = complete(blank, Outline((box(16, 12, 44, 58),)))
    inner, outer = fill([box(20, 16, 40, 54)], SHAPE), fill([box(12, 8, 48, 62)], SHAPE)
    assert found[inner].all() and not found[~outer].any()
    assert overlap(found, drawn) > 0.7


def test_a_garment_goes_on_beyond_the_photograph() -> None:
    """Its rim there is no outline: up to it all is garment, however far beyond it was drawn."""
    truth = fill([box(10, 30, 50, 200)], SHAPE)
    for beyond in (72, 75, 90):
        found = complete(photograph(truth), Outline((box(11, 29, 51, beyond),)))
        assert overlap(found, truth) > 0.98
        assert found[-1, 13:47].all() and not found[:26].any()


def test_all_and_nothing_are_left_alone() -> None:
    image = photograph(fill([box(16, 12, 44, 58)], SHAPE))
    assert complete(image, Outline((box(-1, -1, 61, 73),))).all()
    assert not complete(image, Outline((box(70, 80, 75, 85),))).any()


def test_a_hole_is_no_garment() -> None:
    hole = box(24, 26, 38, 44)
    truth = fill([box(12, 10, 50, 62)], SHAPE) & ~fill([hole], SHAPE)
    outline = Outline((box(10, 12, 52, 62),), (box(25, 25, 40, 43),))
    found = complete(photograph(truth), outline)
    assert overlap(found, truth) > 0.97 and not found[30:40, 28:34].any()
    assert complete(photograph(truth), Outline(outline.inside))[30:40, 28:34].all()


@pytest.mark.parametrize("width", [3, 4, 5])
def test_a_strap_that_is_narrower_than_the_strip_stays(width: int) -> None:
    assert width < 2 * STRIP
    strap = box(28, 6, 28 + width, 40)
    body = box(14, 38, 46, 64)
    truth = fill([strap, body], SHAPE)
    found = complete(photograph(truth), Outline((strap, body)))
    assert overlap(found, truth) > 0.97
    assert found[10:36, 28 : 28 + width].mean() > 0.9


OUTLINE = Outline((box(1, 2, 30.5, 40),), (box(4, 5, 6, 7),), 1.5)


def test_outlines_can_be_read_back(tmp_path: Path) -> None:
    drawn = Drawn({"b": OUTLINE, "a": Outline((box(0, 0, 9, 9),))}, {"a": OUTLINE})
    path = tmp_path / "outlines.json"
    write_drawn(drawn, path)
    again = read_drawn(path)
    assert again == drawn and list(again.first) == ["a", "b"]
    before = path.read_bytes()
    write_drawn(again, path)
    assert path.read_bytes() == before and before.count(b"\n") < 12  # a line each
    one = tmp_path / "one.json"
    one.write_text(json.dumps({"inside": [box(0, 0, 9, 9)]}))
    assert read_outline(one) == Outline((box(0, 0, 9, 9),)) and read_outline(one).strip == STRIP


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"inside": []},
        {"inside": [[[0, 0], [1, 1]]]},
        {"inside": [[[0, 0], [1, 1], [2]]]},
        {"inside": [[[0, 0], [1, 1], ["x", 2]]]},
        {"inside": [[[0, 0], [1, 1], [float("nan"), 2]]]},
        {"inside": [[[0, 0], [1, 1], [1e9, 2]]]},
        {"inside": [[[0, 0], [1, 1], [10**400, 2]]]},
        {"inside": [box(0, 0, 9, 9)], "outside": [[[0, 0]]]},
        {"inside": [box(0, 0, 9, 9)], "strip": -1},
        {"inside": [box(0, 0, 9, 9)], "strip": "wide"},
        {"inside": [box(0, 0, 9, 9)], "strip": float("nan")},
    ],
)
def test_what_is_no_outline_is_one_line_that_names_it(said: object) -> None:
    with pytest.raises(DsegError, match=r"^here: expected .*three corners or more") as error:
        as_outline(said, "here")
    assert "\n" not in str(error.value)


def test_a_file_without_outlines_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outlines.json"
    for content in (None, "{", "[]", '{"first": []}', '{"first": {"a": 3}}'):
        if content is not None:
            path.write_text(content)
        with pytest.raises(DsegError, match=r"outlines\.json: "):
            read_drawn(path)
