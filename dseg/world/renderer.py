"""Rendering of captioned scenes: the embedded world, drawn by program, for runs without downloads.

`captioned_images` feeds the training of the base model and returns no masks; `annotated_scenes` is
for the evaluation splits alone (`splits`).

Image i of (seed, domain) depends on nothing else: not on how many images are asked for, nor on
those before it. Training images and annotated scenes draw from disjoint random streams, so no
evaluation image occurs in training whatever the seeds. The streams are numpy's: identical pixels
are promised for one version of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dseg.world.backgrounds import SHIFT_CONTEXTS, TRAIN_CONTEXTS, paint_background, pixel_grid
from dseg.world.captions import GENERIC, caption
from dseg.world.kinds import KIND_NAMES
from dseg.world.objects import composite, place_objects, visible_regions
from dseg.world.shift import UNSEEN_BACKGROUND_RATE, degrade, draw_distractors

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = NDArray[np.int64]

_TRAINING, _ANNOTATED = 0, 1  # the two families of random streams
_STREAMS = ("assignment", "choice", "caption", "background", "objects", "finish", "shift")
_SENSOR_NOISE = np.float32(0.01)


@dataclass(frozen=True)
class Scenes:
    """Annotated renders.

    Attributes:
        images: uint8 (n, S, S, 3).
        masks: bool (n, S, S), the union of the visible parts of the objects.
        kinds: Kind of the first object of each image.
        contexts: Background of each image.
        captions: Caption of each image, with the first object's kind.
        boxes: One int64 (k, 4) array per image: x0, y0, x1, y1 (ends exclusive) of the visible
            part of each object.
        names: Kinds of all objects of each image, in the order of its boxes.
    """

    images: NDArray[np.uint8]
    masks: Mask
    kinds: list[str]
    contexts: list[str]
    captions: list[str]
    boxes: list[Box]
    names: list[tuple[str, ...]]


def captioned_images(
    count: int,
    seed: int,
    *,
    size: int = 64,
    contextless: float = 0.1,
    generic: float = 0.1,
    start: int = 0,
) -> tuple[NDArray[np.uint8], list[str]]:
    """Render training data of the base model: images and captions, never masks.

    Args:
        count: Number of images.
        seed: Run seed, not negative.
        size: Side of the images in pixels.
        contextless: Share of captions that leave the background out.
        generic: Share of captions that say "object" instead of the kind.
        start: Number of the first image, to render one long series in parts.

    Returns:
        uint8 (count, size, size, 3) and the captions.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    captions = []
    for row, index in enumerate(range(start, start + count)):
        kind, context = _assignment(seed, index, _TRAINING)
        images[row], _ = _render(seed, index, _TRAINING, [kind], context, size)
        chance = _generator(seed, index, _TRAINING, "caption").random(2)
        noun = GENERIC if chance[0] < generic else kind
        captions.append(caption(noun, None if chance[1] < contextless else context))
    return images, captions


def annotated_scenes(
    count: int,
    seed: int,
    *,
    size: int = 64,
    domain: Literal["train", "shift"] = "train",
    shift_strength: float = 0.5,
    objects: tuple[int, int] = (1, 1),
) -> Scenes:
    """Render evaluation data: images with masks, boxes and captions.

    Args:
        count: Number of images.
        seed: Not negative; see the module's text on determinism.
        size: Side of the images in pixels.
        domain: "train" has the distribution of `captioned_images`, "shift" departs from it.
        shift_strength: 0 = the training distribution, 1 = harsh; only for "shift".
        objects: Smallest and largest number of objects; several are smaller and of distinct kinds.

    Raises:
        ValueError: `objects` or `shift_strength` out of range.
    """
    low, high = objects
    if not 1 <= low <= high <= len(KIND_NAMES):
        raise ValueError(f"objects: expected 1 <= low <= high <= {len(KIND_NAMES)}, got {objects}")
    if not 0 <= shift_strength <= 1:
        raise ValueError(f"shift_strength: expected a number in [0, 1], got {shift_strength}")
    strength = shift_strength if domain == "shift" else 0.0
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), bool)
    contexts: list[str] = []
    boxes: list[Box] = []
    names: list[tuple[str, ...]] = []
    for index in range(count):
        kinds, context = _choose(seed, index, strength, low, high)
        images[index], regions = _render(seed, index, _ANNOTATED, kinds, context, size, strength)
        masks[index] = np.any(regions, axis=0)
        boxes.append(np.stack([_box(region) for region in regions]))
        names.append(kinds)
        contexts.append(context)
    firsts = [kinds[0] for kinds in names]
    captions = [caption(kind, context) for kind, context in zip(firsts, contexts, strict=True)]
    return Scenes(images, masks, firsts, contexts, captions, boxes, names)


def _generator(seed: int, index: int, family: int, stream: str) -> np.random.Generator:
    return np.random.default_rng([seed, index, family, _STREAMS.index(stream)])


@lru_cache(maxsize=64)
def _block(seed: int, block: int, family: int) -> tuple[tuple[str, str], ...]:
    """Every (kind, context) pair once, shuffled; each run of 12 holds every kind."""
    generator = _generator(seed, block, family, "assignment")
    contexts = generator.permutation(len(TRAIN_CONTEXTS))
    offsets = generator.integers(0, len(contexts), len(KIND_NAMES))
    pairs = []
    for row in range(len(contexts)):
        for k in generator.permutation(len(KIND_NAMES)):
            context = contexts[(row + offsets[k]) % len(contexts)]
            pairs.append((KIND_NAMES[k], TRAIN_CONTEXTS[context]))
    return tuple(pairs)


def _assignment(seed: int, index: int, family: int) -> tuple[str, str]:
    pairs = len(KIND_NAMES) * len(TRAIN_CONTEXTS)
    return _block(seed, index // pairs, family)[index % pairs]


def _choose(
    seed: int, index: int, strength: float, low: int, high: int
) -> tuple[tuple[str, ...], str]:
    """Kinds and background of an annotated scene."""
    kind, context = _assignment(seed, index, _ANNOTATED)
    generator = _generator(seed, index, _ANNOTATED, "choice")
    chance, unseen = generator.random(), generator.integers(len(SHIFT_CONTEXTS))
    if chance < UNSEEN_BACKGROUND_RATE * strength:
        context = SHIFT_CONTEXTS[unseen]
    extra = int(generator.integers(low, high + 1)) - 1
    others = [name for name in KIND_NAMES if name != kind]
    return (kind, *(others[k] for k in generator.permutation(len(others))[:extra])), context


def _render(
    seed: int,
    index: int,
    family: int,
    kinds: Sequence[str],
    context: str,
    size: int,
    strength: float = 0.0,
) -> tuple[NDArray[np.uint8], list[Mask]]:
    """One image uint8 (S, S, 3) and the visible region of each object, bool (S, S)."""
    x, y = pixel_grid(size)
    # One stream per step, so that a step's draws do not depend on those of the steps before it.
    image = paint_background(context, size, _generator(seed, index, family, "background"))
    shifted = _generator(seed, index, family, "shift")
    if strength:
        image = draw_distractors(image, x, y, strength, shifted)
    generator = _generator(seed, index, family, "objects")
    objects = place_objects(kinds, size, generator)
    shadow = generator.uniform(0.0, 0.4)
    for item in objects:
        image = composite(image, item, shadow)
    finish = _generator(seed, index, family, "finish")
    angle, slope = finish.uniform(0, 2 * np.pi), finish.uniform(0, 0.12)
    light = finish.uniform(0.88, 1.08) + slope * (np.cos(angle) * x + np.sin(angle) * y)
    image = image * light.astype(np.float32)[..., None]
    if strength:
        image = degrade(image, x, y, strength, shifted)
    image = image + _SENSOR_NOISE * finish.standard_normal(image.shape, np.float32)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), visible_regions(objects)


def _box(region: Mask) -> Box:
    """Tight x0, y0, x1, y1 (ends exclusive) of a region that is not empty."""
    columns, rows = np.flatnonzero(region.any(0)), np.flatnonzero(region.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
