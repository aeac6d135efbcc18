"""What a base model may learn: renders, or photographs of clothes."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_clothing import write_clothing

from dseg.datasets.clothing.photographers import split_by_sender
from dseg.datasets.clothing.photographs import NOUNS, read_photographs
from dseg.embedded import domains
from dseg.embedded.components import MAX_TOKENS, build_tokenizer
from dseg.embedded.domains import COARSE, RENDERED, Domain, open_domain
from dseg.embedded.instruments import CLASSIFIER, instrument_scenes
from dseg.errors import DsegError
from dseg.method.ground import GROUNDS
from dseg.world.captions import VOCABULARY
from dseg.world.renderer import captioned_images


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of each noun by each of forty photographers."""
    rows = [
        (f"{sender}-{noun}", sender, label) for sender in range(40) for label, noun in NOUNS.items()
    ]
    return write_clothing(tmp_path_factory.mktemp("made") / "clothes", rows)


@pytest.fixture(scope="module")
def photographed(clothes: Path) -> Domain:
    return open_domain(SimpleNamespace(photographs=str(clothes)))


def test_without_photographs_it_is_the_world() -> None:
    domain = open_domain(SimpleNamespace(photographs=None))
    assert domain is RENDERED and domain.held_out is None
    for (images, said), (expected, of) in (
        (domain.draw(5, 3, 32), captioned_images(5, 3, size=32)),
        (
            domain.labelled(8, 3, 32),
            ((scenes := instrument_scenes(CLASSIFIER, 3, 8, 32)).images, list(scenes.kinds)),
        ),
    ):
        assert np.array_equal(images, expected) and said == of
    assert domain.vocabulary == VOCABULARY and domain.all_kinds == domain.nouns


def test_every_noun_of_the_photographs_has_one_kind(photographed: Domain) -> None:
    assert set(photographed.nouns) == set(NOUNS.values())
    assert len(photographed.nouns) == len(NOUNS)
    assert photographed.all_kinds == tuple(COARSE)
    assert all(noun in COARSE[kind] for noun, kind in photographed.kinds.items())
    assert set(photographed.grounds) <= set(GROUNDS)


@pytest.mark.parametrize("name", ["rendered", "photographed"])
def test_what_is_asked_for_is_even_and_can_be_said(name: str, photographed: Domain) -> None:
    domain = RENDERED if name == "rendered" else photographed
    tokenizer = build_tokenizer(domain.vocabulary)
    captions = [domain.caption(noun, ground) for noun, ground in domain.asked]
    counts = Counter(domain.kinds[noun] for noun, _ in domain.asked)
    assert set(counts) == set(domain.all_kinds) and len(set(counts.values())) == 1
    for caption in captions:
        assert set(caption.split()) <= set(domain.vocabulary)
        assert len(tokenizer(caption).input_ids) == len(caption.split()) + 2 <= MAX_TOKENS
    of_ground = Counter(ground for _, ground in domain.asked)
    assert len(set(of_ground.values())) == 1


def test_many_nouns_of_a_kind_are_asked_for(photographed: Domain) -> None:
    asked = {noun for noun, _ in photographed.asked}
    for members in COARSE.values():
        assert len(asked & set(members)) == min(len(members), domains.ASKED)


def test_photographs_to_learn_are_those_of_the_split_train(
    clothes: Path, photographed: Domain
) -> None:
    splits = split_by_sender(read_photographs(clothes))
    count = len(splits["train"])
    views, captions = photographed.draw(count, 4, 8)
    assert views.shape == (count, 8, 8, 3)
    shown = Counter(caption.split()[4] for caption in captions)
    assert shown == Counter(each.noun for each in splits["train"])  # one turn
    again, said = photographed.draw(count, 4, 8)
    assert np.array_equal(again, views) and said == captions
    assert not np.array_equal(photographed.draw(count, 5, 8)[0], views)


def test_a_classifier_learns_as_many_of_each_kind(photographed: Domain) -> None:
    images, kinds = photographed.labelled(60, 0, 8)
    assert images.shape == (60, 8, 8, 3) and Counter(kinds) == dict.fromkeys(COARSE, 10)
    assert len(np.unique(images.reshape(60, -1), axis=0)) > 40


def test_it_is_tested_on_other_photographers(clothes: Path, photographed: Domain) -> None:
    assert photographed.held_out is not None
    images, kinds = photographed.held_out(8)
    val = split_by_sender(read_photographs(clothes))["val"]
    assert len(val) == len(images) == len(kinds) > 0
    for each, image, kind in zip(val, images, kinds, strict=True):
        assert np.array_equal(each.square(8), image) and each.noun in COARSE[kind]


def test_photographs_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="images: no such folder; `dseg data download clothing`"):
        open_domain(SimpleNamespace(photographs=str(tmp_path)))
