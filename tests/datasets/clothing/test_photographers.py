"""Splits by photographer, and what is drawn of them to be masked by hand."""

import runpy
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from made_clothing import published_photographs

from dseg.datasets.clothing.photographers import (
    SEED,
    SHARES,
    TO_MASK,
    draw_to_mask,
    find_split,
    is_fair,
    read_to_mask,
    split_by_sender,
)
from dseg.datasets.clothing.photographs import Photograph


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Photograph, ...]:
    return published_photographs(shared, tmp_path_factory.mktemp("clothing") / "all")


def make(noun: str, count: int, senders: int) -> list[Photograph]:
    return [Photograph(f"{noun}{i}", noun, i % senders, Path(f"{noun}{i}")) for i in range(count)]


def test_no_photographer_is_in_two_splits(published: tuple[Photograph, ...]) -> None:
    splits = split_by_sender(published)
    senders = [{each.sender for each in members} for members in splits.values()]
    assert sum(map(len, senders)) == len(set.union(*senders))
    assert sorted(each.id for members in splits.values() for each in members) == [
        each.id for each in published
    ]


def test_shares_are_of_photographers() -> None:
    counts = Counter(find_split(sender) for sender in range(20_000))
    for split, share in SHARES.items():
        assert abs(counts[split] / 20_000 - share) < 0.01
    assert sum(SHARES.values()) == pytest.approx(1)


def test_a_photographer_stays_whoever_else_is_there() -> None:
    photographs = make("hat", 500, 100)
    fewer = split_by_sender(photographs[::3])
    for split, members in split_by_sender(photographs).items():
        assert set(fewer[split]) == set(members) & set(photographs[::3])


def test_the_seed_is_the_first_that_is_fair(published: tuple[Photograph, ...]) -> None:
    fair = [is_fair(split_by_sender(published, seed)) for seed in range(SEED + 1)]
    assert fair == [False] * SEED + [True]


def test_every_noun_is_in_every_split(published: tuple[Photograph, ...]) -> None:
    nouns = {each.noun for each in published}
    for members in split_by_sender(published).values():
        assert {each.noun for each in members} == nouns


def test_splits_are_unfair_without_a_common_noun_or_their_share() -> None:
    hats = {"train": make("hat", 700, 9), "val": make("hat", 100, 9), "test": make("hat", 200, 9)}
    assert is_fair(hats)
    assert is_fair(hats | {"train": hats["train"] + make("top", 9, 9)})  # a rare noun
    shirts = make("shirt", 100, 9)
    assert not is_fair(hats | {"train": hats["train"][100:] + shirts})
    assert is_fair(
        {
            "train": hats["train"][70:] + shirts[:70],
            "val": hats["val"][8:] + shirts[70:78],
            "test": hats["test"][22:] + shirts[78:],
        }
    )
    assert not is_fair(hats | {"val": hats["val"][:50]})


def test_the_list_is_the_one_that_is_drawn(published: tuple[Photograph, ...]) -> None:
    drawn, listed = draw_to_mask(published), read_to_mask()
    assert list(listed.items()) == list(drawn.items())


def test_the_list_is_of_photographers_that_are_not_learnt_from(
    published: tuple[Photograph, ...],
) -> None:
    listed = read_to_mask()
    assert Counter(listed.values()) == TO_MASK
    senders = {each.id: each.sender for each in published}
    assert all(find_split(senders[id]) == split for id, split in listed.items())


def test_what_is_drawn_depends_on_ids_alone() -> None:
    photographs = make("hat", 2000, 300)
    drawn = draw_to_mask(photographs)
    assert Counter(drawn.values()) == TO_MASK
    shuffled = [Photograph(each.id, "shirt", each.sender, Path("x")) for each in photographs]
    Random(0).shuffle(shuffled)
    assert list(draw_to_mask(shuffled).items()) == list(drawn.items())
    # Of a split that has another photograph, that one alone may come in the place of one.
    more = Photograph("more", "hat", photographs[0].sender, Path("more"))
    assert set(draw_to_mask([*photographs, more])) - set(drawn) <= {"more"}


def test_the_page_has_their_numbers(root: Path, published: tuple[Photograph, ...]) -> None:
    table = runpy.run_path(str(root / "docs" / "clothing.py"))["describe_splits"](published)
    assert table.count("\n") > len(TO_MASK)
    assert table in (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
