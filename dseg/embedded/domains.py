"""What an embedded base model learns to draw: the rendered world, or photographs of clothes.

A domain draws captioned images, as many as are asked for, and says how samples are judged: the
kinds that a classifier tells apart, what it is trained and tested on, and the prompts whose samples
it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dseg.datasets.clothing import grounds
from dseg.datasets.clothing.photographers import split_by_sender
from dseg.datasets.clothing.photographs import Photograph, read_photographs
from dseg.datasets.clothing.views import captioned_views
from dseg.embedded.instruments import CLASSIFIER, instrument_scenes
from dseg.world import captions
from dseg.world.backgrounds import TRAIN_CONTEXTS
from dseg.world.kinds import KIND_NAMES
from dseg.world.renderer import captioned_images

if TYPE_CHECKING:
    from dseg.settings.world import BaseSettings

Captioned = tuple[np.ndarray, list[str]]
# What a look at 64 px tells apart for certain; which of the sleeved tops is meant it does not.
COARSE = {
    "top": (
        "tshirt", "longsleeve", "shirt", "jacket", "polo", "undershirt", "blazer", "hoodie",
        "bodysuit", "top", "blouse",
    ),
    "trousers": ("pants",),
    "shorts": ("shorts",),
    "skirt or dress": ("skirt", "dress"),
    "shoes": ("shoes",),
    "hat": ("hat",),
}  # fmt: skip
SHOWN_GROUNDS = ("white", "grey", "tan", "brown")  # on which most garments lie


ASKED = 6  # samples of each kind on each of these


@dataclass(frozen=True)
class Domain:
    """A domain to learn.

    Attributes:
        vocabulary: All words of all captions.
        nouns: What it shows, in the order of a sheet of samples.
        grounds: On what a sheet of samples shows it.
        kinds: The kind of each noun, as a classifier tells them apart.
        caption: (noun, ground) -> caption.
        asked: Noun and ground of each sample that is judged, evenly over the kinds.
        draw: (count, seed, size) -> uint8 (count, size, size, 3) and captions.
        labelled: The same with kinds for captions, evenly over the kinds, to train a classifier.
        held_out: size -> images and kinds that nothing is trained on; None: those of a benchmark.
    """

    vocabulary: tuple[str, ...]
    nouns: tuple[str, ...]
    grounds: tuple[str, ...]
    kinds: Mapping[str, str]
    caption: Callable[[str, str], str]
    asked: tuple[tuple[str, str], ...]
    draw: Callable[[int, int, int], Captioned]
    labelled: Callable[[int, int, int], Captioned]
    held_out: Callable[[int], Captioned] | None = None

    @property
    def all_kinds(self) -> tuple[str, ...]:
        """The kinds, each once."""
        return tuple(dict.fromkeys(self.kinds[noun] for noun in self.nouns))


def open_domain(settings: BaseSettings) -> Domain:
    """The domain that `base` names.

    Raises:
        DsegError: As `read_photographs`.
    """
    if settings.photographs is None:
        return RENDERED
    splits = split_by_sender(read_photographs(Path(settings.photographs)))
    return photographed(splits["train"], splits["val"])


def photographed(train: Sequence[Photograph], val: Sequence[Photograph]) -> Domain:
    """The domain of photographs of clothes: those to learn, and those of other photographers."""
    nouns = tuple(noun for members in COARSE.values() for noun in members)
    kinds = {noun: kind for kind, members in COARSE.items() for noun in members}

    def labelled(count: int, seed: int, size: int) -> Captioned:
        parts, shown = [], []
        for index, kind in enumerate(COARSE):
            own = [each for each in train if kinds[each.noun] == kind]
            part, _ = captioned_views(own, count // len(COARSE), seed + index, size)
            parts.append(part)
            shown += [kind] * len(part)
        return np.concatenate(parts), shown

    def held_out(size: int) -> Captioned:
        images = np.stack([each.square(size) for each in val])
        return images, [kinds[each.noun] for each in val]

    return Domain(
        vocabulary=grounds.VOCABULARY,
        nouns=nouns,
        grounds=SHOWN_GROUNDS,
        kinds=kinds,
        caption=grounds.caption,
        asked=tuple(
            (members[turn % len(members)], ground)
            for members in COARSE.values()
            for turn in range(ASKED)
            for ground in SHOWN_GROUNDS
        ),
        draw=lambda count, seed, size: captioned_views(train, count, seed, size),
        labelled=labelled,
        held_out=held_out,
    )


def _render(count: int, seed: int, size: int) -> Captioned:
    return captioned_images(count, seed, size=size)


def _label(count: int, seed: int, size: int) -> Captioned:
    scenes = instrument_scenes(CLASSIFIER, seed, count, size)
    return scenes.images, list(scenes.kinds)


RENDERED = Domain(
    vocabulary=captions.VOCABULARY,
    nouns=KIND_NAMES,
    grounds=("wood", "grass", "sky", "brick"),
    kinds={kind: kind for kind in KIND_NAMES},
    caption=captions.caption,
    asked=tuple(product(KIND_NAMES, TRAIN_CONTEXTS)),
    draw=_render,
    labelled=_label,
)
