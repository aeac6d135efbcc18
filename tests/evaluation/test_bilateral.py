"""The bilateral solver: against its equation written out, and what it is used for."""

import numpy as np
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.evaluation.bilateral import TOKENCUT, SolverSettings, bilateral_grid, solve

EXACT = SolverSettings(sigma_spatial=4, sigma_luma=32, sigma_chroma=32, iterations=2000,
                       tolerance=1e-12)  # fmt: skip


def two_halves(height: int = 48, width: int = 64) -> np.ndarray:
    """An image that is dark red on the left and light blue on the right."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2] = (120, 20, 20)
    image[:, width // 2 :] = (150, 180, 230)
    return image


def textured(height: int = 20, width: int = 24, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def dense_solution(target: np.ndarray, image: np.ndarray, settings: SolverSettings) -> np.ndarray:
    """The minimum of the solver's energy, with dense matrices and one vertex at a time."""
    height, width = target.shape
    red, green, blue = (image[..., channel].astype(float) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    # The chromas of JPEG are scaled differences of blue and of red to luma.
    chromas = (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128
    cells = [
        (
            int(x / settings.sigma_spatial),
            int(y / settings.sigma_spatial),
            int(luma[y, x] / settings.sigma_luma),
            *(int(chroma[y, x] / settings.sigma_chroma) for chroma in chromas),
        )
        for y in range(height)
        for x in range(width)
    ]
    vertices = sorted(set(cells))
    splat = np.array([[cell == vertex for cell in cells] for vertex in vertices], float)  # (V, HW)
    apart = np.abs(np.array(vertices)[:, None] - np.array(vertices)[None]).sum(axis=2)
    blur = np.select([apart == 0, apart == 1], [10.0, 1.0], 0.0)
    pixels, n = splat.sum(axis=1), np.ones(len(vertices))
    for _ in range(10):
        n = np.sqrt(n * pixels / (blur @ n))
    smooth = np.diag(n * (blur @ n)) - np.diag(n) @ blur @ np.diag(n)
    system = settings.strength * smooth + settings.confidence * np.diag(pixels)
    solved = np.linalg.solve(system, settings.confidence * splat @ target.ravel())
    return (splat.T @ solved).reshape(height, width)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_solves_its_equation(seed: int) -> None:
    image = textured(seed=seed)
    target = np.zeros(image.shape[:2])
    target[4:15, 5:17] = 1
    solved = solve(target, bilateral_grid(image, EXACT), EXACT)
    assert solved.dtype == np.float32
    np.testing.assert_allclose(solved, dense_solution(target, image, EXACT), atol=1e-6)


def test_tokencuts_settings_stop_close_to_the_minimum() -> None:
    image = textured(60, 80)
    target = np.zeros(image.shape[:2])
    target[15:45, 20:60] = 1
    exact = solve(target, bilateral_grid(image), SolverSettings(iterations=5000, tolerance=1e-12))
    few = solve(target, bilateral_grid(image), TOKENCUT)
    assert 0 < np.abs(few - exact).max() < 0.02
    assert TOKENCUT.iterations == 25 and TOKENCUT.strength == 256


def test_a_mask_is_drawn_to_the_edge_of_the_image() -> None:
    image = two_halves()
    truth = np.zeros(image.shape[:2], bool)
    truth[:, 32:] = True
    mask = np.zeros_like(truth)
    mask[:, 36:] = True  # four columns short of the edge
    mask[10:14, 20:30] = True  # and a blot beyond it
    solved = solve(mask, bilateral_grid(image)) > 0.5
    assert (mask != truth).any() and np.array_equal(solved, truth)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_mask_stays(value: float) -> None:
    image = textured(40, 50)
    solved = solve(np.full((40, 50), value), bilateral_grid(image))
    np.testing.assert_allclose(solved, value, atol=1e-5)


def test_on_an_image_without_edges_a_mask_spreads_but_its_sum_stays() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    mask = np.zeros((64, 64))
    mask[16:48, 16:48] = 1
    solved = solve(mask, bilateral_grid(image))
    # The rows of the smoothness term sum to 0, so the sum over pixels is that of the target.
    assert solved.sum() == pytest.approx(mask.sum(), rel=1e-4)
    # A strength of 256 leaves nothing of its outline: why FOUND compares it with the mask.
    assert np.ptp(solved) < 0.1


def test_it_is_deterministic_and_mirrors_with_its_input() -> None:
    image = textured(32, 48)
    mask = np.zeros((32, 48), bool)
    mask[8:20, 10:30] = True
    solved = solve(mask, bilateral_grid(image))
    assert np.array_equal(solved, solve(mask, bilateral_grid(image)))
    # 32 and 48 are whole numbers of cells, so that the mirrored grid is the same one.
    mirrored = solve(mask[:, ::-1], bilateral_grid(np.ascontiguousarray(image[:, ::-1])))
    np.testing.assert_allclose(mirrored[:, ::-1], solved, atol=1e-4)
    assert solved.min() >= 0 and solved.max() <= 1


def test_the_blur_links_each_vertex_to_its_neighbours_only() -> None:
    grid = bilateral_grid(two_halves())
    dense = grid.blur.toarray()
    assert np.array_equal(dense, dense.T) and np.array_equal(np.diag(dense), np.full(12, 10.0))
    # 3 x 2 cells in each half, and no link between them: their colours are far apart.
    assert dense.sum() == 12 * 10 + 2 * 2 * (3 + 4)
    assert np.array_equal(grid.splat(np.ones((48, 64))), np.full(12, 256))


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8)), r"\(H, W, 3\) uint8.*\(8, 8\)"),
        (np.zeros((8, 8, 3)), np.zeros((8, 8)), "float64"),
        (np.zeros((8, 9, 3), np.uint8), np.zeros((9, 8)), r"\(9, 8\).*\(8, 9\).*resize the mask"),
    ],
)
def test_bad_input_is_one_clear_error(image: np.ndarray, mask: np.ndarray, words: str) -> None:
    with pytest.raises(DsegError, match=words):
        solve(mask, bilateral_grid(image))
