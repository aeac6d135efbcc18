"""Figures are drawn from little, are the same bytes twice, and show what they are given."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.text import Text
from PIL import Image

from dseg.evaluation.statistics import Interval
from dseg.reporting.figures.charts import Curve, interval_chart, line_chart, precision_recall_chart
from dseg.reporting.figures.galleries import (
    CELL,
    STYLE,
    Predicted,
    Synthetic,
    colour_of,
    loss_curve,
    mask_gallery,
    nothing,
    prediction_gallery,
    save_png,
    save_svg,
    sheet,
)

GREEN = np.array([20, 200, 20], dtype=np.uint8)


def picture(height=24, width=24):
    return np.broadcast_to(GREEN, (height, width, 3)).copy()


def square(height=24, width=24):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return mask


def synthetic(dropped=""):
    return Synthetic("key", picture(), np.eye(4), square(), dropped)


def predicted(height=24, width=24):
    mask = square(height, width)
    masks = {"cut": (mask, 0.9), "inversion": (~mask, 0.123)}
    return Predicted(picture(height, width), mask, masks)


LABELS = {"cut": "AttentionCut", "inversion": "head"}


def pixels(figure, folder: Path):
    save_png(figure, folder / "figure.png")
    return np.asarray(Image.open(folder / "figure.png").convert("RGB")).astype(int)


def charts():
    scores = {"Otsu": Interval(0.7, 0.65, 0.74), "AttentionCut": Interval(0.8, 0.77, 0.83)}
    ramp = np.linspace(0, 1, 20)
    curve = Curve("head, inverted features", 1 - ramp**3, ramp, 0.8)
    line = {10: Interval(0.6, 0.5, 0.7), 40: Interval(0.7, 0.65, 0.74)}
    lines = {"test": {"head": line, "RGB network": line}, "shift": {"head": line}}
    return {
        "intervals": interval_chart(
            {"val": scores, "test": scores},
            highlight="AttentionCut",
            reference="Otsu",
            axis_label="IoU",
        ),
        "curves": precision_recall_chart({"test": [curve], "shift": [curve]}),
        "pairs": line_chart(
            lines,
            levels={"test": {"AttentionCut": 0.5}},
            x_label="pairs",
            axis_label="IoU",
            logarithmic=True,
        ),
        "loss": loss_curve([(100 * i, 1 / (i + 1)) for i in range(50)]),
        "masks": mask_gallery([synthetic(), synthetic("too small")]),
        "gallery": prediction_gallery([predicted()], LABELS),
        "sheet": sheet(np.concatenate([picture(), 255 - picture()], axis=1), ["a", "b"], ["wood"]),
        "nothing": nothing("there is nothing"),
    }


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two folders with all figures, drawn one after the other."""
    folders = [tmp_path_factory.mktemp("figures") for _ in range(2)]
    for folder in folders:
        for name, figure in charts().items():
            save_png(figure, folder / f"{name}.png")
            save_svg(figure, folder / f"{name}.svg")
    return folders


def test_equal_figures_are_equal_bytes(twice):
    first, second = ({path.name: path.read_bytes() for path in each.iterdir()} for each in twice)
    assert len(first) == 16
    assert [name for name in first if first[name] != second[name]] == []


def test_no_dates_and_no_names_of_machines(twice):
    for path in twice[0].glob("*.svg"):
        text = path.read_text()
        assert "<dc:date>" not in text and "<dc:creator>" not in text


def test_figures_fit_a_page_and_are_opaque(twice):
    for path in twice[0].glob("*.png"):
        with Image.open(path) as image:
            assert 60 < image.height < 1000 and image.width < 1600
            assert np.asarray(image.convert("RGBA"))[..., 3].min() == 255


def test_drawing_leaves_no_style_behind():
    before = dict(rcParams)
    charts()
    assert dict(rcParams) == before and rcParams["svg.hashsalt"] != STYLE["svg.hashsalt"]


def test_names_beside_lines_keep_their_order_and_do_not_lie_on_each_other():
    ends = {"a": 0.70, "b": 0.701, "c\nin two lines": 0.702, "d": 0.3}
    low = {name: {1.0: Interval(0.1, 0.1, 0.1), 2.0: Interval(v, v, v)} for name, v in ends.items()}
    high = {"e": {1.0: Interval(1.0, 1.0, 1.0), 2.0: Interval(0.9, 0.9, 0.9)}}
    figure = line_chart({"low": low, "high": high}, x_label="number", axis_label="IoU")
    figure.draw_without_rendering()
    # Of the letters alone: an annotation's own extent has its stroke in it.
    letters = {text.get_text(): Text.get_window_extent(text) for text in figure.axes[0].texts}
    order = sorted(letters, key=lambda text: letters[text].y0)
    assert order == sorted(ends, key=lambda name: ends[name])
    assert all(letters[below].y1 <= letters[above].y0 for below, above in pairwise(order))


def test_gallery_pales_what_is_outside_the_mask(tmp_path):
    shown = pixels(prediction_gallery([predicted()], LABELS), tmp_path)
    full = (np.abs(shown - GREEN).max(axis=-1) < 8).sum()
    pale = (np.abs(shown - (0.45 * GREEN + 0.55 * 255)).max(axis=-1) < 8).sum()
    # Four cells of one size: all of the image, a sixteenth for truth and cut, the rest for the
    # inverted mask. Outlines cover some of it.
    cell = (full + pale) / 4
    assert full == pytest.approx(cell * (1 + 2 / 16 + 15 / 16), rel=0.08)


def test_dropped_masks_are_grey(tmp_path):
    kept, dropped = (
        pixels(mask_gallery([synthetic(reason)]), tmp_path) for reason in ("", "border")
    )
    blue = np.array([0x2F, 0x6D, 0xA8])
    assert (np.abs(kept - blue).max(axis=-1) < 30).sum() > 50
    assert (np.abs(dropped - blue).max(axis=-1) < 30).sum() == 0
    assert dropped.shape[0] > kept.shape[0]  # room to say why


def test_large_images_are_reduced(tmp_path):
    def size(height, width):
        figure = prediction_gallery([predicted(height, width)], LABELS)
        save_svg(figure, tmp_path / "figure.svg")
        return (tmp_path / "figure.svg").stat().st_size

    assert size(8 * CELL, 6 * CELL) < 2 * size(CELL, CELL * 6 // 8)


def test_colours_go_by_kind():
    colours = colour_of(["AttentionCut, a", "AttentionCut, b", "head", "RGB network", "Otsu"])
    assert colours["AttentionCut, a"] == colours["AttentionCut, b"]
    assert len(set(colours.values())) == 4


def test_an_empty_mask_is_drawn(tmp_path):
    item = Predicted(picture(), square(), {"cut": (np.zeros((24, 24), bool), 0.0)})
    assert pixels(prediction_gallery([item], {"cut": "AttentionCut"}), tmp_path).size
