"""Unsupervised object discovery with text-to-image diffusion models, after DiffusionSeg."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dseg.photos.segmenter import Segmenter

__version__ = "0.1.0"


def load(path: str | PathLike[str], *, device: str = "auto") -> "Segmenter":
    """A trained head, to segment images with: ``dseg.load(path).segment(images)``.

    Args:
        path: A folder that `dseg export` wrote, like models/dseg-head-photos.
        device: "auto" takes the first GPU if there is one, else the CPU; or a torch device.

    Raises:
        DsegError: It is not such a folder, or its base model is not to be had or another one.
    """
    from dseg.photos.methods import load_head  # here, since this import takes seconds

    return load_head(path, device=device)
