import numpy as np
import pytest
from attention_scene import attention

from dseg.errors import DsegError
from dseg.method.cut.affinity import from_rows, similarity_edges
from dseg.method.cut.energy import (
    cell_of_pixel,
    contrast_edges,
    pose,
    terms,
    with_colour,
    working_shape,
)
from dseg.method.cut.graphcut import energy, minimum_cut
from dseg.settings.masks import AttentionCutSettings

SETTINGS = {
    "cross_strides": (1,),
    "exponent": 1.0,
    "tau": 0.15,
    "clip": 0.02,
    "walk_steps": 0,
    "neighbours": 2,
    "power": 2.0,
    "lambda_self": 1.0,
    "lambda_contrast": 0.2,
    "lambda_link": 0.7,
    "lambda_colour": 0.5,
    "colour_iterations": 1,
    "colour_bandwidth": 8.0,
    "size": None,
    "area": (0.02, 0.8),
    "border": 0.5,
    "focus": 1.1,
}


def settings(**changes):
    return AttentionCutSettings(**{**SETTINGS, **changes})


def posed(inputs, chosen):
    return pose(attention(*inputs), inputs[-1], chosen)


def tiny(seed, pixels=3, cells=2):
    rng = np.random.default_rng(seed)
    rows = rng.random((cells * cells, cells * cells)) + 0.05
    indices = np.argsort(-rows, axis=1)[:, :3].astype(np.int32)
    weights = np.take_along_axis(rows, indices, axis=1).astype(np.float16)
    image = rng.integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
    return rng.random((cells, cells)).astype(np.float32), indices, weights, image


def equation(labels, problem, inputs, chosen):
    """The docstring's equation over all labellings (count, nodes), term by term with loops."""
    _, indices, weights, image = inputs
    height, width = image.shape[:2]
    pixels = height * width
    rows = from_rows(indices, weights, height, width)
    grid = rows.shape
    cells = grid[0] * grid[1]
    m, a = labels[:, :pixels].astype(int), labels[:, pixels:].astype(int)
    unary = problem.graph.unary
    total = sum(np.where(m[:, p], *unary[p, ::-1]) for p in range(pixels))
    total = total + sum(np.where(a[:, c], *unary[pixels + c, ::-1]) for c in range(cells))
    g = problem.colour.evidence(problem.foreground).ravel()
    for p in range(pixels):
        total = total + chosen.lambda_colour / pixels * np.maximum(0, -(2 * m[:, p] - 1) * g[p])
    edges, similar = similarity_edges(rows, chosen.neighbours, chosen.power)
    for (i, j), w in zip(edges, similar, strict=True):
        factor = chosen.lambda_self / (cells * chosen.neighbours)
        total = total + factor * w * (a[:, i] != a[:, j])
    place = [(y, x) for y in range(height) for x in range(width)]
    near = [
        (p, q)
        for p in range(pixels)
        for q in range(p)
        if max(abs(place[p][0] - place[q][0]), abs(place[p][1] - place[q][1])) == 1
    ]
    colours = image.reshape(-1, 3).astype(float)
    squares = {(p, q): ((colours[p] - colours[q]) ** 2).sum() for p, q in near}
    sigma2 = np.mean(list(squares.values()))
    for (p, q), square in squares.items():
        distance = np.hypot(place[p][0] - place[q][0], place[p][1] - place[q][1])
        v = np.exp(-square / (2 * sigma2)) / distance
        total = total + chosen.lambda_contrast / np.sqrt(pixels) * v * (m[:, p] != m[:, q])
    for p, (y, x) in enumerate(place):
        row, column = int((y + 0.5) * grid[0] / height), int((x + 0.5) * grid[1] / width)
        total = total + chosen.lambda_link / pixels * (m[:, p] != a[:, row * grid[1] + column])
    return total


@pytest.mark.parametrize(("cells", "seed"), [(2, s) for s in range(8)] + [(3, 0), (3, 1)])
def test_the_cut_reaches_the_minimum_of_the_documented_equation(cells, seed):
    inputs, chosen = tiny(seed, cells=cells), settings()
    problem = posed(inputs, chosen)
    graph = with_colour(problem, problem.foreground, chosen.lambda_colour)
    nodes = 9 + cells**2
    labels = (np.arange(2**nodes)[:, None] >> np.arange(nodes)) & 1
    energies = equation(labels.astype(bool), problem, inputs, chosen)
    cut = minimum_cut(graph)
    assert energy(graph, cut) == pytest.approx(energies.min(), abs=1e-6)
    some = np.random.default_rng(seed).integers(0, 2**nodes, 20)
    for number in some:
        assert energy(graph, labels[number].astype(bool)) == pytest.approx(energies[number])


def test_data_costs_are_minus_the_logarithm_of_the_clipped_probability():
    problem = posed(tiny(0), settings(clip=0.1))
    f = problem.foreground
    assert f.min() >= 0.1 and f.max() <= 0.9 and f.min() < 0.5 < f.max()
    np.testing.assert_allclose(problem.graph.unary[:9, 1], -np.log(f.ravel()) / 9)
    np.testing.assert_allclose(problem.graph.unary[:9, 0], -np.log(1 - f.ravel()) / 9)


@pytest.mark.parametrize("size", [None, 0])
def test_terms_sum_to_the_energy_and_vanish_with_their_weight(size):
    inputs = tiny(5, pixels=6, cells=3)
    for gone in ("colour", "contrast", "self", "link"):
        weight = {f"lambda_{gone}": 0.0}
        chosen = settings(size=size, **weight)
        problem = posed(inputs, chosen)
        graph = with_colour(problem, problem.foreground, chosen.lambda_colour)
        labels = np.random.default_rng(0).random(len(graph.unary)) < 0.5
        found = terms(problem, graph, labels)
        assert sum(found.values()) == pytest.approx(energy(graph, labels))
        assert found[gone] == pytest.approx(0, abs=1e-12)
        others = set(found) - {gone} - ({"contrast", "link"} if size == 0 else set())
        assert all(found[name] > 0 for name in others)


def test_the_exponent_lifts_what_the_noun_attends_to_less():
    cross, *others = tiny(4, pixels=6, cells=3)
    shares = [posed((cross, *others), settings(exponent=e)).foreground.mean() for e in (0.25, 1.0)]
    powered = posed((cross**0.25, *others), settings()).foreground
    np.testing.assert_allclose(
        posed((cross, *others), settings(exponent=0.25)).foreground, powered, atol=1e-5
    )
    assert shares[0] != shares[1]


def test_terms_go_with_their_weight():
    inputs = tiny(1)
    counts = {"lambda_self": 0, "lambda_contrast": 0, "lambda_link": 0}
    full = (posed(inputs, settings()).graph.weights > 0).sum()
    for name in counts:
        counts[name] = full - (posed(inputs, settings(**{name: 0.0})).graph.weights > 0).sum()
    assert counts["lambda_contrast"] == 20 and counts["lambda_link"] == 9
    assert sum(counts.values()) == full


def test_size_zero_leaves_the_cells_alone():
    inputs = tiny(2, pixels=6, cells=3)
    problem = posed(inputs, settings(size=0))
    assert problem.foreground.shape == (3, 3)
    assert problem.colour.evidence(problem.foreground).shape == (3, 3)
    assert len(problem.graph.unary) == 9
    both = posed(inputs, settings())
    np.testing.assert_array_equal(
        problem.graph.weights, both.graph.weights[len(contrast_edges(inputs[3])[0]) : -36]
    )


def test_energy_weights_hold_at_every_resolution():
    # Each mask's boundary and area cost nearly the same on a grid three times as fine.
    inputs = tiny(3, pixels=1, cells=2)
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, 30:] = 200
    costs = []
    for size in (20, 60):
        problem = posed((*inputs[:3], image), settings(size=size, lambda_colour=0.0))
        labels = np.zeros(len(problem.graph.unary), bool)
        labels[: size * size].reshape(size, size)[size // 4 : size // 2, size // 4 :] = True
        costs.append(energy(problem.graph, labels))
    assert costs[0] == pytest.approx(costs[1], rel=0.1)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((480, 640), 64, (48, 64)),
        ((64, 64), 128, (64, 64)),
        ((50, 64), None, (50, 64)),
        ((1000, 3), 100, (100, 1)),
    ],
)
def test_working_shape_keeps_the_aspect_and_never_enlarges(shape, size, expected):
    assert working_shape(shape, size) == expected


def test_cells_tile_the_pixels_evenly():
    cell = cell_of_pixel((6, 8), (3, 4)).reshape(6, 8)
    np.testing.assert_array_equal(cell, np.arange(12).reshape(3, 4).repeat(2, 0).repeat(2, 1))
    assert (np.bincount(cell_of_pixel((7, 5), (3, 2))) > 0).all()


def test_contrast_is_low_across_an_edge_and_even_on_a_flat_image():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 2:] = 255
    edges, weights = contrast_edges(image)
    across = (edges % 4 < 2)[:, 0] != (edges % 4 < 2)[:, 1]
    assert weights[across].max() < weights[~across].min()
    _, flat = contrast_edges(np.full((4, 4, 3), 77, np.uint8))
    np.testing.assert_allclose(np.unique(flat), [0.5**0.5, 1])


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_other_images_are_refused(image):
    with pytest.raises(DsegError, match="expected uint8"):
        posed((*tiny(0)[:3], image), settings())
