"""Exact minimum cut of a binary energy with non-negative pairwise terms.

    E(x) = sum_i u_i(x_i) + sum_(ij) w_ij [x_i != x_j],    x_i in {0, 1},  w_ij >= 0

is minimised by a maximum flow (Greig, Porteous and Seheult, 1989): node i hangs on the source by
max(0, u_i(0) - u_i(1)), on the sink by max(0, u_i(1) - u_i(0)), and the nodes on the source's side
of the minimum cut get label 1. SciPy's Dinic solver works on int32 capacities, so the energy is
scaled and rounded; see :func:`minimum_cut` for the bound.

Most nodes need no flow: one that prefers a label by more than all its edges weigh has it in every
minimum (Hammer, Hansen and Simeone, 1984). Such nodes are settled first, their edges become unary
costs of their neighbours, and so on; a few per cent are left for the solver.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from dseg.errors import DsegError

# The flow in integer units. An edge may hold twice the flow, its residual twice that: 2^30 < int32.
_UNITS = 2**28
_ROUNDS = 10  # of settling nodes; later ones find too few to pay


@dataclass(frozen=True)
class Graph:
    """A binary energy over n nodes.

    Attributes:
        unary: float64 (n, 2), the cost of label 0 and of label 1.
        edges: int64 (m, 2), the node pairs.
        weights: float64 (m,), the cost of unequal labels at each pair, >= 0.
    """

    unary: np.ndarray
    edges: np.ndarray
    weights: np.ndarray


def energy(graph: Graph, labels: np.ndarray) -> float:
    """E(x) of a labelling ``labels``, bool (n,)."""
    if labels.shape != graph.unary.shape[:1]:
        raise DsegError(f"labels are {labels.shape}: expected {graph.unary.shape[:1]}")
    chosen = np.where(labels, graph.unary[:, 1], graph.unary[:, 0])
    unequal = labels[graph.edges[:, 0]] != labels[graph.edges[:, 1]]
    return float(chosen.sum() + graph.weights[unequal].sum())


def minimum_cut(graph: Graph) -> np.ndarray:
    """The labelling of least energy; of several, the one with the fewest nodes of label 1.

    Capacities are rounded to multiples of F / 2^28, where F, the smaller of the two sums of
    terminal capacities, bounds the flow. The energy of the result is therefore at most
    (n + m) F / 2^28 above the true minimum: nothing that matters below millions of edges.

    Args:
        graph: Finite; its edges join different nodes, each pair once.

    Returns:
        bool (n,).

    Raises:
        DsegError: Shapes disagree, a number is not finite, a weight is negative.
    """
    _check(graph)
    labels, open_nodes, rest = _settle(graph)
    labels[open_nodes] = _solve(rest)
    return labels


@dataclass(frozen=True)
class _Rest:
    """What is left of a graph: its n nodes by what they prefer, and edges between them."""

    preference: np.ndarray  # float64 (n,), cost of label 0 minus that of label 1
    edges: np.ndarray  # int64 (m, 2)
    weights: np.ndarray  # float64 (m,)


def _settle(graph: Graph) -> tuple[np.ndarray, np.ndarray, _Rest]:
    """Labels of nodes that have no choice, the numbers of the others, and their energy."""
    nodes = len(graph.unary)
    preference = graph.unary[:, 0] - graph.unary[:, 1]  # > 0: rather label 1
    (start, end), weights = graph.edges.T, graph.weights
    labels = np.zeros(nodes, dtype=bool)
    undecided = np.ones(nodes, dtype=bool)
    for _ in range(_ROUNDS):
        pull = np.bincount(start, weights, nodes) + np.bincount(end, weights, nodes)
        ones, zeros = preference > pull, preference <= -pull  # a tie is label 0, as documented
        settled = undecided & (ones | zeros)
        if not settled.any():
            break
        labels |= settled & ones
        undecided &= ~settled
        sign = np.where(ones, 1.0, -1.0)
        for one, other in ((start, end), (end, start)):
            gone = settled[one]
            push = weights[gone] * sign[one[gone]]
            preference = preference + np.bincount(other[gone], push, nodes)
        kept = ~(settled[start] | settled[end])
        start, end, weights = start[kept], end[kept], weights[kept]
    open_nodes = np.flatnonzero(undecided)
    number = np.cumsum(undecided) - 1
    edges = np.stack([number[start], number[end]], axis=1)
    return labels, open_nodes, _Rest(preference[open_nodes], edges, weights)


def _solve(rest: _Rest) -> np.ndarray:
    """The minimum by a maximum flow: bool (n,)."""
    preference, nodes = rest.preference, len(rest.preference)
    bound = min(preference.clip(min=0).sum(), -preference.clip(max=0).sum())
    if bound <= 0:  # nobody disagrees: the common label costs nothing
        return np.full(nodes, preference.sum() > 0)
    scale = _UNITS / bound
    # What exceeds the bound is never worth cutting: twice the bound is as good as infinite.
    terminal = np.rint(np.abs(preference).clip(max=2 * bound) * scale).astype(np.int32)
    between = np.rint(rest.weights.clip(max=2 * bound) * scale).astype(np.int32)
    likes, dislikes = np.flatnonzero(preference > 0), np.flatnonzero(preference < 0)
    # The sink comes first: the solver then tries it before a node's neighbours, a third faster.
    sink, first, source = 0, 1, nodes + 1
    start, end = rest.edges.T + first
    tails = np.concatenate([np.full(len(likes), source), dislikes + first, start, end])
    heads = np.concatenate([likes + first, np.full(len(dislikes), sink), end, start])
    values = np.concatenate([terminal[likes], terminal[dislikes], between, between])
    capacities = csr_array((values, (tails, heads)), shape=(nodes + 2, nodes + 2))
    residual = capacities - maximum_flow(capacities, source, sink, method="dinic").flow
    residual.eliminate_zeros()
    labels = np.zeros(nodes + 2, dtype=bool)
    labels[breadth_first_order(residual, source, return_predecessors=False)] = True
    return labels[first:source]


def _check(graph: Graph) -> None:
    nodes, pairs = len(graph.unary), len(graph.weights)
    if graph.unary.shape != (nodes, 2) or graph.edges.shape != (pairs, 2):
        raise DsegError(
            f"graph with unary {graph.unary.shape}, edges {graph.edges.shape}, weights "
            f"{graph.weights.shape}: expected (n, 2), (m, 2), (m,)"
        )
    if not (np.isfinite(graph.unary).all() and np.isfinite(graph.weights).all()):
        raise DsegError("graph holds NaN or infinite costs: expected finite numbers")
    if pairs and graph.weights.min() < 0:
        raise DsegError("graph has a negative weight: only weights >= 0 have an exact cut")


@cache
def grid_edges(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The 8-neighbourhood of a pixel grid.

    Returns:
        edges int64 (m, 2), pixels numbered row by row; distances float64 (m,), 1 or sqrt 2.
    """
    number = np.arange(height * width).reshape(height, width)
    pairs = [
        (number[:, :-1], number[:, 1:], 1.0),
        (number[:-1], number[1:], 1.0),
        (number[:-1, :-1], number[1:, 1:], 2**0.5),
        (number[:-1, 1:], number[1:, :-1], 2**0.5),
    ]
    edges = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b, _ in pairs])
    distances = np.concatenate([np.full(a.size, distance) for a, _, distance in pairs])
    edges.setflags(write=False)  # shared by all callers
    distances.setflags(write=False)
    return edges, distances
