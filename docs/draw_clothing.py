"""Draw the masks of docs/benchmarks.md's clothes by hand: see a photograph, outline it, look again.

python docs/draw_clothing.py show   PHOTOGRAPHS WORK ID...    the photograph, fourfold, with a grid
python docs/draw_clothing.py check  PHOTOGRAPHS WORK ID...    the mask of its outline, fourfold

PHOTOGRAPHS is what `dseg data prepare clothing` makes. WORK is a folder of one's own: an outline is
`WORK/ID.json`, {"inside": [[[x, y], ...], ...], "outside": [...], "strip": 3}, in pixels of the
photograph as the grid counts them; pictures are written beside it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from dseg.datasets.clothing.outlines import STRIP, Outline, complete
from dseg.datasets.clothing.photographs import Photograph, read_photographs
from dseg.datasets.sample import Sample
from dseg.errors import DsegError

ZOOM = 4
GRID = 16  # pixels of the photograph


def read_outline(path: Path) -> Outline:
    """The outline in a file.

    Raises:
        DsegError: It is not there, or no outline.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        inside, outside = (
            tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in found.get(key, []))
            for key in ("inside", "outside")
        )
        strip = float(found.get("strip", STRIP))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DsegError(
            f'{path}: expected {{"inside": [[[x, y], ...]], "outside": [], "strip": {STRIP:g}}} '
            f"({error})"
        ) from error
    if not inside or any(len(polygon) < 3 for polygon in (*inside, *outside)) or strip < 0:
        raise DsegError(f"{path}: expected polygons of three corners or more inside, and a strip")
    return Outline(inside, outside, strip)


def gridded(image: np.ndarray) -> Image.Image:
    """The photograph, fourfold, with numbered lines every `GRID` of its pixels."""
    height, width = image.shape[:2]
    picture = _enlarge(image)
    draw, font = ImageDraw.Draw(picture, "RGBA"), ImageFont.load_default(13)
    for at in range(0, max(height, width), GRID):
        strong = at % (2 * GRID) == 0
        colour = (255, 255, 0, 150 if strong else 70)
        if at < width:
            draw.line([(at * ZOOM, 0), (at * ZOOM, height * ZOOM)], fill=colour)
        if at < height:
            draw.line([(0, at * ZOOM), (width * ZOOM, at * ZOOM)], fill=colour)
        if strong:
            for x, y in ((at, 0), (at, height // 2), (0, at), (width // 2, at)):
                if x < width and y < height:
                    place = (x * ZOOM + 2, y * ZOOM + 1)
                    box = draw.textbbox(place, str(at), font=font)
                    draw.rectangle(box, fill=(0, 0, 0, 170))
                    draw.text(place, str(at), fill=(255, 255, 0), font=font)
    return picture


def outlined(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The photograph, fourfold: what is outside is paler, the edge is magenta."""
    large = np.asarray(_enlarge(image)).astype(float)
    wide = np.kron(mask, np.ones((ZOOM, ZOOM), bool))
    large[~wide] = 0.45 * large[~wide] + 0.55 * 255
    edge = ndimage.binary_dilation(wide) & ~wide
    large[edge] = (255, 0, 255)
    return Image.fromarray(large.astype(np.uint8))


def _enlarge(image: np.ndarray) -> Image.Image:
    height, width = image.shape[:2]
    return Image.fromarray(image).resize((width * ZOOM, height * ZOOM), Image.Resampling.BICUBIC)


def _find(photographs: Path, ids: list[str]) -> list[Photograph]:
    known = {each.id: each for each in read_photographs(photographs)}
    if unknown := [id for id in ids if id not in known]:
        raise DsegError(f"{photographs}: no photograph {unknown[0]}")
    return [known[id] for id in ids]


def main() -> None:
    """Write what was asked for, and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("show", "check"))
    parser.add_argument("photographs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("ids", nargs="+")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for photograph in _find(asked.photographs, asked.ids):
        image = Sample(photograph.id, photograph.path).image()
        path = asked.work / f"{photograph.id}.{asked.command}.png"
        if asked.command == "show":
            gridded(image).save(path)
        else:
            outline = read_outline(asked.work / f"{photograph.id}.json")
            outlined(image, complete(image, outline)).save(path)
        print(f"{path}: {photograph.noun}, {image.shape[1]} x {image.shape[0]}")


if __name__ == "__main__":
    main()
