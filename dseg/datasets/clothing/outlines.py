"""Outlines drawn by hand, and the mask that each is completed to.

A person who draws misses an edge by a pixel or two. So an outline is a pair of markers: what lies
well inside it is the garment, what lies well outside is not, and the strip between goes to the side
from which a watershed of the photograph's gradient floods it first. No method that is evaluated has
a part in it. Completing is our choice, as the width of the strip is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import watershed

from dseg.errors import DsegError
from dseg.files import write_text
from dseg.settings.typed_json import read_json

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in pixels of the photograph, its upper left corner at (0, 0)."""
MASKS = Path(__file__).with_name("masks")
"""The masks that were made of outlines, ID.png, and the outlines themselves."""
DRAWN = MASKS / "outlines.json"
STRIP = 3.0
"""Pixels to either side of an outline that are undecided, if its drawer does not say otherwise."""
_AGAIN = "draw it again"
_GARMENT, _GROUND = 1, 2
_SMOOTH = 3  # side of the median filter that takes off what is one pixel wide


@dataclass(frozen=True)
class Outline:
    """What was drawn for one photograph.

    Attributes:
        inside: Polygons around the garment; their union.
        outside: Polygons around what is not the garment though it lies within, such as a hole, a
            hanger or a hand.
        strip: Half the width, in pixels, of the strip that the watershed decides; 0 takes the
            polygons as they are, where no edge is to be seen.
    """

    inside: tuple[Polygon, ...]
    outside: tuple[Polygon, ...] = ()
    strip: float = STRIP


@dataclass(frozen=True)
class Drawn:
    """All outlines of the photographs.

    Attributes:
        first: By id; the masks are made of these.
        second: Of some, drawn by somebody who has not seen the first.
    """

    first: Mapping[str, Outline]
    second: Mapping[str, Outline]


def read_drawn(path: Path = DRAWN) -> Drawn:
    """The outlines in a file as `write_drawn` writes it.

    Raises:
        DsegError: It is not there, or something in it is no outline.
    """
    said = read_json(path, _AGAIN)

    def by_id(key: str) -> dict[str, Outline]:
        part = said.get(key, {}) if isinstance(said, dict) else None
        if not isinstance(part, dict):
            raise DsegError(f"{path}: expected outlines by id under first and second; {_AGAIN}")
        return {id: as_outline(part[id], f"{path}: {id[:100]!r}") for id in sorted(part)}

    return Drawn(by_id("first"), by_id("second"))


def write_drawn(drawn: Drawn, path: Path = DRAWN) -> None:
    """Write outlines, a line each."""
    parts = []
    for key, outlines in (("first", drawn.first), ("second", drawn.second)):
        lines = [
            f"  {json.dumps(id)}: {json.dumps(asdict(outlines[id]))}" for id in sorted(outlines)
        ]
        parts.append(f' "{key}": {{\n' + ",\n".join(lines) + "\n }")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def read_outline(path: Path) -> Outline:
    """The one outline in a file; raises DsegError if it is not there, or none."""
    return as_outline(read_json(path, _AGAIN), str(path))


def as_outline(said: Any, place: str) -> Outline:
    """An outline as JSON says it; raises DsegError, naming the place, if it is none."""
    try:
        inside, outside = (
            tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in said.get(key, []))
            for key in ("inside", "outside")
        )
        strip = float(said.get("strip", STRIP))
        whole = bool(inside) and all(len(polygon) > 2 for polygon in (*inside, *outside))
        finite = all(abs(at) < 1e5 for polygon in (*inside, *outside) for at in sum(polygon, ()))
    except (ValueError, TypeError, AttributeError, OverflowError):
        whole = finite = False
        strip = 0.0
    if not (whole and finite and 0 <= strip < 100):
        raise DsegError(
            f'{place}: expected {{"inside": [[[x, y], ...], ...], "outside": [...], '
            f'"strip": {STRIP:g}}}, with three corners or more a polygon'
        )
    return Outline(inside, outside, strip)


def complete(image: np.ndarray, outline: Outline) -> np.ndarray:
    """The mask of an outline, bool (H, W).

    Args:
        image: uint8 (H, W, 3) RGB, the photograph in which the outline was drawn.
        outline: What was drawn.
    """
    shape = image.shape[:2]
    drawn = fill(outline.inside, shape) & ~fill(outline.outside, shape)
    if not outline.strip or drawn.all() or not drawn.any():
        return drawn
    # Beyond the photograph the garment goes on: its rim there is no outline.
    within = ndimage.distance_transform_edt(np.pad(drawn, 1, mode="edge"))[1:-1, 1:-1]
    beyond = ndimage.distance_transform_edt(~np.pad(drawn, 1, mode="edge"))[1:-1, 1:-1]
    markers = np.zeros(shape, np.int32)
    markers[beyond > outline.strip] = _GROUND
    markers[within > outline.strip] = _GARMENT
    # A strap that is narrower than the strip has no pixel well inside: its middle stands for it.
    markers[drawn & (within >= ndimage.maximum_filter(within, 3)) & (within > 1)] = _GARMENT
    lab = rgb2lab(image)
    slopes = [
        ndimage.gaussian_gradient_magnitude(lab[..., channel], 0.7, mode="nearest")
        for channel in range(3)
    ]
    flooded = watershed(np.sqrt(np.square(slopes).sum(0)), markers) == _GARMENT
    return ndimage.median_filter(flooded, _SMOOTH, mode="nearest")


def fill(polygons: Sequence[Polygon], shape: tuple[int, int]) -> np.ndarray:
    """The union of polygons as bool (H, W): pixels whose centre is inside, to an eighth."""
    fine = 8
    canvas = Image.new("L", (shape[1] * fine, shape[0] * fine))
    for polygon in polygons:
        ImageDraw.Draw(canvas).polygon([(fine * x, fine * y) for x, y in polygon], fill=1)
    return np.asarray(canvas)[fine // 2 :: fine, fine // 2 :: fine] > 0
