"""Rendering of captioned scenes, with or without annotations.

Image i of (seed, domain) depends on nothing else: not on how many images are asked for, nor on
those before it. Training images and annotated scenes draw from disjoint random streams, so no
evaluation image can occur in training whatever the seeds. Streams are numpy's (PCG64): identical
pixels are promised for one version of numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dseg.world.backgrounds import SHIFT_CONTEXTS, TRAIN_CONTEXTS, paint_background
from dseg.world.captions import GENERIC, caption
from dseg.world.kinds import KIND_NAMES, KINDS, SPRITE_EXTENT, SPRITE_SIZE, VARIANTS, fill, sprite
from dseg.world.shift import UNSEEN_BACKGROUND_RATE, blur, degrade, draw_distractors

Plane = NDArray[np.float32]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = NDArray[np.int64]

TRAINING, ANNOTATED = 0, 1  # the two families of random streams
SENSOR_NOISE = 0.01
_SUPERSAMPLING = 2
_AREA = (0.1, 0.33)  # share of the image one object takes, as far as it fits
_AREA_AMONG_OTHERS = (0.06, 0.13)
_OVERLAP = 0.12  # accepted share of the smaller object's area, among several objects


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
    """

    images: NDArray[np.uint8]
    masks: Mask
    kinds: list[str]
    contexts: list[str]
    captions: list[str]
    boxes: list[Box]


@dataclass(frozen=True)
class _Object:
    kind: str
    colour: Image  # (S, S, 3), times alpha
    alpha: Plane  # (S, S)


def captioned_images(
    count: int, seed: int, *, size: int = 64, contextless: float = 0.1, generic: float = 0.1
) -> tuple[NDArray[np.uint8], list[str]]:
    """Render training data of the base model: images and captions, never masks.

    Args:
        count: Number of images.
        seed: Run seed, non-negative.
        size: Side of the images in pixels.
        contextless: Share of captions that leave the background out.
        generic: Share of captions that say "object" instead of the kind.

    Returns:
        uint8 (count, size, size, 3) and the captions.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    captions = []
    for index in range(count):
        kind, context = _assignment(seed, index, TRAINING)
        image, _ = _render(index, seed, TRAINING, [kind], context, size)
        images[index] = image
        chance = _generator(seed, index, TRAINING, "caption").random(2)
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
        seed: Non-negative; see the module's text on determinism.
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
    kinds, contexts, boxes = [], [], []
    for index in range(count):
        kind, context = _assignment(seed, index, ANNOTATED)
        chooser = _generator(seed, index, ANNOTATED, "choice")
        if chooser.random() < UNSEEN_BACKGROUND_RATE * strength:
            context = SHIFT_CONTEXTS[index % len(SHIFT_CONTEXTS)]
        others = [name for name in KIND_NAMES if name != kind]
        extra = int(chooser.integers(low, high + 1)) - 1
        names = [kind, *(others[k] for k in chooser.permutation(len(others))[:extra])]
        image, visible = _render(index, seed, ANNOTATED, names, context, size, strength)
        images[index] = image
        masks[index] = np.any(visible, axis=0)
        boxes.append(np.stack([_box(part) for part in visible]))
        kinds.append(kind)
        contexts.append(context)
    captions = [caption(kind, context) for kind, context in zip(kinds, contexts, strict=True)]
    return Scenes(images, masks, kinds, contexts, captions, boxes)


_STREAMS = ("assignment", "choice", "caption", "background", "objects", "finish", "shift")


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


def _render(
    index: int,
    seed: int,
    family: int,
    kinds: list[str],
    context: str,
    size: int,
    strength: float = 0.0,
) -> tuple[NDArray[np.uint8], list[Mask]]:
    """One image uint8 (S, S, 3) and the visible region of each object, bool (S, S)."""
    image = paint_background(context, size, _generator(seed, index, family, "background"))
    x, y = _grid(size, size)
    shifted = _generator(seed, index, family, "shift")
    if strength:
        image = draw_distractors(image, x, y, strength, shifted)
    generator = _generator(seed, index, family, "objects")
    objects = _place(kinds, size, generator)
    shadow = np.float32(generator.uniform(0.0, 0.4))
    for item in objects:
        image = _composite(image, item, shadow)
    finish = _generator(seed, index, family, "finish")
    angle, slope = finish.uniform(0, 2 * np.pi), finish.uniform(0, 0.12)
    light = finish.uniform(0.88, 1.08) + slope * (np.cos(angle) * x + np.sin(angle) * y)
    image = image * light.astype(np.float32)[..., None]
    if strength:
        image = degrade(image, x, y, strength, shifted)
    image = image + np.float32(SENSOR_NOISE) * finish.standard_normal(image.shape, np.float32)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), _visible(objects)


@lru_cache(maxsize=8)
def _grid(size: int, samples: int) -> tuple[Plane, Plane]:
    del size  # the frame is [-1, 1]^2 at every size
    line = (np.arange(samples, dtype=np.float32) + 0.5) / samples * 2 - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    return x, y


def _place(kinds: list[str], size: int, generator: np.random.Generator) -> list[_Object]:
    """Draw the objects; several are kept apart by trying positions again."""
    low, high = _AREA if len(kinds) == 1 else _AREA_AMONG_OTHERS
    placed: list[_Object] = []
    for kind in kinds:
        best, least = None, np.inf
        for _ in range(1 if not placed else 40):
            item = _draw_object(kind, size, generator.uniform(low, high), generator)
            overlap = max((_overlap(item, other) for other in placed), default=0.0)
            if overlap < least:
                best, least = item, overlap
            if overlap <= _OVERLAP:
                break
        assert best is not None
        placed.append(best)
    return placed


def _overlap(first: _Object, second: _Object) -> float:
    a, b = first.alpha >= 0.5, second.alpha >= 0.5
    return float((a & b).sum() / min(a.sum(), b.sum()))


def _draw_object(kind: str, size: int, area: float, generator: np.random.Generator) -> _Object:
    variant = int(generator.integers(VARIANTS))
    scale = min(np.sqrt(area / fill(kind, variant)), 0.92)
    aspect = np.exp(generator.uniform(-0.1, 0.1))
    angle = generator.uniform(-0.4, 0.4)
    flip = 1 if generator.random() < 0.5 else -1
    room = max(0.04, 0.96 - scale)
    cx, cy = generator.uniform(-room, room, 2)
    x, y = _grid(size, _SUPERSAMPLING * size)
    c, s = np.cos(angle), np.sin(angle)
    # Frame -> sprite pixels, folded into one affine map per axis.
    unit = SPRITE_SIZE / (2 * SPRITE_EXTENT)
    ku, kv = flip * unit / (scale * aspect), unit * aspect / scale
    column = np.float32(ku * c) * x + np.float32(ku * s) * y
    column += np.float32(SPRITE_SIZE / 2 - ku * (c * cx + s * cy))
    row = np.float32(kv * c) * y - np.float32(kv * s) * x
    row += np.float32(SPRITE_SIZE / 2 - kv * (c * cy - s * cx))
    last = SPRITE_SIZE - 1  # the sprite's rim is empty, so clipping to it means "outside"
    place = np.clip(row, 0, last).astype(np.int32) * SPRITE_SIZE
    place += np.clip(column, 0, last).astype(np.int32)
    labels = sprite(kind, variant).ravel().take(place)
    rgba = _average(_palette(kind, generator).take(labels, axis=0))
    colour, alpha = rgba[..., :3], np.ascontiguousarray(rgba[..., 3])
    fx, fy = _grid(size, size)
    towards, amount = generator.uniform(0, 2 * np.pi), generator.uniform(0.04, 0.22) / scale
    shade = 1 + np.float32(amount * np.cos(towards)) * (fx - np.float32(cx))
    shade += np.float32(amount * np.sin(towards)) * (fy - np.float32(cy))
    shade += np.float32(KINDS[kind].grain) * generator.standard_normal(shade.shape, np.float32)
    return _Object(kind, colour * shade[..., None], alpha)


def _palette(kind: str, generator: np.random.Generator) -> NDArray[np.float32]:
    """RGBA (parts + 1, 4) of the labels, jittered; colours times alpha, the outside is all 0."""
    colours = np.asarray(KINDS[kind].palette, np.float32)
    table = np.zeros((len(colours) + 1, 4), np.float32)
    common = generator.normal(0, 0.025, 3)
    table[1:, :3] = np.clip(colours + common + generator.normal(0, 0.02, colours.shape), 0, 1)
    table[1:, 3] = 1
    return table


def _average(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the supersampled 2 x 2 pixels of (2S, 2S, c)."""
    rows = fine[0::2] + fine[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)


def _composite(image: Image, item: _Object, shadow: np.float32) -> Image:
    reach = max(1, round(len(image) / 32))
    cast = np.zeros_like(item.alpha)
    cast[reach:, reach:] = item.alpha[:-reach, :-reach]
    clear = (1 - item.alpha) * (1 - shadow * blur(cast))
    return image * clear[..., None] + item.colour


def _visible(objects: list[_Object]) -> list[Mask]:
    """Region of each object that no later one hides; half-covered pixels count as covered."""
    regions = [item.alpha >= 0.5 for item in objects]
    hidden = np.zeros_like(regions[0])
    parts = []
    for region in reversed(regions):
        parts.append(region & ~hidden)
        hidden = hidden | region
    return parts[::-1]


def _box(region: Mask) -> Box:
    """Tight x0, y0, x1, y1 (ends exclusive) of a region that is not empty."""
    columns, rows = np.flatnonzero(region.any(0)), np.flatnonzero(region.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
