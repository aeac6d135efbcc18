"""CorLoc outside a run: a folder of masks against the boxes of a VOC or COCO folder."""

from collections.abc import Mapping
from pathlib import Path

from dseg.datasets.masks import Remarks, read_mask
from dseg.datasets.opening import open_benchmark
from dseg.errors import DsegError
from dseg.evaluation.boxes import is_hit, mask_to_box
from dseg.files import write_text
from dseg.method.resample import match_size
from dseg.progress import track

LAYOUTS = ("voc", "coco")


def score_boxes(
    predictions: Mapping[str, Path], root: Path, layout: str, threshold: float, out: Path | None
) -> None:
    """Print CorLoc of the box around each mask's largest component, and write it if asked to.

    As in a run with the default settings: an empty mask has the whole image's box, difficult
    objects are kept, crowds dropped, and images without a true box do not count.

    Args:
        predictions: Mask files by the image's id; those of other images are left alone.
        root: Folder of the true boxes.
        layout: How it lies: voc or coco.
        threshold: What is above it is foreground.
        out: Folder for corloc.csv (id, hit), if any.

    Raises:
        DsegError: An unknown layout; a mask is missing or cannot be read; no image has a true box;
            as `open_benchmark`.
    """
    if layout not in LAYOUTS:
        raise DsegError(f"--layout {layout}: expected one of {', '.join(LAYOUTS)}")
    samples = open_benchmark(layout, root)
    missing = [id for id in samples.ids if id not in predictions]
    if missing:
        raise DsegError(
            f"no mask {missing[0]}.* among the predictions, but {root} lists the image; "
            f"{len(missing)} are missing in all: add them"
        )
    hits: dict[str, bool] = {}
    remarks = Remarks(predictions[samples.ids[0]].parent, soft=True)
    for sample in track(samples, "score"):
        if sample.boxes is None or not len(sample.boxes):
            continue
        mask = read_mask(predictions[sample.id])
        remarks.add(mask)
        box = mask_to_box(match_size(mask.values, sample.size()), threshold=threshold)
        hits[sample.id] = is_hit(box, sample.boxes)
    if not hits:
        raise DsegError(f"{root}: no image has a true box, so there is nothing to score")
    remarks.say()
    print(f"CorLoc {100 * sum(hits.values()) / len(hits):.1f} percent, {len(hits)} images")
    if out is not None:
        lines = ["id,hit", *(f"{id},{int(hit)}" for id, hit in hits.items())]
        write_text(out / "corloc.csv", "\n".join(lines) + "\n")
