"""Placing and drawing the objects of a scene, with their exact coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dseg.world.backgrounds import pixel_grid
from dseg.world.kinds import KINDS, SPRITE_EXTENT, SPRITE_SIZE, VARIANTS, fill, sprite
from dseg.world.shift import blur

Plane = NDArray[np.float32]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SUPERSAMPLING = 2
_LARGEST_SCALE = 0.92  # half-width of an object's frame; at 1 it would span the image
_AREA = (0.1, 0.33)  # share of the image one object takes, as far as it fits
_AREA_AMONG_OTHERS = (0.05, 0.11)
_OVERLAP = 0.02  # accepted share of the smaller object's area, among several objects
_ATTEMPTS = 60


@dataclass(frozen=True)
class DrawnObject:
    """One object in the image's frame.

    Attributes:
        kind: Its noun.
        colour: float32 (S, S, 3), times alpha.
        alpha: float32 (S, S), share of the pixel it covers, in quarters.
    """

    kind: str
    colour: Image
    alpha: Plane

    @property
    def region(self) -> Mask:
        """Pixels of which it covers at least half."""
        return self.alpha >= 0.5


def place_objects(
    kinds: Sequence[str], size: int, generator: np.random.Generator
) -> list[DrawnObject]:
    """Draw one object of each kind; several are smaller and moved until they hardly overlap."""
    area = _AREA if len(kinds) == 1 else _AREA_AMONG_OTHERS
    placed: list[DrawnObject] = []
    for kind in kinds:
        best = _draw(kind, size, area, generator)
        for _ in range(_ATTEMPTS):
            if _overlap(best, placed) <= _OVERLAP:
                break
            other = _draw(kind, size, area, generator)
            best = min(best, other, key=lambda item: _overlap(item, placed))
        placed.append(best)
    return placed


def composite(image: Image, item: DrawnObject, shadow: float) -> Image:
    """Lay an object over an image (S, S, 3), with a soft shadow of strength [0, 1] beneath it."""
    reach = max(1, round(len(image) / 32))
    cast = np.zeros_like(item.alpha)
    cast[reach:, reach:] = item.alpha[:-reach, :-reach]
    clear = (1 - item.alpha) * (1 - np.float32(shadow) * blur(cast))
    return image * clear[..., None] + item.colour


def visible_regions(objects: Sequence[DrawnObject]) -> list[Mask]:
    """Region bool (S, S) of each object that no later one hides."""
    hidden = np.zeros_like(objects[0].region)
    parts: list[Mask] = []
    for item in reversed(objects):
        parts.append(item.region & ~hidden)
        hidden = hidden | item.region
    return parts[::-1]


def _overlap(item: DrawnObject, others: Sequence[DrawnObject]) -> float:
    """Largest intersection with one of the others, as a share of the smaller of the two."""
    regions = [(item.region, other.region) for other in others]
    return max((float((a & b).sum() / min(a.sum(), b.sum())) for a, b in regions), default=0.0)


def _draw(
    kind: str, size: int, areas: tuple[float, float], generator: np.random.Generator
) -> DrawnObject:
    area = generator.uniform(*areas)
    variant = int(generator.integers(VARIANTS))
    scale = min(np.sqrt(area / fill(kind, variant)), _LARGEST_SCALE)
    aspect = np.exp(generator.uniform(-0.1, 0.1))
    angle = generator.uniform(-0.4, 0.4)
    flip = 1 if generator.random() < 0.5 else -1
    room = max(0.04, 0.96 - scale)
    cx, cy = generator.uniform(-room, room, 2)
    labels = _look_up(
        sprite(kind, variant), size, (scale * aspect, scale / aspect), angle, flip, (cx, cy)
    )
    rgba = _average(_palette(kind, generator).take(labels, axis=0))
    colour, alpha = rgba[..., :3], np.ascontiguousarray(rgba[..., 3])
    x, y = pixel_grid(size)
    towards, amount = generator.uniform(0, 2 * np.pi), generator.uniform(0.04, 0.22) / scale
    shade = 1 + np.float32(amount * np.cos(towards)) * (x - np.float32(cx))
    shade += np.float32(amount * np.sin(towards)) * (y - np.float32(cy))
    shade += np.float32(KINDS[kind].grain) * generator.standard_normal(shade.shape, np.float32)
    return DrawnObject(kind, colour * shade[..., None], alpha)


def _look_up(
    labels: NDArray[np.uint8],
    size: int,
    scales: tuple[float, float],
    angle: float,
    flip: int,
    centre: tuple[float, float],
) -> NDArray[np.uint8]:
    """Sprite labels, moved into the image's frame at the supersampled resolution."""
    x, y = pixel_grid(_SUPERSAMPLING * size)
    c, s = np.cos(angle), np.sin(angle)
    (cx, cy), middle = centre, SPRITE_SIZE / 2
    # Frame -> sprite pixels, folded into one affine map per axis.
    unit = SPRITE_SIZE / (2 * SPRITE_EXTENT)
    ku, kv = flip * unit / scales[0], unit / scales[1]
    column = np.float32(ku * c) * x + np.float32(ku * s) * y
    column += np.float32(middle - ku * (c * cx + s * cy))
    row = np.float32(kv * c) * y - np.float32(kv * s) * x
    row += np.float32(middle - kv * (c * cy - s * cx))
    last = SPRITE_SIZE - 1  # the sprite's rim is empty, so clipping to it means "outside"
    place = np.clip(row, 0, last).astype(np.int32) * SPRITE_SIZE
    place += np.clip(column, 0, last).astype(np.int32)
    return labels.ravel().take(place)


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
