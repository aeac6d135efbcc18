"""Command `score`: a folder of soft masks and one of true masks -> scores under every protocol.

For maps from anywhere: it reads nothing of a run and no settings.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dseg.datasets.sample import Sample, list_images, read_grey
from dseg.errors import DsegError
from dseg.evaluation import Case, Evaluation, Evaluator
from dseg.postprocessing import MODES, POSTPROCESSING, scored_maps
from dseg.progress import track
from dseg.protocols import PROTOCOLS, get_protocol
from dseg.shards import write_atomically
from dseg.table import Table, to_csv, to_markdown

METRICS = {"acc": "Acc", "iou": "IoU", "max_f": "maxF", "mean_f": "meanF", "mae": "MAE"}
METRICS |= {"max_iou": "max IoU", "mean_iou": "mean IoU", "iou_at_max_f": "IoU at maxF"}
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
    masks: Path,
    images: Path | None = None,
    suffix: str = "",
    protocol: Sequence[str] = tuple(PROTOCOLS),
    mode: Sequence[str] = MODES,
    postprocessing: Sequence[str] = (),
    threshold: float = 0.5,
    out: Path | None = None,
) -> None:
    """Print a table of scores, and write it if asked to.

    Files belong together that have the same name but for the file type. Predictions are read as
    grey value / 255 and must have the size of their masks.

    Args:
        predictions: Folder of soft masks, PNG or JPEG.
        masks: Folder of true masks.
        images: Folder of the images, which the bilateral solver needs.
        suffix: What predictions' names have besides, as _soft of `dseg segment`; files without it
            are left alone.
        protocol: Protocols to compute; all by default.
        mode: Modes to compute; all by default.
        postprocessing: Post-processings; by default all if images are given, else none.
        threshold: Soft masks above it are foreground, for accuracy, IoU and the solver.
        out: Folder for scores.csv, scores.json and images.csv (each image's own), in percent.

    Raises:
        DsegError: An unknown name; a folder or a file's partner is missing; sizes differ; a file
            is not a readable image.
    """
    for name in protocol:
        get_protocol(name)
    if not 0 <= threshold <= 1:
        raise DsegError(f"--threshold {threshold:g}: expected a number from 0 to 1")
    chosen = tuple(postprocessing) or (POSTPROCESSING if images else ("none",))
    if images is None and set(chosen) - {"none"}:
        raise DsegError(f"--postprocessing {chosen[-1]} needs the images: add --images FOLDER")
    results: dict[tuple[_Key, str], Evaluator] = {}
    for item in track(_pair(predictions, masks, images, suffix), "score"):
        for key, case in _cases(item, chosen, mode, threshold):
            for name in protocol:
                if (key, name) not in results:
                    results[key, name] = Evaluator((name,), name, threshold)
                results[key, name].update(case)
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
            write_atomically(out / file, partial(Path.write_text, data=text, encoding="utf-8"))


def _pair(predictions: Path, masks: Path, images: Path | None, suffix: str) -> list[_Item]:
    """The files of every image; every prediction has a mask, and every mask a prediction."""
    soft, true = _list(predictions), _list(masks)
    if suffix:
        named = {name: path for name, path in soft.items() if name.endswith(suffix)}
        soft = {name.removesuffix(suffix): path for name, path in named.items()}
        if not soft:
            raise DsegError(f"{predictions}: no image whose name ends in {suffix!r}")
    photos = None if images is None else _list(images)
    for here, there, folder in ((true, soft, predictions), (soft, true, masks)):
        _need_all(here, there, folder)
    if photos is not None and images is not None:
        _need_all(true, photos, images)
    return [
        _Item(name, soft[name], true[name], None if photos is None else photos[name])
        for name in true
    ]


def _need_all(wanted: Mapping[str, Path], there: Mapping[str, Path], folder: Path) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DsegError(
            f"{folder}: no file {missing[0]}.* to go with {wanted[missing[0]]}; {len(missing)} are "
            "missing in all: add them, or remove their partners"
        )


def _list(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DsegError(f"{folder}: no such folder")
    return list_images(folder)


def _cases(
    item: _Item, postprocessing: Sequence[str], modes: Sequence[str], threshold: float
) -> Iterator[tuple[_Key, Case]]:
    soft, true = read_grey(item.prediction), read_grey(item.mask)
    image = None if item.image is None else Sample(item.id, item.image).image()
    for path, values in ((item.prediction, soft), (item.image, image)):
        if values is not None and values.shape[:2] != true.shape:
            height, width = values.shape[:2]
            raise DsegError(
                f"{path} is {width} x {height} but {item.mask} is {true.shape[1]} x "
                f"{true.shape[0]} (width x height): resize it to the true mask's size"
            )
    if true.max() == 1:  # stored as 0 and 1
        true = true * np.uint8(255)
    maps = scored_maps(soft, image, postprocessing=postprocessing, modes=modes, threshold=threshold)
    for key, values in maps.items():
        yield key, Case(item.id, values, mask=true)


def _table(scored: Mapping[tuple[_Key, str], Evaluation], name: str, threshold: float) -> Table:
    cells, records, images = [], [], 0
    for ((postprocessing, mode), protocol), result in scored.items():
        key = (postprocessing, mode, protocol)
        values = {metric: 100 * result.scores[f"{protocol}/{metric}"] for metric in METRICS}
        images = len(result.table)
        cells.append((*key, *(f"{values[metric]:.1f}" for metric in _SHOWN)))
        records.append((*key, str(images), *(f"{value:.4f}" for value in values.values())))
    return Table(
        name="scores",
        title=f"Scores of {name}",
        note=f"Percent, {images} images; Acc and IoU at {threshold:g}. The protocol defines maxF.",
        headings=tuple(
            ("", head)
            for head in ("post-processing", "mode", "protocol", *(METRICS[m] for m in _SHOWN))
        ),
        cells=tuple(cells),
        columns=("postprocessing", "mode", "protocol", "images", *METRICS),
        records=tuple(records),
    )


def _nested(table: Table) -> list[dict[str, object]]:
    """The records as JSON objects, numbers as numbers."""
    labels = ("postprocessing", "mode", "protocol")
    rows = [dict(zip(table.columns, record, strict=True)) for record in table.records]
    return [
        {
            name: value if name in labels else int(value) if name == "images" else float(value)
            for name, value in row.items()
        }
        for row in rows
    ]


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
