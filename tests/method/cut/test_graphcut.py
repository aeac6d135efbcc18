import itertools

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import block_array, coo_array, eye_array

from dseg.errors import DsegError
from dseg.method.cut.graphcut import Graph, _Rest, _solve, energy, grid_edges, minimum_cut


def random_graph(seed, nodes=10, pairs=20, scale=1.0, spread=1.0):
    rng = np.random.default_rng(seed)
    every = np.array(list(itertools.combinations(range(nodes), 2)))
    edges = every[rng.choice(len(every), pairs, replace=False)]
    weights = rng.random(pairs) * spread * scale
    return Graph(rng.normal(size=(nodes, 2)) * scale, edges, weights)


def least_energy(graph):
    """The minimum over all labellings, written out independently of the module."""
    nodes = len(graph.unary)
    labels = (np.arange(2**nodes)[:, None] >> np.arange(nodes)) & 1
    costs = np.where(labels, graph.unary[:, 1], graph.unary[:, 0]).sum(axis=1)
    unequal = labels[:, graph.edges[:, 0]] != labels[:, graph.edges[:, 1]]
    return (costs + unequal @ graph.weights).min()


@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0, 1e4])
@pytest.mark.parametrize("seed", range(12))
def test_the_cut_is_as_cheap_as_the_best_of_all_labellings(seed, spread):
    graph = random_graph(seed, spread=spread)
    assert energy(graph, minimum_cut(graph)) == pytest.approx(least_energy(graph), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_of_the_energy_do_not_matter(scale):
    for seed in range(5):
        np.testing.assert_array_equal(
            minimum_cut(random_graph(seed, scale=scale)), minimum_cut(random_graph(seed))
        )


def test_heavy_edges_and_sure_nodes_are_not_confused_by_the_cap_on_capacities():
    # One sure node, 10 against 0, tied to a doubtful one that prefers 0 by just 1.
    unary = np.array([[10.0, 0.0], [0.0, 1.0]])
    graph = Graph(unary, np.array([[0, 1]]), np.array([5.0]))
    np.testing.assert_array_equal(minimum_cut(graph), [True, True])


@pytest.mark.parametrize("seed", range(3))
def test_rounding_costs_no_more_than_documented(seed):
    # The linear programme over x in [0, 1] is tight for a cut: it gives the true minimum in float.
    rng = np.random.default_rng(seed)
    edges, _ = grid_edges(12, 12)
    nodes, pairs = 144, len(edges)
    graph = Graph(rng.normal(size=(nodes, 2)), edges, rng.random(pairs) * 0.3)
    differences = coo_array(
        (np.repeat([1.0, -1.0], pairs), (np.tile(np.arange(pairs), 2), edges.T.ravel()))
    )
    slack = eye_array(pairs)
    solution = linprog(
        np.concatenate([graph.unary[:, 1] - graph.unary[:, 0], graph.weights]),
        A_ub=block_array([[differences, -slack], [-differences, -slack]]),
        b_ub=np.zeros(2 * pairs),
        bounds=[(0, 1)] * nodes + [(0, None)] * pairs,
    )
    excess = energy(graph, minimum_cut(graph)) - (solution.fun + graph.unary[:, 0].sum())
    flow = np.abs(graph.unary[:, 0] - graph.unary[:, 1]).sum() / 2  # at least the smaller sum
    assert -1e-7 <= excess <= (nodes + pairs) * flow / 2**28 + 1e-7


def test_without_edges_each_node_takes_its_cheaper_label():
    graph = random_graph(3, pairs=0)
    np.testing.assert_array_equal(minimum_cut(graph), graph.unary[:, 1] < graph.unary[:, 0])


def test_strong_ties_make_all_labels_equal():
    unary = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    graph = Graph(unary, np.array([[0, 1], [1, 2]]), np.full(2, 100.0))
    assert minimum_cut(graph).all()


def test_unanimous_nodes_keep_their_label():
    for label in (0, 1):
        unary = np.zeros((4, 2))
        unary[:3, 1 - label] = 1
        graph = Graph(unary, np.array([[0, 3]]), np.ones(1))
        assert (minimum_cut(graph)[:3] == label).all()


def test_of_several_minima_the_one_with_fewest_ones_is_taken():
    graph = Graph(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0, 1]]), np.array([1.0]))
    np.testing.assert_array_equal(minimum_cut(graph), [False, False])


def test_raising_a_preference_never_shrinks_the_foreground():
    for seed in range(10):
        graph = random_graph(seed, spread=0.5)
        raised = graph.unary.copy()
        raised[seed % 10, 0] += 1.5
        before, after = minimum_cut(graph), minimum_cut(Graph(raised, graph.edges, graph.weights))
        assert (after >= before).all()


def test_the_cut_is_the_same_every_time():
    graph = random_graph(0, nodes=60, pairs=400)
    first = minimum_cut(graph)
    assert all(np.array_equal(first, minimum_cut(graph)) for _ in range(3))


def test_grid_edges_join_each_pixel_to_its_eight_neighbours_once():
    edges, distances = grid_edges(4, 5)
    y, x = np.divmod(edges, 5)
    steps = np.stack([np.diff(y)[:, 0], np.diff(x)[:, 0]], axis=1)
    assert np.abs(steps).max() == 1
    np.testing.assert_allclose(distances, np.hypot(*steps.T))
    assert len({frozenset(edge) for edge in edges.tolist()}) == len(edges) == 4 * 4 + 3 * 5 + 24
    assert len(grid_edges(1, 1)[0]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unary": np.zeros((4, 3))}, r"expected \(n, 2\)"),
        ({"edges": np.zeros((2, 2), int)}, r"expected \(n, 2\)"),
        ({"unary": np.full((4, 2), np.nan)}, "NaN"),
        ({"weights": np.array([np.inf])}, "infinite"),
        ({"weights": np.array([-1.0])}, "negative weight"),
    ],
)
def test_bad_graphs_are_refused(changes, message):
    parts = {"unary": np.zeros((4, 2)), "edges": np.array([[0, 1]]), "weights": np.ones(1)}
    with pytest.raises(DsegError, match=message):
        minimum_cut(Graph(**{**parts, **changes}))


def test_labels_of_another_length_have_no_energy():
    with pytest.raises(DsegError, match="labels are"):
        energy(random_graph(0), np.zeros(3, bool))


def test_settling_nodes_changes_no_cut():
    # One image's energy with terms of all strengths: the flow alone gives the same labels.
    for seed, strength in enumerate((0.02, 0.2, 1.0, 5.0)):
        rng = np.random.default_rng(seed)
        edges, _ = grid_edges(20, 20)
        unary = rng.normal(size=(400, 2))
        graph = Graph(unary, edges, rng.random(len(edges)) * strength)
        alone = _solve(_Rest(unary[:, 0] - unary[:, 1], graph.edges, graph.weights))
        np.testing.assert_array_equal(minimum_cut(graph), alone)


def test_a_chain_is_settled_from_its_sure_end():
    unary = np.zeros((30, 2))
    unary[0, 0], unary[1:, 1] = 9.0, 0.1
    chain = np.stack([np.arange(29), np.arange(1, 30)], axis=1)
    assert minimum_cut(Graph(unary, chain, np.full(29, 4.0))).all()
