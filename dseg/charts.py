"""Charts of scores: mask methods, precision and recall, number of training pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dseg.figures import BLUE, GREY, INK, LIGHT, ORANGE, colour_of, styled
from dseg.statistics import Interval


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
    figure = Figure(figsize=(8, 0.75 + 0.26 * len(labels)), layout="constrained")
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
def pair_chart(
    lines: Mapping[str, Mapping[int, Interval]],
    levels: Mapping[str, float],
    *,
    level_label: str,
    axis_label: str,
) -> Figure:
    """IoU of the head against the number of training pairs.

    Args:
        lines: By benchmark, scores in [0, 1] by number of pairs, ascending.
        levels: By benchmark, the IoU of the reference without a head, a dotted line.
        level_label: What the reference is.
        axis_label: Name of the score.
    """
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    shades = (ORANGE, BLUE, GREY)
    counts = sorted({count for scores in lines.values() for count in scores})
    for index, (name, scores) in enumerate(lines.items()):
        colour = shades[index % len(shades)]
        # A little beside each other, where the intervals would lie on each other.
        x = np.array(list(scores)) + 0.008 * counts[-1] * (index - (len(lines) - 1) / 2)
        value, low, high = (
            100 * np.array([getattr(score, end) for score in scores.values()])
            for end in ("value", "low", "high")
        )
        axis.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.7)
        axis.plot(x, value, "o-", color=colour, linewidth=1.6, markersize=4.5)
        _end_label(axis, x[-1], value[-1], name, colour)
        if name in levels:
            axis.axhline(100 * levels[name], color=colour, linestyle=":", linewidth=1.2)
    if levels:
        axis.annotate(
            level_label,
            (0, 100 * min(levels.values())),
            xytext=(4, -4),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=GREY,
        )
    axis.margins(y=0.1)
    axis.set_xticks(counts)
    axis.set_xlim(0, 1.12 * counts[-1])
    axis.set_xlabel("synthetic training pairs")
    axis.set_ylabel(axis_label)
    return figure


def _end_label(axis: Axes, x: float, y: float, text: str, colour: str) -> None:
    axis.annotate(
        text,
        (x, y),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold",
    )
