"""Draw the masks of docs/benchmarks.md's clothes by hand: see a photograph, outline it, look again.

python docs/draw_clothing.py show    PHOTOGRAPHS WORK ID...    the photograph, fourfold, with a grid
python docs/draw_clothing.py check   PHOTOGRAPHS WORK ID...    the mask of its outline, fourfold
python docs/draw_clothing.py collect PHOTOGRAPHS FIRST SECOND  outlines -> the masks of dseg
python docs/draw_clothing.py sheet   PHOTOGRAPHS OUT           contact sheets of all masks

PHOTOGRAPHS is what `dseg data prepare clothing` makes, of photographs reduced to fit 256 x 256.
WORK is a folder of one's own: an outline is `WORK/ID.json`, {"inside": [[[x, y], ...], ...],
"outside": [...], "strip": 3}, in pixels of the photograph as the grid counts them; pictures are
written beside it. FIRST and SECOND are such folders, of all photographs and of those that are drawn
twice.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from dseg.datasets.clothing.outlines import (
    MASKS,
    Drawn,
    complete,
    read_drawn,
    read_outline,
    write_drawn,
)
from dseg.datasets.clothing.photographers import draw_twice, read_to_mask
from dseg.datasets.clothing.photographs import Photograph, read_photographs
from dseg.errors import DsegError

ZOOM = 4
GRID = 16  # pixels of the photograph
TILE, COLUMNS, ROWS = 200, 8, 5  # of a contact sheet


def show(photographs: Path, work: Path, ids: Sequence[str]) -> None:
    """Write the photographs, with a grid."""
    work.mkdir(parents=True, exist_ok=True)
    for each in _find(photographs, ids):
        image = each.image()
        gridded(image).save(work / f"{each.id}.show.png")
        print(f"{work / each.id}.show.png: {each.noun}, {image.shape[1]} x {image.shape[0]}")


def check(photographs: Path, work: Path, ids: Sequence[str]) -> None:
    """Write the photographs with the masks of their outlines."""
    for each in _find(photographs, ids):
        image = each.image()
        mask = complete(image, read_outline(work / f"{each.id}.json"))
        outlined(image, mask).save(work / f"{each.id}.check.png")
        print(f"{work / each.id}.check.png: {each.noun}")


def collect(photographs: Path, first: Path, second: Path) -> None:
    """Write the masks of the first outlines, and all outlines."""
    ids = list(read_to_mask())
    drawn = Drawn(
        {id: read_outline(first / f"{id}.json") for id in ids},
        {id: read_outline(second / f"{id}.json") for id in draw_twice(ids)},
    )
    MASKS.mkdir(exist_ok=True)
    for each in _find(photographs, ids):
        mask = complete(each.image(), drawn.first[each.id])
        Image.fromarray(mask).save(MASKS / f"{each.id}.png", optimize=True)
    write_drawn(drawn)


def sheet(photographs: Path, out: Path) -> None:
    """Write contact sheets of all masks, those of a sheet in the order of their ids."""
    out.mkdir(parents=True, exist_ok=True)
    drawn, found = read_drawn(), _find(photographs, sorted(read_to_mask()))
    for start in range(0, len(found), COLUMNS * ROWS):
        canvas = Image.new("RGB", (COLUMNS * TILE, ROWS * TILE), "white")
        draw = ImageDraw.Draw(canvas)
        for place, each in enumerate(found[start : start + COLUMNS * ROWS]):
            image = each.image()
            picture = outlined(image, complete(image, drawn.first[each.id]))
            picture.thumbnail((TILE - 4, TILE - 4))
            corner = (place % COLUMNS * TILE, place // COLUMNS * TILE)
            canvas.paste(picture, corner)
            draw.text((corner[0] + 2, corner[1] + 2), f"{each.id[:4]} {each.noun}", fill="blue")
        canvas.save(out / f"sheet-{start // (COLUMNS * ROWS)}.png")


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


def _find(photographs: Path, ids: Sequence[str]) -> list[Photograph]:
    known = {each.id: each for each in read_photographs(photographs)}
    if unknown := [id for id in ids if id not in known]:
        raise DsegError(f"{photographs}: no photograph {unknown[0]}")
    return [known[id] for id in ids]


def main(words: Sequence[str]) -> None:
    """Do what was asked for."""
    match words:
        case ["show", photographs, work, *ids] if ids:
            show(Path(photographs), Path(work), ids)
        case ["check", photographs, work, *ids] if ids:
            check(Path(photographs), Path(work), ids)
        case ["collect", photographs, first, second]:
            collect(Path(photographs), Path(first), Path(second))
        case ["sheet", photographs, out]:
            sheet(Path(photographs), Path(out))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
