"""A made-up image of one disc with the attention a good model would give it; also a benchmark's."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from dseg.method.cut.affinity import from_rows
from dseg.method.cut.evidence import Attention
from dseg.method.resample import resize

# Of the energy, for these scenes; the tests do not move with the tuning in params.yaml.
SETTINGS = {
    "cross_strides": (1,),
    "exponent": 1.0,
    "tau": 0.12,
    "clip": 0.02,
    "walk_steps": 1,
    "neighbours": 16,
    "power": 3.0,
    "lambda_self": 1.0,
    "lambda_contrast": 0.06,
    "lambda_link": 1.0,
    "lambda_colour": 0.5,
    "colour_iterations": 2,
    "colour_bandwidth": 8.0,
    "size": 64,
    "area": (0.02, 0.8),
    "border": 0.5,
    "focus": 1.1,
}


@dataclass(frozen=True)
class Scene:
    cross: np.ndarray  # float32 (grid, grid)
    indices: np.ndarray  # int32 (grid * grid, kept)
    weights: np.ndarray  # float16 (grid * grid, kept)
    image: np.ndarray  # uint8 (size, size, 3)
    mask: np.ndarray  # bool (size, size), the truth

    @property
    def inputs(self):
        return self.seen(self.cross)

    def seen(self, cross):
        """The attention with another cross map, and the image."""
        return attention(cross, self.indices, self.weights, self.image), self.image


def attention(cross, indices, weights, image):
    """The attention of one cross map, at stride 1, and stored rows."""
    return Attention({1: cross}, from_rows(indices, weights, *image.shape[:2]))


def disc_scene(size=64, grid=16, kept=64, seed=0, noise=12.0, distinct=1.0, doubt=0.1):
    """A textured disc off the centre, its blurred and noisy cross map, and self-attention.

    ``noise`` is that of the image, ``distinct`` how far its two colours are apart, ``doubt`` the
    noise of the cross map.
    """
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    centre = rng.uniform(0.4, 0.6, 2)
    mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 0.28**2
    colours = 120 + distinct * np.array([[-60, 10, 50], [60, -20, -50]])
    colours = colours + rng.integers(-15, 15, (2, 3))
    texture = gaussian_filter(rng.normal(size=(size, size)), size / 32)
    image = colours[mask.astype(int)] + 15 * (texture / texture.std())[..., None]
    image = (image + rng.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8)

    share = resize(mask, (grid, grid))
    blurred = gaussian_filter(share, grid / 12) + doubt * rng.random((grid, grid))
    indices, weights = self_attention(resize(image, (grid, grid)), kept, rng)
    return Scene(blurred.astype(np.float32), indices, weights, image, mask)


def self_attention(small, kept, rng):
    """The ``kept`` largest entries a row of attention to near cells of a like colour."""
    grid = small.shape[0]
    place = np.stack(np.divmod(np.arange(grid * grid), grid), axis=1) / grid
    keys = np.concatenate([small.reshape(-1, 3) / 50.0, place / 0.25], axis=1).astype(np.float32)
    squares = (keys**2).sum(axis=1)
    logits = keys @ keys.T - (squares[:, None] + squares) / 2
    logits += rng.normal(0, 0.3, logits.shape).astype(np.float32)
    rows = np.exp(logits)
    rows /= rows.sum(axis=1, keepdims=True)
    indices = np.argpartition(-rows, kept - 1, axis=1)[:, :kept].astype(np.int32)
    return indices, np.take_along_axis(rows, indices, axis=1).astype(np.float16)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()
