"""Self-attention as affinity: random walk on it, similarity of its rows.

The self-attention of N = h * w grid cells is stored as the k largest entries of each row:
``indices`` (N, k) and ``weights`` (N, k). A row says where a cell looks for what resembles it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from dseg.errors import DsegError

_BLOCK = 128  # rows made dense at once: 2 MB at 64 x 64 cells, which stays in the cache


@dataclass(frozen=True)
class Affinity:
    """Truncated self-attention with rows that sum to one.

    Attributes:
        shape: The grid (h, w), cells in row-major order.
        indices: int32 (N, k), the cells a cell attends to, strongest first.
        weights: float32 (N, k), how much; each row sums to 1.
    """

    shape: tuple[int, int]
    indices: np.ndarray
    weights: np.ndarray

    def matrix(self) -> csr_array:
        """The row-stochastic (N, N) matrix, float32."""
        cells, kept = self.indices.shape
        starts = np.arange(cells + 1) * kept
        return csr_array((self.weights.ravel(), self.indices.ravel(), starts), shape=(cells, cells))


def from_rows(indices: np.ndarray, weights: np.ndarray, height: int, width: int) -> Affinity:
    """Check stored rows, sort each by weight and normalise it to sum 1.

    Args:
        indices: Integers (N, k) in [0, N).
        weights: (N, k), finite, >= 0; no row is all 0.
        height: Height of the image or of any map over it: it gives the aspect of the grid.
        width: Its width.

    Raises:
        DsegError: Anything else is given, or no grid of this aspect has N cells.
    """
    if indices.ndim != 2 or indices.size == 0 or indices.shape != weights.shape:
        raise DsegError(
            f"affinity indices are {indices.shape} and weights {weights.shape}: "
            "expected both (cells, k)"
        )
    if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(indices):
        raise DsegError(f"affinity indices: expected integers in [0, {len(indices)})")
    values = weights.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise DsegError("affinity weights hold NaN, infinite or negative values")
    totals = values.sum(axis=1, keepdims=True)
    if totals.min() <= 0:
        row = int(totals.argmin())
        raise DsegError(f"affinity weights of cell {row} are all 0: record the attention again")
    order = np.argsort(-values, axis=1, kind="stable")
    indices = np.take_along_axis(indices.astype(np.int32), order, axis=1)
    weights = np.take_along_axis(values / totals, order, axis=1)
    # Several methods are given the same rows, and SciPy sorts some in place.
    indices.flags.writeable = weights.flags.writeable = False
    return Affinity(_grid(len(indices), height, width), indices, weights)


def _grid(cells: int, height: int, width: int) -> tuple[int, int]:
    rows = max(1, round((cells * height / width) ** 0.5))
    if cells % rows:
        raise DsegError(
            f"self-attention has {cells} cells, which make no grid of the aspect of a "
            f"{height} x {width} image"
        )
    return rows, cells // rows


def walk(affinity: Affinity, values: np.ndarray, steps: int) -> np.ndarray:
    """Random walk ``v <- A v``: each cell takes the mean of the cells it attends to.

    Args:
        affinity: Over N cells.
        values: One number a cell, of shape (h, w).
        steps: How often, >= 0.

    Returns:
        float32 (h, w); within the range of ``values``.
    """
    matrix = affinity.matrix()
    flat: np.ndarray = values.astype(np.float32).ravel()
    for _ in range(steps):
        flat = matrix @ flat
    return flat.reshape(affinity.shape)


def similarity_edges(
    affinity: Affinity, neighbours: int, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sparse, symmetric graph of cells that look at the same places.

    Cells i and j are joined if one is among the ``neighbours`` cells the other attends to most.
    Their weight is the Bhattacharyya coefficient of their rows, the cosine of the square-rooted
    rows, b_ij = sum_m sqrt(A_im A_jm), relative to its mean over the edges and sharpened:
    w_ij = (b_ij / mean b)^power (our choice).

    Args:
        affinity: Over N cells.
        neighbours: Edges a cell starts, >= 1; fewer where fewer were recorded.
        power: Sharpness, >= 0; 0 makes all edges equal.

    Returns:
        edges int64 (m, 2) with i < j, sorted, unique; weights float64 (m,), >= 0.
    """
    cells = len(affinity.indices)
    # One more than wanted, for the cell itself is usually among those it attends to.
    ends = affinity.indices[:, : neighbours + 1]
    starts = np.broadcast_to(np.arange(cells)[:, None], ends.shape)
    wanted = ends != starts
    surplus = wanted & (np.cumsum(wanted, axis=1) > neighbours)
    chosen = wanted & ~surplus
    low, high = np.minimum(starts, ends)[chosen], np.maximum(starts, ends)[chosen]
    codes = np.unique(low.astype(np.int64) * cells + high)
    edges = np.stack([codes // cells, codes % cells], axis=1)
    overlap = _bhattacharyya(affinity, edges)
    mean = float(overlap.mean()) if len(edges) else 0.0
    if mean <= 0:
        return edges, np.zeros(len(edges))
    return edges, (overlap / mean) ** power


def _bhattacharyya(affinity: Affinity, edges: np.ndarray) -> np.ndarray:
    """b of every edge: a block of rows is made dense, the others' entries are looked up there."""
    roots = np.sqrt(affinity.weights)
    cells = len(roots)
    result = np.zeros(len(edges))
    for first in range(0, cells, _BLOCK):
        block = affinity.indices[first : first + _BLOCK]
        begin, end = np.searchsorted(edges[:, 0], [first, first + len(block)])
        dense = np.zeros(len(block) * cells, dtype=np.float32)
        offsets = np.arange(len(block), dtype=np.int32)[:, None] * np.int32(cells)
        dense[offsets + block] = roots[first : first + _BLOCK]
        near, far = edges[begin:end, 0] - first, edges[begin:end, 1]
        shared = dense.take(affinity.indices[far] + offsets[near])
        result[begin:end] = np.einsum("ek,ek->e", shared, roots[far])
    return result
