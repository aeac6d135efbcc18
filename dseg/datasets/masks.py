"""The one reader of masks: from a file of any usual kind to grey values, or one error.

Our choices for what files leave open:

- Values 0 and 1 only are read as 0 and 255.
- Palette (VOC's own masks): indices are classes, so all above 0 are foreground, but not 255, which
  is VOC's void, unless nothing besides 0 and 255 is there. A palette of greys only is grey.
- Alpha channel: where it varies and the colours do not, it is the mask; where it does not vary, the
  colours are. Where both do, the file is refused.
- Colours that are not grey are refused, since their brightness means nothing.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from dseg.datasets.picture import open_named, turn_upright
from dseg.errors import DsegError

LOSSLESS = (".png", ".bmp")
SUFFIXES = (*LOSSLESS, ".jpg", ".jpeg")
_VOID = 255
_COLOURED = 48  # greatest difference of the channels of a grey that went through JPEG (our choice)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask as it was read.

    Attributes:
        values: (H, W) uint8 from 0 to 255, upright.
        kind: What the file was read as, where that is not its grey values: 0 and 1, palette, alpha
            channel; otherwise "".
        jpeg: Whether it comes from a JPEG file, which blurs a mask's edges.
    """

    values: np.ndarray
    kind: str
    jpeg: bool

    @property
    def grey_share(self) -> float:
        """The share of pixels that are neither 0 nor 255."""
        return float(((self.values > 0) & (self.values < 255)).mean())


def read_mask(path: Path) -> Mask:
    """Read a true mask or a predicted one.

    Raises:
        DsegError: The file is missing, not a readable image, has more than 8 bits a value, or
            leaves open which of its values are the mask.
    """
    with open_named(path) as file:
        jpeg = file.format in ("JPEG", "MPO")
        # Pillow would cut such values at 255 and say nothing.
        if file.mode.startswith(("I", "F")):
            raise DsegError(f"{path}: has more than 8 bits a value: save it with 8 bits")
        image = turn_upright(file)
        if image.mode == "P" and not _has_grey_palette(image):
            return Mask(_of_classes(np.array(image)), "palette", jpeg)
        if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
            values, kind = _of_alpha(path, image.convert("RGBA"))
        else:
            values, kind = _of_colours(path, image), ""
    if values.max() == 1:
        return Mask(values * np.uint8(255), "0 and 1", jpeg)
    return Mask(values, kind, jpeg)


def _has_grey_palette(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _of_classes(indices: np.ndarray) -> np.ndarray:
    objects = (indices > 0) & (indices != _VOID)
    return (objects if objects.any() else indices > 0).astype(np.uint8) * np.uint8(255)


def _of_alpha(path: Path, image: Image.Image) -> tuple[np.ndarray, str]:
    alpha = np.array(image.getchannel("A"))
    colours = image.convert("RGB")
    if alpha.min() == alpha.max():
        return _of_colours(path, colours), ""
    if any(low != high for low, high in colours.getextrema()):  # type: ignore[misc]
        raise DsegError(
            f"{path}: has colours and an alpha channel, either of which may be the mask: save the "
            "one that is as a grey PNG"
        )
    return alpha, "alpha channel"


def _of_colours(path: Path, image: Image.Image) -> np.ndarray:
    if image.mode not in ("1", "L"):
        channels = np.array(image.convert("RGB"))
        if int((channels.max(axis=-1) - channels.min(axis=-1)).max(initial=0)) > _COLOURED:
            raise DsegError(f"{path}: a mask in colours: save it in grey, with the object white")
    return np.array(image.convert("L"))


@dataclass(eq=False)
class Remarks:
    """What there is to say, once, about the masks of a folder.

    Attributes:
        folder: How to call it.
        soft: Whether grey values are what is expected, as in predictions.
    """

    folder: Path
    soft: bool = False
    _count: int = 0
    _kinds: dict[str, int] = field(default_factory=dict)
    _grey: list[float] = field(default_factory=list)
    _jpeg: int = 0
    _filled: bool = False

    def add(self, mask: Mask) -> None:
        """Take note of one mask."""
        self._count += 1
        self._jpeg += mask.jpeg
        self._filled |= bool(mask.values.any())
        if mask.kind:
            self._kinds[mask.kind] = self._kinds.get(mask.kind, 0) + 1
        if share := mask.grey_share:
            self._grey.append(share)

    def lines(self, grey: str = "cut at one half") -> list[str]:
        """The remarks; ``grey`` says what becomes of grey values of true masks."""
        read_as = {
            "0 and 1": "hold no value above 1 and are read as 0 and 255",
            "palette": "have a palette: every class is foreground, void (255) is not",
            "alpha channel": "are read from the alpha channel",
        }
        said = [f"{n} of {self._count} masks {read_as[kind]}" for kind, n in self._kinds.items()]
        if not self.soft:
            if self._grey:
                share = 100 * sum(self._grey) / len(self._grey)
                said.append(
                    f"{len(self._grey)} of {self._count} masks are grey, in {share:.1f} % of their "
                    f"pixels: {grey}"
                )
            if self._jpeg:
                said.append(f"{self._jpeg} of {self._count} masks are JPEG, which blurs edges")
        if self._count and not self._filled:
            said.append("every mask is empty")
        return [f"{self.folder}: {line}" for line in said]

    def say(self, grey: str = "cut at one half") -> None:
        """Print the remarks to the standard error."""
        for line in self.lines(grey):
            print(f"note: {line}", file=sys.stderr)
