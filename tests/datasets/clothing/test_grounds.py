"""The colour word of what a garment lies on, and captions of such words."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from dseg.datasets.clothing.grounds import VOCABULARY, caption
from dseg.datasets.clothing.photographs import NOUNS, Photograph
from dseg.method.ground import GROUNDS, name_ground

each_word = pytest.mark.parametrize("word", GROUNDS)


def lay(word: str, shape: tuple[int, int] = (48, 36)) -> np.ndarray:
    """Noise of all colours on a ground, which is left bare for a sixth of each side."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    bare = min(shape) // 6
    inside = image[bare:-bare, bare:-bare].copy()
    image[:] = GROUNDS[word]
    image[bare:-bare, bare:-bare] = inside
    return image


@each_word
def test_a_ground_is_named_whatever_lies_on_it(word: str) -> None:
    for shape in ((48, 36), (64, 64), (300, 400)):
        assert name_ground(lay(word, shape)) == word


@each_word
def test_a_garment_may_reach_over_a_part_of_the_border(word: str) -> None:
    image = lay(word)
    image[:20] = GROUNDS["white" if word != "white" else "black"]
    assert name_ground(image) == word


@each_word
def test_neither_turns_nor_a_little_light_change_the_word(word: str) -> None:
    image = lay(word)
    for turned in (image[:, ::-1], image[::-1], np.rot90(image)):
        assert name_ground(turned) == word
    for light in (0.93, 1.07):
        lit = np.clip(image * light, 0, 255).astype(np.uint8)
        assert name_ground(lit) == word


def test_greys_have_no_hue() -> None:
    """From black to white by way of grey, each in one stretch."""
    names = [name_ground(np.full((12, 12, 3), level, np.uint8)) for level in range(256)]
    stretches = [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    assert stretches == ["black", "grey", "white"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 3)])
def test_small_pictures_are_all_border(shape: tuple[int, int]) -> None:
    assert name_ground(np.full((*shape, 3), GROUNDS["red"], np.uint8)) == "red"


def test_captions() -> None:
    assert caption("shirt", "tan") == "a photo of a shirt on tan"
    assert caption("undershirt", "white") == "a photo of an undershirt on white"
    assert caption("undershirt") == "a photo of an undershirt"
    said = [caption(noun, ground) for noun in NOUNS.values() for ground in GROUNDS]
    assert {word for each in said for word in each.split()} == set(VOCABULARY)
    assert len(set(said)) == len(said) and len(set(VOCABULARY)) == len(VOCABULARY)
    assert "object" not in VOCABULARY


def test_the_word_hardly_depends_on_the_size(shared: Path, tmp_path: Path) -> None:
    """Of real photographs, most have the same word at 64 x 64 as at 192 x 192."""
    with zipfile.ZipFile(shared / "data" / "clothing" / "images.zip") as packed:
        packed.extractall(tmp_path, packed.namelist()[::100])
    photographs = [Photograph(path.stem, "hat", 0, path) for path in tmp_path.iterdir()]
    same = [name_ground(each.square(64)) == name_ground(each.square(192)) for each in photographs]
    assert len(same) == 51 and np.mean(same) > 0.9
