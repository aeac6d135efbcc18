"""What is made of a soft mask before it is scored: named post-processings and modes.

Modes are FOUND's. ``multi`` scores the map as it is; ``single`` scores one component of the mask,
so its map is binary.

Post-processings:

- ``none``.
- ``cut``: the pixel layer of AttentionCut on the soft mask (`method.cut.attentioncut.pixel_cut`);
  its soft result is scored. With what AttentionCut's pixels give it, rivals and heads stand level.
- ``bilateral-tokencut``: the bilateral solver on the mask above the threshold. Its soft result is
  scored, whatever it is, as in TokenCut.
- ``bilateral-found``: the same solver. Its result above one half, holes filled, is scored as a
  binary map, but only if its IoU with the mask is above 0.5, else the mask itself. As in FOUND's
  code, the label of most pixels is taken for the background: where one component is larger than
  the background, the mask stays; and where it stays, ``single`` keeps all components of it.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from dseg.errors import DsegError
from dseg.evaluation.bilateral import bilateral_grid, solve
from dseg.evaluation.boxes import above, select_component
from dseg.method.cut.attentioncut import pixel_cut
from dseg.settings.masks import AttentionCutSettings

POSTPROCESSING = ("none", "cut", "bilateral-tokencut", "bilateral-found")
WITHOUT_SETTINGS = tuple(name for name in POSTPROCESSING if name != "cut")
MODES = ("multi", "single")
CLOSE = 0.5  # FOUND keeps the solver's result if its IoU with the mask is above this
_HALF = 0.5  # the solver's result is cut here, whatever the threshold of its input


def scored_maps(
    soft: np.ndarray,
    image: np.ndarray | None = None,
    *,
    postprocessing: Sequence[str] = ("none",),
    modes: Sequence[str] = ("multi",),
    threshold: float = 0.5,
    cut: AttentionCutSettings | None = None,
) -> dict[tuple[str, str], np.ndarray]:
    """The maps to score of one soft mask; the solver runs once for all of them, as the cut does.

    Args:
        soft: (H, W) float in [0, 1], uint8 (read as value / 255) or bool.
        image: (H, W, 3) uint8, which every post-processing but ``none`` needs.
        postprocessing: Names among `POSTPROCESSING`.
        modes: Names among `MODES`.
        threshold: The mask is what is above it.
        cut: Of the post-processing ``cut``, which needs them.

    Returns:
        By (post-processing, mode): (H, W), ``soft`` itself, float32 in [0, 1] or bool.

    Raises:
        DsegError: An unknown name; no image where one is needed, or one of another size.
    """
    for names, known in ((postprocessing, POSTPROCESSING), (modes, MODES)):
        for name in names:
            if name not in known:
                raise DsegError(f"no post-processing or mode {name!r}: expected {', '.join(known)}")
    mask = above(soft, threshold)
    asked, solved, refined = set(postprocessing) - {"none"}, None, None
    if asked and image is None:
        raise DsegError("post-processing needs the image: give it with the soft mask")
    if asked - {"cut"} and image is not None:
        solved = solve(mask, bilateral_grid(image))
    if "cut" in asked and image is not None:
        if cut is None:
            raise DsegError("the post-processing cut needs settings: the section attentioncut")
        refined = pixel_cut(soft / 255 if soft.dtype == np.uint8 else soft, image, cut)
    return {
        (name, mode): (
            _map("none", mode, refined, refined > _HALF, None)
            if name == "cut" and refined is not None
            else _map(name, mode, soft, mask, solved)
        )
        for name in postprocessing
        for mode in modes
    }


def keep_if_close(mask: np.ndarray, solved: np.ndarray, mode: str) -> np.ndarray:
    """FOUND's choice between a mask and the solver's result on it, (H, W) bool.

    Args:
        mask: (H, W) bool.
        solved: (H, W) the solver's result on it, float in [0, 1].
        mode: ``single`` proposes one component of the result, ``multi`` all of them.
    """
    labels, _ = ndimage.label(ndimage.binary_fill_holes(solved > _HALF))
    sizes = np.bincount(labels.ravel())
    background = int(sizes.argmax())
    if mode == "single":
        sizes[background] = -1
        # Where there is one label only, everything is proposed, as in FOUND's code.
        proposed = labels == sizes.argmax() if len(sizes) > 1 else np.ones_like(mask)
    else:
        proposed = labels != background
    union = (mask | proposed).sum()
    return proposed if union and (mask & proposed).sum() / union > CLOSE else mask


def _map(
    name: str,
    mode: str,
    soft: np.ndarray,
    mask: np.ndarray,
    solved: np.ndarray | None,
) -> np.ndarray:
    if name == "bilateral-found" and solved is not None:
        return keep_if_close(mask, solved, mode)
    if name == "bilateral-tokencut" and solved is not None:
        soft, mask = solved, solved > _HALF
    return soft if mode == "multi" else select_component(mask, "largest")
