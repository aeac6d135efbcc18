"""The fast bilateral solver: a mask smoothed along the image, with edges where the image has them.

Barron & Poole, The Fast Bilateral Solver, ECCV 2016. Of all maps x, the solver finds that which
least departs from the target t and changes least between pixels that are alike in place and
colour (their equation 1):

    lambda / 2 * sum_ij W_ij (x_i - x_j)^2 + sum_i c_i (x_i - t_i)^2

In bilateral space, whose vertices are the cells of a grid over (x, y, luma, two chromas) that hold
a pixel, this is one sparse linear system in as many unknowns as vertices. OpenCV has the same
solver in its contributed modules, but only where it was built with Eigen, which the wheels that
pip installs were not: hence this one.

Settings are those of TokenCut, which FOUND and others took over.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg

from dseg.errors import DsegError

# Rows: luma and the two chromas of JPEG (ITU-T T.871) from red, green, blue.
_YUV = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_CHROMA_OFFSET = 128.0
_BISTOCHASTIC_ITERATIONS = 10  # as in the authors' code: more change nothing visible


@dataclass(frozen=True)
class SolverSettings:
    """What the solver is told; the defaults are TokenCut's.

    Attributes:
        sigma_spatial: Width of a cell of the grid, pixels.
        sigma_luma: Height of a cell in luma, grey values.
        sigma_chroma: Its size in each chroma, grey values.
        strength: lambda, the weight of smoothness.
        confidence: c, the weight of the target, the same for all pixels.
        iterations: Steps of conjugate gradients at most.
        tolerance: They stop where the residual is this small, relative to the right side.
    """

    sigma_spatial: float = 16.0
    sigma_luma: float = 16.0
    sigma_chroma: float = 8.0
    strength: float = 256.0
    confidence: float = 0.999
    iterations: int = 25
    tolerance: float = 1e-5


TOKENCUT = SolverSettings()


@dataclass(frozen=True, eq=False)
class Grid:
    """The bilateral grid of an image: which vertex each pixel is in, and which are neighbours.

    Attributes:
        vertex: (H * W,) index of each pixel's vertex, 0 to V - 1.
        blur: (V, V) the sum over the 5 dimensions of the kernels [1 2 1].
        shape: (H, W).
    """

    vertex: np.ndarray
    blur: csr_array
    shape: tuple[int, int]

    def splat(self, values: np.ndarray) -> np.ndarray:
        """Sums over the pixels (H, W) of each vertex, (V,)."""
        return np.bincount(self.vertex, weights=values.ravel(), minlength=self.blur.shape[0])

    def slice(self, values: np.ndarray) -> np.ndarray:
        """The value (V,) of each pixel's vertex, (H, W)."""
        return values[self.vertex].reshape(self.shape)


def bilateral_grid(image: np.ndarray, settings: SolverSettings = TOKENCUT) -> Grid:
    """The bilateral grid of an image, (H, W, 3) uint8 RGB.

    Raises:
        DsegError: It is not such an image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise DsegError(
            f"the bilateral solver needs an image (H, W, 3) uint8, got {image.shape} {image.dtype}"
        )
    height, width = image.shape[:2]
    colour = image @ _YUV.T + [0, _CHROMA_OFFSET, _CHROMA_OFFSET]  # (H, W, 3)
    rows, columns = np.indices((height, width), sparse=True)
    axes = [
        columns / settings.sigma_spatial,
        rows / settings.sigma_spatial,
        colour[..., 0] / settings.sigma_luma,
        colour[..., 1] / settings.sigma_chroma,
        colour[..., 2] / settings.sigma_chroma,
    ]
    code, strides, stride = np.zeros((height, width), np.int64), [], 1
    for axis in axes:
        cell = axis.astype(np.int64)
        code = code + stride * cell
        strides.append(stride)
        # One cell more than there are: the neighbour past the last is no cell of the next row.
        stride *= int(cell.max()) + 2
    codes, vertex = np.unique(code.ravel(), return_inverse=True)
    return Grid(vertex.ravel(), _blur(codes, strides), (height, width))


def solve(target: np.ndarray, grid: Grid, settings: SolverSettings = TOKENCUT) -> np.ndarray:
    """The target smoothed on a grid.

    Args:
        target: (H, W) bool, or float in [0, 1].
        grid: That of its image.
        settings: As the grid was made with.

    Returns:
        (H, W) float32 in [0, 1], what lies beyond by the solver's error being clipped.

    Raises:
        DsegError: The target has another size than the grid's image.
    """
    if target.shape != grid.shape:
        raise DsegError(
            f"the bilateral solver got a mask {target.shape} of an image {grid.shape} (H, W): "
            "resize the mask first"
        )
    normaliser, mass = _bistochastize(grid)
    weight = settings.confidence * grid.splat(np.ones(grid.shape))
    right = settings.confidence * grid.splat(target.astype(np.float64))
    scale = diags_array(normaliser)
    smooth = diags_array(mass) - scale @ grid.blur @ scale
    system = csr_array(settings.strength * smooth + diags_array(weight))
    solution, _ = cg(  # not converging within the iterations is part of the settings
        system,
        right,
        x0=right / weight,
        rtol=settings.tolerance,
        maxiter=settings.iterations,
        M=diags_array(1 / system.diagonal()),
    )
    return np.clip(grid.slice(solution), 0, 1).astype(np.float32)


def _blur(codes: np.ndarray, strides: list[int]) -> csr_array:
    """Kernels [1 2 1] over the vertices of these ascending codes, summed over dimensions."""
    count = len(codes)
    blur = csr_array(2.0 * len(strides) * eye_array(count))
    for stride in strides:
        after = np.minimum(np.searchsorted(codes, codes + stride), count - 1)
        low = np.flatnonzero(codes[after] == codes + stride)
        high = after[low]
        links = csr_array((np.ones(len(low)), (low, high)), shape=(count, count))
        blur = csr_array(blur + links + links.T)
    return blur


def _bistochastize(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Diagonals n and m with n * (B n) = m, where m is close to the pixels of each vertex, (V,).

    Algorithm 1 of the supplement of Barron & Poole; m is set last, so that the rows of the
    smoothness term sum to 0 however many iterations were made.
    """
    pixels = grid.splat(np.ones(grid.shape))
    normaliser = np.ones(len(pixels))
    for _ in range(_BISTOCHASTIC_ITERATIONS):
        normaliser = np.sqrt(normaliser * pixels / (grid.blur @ normaliser))
    return normaliser, normaliser * (grid.blur @ normaliser)
