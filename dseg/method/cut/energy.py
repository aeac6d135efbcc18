"""The terms of AttentionCut's energy, as a graph; the equation is in `attentioncut`."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import expit

from dseg.errors import DsegError
from dseg.method.cut import affinity, crossmap
from dseg.method.cut.affinity import Affinity
from dseg.method.cut.colour import ColourModel
from dseg.method.cut.evidence import Attention
from dseg.method.cut.graphcut import Graph, grid_edges
from dseg.method.resample import resize
from dseg.settings.masks import AttentionCutSettings


@dataclass(frozen=True)
class Problem:
    """One image's energy before the colour term, with what is needed to add that.

    Attributes:
        graph: The energy over the nodes: pixels, row by row, then cells, row by row. Without a
            pixel layer the cells alone.
        foreground: float64 (h, w), the probability f at the first layer, which the mask is read
            from: the pixels, or the cells where there are no pixels.
        colour: The colour model of the image at that resolution.
    """

    graph: Graph
    foreground: np.ndarray
    colour: ColourModel


def pose(attention: Attention, image: np.ndarray, settings: AttentionCutSettings) -> Problem:
    """Build the energy of one image, without the colour term.

    Args:
        attention: On the image; all its cross maps are read, of any resolution.
        image: uint8 (H, W, 3).
        settings: Of the terms.

    Raises:
        DsegError: An array has another shape, type or range, or holds NaN.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DsegError(f"image is {image.dtype} {image.shape}: expected uint8 (H, W, 3)")
    height, width = image.shape[:2]
    rows = attention.affinity
    shape = rows.shape if settings.size == 0 else working_shape((height, width), settings.size)
    compressed = crossmap.compress(attention.noun_map, settings.exponent)
    walked = affinity.walk(rows, resize(compressed, rows.shape), settings.walk_steps)
    at_cells = crossmap.normalise(walked)
    # Without a walk the map keeps its own resolution, which may be finer than the cells'.
    at_mask = resize(at_cells if settings.walk_steps else crossmap.normalise(compressed), shape)
    threshold = crossmap.otsu(at_mask)
    foreground = _probability(at_mask, threshold, settings)
    small = np.rint(resize(image, shape)).astype(np.uint8)
    graph = cell_layer(_probability(at_cells, threshold, settings), rows, settings)
    if settings.size != 0:
        pixels = pixel_layer(foreground, small, settings)
        link = settings.lambda_link / foreground.size
        graph = _join(pixels, graph, cell_of_pixel(shape, rows.shape), link)
    return Problem(graph, foreground, ColourModel(small, settings.colour_bandwidth))


def pose_pixels(soft: np.ndarray, image: np.ndarray, settings: AttentionCutSettings) -> Problem:
    """The energy of the pixels alone, without the colour term, from a soft mask.

    Args:
        soft: (H, W) in [0, 1].
        image: uint8 (H, W, 3).
        settings: Of the terms.
    """
    shape = working_shape((image.shape[0], image.shape[1]), settings.size or None)
    foreground = _probability(resize(soft, shape), 0.5, settings)
    small = np.rint(resize(image, shape)).astype(np.uint8)
    return Problem(
        pixel_layer(foreground, small, settings),
        foreground,
        ColourModel(small, settings.colour_bandwidth),
    )


def cell_layer(foreground: np.ndarray, rows: Affinity, settings: AttentionCutSettings) -> Graph:
    """Data and self-attention terms over the cells; ``foreground`` is f there, (h, w)."""
    edges, weights = affinity.similarity_edges(rows, settings.neighbours, settings.power)
    strength = settings.lambda_self / (foreground.size * settings.neighbours)
    return Graph(_data_term(foreground), edges, strength * weights)


def pixel_layer(foreground: np.ndarray, image: np.ndarray, settings: AttentionCutSettings) -> Graph:
    """Data and contrast terms over the pixels of ``image``; ``foreground`` is f there, (h, w)."""
    edges, weights = contrast_edges(image)
    strength = settings.lambda_contrast / foreground.size**0.5
    return Graph(_data_term(foreground), edges, strength * weights)


def with_colour(problem: Problem, foreground: np.ndarray, weight: float) -> Graph:
    """The problem's energy with the colour term, its model taken from ``foreground`` (h, w)."""
    evidence = problem.colour.evidence(foreground).ravel()
    costs = np.stack([evidence.clip(min=0), (-evidence).clip(min=0)], axis=1)
    unary = problem.graph.unary.copy()
    unary[: len(evidence)] += weight / len(evidence) * costs
    return replace(problem.graph, unary=unary)


def terms(problem: Problem, graph: Graph, labels: np.ndarray) -> dict[str, float]:
    """What each term of the energy costs at a labelling, in nats; they sum to the energy.

    Args:
        problem: As `pose` gives it.
        graph: That of `with_colour`.
        labels: bool, one a node.

    Returns:
        By name: data (pixels and cells), colour, contrast, self, link. Without a pixel layer all
        edges are of the term self.
    """
    pixels = problem.foreground.size
    plain = problem.graph.unary
    data = np.where(labels, plain[:, 1], plain[:, 0]).sum()
    unary = np.where(labels, graph.unary[:, 1], graph.unary[:, 0]).sum()
    unequal = labels[graph.edges[:, 0]] != labels[graph.edges[:, 1]]
    costs = np.where(unequal, graph.weights, 0)
    layered = len(labels) > pixels
    first = len(grid_edges(*problem.foreground.shape)[0]) if layered else 0
    last = len(costs) - pixels if layered else len(costs)
    return {
        "data": float(data),
        "colour": float(unary - data),
        "contrast": float(costs[:first].sum()),
        "self": float(costs[first:last].sum()),
        "link": float(costs[last:].sum()),
    }


def contrast_edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges (m, 2) of the pixel grid and their v_pq, from an image uint8 (h, w, 3).

    An image of one colour has no edges to follow: all its neighbours are equally alike.
    """
    edges, distances = grid_edges(*image.shape[:2])
    colours = image.reshape(-1, 3).astype(np.float32)
    difference = colours[edges[:, 0]] - colours[edges[:, 1]]
    squares = np.einsum("ec,ec->e", difference, difference)
    variance = max(float(squares.mean()) if len(squares) else 0.0, 1e-6)
    return edges, np.exp(squares / (-2 * variance)) / distances


def working_shape(shape: tuple[int, int], size: int | None) -> tuple[int, int]:
    """Shrink (H, W) so that the longer side is ``size``; never enlarge."""
    scale = 1.0 if size is None else min(1.0, size / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


@cache
def cell_of_pixel(pixels: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """The number of the cell each pixel's centre lies in, int64 (|P|,)."""
    rows, columns = (
        ((np.arange(fine) + 0.5) * coarse / fine).astype(np.int64)
        for fine, coarse in zip(pixels, cells, strict=True)
    )
    return (rows[:, None] * cells[1] + columns).ravel()


def _join(pixels: Graph, cells: Graph, cell: np.ndarray, link: float) -> Graph:
    """Both layers as one graph, each pixel p tied to the node of its cell ``cell[p]``."""
    count = len(pixels.unary)
    links = np.stack([np.arange(count), cell + count], axis=1)
    return Graph(
        np.concatenate([pixels.unary, cells.unary]),
        np.concatenate([pixels.edges, cells.edges + count, links]),
        np.concatenate([pixels.weights, cells.weights, np.full(count, link)]),
    )


def _probability(
    values: np.ndarray, threshold: float, settings: AttentionCutSettings
) -> np.ndarray:
    odds = (values.astype(np.float64) - threshold) / settings.tau
    return expit(odds).clip(settings.clip, 1 - settings.clip)


def _data_term(foreground: np.ndarray) -> np.ndarray:
    """t(0) and t(1) of each of n nodes, divided by n: (n, 2)."""
    flat = foreground.ravel()
    return -np.log(np.stack([1 - flat, flat], axis=1)) / len(flat)
