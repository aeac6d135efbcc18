"""Which number of a mask, told without the truth, ranks masks by their IoU: candidates compared.

    python benchmarks/mask_scores.py --sod FOLDER [--images 100] [--out results/mask-scores]

`dseg segment` gives each mask a score. It is worth its place only if masks of a higher score are
better ones, so candidates are held against the true IoU by Spearman's rank correlation, for the
shipped head and for AttentionCut with the noun "object". One is chosen, the same for both, by the
mean correlation on the sets to choose on: the world's split `val` and two thirds of SOD (FOLDER
has its images/ and masks/). What it is worth is read on the others: the splits `test`, `shift` and
`harsh`, and the last third of SOD. Intervals are of 95 %, by 1,000 bootstrap samples of images.
About five minutes on one core.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dseg.files import write_text  # noqa: E402
from dseg.photos.methods import load_attentioncut, load_head  # noqa: E402
from dseg.photos.segmenter import Segmentation, border_share, stability  # noqa: E402
from dseg.world.splits import draw_split  # noqa: E402

SEED = 0  # of the world's splits, as in params.yaml, and of the bootstrap
SAMPLES = 1000
CHOSEN_ON = ("val", "SOD, two thirds")
HEAD = ROOT / "models" / "dseg-head-embedded"
Scenes = list[tuple[np.ndarray, np.ndarray]]  # images uint8 (H, W, 3), masks bool (H, W)


def mean_inside(found: Segmentation, mirrored: Segmentation) -> float:
    """The mean soft mask inside the mask."""
    return float(found.soft[found.mask].mean()) if found.mask.any() else 0.0


def expected_iou(found: Segmentation, mirrored: Segmentation) -> float:
    """The IoU that the mask had if the soft mask were a probability."""
    inside, outside = found.soft[found.mask].sum(), found.soft[~found.mask].sum()
    return float(inside / (found.mask.sum() + outside)) if found.mask.any() else 0.0


def margin(found: Segmentation, mirrored: Segmentation) -> float:
    """How far from undecided, less one pixel in two a unit of the outline's length."""
    mask = found.mask
    outline = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return -float((1 - np.abs(2 * found.soft - 1)).sum() / max(outline, 1))


def agreement(found: Segmentation, mirrored: Segmentation) -> float:
    """IoU with the mask of the mirrored image; for AttentionCut this is another noise as well."""
    return iou(found.mask, mirrored.mask[:, ::-1]) if found.mask.any() else 0.0


def largest(found: Segmentation, mirrored: Segmentation) -> float:
    """The share of the mask in its largest part."""
    labels, count = ndimage.label(found.mask)
    return float(np.bincount(labels.ravel())[1:].max() / found.mask.sum()) if count else 0.0


def inside_border(found: Segmentation, mirrored: Segmentation) -> float:
    """The share of the image's border that the mask leaves free."""
    return 1 - border_share(found.mask)


CANDIDATES: dict[str, Callable[[Segmentation, Segmentation], float]] = {
    "mean inside": mean_inside,
    "expected IoU": expected_iou,
    "stability .1 to .9": lambda found, _: stability(found.soft),
    "margin": margin,
    "agreement mirrored": agreement,
    "free border": inside_border,
    "largest part": largest,
    "area": lambda found, _: found.area,
    "mean inside x free border": lambda *both: mean_inside(*both) * inside_border(*both),
    "expected IoU x free border": lambda *both: expected_iou(*both) * inside_border(*both),
    "stability x free border": lambda found, _: found.score,
    "agreement x free border": lambda *both: agreement(*both) * inside_border(*both),
}


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0


def sets(sod: Path, count: int) -> Iterator[tuple[str, Scenes]]:
    """The sets by name: those to choose on first."""
    photos = sorted((sod / "images").glob("*.jpg"))
    held_out = photos[2::3]
    for name, paths in (
        (CHOSEN_ON[1], [path for path in photos if path not in set(held_out)]),
        ("SOD, last third", held_out),
    ):
        yield name, [(read(path, "RGB"), mask_of(path, sod)) for path in paths]
    for name in ("val", "test", "shift", "harsh"):
        scenes = draw_split(name, SEED, count)
        yield name, list(zip(scenes.images, scenes.masks.astype(bool), strict=True))


def read(path: Path, mode: str) -> np.ndarray:
    """An image of a file."""
    with Image.open(path) as image:
        return np.array(image.convert(mode))


def mask_of(photo: Path, sod: Path) -> np.ndarray:
    """The true mask of a photograph, bool (H, W)."""
    return read(sod / "masks" / f"{photo.stem}.png", "L") > 127


def interval(values: np.ndarray, ious: np.ndarray) -> tuple[float, float]:
    """Of the correlation, over samples of images."""
    rng = np.random.default_rng(SEED)
    drawn = [rng.integers(len(ious), size=len(ious)) for _ in range(SAMPLES)]
    found = [float(spearmanr(values[each], ious[each])[0]) for each in drawn]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def main(sod: Path, count: int, out: Path) -> None:
    """Compute, choose and write correlations.csv and README.md."""
    rows = []
    for method, segmenter in (
        ("head", load_head(HEAD, device="cpu")),
        ("AttentionCut", load_attentioncut(HEAD, "object", device="cpu")),
    ):
        for name, scenes in sets(sod, count):
            images = [image for image, _ in scenes]
            mirrored = segmenter.stream([np.ascontiguousarray(image[:, ::-1]) for image in images])
            pairs = list(zip(segmenter.stream(images), mirrored, strict=True))
            ious = np.array(
                [iou(found.mask, true) for (found, _), (_, true) in zip(pairs, scenes, strict=True)]
            )
            for candidate, tell in CANDIDATES.items():
                values = np.array([tell(*pair) for pair in pairs])
                low, high = interval(values, ious)
                rows.append(
                    {
                        "method": method,
                        "set": name,
                        "images": len(scenes),
                        "mean_iou": round(float(ious.mean()), 4),
                        "candidate": candidate,
                        "spearman": round(float(spearmanr(values, ious)[0]), 4),
                        "low": round(low, 4),
                        "high": round(high, 4),
                    }
                )
            print(f"{method}, {name}: done", file=sys.stderr, flush=True)
    frame = pd.DataFrame(rows)
    write_text(out / "correlations.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(out / "README.md", page(frame, count))


def page(frame: pd.DataFrame, count: int) -> str:
    """What was chosen and what it is worth, in Markdown."""
    means = frame[frame["set"].isin(CHOSEN_ON)].groupby("candidate", sort=False)["spearman"].mean()
    best = str(means.idxmax())
    held = frame[~frame["set"].isin(CHOSEN_ON)]
    wide = frame.assign(place=frame["method"] + ", " + frame["set"])
    table = wide.pivot_table(index="candidate", columns="place", values="spearman", sort=False)
    table.insert(0, "mean on the sets to choose on", means)
    shown = held[held["candidate"].isin([best, "mean inside"])]
    return "\n".join(
        [
            "# Does the score of a mask rank masks?",
            "",
            "Written by `python benchmarks/mask_scores.py --sod FOLDER`, which says what each",
            f"candidate is. World: {count} images a split, seed {SEED}; SOD: 200 and 100 images.",
            "Numbers are Spearman's correlations of a candidate with the true IoU.",
            "",
            f"Chosen, by the mean on {' and '.join(CHOSEN_ON)}: **{best}**.",
            "",
            "## The chosen one, and the mean inside the mask, on the sets not chosen on",
            "",
            shown.drop(columns="images").to_markdown(index=False),
            "",
            "## All candidates on all sets",
            "",
            table.round(2).to_markdown(),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sod", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mask-scores")
    given = parser.parse_args()
    main(given.sod, given.images, given.out)
