import numpy as np
import pytest

from dseg.errors import DsegError
from dseg.method.cut.affinity import from_rows, similarity_edges, walk


def dense_rows(cells=12, seed=0):
    rows = np.random.default_rng(seed).random((cells, cells)) ** 3
    return rows / rows.sum(axis=1, keepdims=True)


def top(rows, kept):
    indices = np.argsort(-rows, axis=1)[:, :kept].astype(np.int32)
    return indices, np.take_along_axis(rows, indices, axis=1)


def test_rows_sum_to_one_and_are_sorted():
    indices, weights = top(dense_rows(), 5)
    shuffled = np.random.default_rng(1).permutation(5)
    affinity = from_rows(indices[:, shuffled], weights[:, shuffled].astype(np.float16), 30, 40)
    assert affinity.shape == (3, 4)
    np.testing.assert_array_equal(affinity.indices, indices)
    np.testing.assert_allclose(affinity.matrix().sum(axis=1), 1, rtol=1e-5)


def test_walk_multiplies_by_the_matrix():
    rows = dense_rows()
    affinity = from_rows(*top(rows, 12), 3, 4)
    values = np.random.default_rng(2).random((3, 4))
    for steps in range(4):
        expected = np.linalg.matrix_power(rows, steps) @ values.ravel()
        np.testing.assert_allclose(walk(affinity, values, steps).ravel(), expected, rtol=1e-5)


def test_walk_stays_in_range_and_smooths():
    affinity = from_rows(*top(dense_rows(seed=3), 6), 3, 4)
    values = np.random.default_rng(4).random((3, 4))
    spread = [np.ptp(walk(affinity, values, steps)) for steps in (0, 1, 5)]
    assert spread[0] > spread[1] > spread[2]
    assert walk(affinity, values, 3).min() >= values.min()
    assert walk(affinity, values, 3).max() <= values.max()


@pytest.mark.parametrize("cells", [12, 300])  # 300: more than one block of rows
def test_edges_and_weights_follow_the_formula(cells):
    rows = dense_rows(cells, seed=5)
    affinity = from_rows(*top(rows, 8), 3, cells // 3)
    edges, weights = similarity_edges(affinity, neighbours=3, power=2)

    matrix = affinity.matrix().toarray()
    wanted = set()
    for i, row in enumerate(affinity.indices):
        for j in [j for j in row.tolist() if j != i][:3]:
            wanted.add((min(i, j), max(i, j)))
    assert [tuple(edge) for edge in edges.tolist()] == sorted(wanted)
    overlap = np.array([np.sqrt(matrix[i] * matrix[j]).sum() for i, j in sorted(wanted)])
    np.testing.assert_allclose(weights, (overlap / overlap.mean()) ** 2, rtol=1e-5)


def test_power_sharpens_and_zero_makes_all_alike():
    affinity = from_rows(*top(dense_rows(seed=6), 8), 3, 4)
    soft, sharp = (similarity_edges(affinity, 4, power)[1] for power in (1, 4))
    assert sharp.max() / sharp.min() > soft.max() / soft.min()
    np.testing.assert_array_equal(similarity_edges(affinity, 4, 0)[1], 1)


def test_cells_that_look_at_different_places_are_not_tied():
    rows = np.kron(np.eye(2), np.full((2, 2), 0.5))
    rows[0] = [0.5, 0.5, 0, 0]
    indices = np.array([[0, 2], [0, 1], [2, 3], [2, 3]])
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    edges, strengths = similarity_edges(from_rows(indices, weights, 2, 2), 1, 1)
    tied = dict(zip(map(tuple, edges.tolist()), strengths.tolist(), strict=True))
    assert tied[(0, 2)] == 0 and tied[(2, 3)] > 0


def test_more_neighbours_than_recorded_gives_those_recorded():
    affinity = from_rows(*top(dense_rows(), 4), 3, 4)
    np.testing.assert_array_equal(
        similarity_edges(affinity, 4, 1)[0], similarity_edges(affinity, 50, 1)[0]
    )


GOOD = np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("indices", "weights", "message"),
    [
        (GOOD[0][:, :1], GOOD[1], "expected both"),
        (GOOD[0].ravel(), GOOD[1].ravel(), "expected both"),
        (GOOD[0] + 1, GOOD[1], r"integers in \[0, 4\)"),
        (GOOD[0] - 1, GOOD[1], r"integers in \[0, 4\)"),
        (GOOD[0].astype(float), GOOD[1], r"integers in \[0, 4\)"),
        (GOOD[0], GOOD[1] * np.nan, "NaN"),
        (GOOD[0], -GOOD[1], "negative"),
        (GOOD[0], GOOD[1] * [[1], [1], [0], [1]], "cell 2 are all 0"),
    ],
)
def test_bad_rows_are_refused(indices, weights, message):
    with pytest.raises(DsegError, match=message):
        from_rows(indices, weights, 2, 2)


def test_a_grid_of_another_aspect_is_refused():
    indices, weights = top(dense_rows(10), 3)
    with pytest.raises(DsegError, match="no grid of the aspect"):
        from_rows(indices, weights, 64, 64)
