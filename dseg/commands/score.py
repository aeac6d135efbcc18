"""Command `score`: a folder of soft masks and one of true masks -> scores under every protocol.

For maps from anywhere: it reads nothing of a run and no settings.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dseg.commands.corloc import score_boxes
from dseg.datasets.masks import SUFFIXES, Remarks, read_mask
from dseg.datasets.sample import IMAGE_SUFFIXES, Sample, list_images
from dseg.errors import DsegError
from dseg.evaluation.postprocessing import MODES, WITHOUT_SETTINGS, scored_maps
from dseg.evaluation.protocols import PROTOCOLS, get_protocol
from dseg.evaluation.scoring import Case, Evaluation, Evaluator
from dseg.files import write_text
from dseg.method.resample import match_size
from dseg.progress import track
from dseg.reporting.forms import to_csv, to_markdown
from dseg.reporting.table import Table, count, fixed, plain

METRICS = {"acc": "Acc", "iou": "IoU", "max_f": "maxF", "mean_f": "meanF", "mae": "MAE"}
METRICS |= {"max_iou": "max IoU", "mean_iou": "mean IoU", "iou_at_max_f": "IoU at maxF"}
TRUTHS = ("half", "protocol")
_SHOWN = ("acc", "iou", "max_f", "mae")
_Key = tuple[str, str]  # post-processing, mode


@dataclass(frozen=True)
class _Item:
    """One image's files."""

    id: str
    prediction: Path
    mask: Path
    image: Path | None


def run(
    predictions: Path,
    masks: Path | None = None,
    images: Path | None = None,
    suffix: str = "",
    protocol: Sequence[str] = tuple(PROTOCOLS),
    mode: Sequence[str] = MODES,
    postprocessing: Sequence[str] = (),
    threshold: float = 0.5,
    truth: str = "half",
    boxes: Path | None = None,
    layout: str = "voc",
    out: Path | None = None,
) -> None:
    """Print a table of scores, and write it if asked to.

    Files belong together that have the same name but for the file type. Predictions are read as
    grey value / 255; one of another size than its mask is resized to it, as in a run.

    Args:
        predictions: Folder of soft masks, PNG or JPEG.
        masks: Folder of true masks; it or boxes must be given.
        images: Folder of the images, which the bilateral solver needs.
        suffix: What predictions' names have besides, as _soft of `dseg segment`; files without it
            are left alone.
        protocol: Protocols to compute; all by default.
        mode: Modes to compute; all by default.
        postprocessing: Post-processings, but not cut, which takes a run's settings; by default all
            others if images are given, else none.
        threshold: Soft masks above it are foreground, for accuracy, IoU and the solver.
        truth: Where grey true masks are cut: half, above one half in every protocol, or protocol,
            as each of them does.
        boxes: Folder of a benchmark with true boxes: CorLoc is printed instead, of the box around
            each mask's largest component, and --out gets corloc.csv.
        layout: How the folder of boxes lies, voc or coco.
        out: Folder for scores.csv, scores.json and images.csv (each image's own), in percent.

    Raises:
        DsegError: An unknown name; a folder or a file's partner is missing; sizes differ; a file
            is not a readable image.
    """
    for name in protocol:
        get_protocol(name)
    if not 0 <= threshold <= 1:
        raise DsegError(f"--threshold {threshold:g}: expected a number from 0 to 1")
    if truth not in TRUTHS:
        raise DsegError(f"--truth {truth}: expected one of {', '.join(TRUTHS)}")
    if masks is None or boxes is not None:
        if masks is not None or images is not None or boxes is None:
            raise DsegError("give either --masks FOLDER (and --images FOLDER) or --boxes FOLDER")
        of_masks = {
            "--protocol": tuple(protocol) != tuple(PROTOCOLS),
            "--mode": tuple(mode) != MODES,
            "--postprocessing": bool(postprocessing),
            "--truth": truth != TRUTHS[0],
        }
        for option in (option for option, given in of_masks.items() if given):
            raise DsegError(f"{option} is for masks: leave it out with --boxes")
        score_boxes(_named(predictions, suffix), boxes, layout, threshold, out)
        return
    chosen = tuple(postprocessing) or (WITHOUT_SETTINGS if images else ("none",))
    if "cut" in chosen:
        raise DsegError(
            "--postprocessing cut takes the settings of a run: list it under "
            "`evaluation.postprocessing` there"
        )
    if images is None and set(chosen) - {"none"}:
        raise DsegError(f"--postprocessing {chosen[-1]} needs the images: add --images FOLDER")
    results: dict[tuple[_Key, str], Evaluator] = {}
    said = Remarks(predictions, soft=True), Remarks(masks)
    for item in track(_pair(predictions, masks, images, suffix), "score"):
        for key, case in _cases(item, chosen, mode, threshold, truth, said):
            for name in protocol:
                if (key, name) not in results:
                    results[key, name] = Evaluator((name,), name, threshold)
                results[key, name].update(case)
    for remarks in said:
        remarks.say("cut at one half" if truth == "half" else "cut as each protocol does")
    scored = {key: evaluator.result() for key, evaluator in results.items()}
    table = _table(scored, predictions.name, threshold)
    print(to_markdown(table), end="")
    if out is not None:
        files = {
            "scores.csv": to_csv(table),
            "scores.json": json.dumps(_nested(table), indent=1) + "\n",
            "images.csv": _images(scored),
        }
        for file, text in files.items():
            write_text(out / file, text)


def _pair(predictions: Path, masks: Path, images: Path | None, suffix: str) -> list[_Item]:
    """The files of every image; every prediction has a mask, and every mask a prediction."""
    soft, true = _named(predictions, suffix), _list(masks)
    photos = None if images is None else _list(images, IMAGE_SUFFIXES)
    for here, there, folder in ((true, soft, predictions), (soft, true, masks)):
        _need_all(here, there, folder)
    if photos is not None and images is not None:
        _need_all(true, photos, images)
    return [
        _Item(name, soft[name], true[name], None if photos is None else photos[name])
        for name in true
    ]


def _named(predictions: Path, suffix: str) -> dict[str, Path]:
    """Predictions by the image's name."""
    found = _list(predictions)
    named = {name: path for name, path in found.items() if name.endswith(suffix)}
    if not named:
        raise DsegError(f"{predictions}: no image whose name ends in {suffix!r}")
    return {name.removesuffix(suffix): path for name, path in named.items()}


def _need_all(wanted: Mapping[str, Path], there: Mapping[str, Path], folder: Path) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        longer = [name for name in there if name.startswith(missing[0])]
        if longer and not set(wanted) & set(there):
            raise DsegError(
                f"{folder}: no file {missing[0]}.* but {there[longer[0]].name}: give what names "
                f"have besides, --suffix={longer[0].removeprefix(missing[0])}"
            )
        raise DsegError(
            f"{folder}: no file {missing[0]}.* to go with {wanted[missing[0]]}; {len(missing)} are "
            "missing in all: add them, or remove their partners"
        )


def _list(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Path]:
    if not folder.is_dir():
        raise DsegError(f"{folder}: no such folder")
    return list_images(folder, suffixes)


def _cases(
    item: _Item,
    postprocessing: Sequence[str],
    modes: Sequence[str],
    threshold: float,
    truth: str,
    remarks: tuple[Remarks, Remarks],
) -> Iterator[tuple[_Key, Case]]:
    predicted, given = read_mask(item.prediction), read_mask(item.mask)
    for each, mask in zip(remarks, (predicted, given), strict=True):
        each.add(mask)
    true = given.values
    image = None if item.image is None else Sample(item.id, item.image).image()
    if image is not None and image.shape[:2] != true.shape:
        raise DsegError(
            f"{item.image} is {image.shape[1]} x {image.shape[0]} but {item.mask} is "
            f"{true.shape[1]} x {true.shape[0]} (width x height): an image must have its mask's "
            "size"
        )
    soft = match_size(predicted.values, true.shape)
    if truth == "half":
        true = true > 127
    maps = scored_maps(soft, image, postprocessing=postprocessing, modes=modes, threshold=threshold)
    for key, values in maps.items():
        yield key, Case(item.id, values, mask=true)


def _table(scored: Mapping[tuple[_Key, str], Evaluation], name: str, threshold: float) -> Table:
    ways = ("postprocessing", "mode", "protocol")
    records = [
        {
            **dict(zip(ways, (postprocessing, mode, protocol), strict=True)),
            "images": len(result.table),
            **{metric: 100 * result.scores[protocol, metric] for metric in METRICS},
        }
        for ((postprocessing, mode), protocol), result in scored.items()
    ]
    images = records[-1]["images"] if records else 0
    return Table(
        name="scores",
        title=f"Scores of {name}",
        note=f"Percent, {images} images; Acc and IoU at {threshold:g}. The protocol defines maxF.",
        frame=pd.DataFrame(records, columns=[*ways, "images", *METRICS]),
        columns=(
            *(plain(way) for way in ways),
            plain("images", count),
            *(plain(metric, fixed(4)) for metric in METRICS),
        ),
        lead=(
            plain("postprocessing", heading="post-processing"),
            *(plain("mode"), plain("protocol")),
        ),
        shown=tuple(plain(metric, fixed(1), METRICS[metric]) for metric in _SHOWN),
    )


def _nested(table: Table) -> list[dict[str, object]]:
    """The rows as JSON objects, scores with four decimals."""
    rows = table.frame.round(4).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _images(scored: Mapping[tuple[_Key, str], Evaluation]) -> str:
    """A row per image, post-processing, mode and protocol, in percent."""
    parts = [
        result.table.drop(columns="hit").assign(
            postprocessing=postprocessing, mode=mode, protocol=protocol
        )
        for ((postprocessing, mode), protocol), result in scored.items()
    ]
    table, metrics = pd.concat(parts), ["acc", "iou", "mae", "max_f"]
    table[metrics] *= 100
    columns = ["postprocessing", "mode", "protocol", "id", *metrics]
    text = io.StringIO()
    table[columns].to_csv(text, index=False, float_format="%.4f", lineterminator="\n")
    return text.getvalue()
