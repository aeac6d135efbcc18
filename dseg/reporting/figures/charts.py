"""Charts of scores: intervals side by side, precision and recall, lines against a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from dseg.evaluation.statistics import Interval
from dseg.reporting.figures.galleries import BLUE, GREY, INK, LIGHT, colour_of, styled

_LINE_APART = 0.065  # height of a line of text, as a share of a panel of `line_chart`


@styled
def interval_chart(
    panels: Mapping[str, Mapping[str, Interval]],
    *,
    highlight: str,
    reference: str,
    axis_label: str,
) -> Figure:
    """Scores of methods with their intervals, one panel beside the other.

    Points and not bars: the axis may then start where the scores do.

    Args:
        panels: By title, the scores in [0, 1] by label, from top to bottom; the same in each.
        highlight: The label to draw in colour.
        reference: The label whose score a vertical line goes through.
        axis_label: Name of the score.
    """
    labels = list(next(iter(panels.values())))
    # More than two panels need more width than a column of text has.
    width = 8 + 1.7 * max(0, len(panels) - 2)
    figure = Figure(figsize=(width, 0.75 + 0.26 * len(labels)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for axis, (title, scores) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        axis.set_xlabel(axis_label)
        if reference in scores:
            axis.axvline(100 * scores[reference].value, color=LIGHT, linewidth=1, zorder=0)
        for row, label in enumerate(labels):
            if label in scores:
                colour = BLUE if label == highlight else GREY
                _draw_interval(axis, scores[label], row, colour)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.margins(x=0.12)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    for tick, label in zip(axes[0].get_yticklabels(), labels, strict=True):
        tick.set_color(BLUE if label == highlight else INK)
    return figure


def _draw_interval(axis: Axes, interval: Interval, row: int, colour: str) -> None:
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    axis.plot([low, high], [row, row], color=colour, linewidth=1.6, solid_capstyle="round")
    axis.plot([value], [row], "o", color=colour, markersize=4.5)
    axis.annotate(
        f"{value:.1f}",
        (high, row),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
    )


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision against recall, (K,) each, and the maximum of F, all in [0, 1]."""

    label: str
    precision: np.ndarray
    recall: np.ndarray
    max_f: float


@styled
def precision_recall_chart(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """Precision against recall, a panel for each benchmark, maxF beside the methods' names.

    Args:
        panels: Curves by title of the panel.
    """
    figure = Figure(figsize=(4.2 * len(panels), 4.0), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        colours = colour_of([curve.label for curve in curves])
        styles = _line_styles([colours[curve.label] for curve in curves])
        for curve, style in zip(curves, styles, strict=True):
            axis.plot(
                100 * curve.recall,
                100 * curve.precision,
                color=colours[curve.label],
                linestyle=style,
                linewidth=1.5,
                label=f"{curve.label}  {100 * curve.max_f:.1f}",
            )
        axis.set_title(title)
        axis.set_xlabel("recall, %")
        axis.set_xlim(0, 100)
        axis.set_ylim(0, 101)
        # High curves leave the lower left free. A legend there is nearer than labels that
        # would lie on each other where the curves meet.
        legend = axis.legend(
            loc="lower left",
            frameon=False,
            fontsize=8,
            handlelength=1.8,
            labelspacing=0.3,
            title="maxF, %",
            title_fontsize=8,
            alignment="left",
        )
        for text, curve in zip(legend.get_texts(), curves, strict=True):
            text.set_color(colours[curve.label])
    axes[0].set_ylabel("precision, %")
    return figure


def _line_styles(colours: Sequence[str]) -> list[str]:
    """A style for each line, so that those of one colour differ."""
    cycle = ("-", "--", ":", "-.")
    return [cycle[list(colours[:i]).count(colour) % 4] for i, colour in enumerate(colours)]


@styled
def line_chart(
    panels: Mapping[str, Mapping[str, Mapping[float, Interval]]],
    *,
    levels: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    x_label: str,
    axis_label: str,
    logarithmic: bool = False,
) -> Figure:
    """Scores of methods against a number, with their intervals; a panel beside the other.

    Args:
        panels: By title, scores in [0, 1] by label of the line and by number, ascending.
        levels: By title, scores that do not depend on the number, by label: dotted lines.
        x_label: Name of the number.
        axis_label: Name of the score.
        logarithmic: Whether numbers stand as their logarithms.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    # A panel alone is wider: the names beside it take their room from it.
    size = (4.6 * columns, 3.1 * rows) if len(panels) > 1 else (6.6, 3.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis in grid.flat[len(panels) :]:
        axis.set_visible(False)
    named: list[list[tuple[float, str, str]]] = []
    for axis, (title, lines) in zip(grid.flat, panels.items(), strict=False):
        axis.set_title(title)
        colours = colour_of([*lines, *levels.get(title, {})])
        styles = _line_styles([colours[label] for label in lines])
        ends: list[tuple[float, str, str]] = []
        named.append(ends)
        for (label, scores), style in zip(lines.items(), styles, strict=True):
            x, colour = np.array(list(scores)), colours[label]
            value, low, high = (
                100 * np.array([getattr(score, end) for score in scores.values()])
                for end in ("value", "low", "high")
            )
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.plot(x, value, "o", linestyle=style, color=colour, linewidth=1.5, markersize=4)
            ends.append((value[-1], label, colour))
        for label, level in levels.get(title, {}).items():
            axis.axhline(100 * level, color=colours[label], linestyle=":", linewidth=1.2)
            ends.append((100 * level, label, colours[label]))
        numbers = sorted({number for scores in lines.values() for number in scores})
        if logarithmic:
            axis.set_xscale("log")
            axis.minorticks_off()
        axis.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axis.margins(y=0.08)
    # Only now is the range known that the panels share.
    last = max(number for lines in panels.values() for line in lines.values() for number in line)
    for axis, ends in zip(grid.flat, named, strict=False):
        _end_labels(axis, last, ends)
    for axis in grid[-1]:
        axis.set_xlabel(x_label)
    for axis in grid[:, 0]:
        axis.set_ylabel(axis_label)
    return figure


def _end_labels(axis: Axes, x: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names beside the right ends of lines, as near as they go without lying on each other."""
    low, high = axis.get_ylim()
    ordered = sorted(ends)
    values = np.array([value for value, _, _ in ordered])
    lines = np.array([text.count("\n") + 1 for _, text, _ in ordered])
    apart = _LINE_APART * (high - low) * (lines[1:] + lines[:-1]) / 2
    offsets = np.concatenate([[0.0], np.cumsum(apart)])
    # The nearest heights, in squares, that keep the distances: a rising regression.
    heights = isotonic_regression(values - offsets).x + offsets
    for height, (value, text, colour) in zip(heights, ordered, strict=True):
        axis.annotate(
            text,
            (x, value),
            xytext=(1.06, height),
            textcoords=axis.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )
