"""Silhouettes of the kinds: each function labels the parts of one shape in its own frame.

All take u (right) and v (down), float32 planes over [-1.04, 1.04], and a generator for what
differs between the variants of a kind. They return uint8 part labels: 0 outside, parts from 1 in
the order of the kind's palette.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Labels = NDArray[np.uint8]
Region = NDArray[np.bool_]


def _disc(u: Plane, v: Plane, x: float, y: float, radius: float) -> Region:
    return (u - x) ** 2 + (v - y) ** 2 < radius**2


def _ellipse(u: Plane, v: Plane, x: float, y: float, a: float, b: float, angle: float) -> Region:
    c, s = cos(angle), sin(angle)
    along, across = c * (u - x) + s * (v - y), c * (v - y) - s * (u - x)
    return (along / a) ** 2 + (across / b) ** 2 < 1


def _limb(
    u: Plane,
    v: Plane,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    end_width: float | None = None,
) -> Region:
    """Fill a capsule from start to end whose half-width tapers from `width` to `end_width`."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    t = np.clip(((u - x) * dx + (v - y) * dy) / (dx * dx + dy * dy), 0, 1)
    half = width + ((width if end_width is None else end_width) - width) * t
    return (u - x - t * dx) ** 2 + (v - y - t * dy) ** 2 < half**2


def _polygon(u: Plane, v: Plane, points: Sequence[tuple[float, float]]) -> Region:
    """Even-odd rule."""
    inside = np.zeros(u.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 == y1:
            continue
        inside ^= ((v < y0) != (v < y1)) & (u < x0 + (v - y0) * (x1 - x0) / (y1 - y0))
    return inside


def strawberry(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    t = np.clip((v + 0.62) / 1.6, 0, 1)
    body = np.abs(u) < 0.88 * t**0.38 * (1 - t) ** 0.66 / 0.503
    labels = body.astype(np.uint8)
    shift = generator.uniform(-0.06, 0.06)
    for row, y in enumerate((-0.18, 0.1, 0.38, 0.64)):
        for column in range(-2, 3):
            x = shift + (column + 0.5 * (row % 2)) * 0.36
            labels[_ellipse(u, v, x, y, 0.055, 0.09, 0.0) & body] = 2
    tip = generator.uniform(-0.12, 0.0)
    leaves = [(-0.78, -0.42 + tip), (-0.42, -0.72), (-0.12, -0.7), (-0.1, -0.98), (0.1, -0.98)]
    leaves += [(0.12, -0.7), (0.42, -0.72), (0.78, -0.42 + tip), (0.36, -0.4), (0.26, -0.12)]
    leaves += [(0.06, -0.38), (-0.06, -0.38), (-0.26, -0.12), (-0.36, -0.4)]
    labels[_polygon(u, v, leaves)] = 3
    return labels


def starfish(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    labels = np.zeros(u.shape, np.uint8)
    turn = generator.uniform(-0.2, 0.2)
    arms = [(sin(turn + k * 2 * pi / 5), -cos(turn + k * 2 * pi / 5)) for k in range(5)]
    for x, y in arms:
        labels[_limb(u, v, (0.0, 0.0), (0.86 * x, 0.86 * y), 0.36, 0.12)] = 1
    for x, y in arms:
        for distance, radius in ((0.28, 0.085), (0.5, 0.075), (0.7, 0.06)):
            labels[_disc(u, v, distance * x, distance * y, radius)] = 2
    labels[_disc(u, v, 0.0, 0.0, 0.09)] = 2
    return labels


def donut(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    labels = ((radius < 0.96) & (radius > 0.34)).astype(np.uint8)
    wave = np.sin(generator.integers(7, 10) * angle + generator.uniform(0, 2 * pi))
    icing = (radius < 0.82 + 0.06 * wave) & (radius > 0.45 - 0.03 * wave)
    labels[icing] = 2
    start = generator.uniform(0, 2 * pi)
    for k in range(14):
        a = start + k * 2 * pi / 14
        x, y, tilt = cos(a), sin(a), generator.uniform(0, pi)
        r = (0.55, 0.71)[k % 2]
        end = (r * x + 0.11 * cos(tilt), r * y + 0.11 * sin(tilt))
        labels[_limb(u, v, (r * x, r * y), end, 0.042) & icing] = 3 + k % 3
    return labels


def moon(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    bite = generator.uniform(0.0, 0.08)
    body = _disc(u, v, 0.0, 0.0, 0.97) & ~_disc(u, v, 0.54 - bite, -0.12, 0.74)
    labels = body.astype(np.uint8)
    craters = ((-0.62, -0.28, 0.12), (-0.52, 0.3, 0.16), (-0.1, 0.76, 0.11), (0.3, 0.74, 0.07))
    for x, y, r in craters:
        x, y = x + generator.uniform(-0.04, 0.04), y + generator.uniform(-0.04, 0.04)
        labels[_disc(u, v, x, y, r) & body] = 2
    return labels


def daisy(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    labels = np.zeros(u.shape, np.uint8)
    petals, turn = int(generator.integers(8, 11)), generator.uniform(0, 1)
    for k in range(petals):
        a = turn + k * 2 * pi / petals
        x, y = cos(a), sin(a)
        labels[_ellipse(u, v, 0.6 * x, 0.6 * y, 0.39, 1.5 / petals, a)] = 1
    for k in range(petals):
        a = turn + k * 2 * pi / petals
        x, y = cos(a), sin(a)
        labels[_limb(u, v, (0.3 * x, 0.3 * y), (0.66 * x, 0.66 * y), 0.05, 0.02)] = 2
    labels[_disc(u, v, 0.0, 0.0, 0.33)] = 3
    labels[_disc(u, v, 0.0, 0.0, 0.19)] = 4
    return labels


def fish(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    labels = np.zeros(u.shape, np.uint8)
    labels[_polygon(u, v, [(0.34, 0.0), (0.98, -0.56), (0.84, 0.0), (0.98, 0.56)])] = 2
    labels[_polygon(u, v, [(-0.4, -0.3), (-0.1, -0.82), (0.38, -0.66), (0.3, -0.2)])] = 2
    labels[_polygon(u, v, [(-0.2, 0.4), (0.12, 0.78), (0.3, 0.66), (0.2, 0.3)])] = 2
    body = _ellipse(u, v, -0.24, 0.0, 0.74, 0.53, 0.0)
    labels[body] = 1
    shift = generator.uniform(-0.05, 0.05)
    for x in (-0.32, 0.04, 0.34):
        labels[(np.abs(u - x - shift + 0.25 * v * v) < 0.085) & body] = 3
    labels[_disc(u, v, -0.64, -0.13, 0.14) & body] = 4
    labels[_disc(u, v, -0.66, -0.13, 0.075) & body] = 5
    return labels


def mushroom(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    labels = np.zeros(u.shape, np.uint8)
    labels[(np.abs(u) < 0.2 + 0.14 * np.clip(v, 0, 1) ** 2) & (v > 0) & (v < 0.97)] = 3
    cap = (u / 0.97) ** 2 + ((v - 0.12) / 1.08) ** 2 < 1
    cap &= v < 0.12 - 0.08 * np.cos(pi * u / 1.94) + 0.04
    labels[cap] = 1
    labels[(np.abs(u) < 0.42) & (v > -0.02) & cap] = 4
    shift = generator.uniform(-0.07, 0.07)
    spots = ((0.0, -0.58, 0.19), (-0.5, -0.32, 0.16), (0.48, -0.34, 0.17), (0.02, -0.2, 0.13))
    for x, y, r in (*spots, (-0.76, -0.06, 0.1), (0.76, -0.06, 0.1)):
        labels[_disc(u, v, x + shift, y, r) & cap] = 2
    return labels


def gift(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    labels = np.zeros(u.shape, np.uint8)
    labels[(np.abs(u) < 0.78) & (v > -0.1) & (v < 0.96)] = 1
    labels[(np.abs(u) < 0.9) & (v > -0.42) & (v < -0.06)] = 3
    across = 0.38 + generator.uniform(-0.08, 0.08)
    labels[(np.abs(v - across) < 0.11) & (labels == 1)] = 2
    labels[(np.abs(u) < 0.14) & (labels > 0)] = 2
    for side in (-1, 1):
        loop = _ellipse(u, v, side * 0.36, -0.66, 0.37, 0.2, side * -0.5)
        labels[loop] = 2
        labels[_ellipse(u, v, side * 0.38, -0.67, 0.17, 0.075, side * -0.5)] = 4
    labels[_disc(u, v, 0.0, -0.48, 0.15)] = 2
    return labels


def ball(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    x, y = generator.uniform(-0.3, 0.3), generator.uniform(-0.35, -0.15)
    # Bending the angle with the radius gives the curved seams of a beach ball.
    angle = np.arctan2(v - y, u - x) + 0.5 * (u * u + v * v) + generator.uniform(0, 2 * pi)
    sector = np.floor(np.mod(angle, 2 * pi) / (2 * pi) * 6).astype(np.int64) % 6
    labels = np.take(np.array([1, 4, 2, 4, 3, 4], np.uint8), sector)
    labels[_disc(u, v, x, y, 0.13)] = 4
    labels[~_disc(u, v, 0.0, 0.0, 0.96)] = 0
    return labels


def gear(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    teeth = generator.integers(8, 11)
    flank = np.clip(2.6 * np.cos(teeth * angle), -1, 1)
    labels = ((radius < 0.84 + 0.13 * flank) & (radius > 0.3)).astype(np.uint8)
    labels[(radius > 0.3) & (radius < 0.42)] = 2
    for k in range(6):
        a = k * pi / 3 + 0.2
        labels[_disc(u, v, 0.56 * cos(a), 0.56 * sin(a), 0.075)] = 2
    return labels


def key(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    bow = _disc(u, v, -0.5, 0.0, 0.49)
    labels = bow.astype(np.uint8)
    labels[(np.abs(v) < 0.15) & (u > -0.2) & (u < 0.97)] = 1
    depth = generator.uniform(0.42, 0.52)
    for x, reach in ((0.44, depth), (0.8, 0.95 - depth)):
        labels[(np.abs(u - x) < 0.1) & (v > 0) & (v < reach)] = 1
    labels[(np.abs(v + 0.03) < 0.035) & (u > 0.1) & (u < 0.88)] = 2
    labels[_disc(u, v, -0.5, 0.0, 0.38) & ~_disc(u, v, -0.5, 0.0, 0.33)] = 2
    labels[_disc(u, v, -0.5, 0.0, 0.24)] = 0
    return labels


def cactus(u: Plane, v: Plane, generator: np.random.Generator) -> Labels:
    left, right = generator.uniform(-0.06, 0.06, 2)
    limbs = [((0.0, -0.68), (0.0, 0.6), 0.28)]
    limbs += [((-0.62, 0.1 + left), (-0.1, 0.1 + left), 0.15)]
    limbs += [((-0.66, -0.38 + left), (-0.66, 0.1 + left), 0.16)]
    limbs += [((0.62, -0.06 + right), (0.1, -0.06 + right), 0.15)]
    limbs += [((0.66, -0.54 + right), (0.66, -0.06 + right), 0.16)]
    labels = np.zeros(u.shape, np.uint8)
    for start, end, width in limbs:
        labels[_limb(u, v, start, end, width)] = 1
    ribs = (np.abs(np.abs(u) - 0.11) < 0.03) & (v > -0.76)
    ribs |= (np.abs(np.abs(u) - 0.66) < 0.03) & (v > -0.6) & (v < 0.12)
    labels[ribs & (labels == 1)] = 2
    labels[_polygon(u, v, [(-0.5, 0.54), (0.5, 0.54), (0.38, 0.98), (-0.38, 0.98)])] = 3
    labels[(np.abs(u) < 0.56) & (v > 0.44) & (v < 0.6)] = 4
    for x, y in ((0.0, -0.9), (-0.09, -0.84), (0.09, -0.84)):
        labels[_disc(u, v, x, y, 0.095)] = 5
    return labels
