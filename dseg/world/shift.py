"""The shifted domain: what a photograph does to a scene, scaled by one strength in [0, 1].

Every effect is the identity at strength 0 and grows continuously with it, so a shifted split at
strength 0 is the training domain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Plane = NDArray[np.float32]

DISTRACTORS = 4
UNSEEN_BACKGROUND_RATE = 0.8  # share of images on a background outside training, at strength 1


def blur(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur with 5 binomial taps over the first two axes, edges repeated."""
    for axis in (0, 1):
        n = plane.shape[axis]
        index = np.clip(np.arange(-2, n + 2), 0, n - 1)
        padded = plane.take(index, axis=axis)
        parts = [padded.take(range(k, k + n), axis=axis) for k in range(5)]
        plane = (parts[0] + parts[4] + 4 * (parts[1] + parts[3]) + 6 * parts[2]) / np.float32(16)
    return plane


def draw_distractors(
    image: Image, x: Plane, y: Plane, strength: float, generator: np.random.Generator
) -> Image:
    """Draw strokes and blobs behind the object; image (S, S, 3), x and y its grid in [-1, 1]."""
    for _ in range(DISTRACTORS):
        present, angle, length = generator.random(), generator.uniform(0, np.pi), generator.random()
        (px, py), radius = generator.uniform(-1, 1, 2), generator.uniform(0.04, 0.13)
        colour = generator.random(3, dtype=np.float32)
        if present >= 0.8 * strength:
            continue
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = c * (x - px) + s * (y - py), c * (y - py) - s * (x - px)
        beyond = np.maximum(np.abs(along) - np.float32(0.45 * length), 0)
        cover = np.clip((np.float32(radius) - np.hypot(beyond, across)) * 20, 0, 1)
        image = image + (colour - image) * cover[..., None].astype(np.float32)
    return image


def degrade(
    image: Image, x: Plane, y: Plane, strength: float, generator: np.random.Generator
) -> Image:
    """Apply light, colour cast, gamma, blur and sensor noise; image (S, S, 3) about [0, 1]."""
    angle, slope = generator.uniform(0, 2 * np.pi), 0.45 * strength * generator.random()
    light = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y)
    gain = 1 + 0.2 * strength * generator.standard_normal(3)
    offset = 0.05 * strength * generator.standard_normal(3)
    gamma = np.exp(0.4 * strength * generator.standard_normal())
    image = image * light[..., None].astype(np.float32) * gain.astype(np.float32)
    image = np.clip(image + offset.astype(np.float32), 0, 1) ** np.float32(gamma)
    share = np.float32(min(1.0, 1.4 * strength * generator.random()))
    image = image + share * (blur(image) - image)
    sigma = np.float32(0.09 * strength * generator.random())
    return image + sigma * generator.standard_normal(image.shape, dtype=np.float32)
