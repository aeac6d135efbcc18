"""Saliency benchmarks: a folder of images and a folder of masks with the same names."""

from pathlib import Path

from dseg.datasets.masks import LOSSLESS, SUFFIXES
from dseg.datasets.sample import Sample, Samples, list_images, need_folder, read_nouns
from dseg.errors import DsegError

# Image and mask folders as the archives unpack.
FOLDERS = (
    ("images", "ground_truth_mask"),  # ECSSD, the embedded world
    ("images", "masks"),  # SOD
    ("DUTS-TE-Image", "DUTS-TE-Mask"),
    ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
)


def open_saliency(root: Path) -> Samples:
    """A benchmark of images (JPEG or PNG) with masks of the same names: PNG, BMP, or else JPEG.

    If ``root`` has a ``captions.csv`` (columns id, noun, caption), its nouns are given too.

    Raises:
        DsegError: No folder pair of `FOLDERS`; no images; an image without its mask.
    """
    need_folder(root, "saliency")
    pairs = [(root / images, root / masks) for images, masks in FOLDERS]
    pairs = [pair for pair in pairs if all(folder.is_dir() for folder in pair)]
    if not pairs:
        known = " or ".join(f"{images}/ and {masks}/" for images, masks in FOLDERS)
        raise DsegError(f"{root}: expected the folders {known}; unpack the data set there")
    image_folder, mask_folder = pairs[0]
    images = list_images(image_folder)
    masks = _list_masks(mask_folder)
    missing = [id for id in images if id not in masks]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DsegError(
            f"{mask_folder / missing[0]}.png: missing mask of {images[missing[0]]}{more}; unpack "
            "the masks again or remove the image"
        )
    nouns = read_nouns(root / "captions.csv")

    def make(id: str) -> Sample:
        return Sample(id, images[id], masks[id], noun=nouns.get(id))

    return Samples(tuple(images), make)


def _list_masks(folder: Path) -> dict[str, Path]:
    """Masks by id; where there are several of one id, a lossless one."""
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
    # Of equal keys the last one counts, and False comes before True.
    return {path.stem: path for path in sorted(paths, key=lambda p: p.suffix.lower() in LOSSLESS)}
