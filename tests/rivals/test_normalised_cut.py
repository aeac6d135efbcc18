import itertools

import numpy as np
import pytest
from attention_scene import disc_scene, iou
from scipy.linalg import eigh
from scipy.sparse import csr_array

from dseg.errors import DsegError
from dseg.method.cut.affinity import from_rows
from dseg.rivals import normalised_cut
from dseg.rivals.normalised_cut import (
    Similarity,
    best_split,
    cosine_similarity,
    diffcut,
    recursive_cut,
    second_eigenvector,
    tokencut,
    tokencut_told,
)

METHODS = {"tokencut": tokencut, "told": tokencut_told, "diffcut": diffcut}


def random_graph(seed, nodes, floor=1e-3):
    rng = np.random.default_rng(seed)
    weights = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.3)
    return Similarity(csr_array(np.maximum(weights, weights.T)), floor)


def two_groups(sizes=(12, 20), seed=0):
    """Tight groups, loosely tied."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    weights = np.where(group[:, None] == group, 1.0, 0.02) * rng.uniform(
        0.8, 1.2, (len(group),) * 2
    )
    return Similarity(csr_array((weights + weights.T) / 2), 1e-6), group


def generalised(graph):
    """The definition: eigenvectors of (D - W) v = l D v, dense."""
    dense = graph.sparse.toarray() + graph.floor
    degrees = np.diag(dense.sum(axis=1))
    values, vectors = eigh(degrees - dense, degrees)
    return values, vectors


def alike(a, b):
    return abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("nodes", [5, 40, 300])
def test_the_eigenvector_is_that_of_the_generalised_problem(nodes):
    graph = two_groups((nodes // 2, nodes - nodes // 2))[0]
    _, vectors = generalised(graph)
    assert alike(second_eigenvector(graph), vectors[:, 1]) > 0.9999


def test_the_sparse_solver_agrees_with_the_dense_one(monkeypatch):
    graph = random_graph(1, 120)
    dense = second_eigenvector(graph)
    monkeypatch.setattr(normalised_cut, "_DENSE", 0)
    assert alike(second_eigenvector(graph), dense) > 0.999


def ncut(graph, side):
    dense = graph.sparse.toarray() + graph.floor
    cut = dense[side][:, ~side].sum()
    return cut / dense[side].sum() + cut / dense[~side].sum()


@pytest.mark.parametrize("seed", range(5))
def test_the_split_is_the_best_of_all_thresholds(seed):
    graph = random_graph(seed, 30)
    vector = np.random.default_rng(seed).permutation(30).astype(float)
    above, value = best_split(graph, vector)
    every = {level: ncut(graph, vector > level) for level in range(29)}
    assert value == pytest.approx(min(every.values()))
    assert value == pytest.approx(ncut(graph, above))
    assert set(above[vector > vector[above].min() - 0.5]) == {True}


def test_recursive_cut_finds_the_groups_and_stops():
    graph, group = two_groups((10, 14, 9), seed=2)
    labels = recursive_cut(graph)
    pairs = itertools.combinations(range(len(group)), 2)
    assert all((labels[i] == labels[j]) == (group[i] == group[j]) for i, j in pairs)
    whole = Similarity(csr_array(np.ones((12, 12))), 1e-6)
    assert not recursive_cut(whole).any()  # every normalised cut of equals is about 1


def test_cosines_are_those_of_the_rows():
    scene = disc_scene(size=32, grid=8, kept=20)
    rows = from_rows(scene.indices, scene.weights, 32, 32)
    dense = rows.matrix().toarray().astype(np.float64)
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine_similarity(rows).toarray(), unit @ unit.T, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_each_finds_the_disc(name):
    scores = []
    for seed in range(3):
        scene = disc_scene(seed=seed)
        soft = METHODS[name](*scene.inputs)
        assert soft.shape == (64, 64) and soft.dtype == np.float32
        assert soft.min() >= 0 and soft.max() <= 1
        scores.append(iou(soft > 0.5, scene.mask))
    assert np.mean(scores) > 0.6


def test_the_noun_decides_which_side_is_the_object():
    scene = disc_scene(seed=1)
    turned = scene.cross.max() - scene.cross
    told = tokencut_told(*scene.seen(turned)) > 0.5
    assert iou(told, ~scene.mask) > 0.6
    blind = [tokencut(*scene.seen(cross)) for cross in (scene.cross, turned)]
    np.testing.assert_array_equal(*blind)  # without a noun the map plays no part


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_map_has_no_object_and_nan_is_refused(name):
    scene = disc_scene(size=32, grid=8, kept=16)
    assert not METHODS[name](*scene.seen(np.full((8, 8), 2.0))).any()
    with pytest.raises(DsegError, match="cross map"):
        METHODS[name](*scene.seen(scene.cross * np.nan))


@pytest.mark.parametrize("name", METHODS)
def test_a_large_grid_stays_sparse(name, monkeypatch):
    sizes = []
    toarray = csr_array.toarray
    monkeypatch.setattr(
        csr_array, "toarray", lambda self: sizes.append(self.shape) or toarray(self)
    )
    scene = disc_scene(size=64, grid=32, kept=24, seed=3)
    assert METHODS[name](*scene.inputs).shape == (64, 64)
    assert max(sizes, default=(0,))[0] <= normalised_cut._DENSE
