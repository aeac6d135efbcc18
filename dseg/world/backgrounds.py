"""Background textures of the embedded world: eight for training, a few that only the shift has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Image = NDArray[np.float32]

_FIELDS = 24  # noise fields per exponent
_PERIOD = 160  # they are periodic, so any window of them is seamless
_REFERENCE_SIZE = 64  # textures are defined at this image size; others see the same scene scaled


@dataclass(frozen=True)
class Frame:
    """Pixel grid of one image, with a generator for everything drawn on it.

    Attributes:
        x: float32 (S, S), columns from -1 to 1.
        y: float32 (S, S), rows from -1 (top) to 1.
        generator: Source of the texture's parameters.
    """

    x: Plane
    y: Plane
    generator: np.random.Generator

    def turned(self, spread: float = 0.2) -> tuple[Plane, Plane]:
        """Turn the coordinates by a small random angle."""
        angle = self.generator.uniform(-spread, spread)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return c * self.x + s * self.y, c * self.y - s * self.x

    def noise(self, exponent: float, stretch: float = 1.0) -> Plane:
        """Cut a window (S, S) of unit 1/f^exponent noise; `stretch` > 1 lengthens it in y."""
        size = len(self.x)
        field, top, left = self.generator.integers(0, (_FIELDS, _PERIOD, _PERIOD))
        steps = np.arange(size) * (_REFERENCE_SIZE / size)
        rows = (top + steps / stretch).astype(np.intp) % _PERIOD
        columns = (left + steps).astype(np.intp) % _PERIOD
        return _noise_fields(exponent)[field].take(rows, axis=0).take(columns, axis=1)

    def colour(self, rgb: Sequence[float], jitter: float = 0.05) -> NDArray[np.float32]:
        """Draw a colour (3,) near `rgb`."""
        return np.asarray(rgb + jitter * self.generator.standard_normal(3), np.float32)

    def uniform(self, low: float, high: float) -> np.float32:
        """Draw a number, as float32 so that planes stay float32."""
        return np.float32(self.generator.uniform(low, high))


@cache
def _noise_fields(exponent: float) -> NDArray[np.float32]:
    generator = np.random.default_rng([int(100 * exponent), 1])
    fy, fx = np.fft.fftfreq(_PERIOD)[:, None], np.fft.rfftfreq(_PERIOD)[None]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = np.inf  # removes the mean
    white = np.fft.rfft2(generator.standard_normal((_FIELDS, _PERIOD, _PERIOD)))
    fields = np.fft.irfft2(white / frequency**exponent, s=(_PERIOD, _PERIOD))
    return (fields / fields.std((1, 2), keepdims=True)).astype(np.float32)


def _rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    return np.array([red, green, blue], np.float32)


def _mix(first: NDArray[np.float32], second: NDArray[np.float32], share: Plane) -> Image:
    return first + (second - first) * share[..., None]


def _wood(frame: Frame) -> Image:
    a, b = frame.turned()
    plank = b * frame.uniform(1.6, 2.6) + frame.uniform(0, 1)
    row = np.floor(plank)
    grain = np.sin(frame.uniform(16, 26) * b + 2.2 * frame.noise(2.0) + 3 * row + a)
    shade = 0.06 * grain + 0.05 * np.sin(2.4 * row + frame.uniform(0, 6)) + 0.02 * frame.noise(0.6)
    shade[plank - row < 0.09] -= 0.16
    return frame.colour((0.56, 0.37, 0.21), 0.035) + shade[..., None]


def _grass(frame: Frame) -> Image:
    blades = 0.08 * frame.noise(0.6, stretch=3) + 0.05 * frame.noise(1.0)
    return np.add(frame.colour((0.3, 0.56, 0.2), 0.04), blades[..., None] * _rgb(0.8, 1, 0.5))


def _sky(frame: Frame) -> Image:
    cloud = np.clip(0.55 * (frame.noise(2.0) - frame.uniform(-0.2, 0.6)), 0, 1)
    blue = frame.colour((0.46, 0.68, 0.94), 0.03) + (0.1 * frame.y)[..., None]
    return _mix(blue, _rgb(0.95, 0.96, 0.98), cloud)


def _brick(frame: Frame) -> Image:
    a, b = frame.turned()
    rate = frame.uniform(2.4, 4.2)
    v = rate * b + frame.uniform(0, 1)
    row = np.floor(v)
    u = 0.55 * rate * a + 0.5 * np.mod(row, 2) + frame.uniform(0, 1)
    column = np.floor(u)
    mortar = ((v - row < 0.16) | (u - column < 0.08)).astype(np.float32)
    tone = 0.06 * np.sin(5.1 * row + 7.7 * column) + 0.035 * frame.noise(1.0)
    clay, lime = frame.colour((0.62, 0.3, 0.22), 0.03), _rgb(0.76, 0.73, 0.68)
    return _mix(clay, lime, mortar) + tone[..., None]


def _tiles(frame: Frame) -> Image:
    a, b = frame.turned()
    rate = frame.uniform(1.8, 3.2)
    u, v = rate * a + frame.uniform(0, 1), rate * b + frame.uniform(0, 1)
    column, row = np.floor(u), np.floor(v)
    light, dark = frame.colour((0.86, 0.87, 0.85), 0.02), frame.colour((0.5, 0.62, 0.66), 0.04)
    image = _mix(light, dark, np.mod(column + row, 2))
    grout = (u - column < 0.07) | (v - row < 0.07)
    image[grout] = _rgb(0.38, 0.38, 0.38)
    return image + (0.012 * frame.noise(1.0))[..., None]


def _water(frame: Frame) -> Image:
    a, b = frame.turned()
    wave = np.sin(frame.uniform(11, 17) * b + 1.5 * frame.noise(2.0) + frame.uniform(0, 6) + a)
    glint = np.clip(wave - 0.55, 0, 1)
    return (
        frame.colour((0.12, 0.46, 0.6), 0.03)
        + (0.07 * wave)[..., None]
        + (0.5 * glint)[..., None] * _rgb(0.8, 1, 1)
    )


def _stone(frame: Frame) -> Image:
    crack = np.abs(frame.noise(1.5)) < 0.09
    tone = 0.09 * frame.noise(1.0) + 0.03 * frame.noise(0.6)
    tone[crack] -= 0.17
    return frame.colour((0.58, 0.57, 0.55), 0.02) + tone[..., None]


def _sand(frame: Frame) -> Image:
    _, b = frame.turned(0.5)
    ripple = np.sin(frame.uniform(8, 14) * b + 1.3 * frame.noise(2.0) + frame.uniform(0, 6))
    tone = 0.04 * ripple + 0.035 * frame.noise(0.6)
    return frame.colour((0.82, 0.71, 0.5), 0.03) + tone[..., None]


def _night(frame: Frame) -> Image:
    image = frame.colour((0.07, 0.07, 0.2), 0.02) + (0.035 * frame.noise(2.0))[..., None]
    image[frame.noise(0.6) > 2.7] = _rgb(0.92, 0.9, 0.78)
    return image


def _cloth(frame: Frame) -> Image:
    a, b = frame.turned(0.8)
    rate = frame.uniform(9, 15)
    plaid = (np.sin(rate * a) > 0.3).astype(np.float32) + (np.sin(rate * b) > 0.3)
    weave = 0.03 * frame.noise(0.6)
    return frame.colour((0.5, 0.34, 0.46), 0.08) + (0.13 * plaid + weave)[..., None]


def _marble(frame: Frame) -> Image:
    a, b = frame.turned(0.8)
    vein = 1 - np.abs(np.sin(frame.uniform(2, 4) * (a + b) + 1.6 * frame.noise(1.5)))
    return _mix(frame.colour((0.88, 0.87, 0.86), 0.03), _rgb(0.36, 0.38, 0.42), vein**4)


def _leaves(frame: Frame) -> Image:
    leaf = np.clip(1.6 * frame.noise(1.0), -1, 1)
    return _mix(frame.colour((0.5, 0.34, 0.1), 0.05), frame.colour((0.68, 0.46, 0.16), 0.05), leaf)


BACKGROUNDS: dict[str, Callable[[Frame], Image]] = {
    "wood": _wood,
    "grass": _grass,
    "sky": _sky,
    "brick": _brick,
    "tiles": _tiles,
    "water": _water,
    "stone": _stone,
    "sand": _sand,
    "night": _night,
    "cloth": _cloth,
    "marble": _marble,
    "leaves": _leaves,
}
TRAIN_CONTEXTS = ("wood", "grass", "sky", "brick", "tiles", "water", "stone", "sand")
SHIFT_CONTEXTS = ("night", "cloth", "marble", "leaves")


@lru_cache(maxsize=8)
def pixel_grid(size: int) -> tuple[Plane, Plane]:
    """Place x and y, float32 (size, size), of pixel centres in the frame [-1, 1]^2."""
    line = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    return np.tile(line, (size, 1)), np.tile(line[:, None], (1, size))


def paint_background(name: str, size: int, generator: np.random.Generator) -> Image:
    """Paint a texture, float32 (size, size, 3), about [0, 1] and not clipped."""
    return BACKGROUNDS[name](Frame(*pixel_grid(size), generator))
