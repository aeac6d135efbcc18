"""Figures: their style, how they are saved, grids of images. Charts of scores are in `charts`.

Figures are made without pyplot, so that nothing global is changed, and saved without dates or
random identifiers: equal input gives equal bytes, with the same fonts and versions installed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dseg.files import write_atomically
from dseg.method.resample import resize

BLUE, ORANGE, GREEN = "#2f6da8", "#d1572b", "#4b8b3b"
INK, GREY, LIGHT = "#222222", "#777777", "#d9d9d9"
DPI = 130
CELL = 192  # longest side of a picture in a grid, pixels: larger ones only make large files

STYLE: Any = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",  # not transparent: pages may be dark
    "svg.hashsalt": "dseg",
    "svg.fonttype": "path",
    "svg.image_inline": True,
    "image.interpolation": "none",
    "image.composite_image": False,
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a figure in the style of all figures."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically and reproducibly."""
    _save(figure, path, {"Software": None})


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG with letters as outlines, atomically and reproducibly."""
    _save(figure, path, {"Date": None, "Creator": None})


def _save(figure: Figure, path: Path, metadata: dict[str, Any]) -> None:
    def write(temporary: Path) -> None:
        with matplotlib.rc_context(STYLE):
            figure.savefig(temporary, dpi=DPI, metadata=metadata)

    write_atomically(Path(path), write)


@styled
def nothing(reason: str) -> Figure:
    """What takes the place of a figure that has nothing to show."""
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, f"not run: {reason}", ha="center", va="center", color=GREY)
    return figure


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A synthetic image and its mask.

    Attributes:
        noun: What the prompt named.
        image: uint8 (H, W, 3).
        cross: (h, w), the noun's cross map.
        mask: bool (H, W).
        dropped: Why the filter dropped the mask; empty if it was kept.
    """

    noun: str
    image: np.ndarray
    cross: np.ndarray
    mask: np.ndarray
    dropped: str


@styled
def mask_gallery(items: Sequence[Synthetic]) -> Figure:
    """Synthetic images, the noun's cross map on each, and the mask that AttentionCut made of it."""
    rows = ("image", "cross map", "AttentionCut")
    room = 0.3 if any(item.dropped for item in items) else 0.0
    figure, axes = _grid(rows, len(items), above=0.22, below=(0, 0, room))
    for column, item in enumerate(items):
        image, cross, cut = axes[:, column]
        image.set_title(item.noun, loc="center", fontsize=8.5, pad=3)
        _show(image, item.image)
        cross.imshow(item.cross, cmap="magma", vmin=0)
        _outline(cut, item.image, item.mask, GREY if item.dropped else BLUE)
        if item.dropped:
            cut.set_xlabel(f"dropped:\n{item.dropped}", fontsize=7, color=GREY, labelpad=2)
    return figure


@dataclass(frozen=True, eq=False)
class Predicted:
    """A benchmark image, its true mask, and by method the predicted mask with its IoU."""

    image: np.ndarray
    truth: np.ndarray
    masks: Mapping[str, tuple[np.ndarray, float]]


@styled
def prediction_gallery(items: Sequence[Predicted], labels: Mapping[str, str]) -> Figure:
    """Images with the true outline and that of each method; its IoU, in percent, below.

    Args:
        items: One for each column.
        labels: Of the methods, by the keys of `Predicted.masks`, in the order of the rows.
    """
    rows = ("image", "truth", *labels.values())
    figure, axes = _grid(rows, len(items), above=0.02, below=(0, 0, *(0.17 for _ in labels)))
    colours = colour_of(list(labels.values()))
    for column, item in enumerate(items):
        _show(axes[0, column], item.image)
        _outline(axes[1, column], item.image, item.truth, INK)
        for row, (method, label) in enumerate(labels.items(), start=2):
            mask, iou = item.masks[method]
            axis = axes[row, column]
            _outline(axis, item.image, mask, colours[label])
            said = f"{100 * iou:.0f}" if column else f"IoU {100 * iou:.0f} %"
            axis.set_xlabel(said, fontsize=8, labelpad=1.5)
    return figure


@styled
def sheet(picture: np.ndarray, columns: Sequence[str], rows: Sequence[str]) -> Figure:
    """A sheet of samples with the names of its columns and rows.

    Args:
        picture: uint8 (H, W, 3), equal tiles side by side.
        columns: Name of each column of tiles.
        rows: Name of each row of tiles.
    """
    height, width = picture.shape[:2]
    tile, left, above = 0.72, 0.75, 0.25  # inches
    size = (left + tile * len(columns), above + tile * len(rows))
    figure = Figure(figsize=size)
    share = (1 - left / size[0], 1 - above / size[1])
    axis = figure.add_axes((1 - share[0], 0, *share))
    axis.imshow(picture)
    axis.xaxis.tick_top()
    axis.set_xticks((np.arange(len(columns)) + 0.5) * width / len(columns) - 0.5, columns)
    axis.set_yticks((np.arange(len(rows)) + 0.5) * height / len(rows) - 0.5, rows)
    axis.tick_params(length=0, pad=3)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


@styled
def loss_curve(points: Sequence[tuple[int, float]], smooth: int = 9) -> Figure:
    """Training loss against samples seen: each value, and the running mean of `smooth`."""
    samples, loss = np.array(points, dtype=np.float64).T
    figure = Figure(figsize=(5.5, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.plot(samples / 1000, loss, color=LIGHT, linewidth=0.8)
    width = min(smooth, len(loss))
    mean = np.convolve(loss, np.full(width, 1 / width), mode="valid")
    first = (width - 1) // 2  # each mean stands at the middle of what it averages
    axis.plot(samples[first : first + len(mean)] / 1000, mean, color=BLUE, linewidth=1.6)
    # The first values are of untrained weights and would flatten all that follows.
    axis.set_ylim(0, 1.3 * float(np.quantile(loss, 0.95)))
    axis.set_xlabel("thousand training samples")
    axis.set_ylabel("loss")
    return figure


@styled
def learning_curve(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Localisation and sample accuracy of the base model against samples seen, both in percent.

    Args:
        rows: Columns samples, localisation, localisation_root and accuracy of each checkpoint,
            shares as text.
    """
    seen = [int(row["samples"]) / 1000 for row in rows]
    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    axis = figure.subplots()
    for column, label, colour, style in (
        ("accuracy", "kind of sample named", ORANGE, "-"),
        ("localisation_root", "noun located, root of map", BLUE, "-"),
        ("localisation", "noun located", BLUE, ":"),
    ):
        values = [100 * float(row[column]) for row in rows]
        axis.plot(seen, values, style, color=colour, marker="o", markersize=3)
        axis.annotate(
            label,
            (seen[-1], values[-1]),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
    axis.set_xscale("log")
    ticks = [value for value in (10, 20, 50, 100, 200, 500) if seen[0] <= value <= seen[-1]]
    axis.set_xticks(ticks, [str(value) for value in ticks])
    axis.minorticks_off()
    axis.set_ylim(0, 104)
    axis.set_xlabel("thousand training samples")
    axis.set_ylabel("percent")
    return figure


def colour_of(labels: Sequence[str]) -> dict[str, str]:
    """Colours of methods: AttentionCut blue, heads orange, RGB networks green, others grey."""
    kinds = {"AttentionCut": BLUE, "head": ORANGE, "RGB": GREEN}
    return {
        label: next((c for kind, c in kinds.items() if label.startswith(kind)), GREY)
        for label in labels
    }


def _grid(
    rows: Sequence[str], columns: int, *, above: float, below: Sequence[float]
) -> tuple[Figure, np.ndarray]:
    """A figure with square cells of one size, and the names of the rows at their left.

    Args:
        rows: Names.
        columns: Their number.
        above: Room for titles, inches.
        below: Room below each row for captions, inches.

    Returns:
        The figure, and its axes as objects (rows, columns).
    """
    side, gap = 0.78, 0.04
    left = 0.2 + 0.075 * max(len(name) for name in rows)
    width = left + columns * (side + gap)
    height = above + len(rows) * (side + gap) + sum(below)
    figure = Figure(figsize=(width, height))
    axes = np.empty((len(rows), columns), dtype=object)
    top = height - above
    for row, name in enumerate(rows):
        for column in range(columns):
            x = left + column * (side + gap)
            axis = figure.add_axes((x / width, (top - side) / height, side / width, side / height))
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(False)
            axes[row, column] = axis
        y = (top - side / 2) / height
        figure.text((left - 0.1) / width, y, name, ha="right", va="center")
        top -= side + gap + below[row]
    return figure, axes


def _fit(array: np.ndarray) -> np.ndarray:
    """An image or mask reduced to at most `CELL` pixels; float32 if it was larger."""
    longest = max(array.shape[:2])
    if longest <= CELL:
        return array
    height, width = (max(1, round(side * CELL / longest)) for side in array.shape[:2])
    return resize(array, (height, width))


def _show(axis: Axes, image: np.ndarray) -> None:
    axis.imshow(_fit(image).astype(np.uint8))


def _outline(axis: Axes, image: np.ndarray, mask: np.ndarray, colour: str) -> None:
    """The image, paled outside the mask, with the mask's outline."""
    image, mask = _fit(image).astype(np.float32), _fit(mask) > 0.5
    paled = np.where(mask[..., None], image, 0.45 * image + 0.55 * 255)
    axis.imshow(paled.astype(np.uint8))
    if mask.any():
        height, width = mask.shape
        closed = np.pad(mask, 1).astype(np.float32)  # outlines close at the image's border
        x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
        axis.contour(x, y, closed, levels=[0.5], colors=[colour], linewidths=1.1)
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(height - 0.5, -0.5)
