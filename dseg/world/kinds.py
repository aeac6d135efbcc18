"""The kinds of object of the embedded world; each owns its silhouette, texture and palette.

A kind is drawn once per variant as a *sprite*: a map of labelled parts in the kind's own frame.
Rendering an image is then one table look-up per pixel, whatever the complexity of the shape.
That a noun owns its appearance is deliberate: with shape and colour as separate words, the colour
word was localised by cross-attention and the shape noun was not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from dseg.world import silhouettes as draw
from dseg.world.silhouettes import Labels, Plane, Region

SPRITE_SIZE = 320  # fine enough for images up to about 160 pixels a side
SPRITE_EXTENT = 1.04  # a sprite covers [-1.04, 1.04]^2, shapes stay in [-1, 1]^2: its rim is empty
VARIANTS = 6  # drawings per kind; they differ in counts and places of seeds, petals, teeth, ...
OUTLINE_WIDTH = 0.045

Colour = tuple[float, float, float]
Draw = Callable[[Plane, Plane, np.random.Generator], Labels]


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        name: The noun, one word.
        draw: (u right, v down, generator) -> part labels; 0 is outside.
        palette: RGB in [0, 1] of the parts 1, 2, ...; the last one is the outline's.
        grain: Amplitude of the noise in the material.
    """

    name: str
    draw: Draw
    palette: tuple[Colour, ...]
    grain: float = 0.04


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "strawberry",
            draw.strawberry,
            ((0.86, 0.08, 0.14), (0.98, 0.86, 0.45), (0.2, 0.66, 0.2), (0.42, 0.03, 0.06)),
        ),
        Kind(
            "starfish",
            draw.starfish,
            ((0.96, 0.47, 0.08), (1.0, 0.84, 0.55), (0.6, 0.22, 0.02)),
        ),
        Kind(
            "donut",
            draw.donut,
            (
                (0.8, 0.56, 0.3),
                (0.97, 0.46, 0.7),
                (0.99, 0.97, 0.93),
                (0.3, 0.75, 0.9),
                (0.98, 0.9, 0.3),
                (0.45, 0.25, 0.14),
            ),
        ),
        Kind(
            "moon",
            draw.moon,
            ((0.98, 0.93, 0.5), (0.84, 0.72, 0.3), (0.58, 0.46, 0.12)),
            0.06,
        ),
        Kind(
            "daisy",
            draw.daisy,
            (
                (0.98, 0.98, 0.97),
                (0.78, 0.76, 0.86),
                (0.98, 0.78, 0.1),
                (0.86, 0.52, 0.06),
                (0.48, 0.46, 0.58),
            ),
            0.02,
        ),
        Kind(
            "fish",
            draw.fish,
            (
                (0.1, 0.2, 0.78),
                (0.98, 0.8, 0.12),
                (0.98, 0.8, 0.12),
                (0.98, 0.98, 0.98),
                (0.04, 0.04, 0.06),
                (0.04, 0.07, 0.34),
            ),
        ),
        Kind(
            "mushroom",
            draw.mushroom,
            (
                (0.82, 0.12, 0.06),
                (0.98, 0.97, 0.93),
                (0.95, 0.9, 0.76),
                (0.7, 0.58, 0.42),
                (0.4, 0.12, 0.08),
            ),
        ),
        Kind(
            "gift",
            draw.gift,
            (
                (0.5, 0.14, 0.7),
                (0.98, 0.84, 0.16),
                (0.6, 0.24, 0.8),
                (0.72, 0.5, 0.04),
                (0.26, 0.06, 0.36),
            ),
        ),
        Kind(
            "ball",
            draw.ball,
            (
                (0.9, 0.14, 0.14),
                (0.1, 0.42, 0.88),
                (0.99, 0.82, 0.1),
                (0.97, 0.97, 0.97),
                (0.25, 0.25, 0.32),
            ),
            0.02,
        ),
        Kind(
            "gear",
            draw.gear,
            ((0.32, 0.35, 0.42), (0.66, 0.7, 0.78), (0.1, 0.11, 0.15)),
            0.08,
        ),
        Kind(
            "key",
            draw.key,
            ((0.94, 0.7, 0.1), (1.0, 0.92, 0.55), (0.4, 0.24, 0.02)),
            0.04,
        ),
        Kind(
            "cactus",
            draw.cactus,
            (
                (0.08, 0.46, 0.26),
                (0.55, 0.84, 0.45),
                (0.78, 0.38, 0.2),
                (0.86, 0.48, 0.28),
                (0.96, 0.4, 0.66),
                (0.02, 0.2, 0.12),
            ),
        ),
    )
}
KIND_NAMES = tuple(KINDS)


def _erode(region: Region, steps: int) -> Region:
    for _ in range(steps):
        inner = region.copy()
        inner[1:] &= region[:-1]
        inner[:-1] &= region[1:]
        inner[:, 1:] &= region[:, :-1]
        inner[:, :-1] &= region[:, 1:]
        region = inner
    return region


@cache
def sprite(name: str, variant: int) -> Labels:
    """Draw a kind as labels uint8 (SPRITE_SIZE, SPRITE_SIZE): 0 outside, the last its outline."""
    kind = KINDS[name]
    centres = (np.arange(SPRITE_SIZE) + 0.5) / SPRITE_SIZE * 2 - 1
    line = (SPRITE_EXTENT * centres).astype(np.float32)
    u, v = np.tile(line, (SPRITE_SIZE, 1)), np.tile(line[:, None], (1, SPRITE_SIZE))
    generator = np.random.default_rng([KIND_NAMES.index(name), variant])
    labels = kind.draw(u, v, generator)
    steps = round(OUTLINE_WIDTH / (2 * SPRITE_EXTENT) * SPRITE_SIZE)
    inside = labels > 0
    labels[inside & ~_erode(inside, steps)] = len(kind.palette)
    labels.flags.writeable = False
    return labels


@cache
def fill(name: str, variant: int) -> float:
    """Measure the share of the square [-1, 1]^2 that the kind's silhouette covers."""
    return float((sprite(name, variant) > 0).mean()) * SPRITE_EXTENT**2
