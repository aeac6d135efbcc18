"""Rivals that cut the graph of the self-attention itself: the recipes of TokenCut and DiffCut.

Both were made for features of a network. Here a cell's feature is its row of the self-attention,
so that they start from what AttentionCut starts from (our choice); two cells are alike by the
cosine of their rows. The normalised cut (Shi and Malik, 2000) is relaxed to an eigenvector of
D^-1/2 W D^-1/2, the one of the second largest eigenvalue.

W = S + eps 1 1^T with a sparse S is never made dense: its product with a vector is one sparse
product and a sum, which is all that Lanczos iteration needs.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, eigsh

from dseg.method.cut import crossmap
from dseg.method.cut.affinity import Affinity
from dseg.method.cut.evidence import Attention
from dseg.method.resample import resize

TOKENCUT_THRESHOLD = 0.2  # tau of TokenCut's paper and code
TOKENCUT_FLOOR = 1e-5  # its eps: the weight of cells that are not alike
DIFFCUT_POWER = 10.0  # alpha of DiffCut's paper
DIFFCUT_LIMIT = 0.5  # its tau: no part is split at a greater normalised cut
DIFFCUT_LEVELS = 100  # thresholds of the eigenvector that are tried, as in its code
# Rows are recorded up to their largest entries, so that far cells share none. DiffCut's graph is
# complete: this stands for what was cut off, and joins what would fall apart (our choice).
DIFFCUT_FLOOR = 1e-6
_DENSE = 256  # up to as many nodes a dense solver is faster
_TOLERANCE = 1e-4  # relative, of the eigenvalue


@dataclass(frozen=True)
class Similarity:
    """The weights W = sparse + floor of a complete graph over n cells.

    Attributes:
        sparse: (n, n), symmetric, >= 0.
        floor: What is added to every pair, > 0.
    """

    sparse: csr_array
    floor: float

    @property
    def degrees(self) -> np.ndarray:
        """Sum of each row of W, float64 (n,)."""
        total: np.ndarray = np.asarray(self.sparse.sum(axis=1), dtype=np.float64)
        return total + self.floor * self.sparse.shape[0]

    def among(self, cells: np.ndarray) -> "Similarity":
        """The graph of some cells alone, given by their numbers."""
        return Similarity(csr_array(self.sparse[cells][:, cells]), self.floor)


def tokencut(attention: Attention, image: np.ndarray) -> np.ndarray:
    """TokenCut (Wang et al., CVPR 2022) on the self-attention: the noun plays no part.

    Cells whose cosine exceeds .2 are joined by 1, all others by 1e-5; the eigenvector is split at
    its mean; the object is the side of the entry of largest absolute value, of which only the
    connected part with that entry is kept.

    Args:
        attention: On the image; a flat noun map means that there is no object, else it is not used.
        image: (H, W, 3); only its size is used.

    Returns:
        float32 (H, W) in [0, 1]; the mask is where it exceeds .5.
    """
    return _tokencut(attention, image, told=False)


def tokencut_told(attention: Attention, image: np.ndarray) -> np.ndarray:
    """As `tokencut`, but the object is the side the noun attends to more (our variant).

    Its seed is the cell of that side with the most attention. Given the noun, as all other
    methods are, the comparison is fair.
    """
    return _tokencut(attention, image, told=True)


def _tokencut(attention: Attention, image: np.ndarray, *, told: bool) -> np.ndarray:
    cross, rows, shape = attention.noun_map, attention.affinity, (image.shape[0], image.shape[1])
    if crossmap.is_flat(cross):
        return np.zeros(shape, np.float32)
    alike = cosine_similarity(rows) > TOKENCUT_THRESHOLD
    graph = Similarity(alike.astype(np.float64) * (1 - TOKENCUT_FLOOR), TOKENCUT_FLOOR)
    vector = second_eigenvector(graph)
    side = vector > vector.mean()
    seeds = resize(cross, rows.shape).ravel() if told else np.abs(vector)
    if told:
        chosen = seeds[side].mean() > seeds[~side].mean() if side.any() and not side.all() else True
    else:
        chosen = bool(side[seeds.argmax()])
    side = side if chosen else ~side
    seed = int(np.where(side, seeds, -1).argmax())
    parts, _ = ndimage.label(side.reshape(rows.shape))
    return resize(parts == parts.ravel()[seed], shape)


def diffcut(attention: Attention, image: np.ndarray) -> np.ndarray:
    """DiffCut (Couairon et al., NeurIPS 2024) on the self-attention; the noun names the segments.

    Cosines to the power 10 are cut again and again, each time at the threshold of the eigenvector
    with the least normalised cut, until that is above .5. DiffCut's segments have no names: here
    the object is every segment that the noun attends to, in the mean, more than Otsu's threshold
    of the cross map (our choice).

    Args:
        attention: On the image.
        image: (H, W, 3); only its size is used.

    Returns:
        float32 (H, W) in [0, 1]; the mask is where it exceeds .5.
    """
    cross, rows, shape = attention.noun_map, attention.affinity, (image.shape[0], image.shape[1])
    if crossmap.is_flat(cross):
        return np.zeros(shape, np.float32)
    values = crossmap.normalise(resize(cross, rows.shape))
    alike = cosine_similarity(rows)
    alike.data **= DIFFCUT_POWER
    alike.data[alike.data < DIFFCUT_FLOOR] = 0  # the floor stands for these as well
    alike.eliminate_zeros()
    labels = recursive_cut(Similarity(alike, DIFFCUT_FLOOR))
    flat = values.ravel().astype(np.float64)
    means = np.bincount(labels, weights=flat) / np.bincount(labels)
    chosen = means > crossmap.otsu(values)
    return resize(chosen[labels].reshape(rows.shape), shape)


def cosine_similarity(rows: Affinity) -> csr_array:
    """Cosine of every pair of rows of the self-attention, sparse (N, N), in [0, 1]."""
    matrix = rows.matrix().astype(np.float64)
    norms = np.sqrt(np.asarray((matrix * matrix).sum(axis=1)))
    unit = csr_array(diags_array(1 / norms) @ matrix)
    return csr_array(unit @ unit.T)


def second_eigenvector(graph: Similarity) -> np.ndarray:
    """The relaxed normalised cut: second smallest generalised eigenvector of (D - W, D).

    Args:
        graph: Over n >= 2 cells.

    Returns:
        float64 (n,); its sign is arbitrary, but the same for the same graph.
    """
    scale = 1 / np.sqrt(graph.degrees)
    count = len(scale)
    if count <= _DENSE:
        dense = (graph.sparse.toarray() + graph.floor) * scale * scale[:, None]
        _, vectors = np.linalg.eigh(dense)
        return np.asarray(vectors[:, -2] * scale)
    normalised = csr_array(diags_array(scale) @ graph.sparse @ diags_array(scale))
    # The largest eigenvector is known, D^1/2 1; without it the wanted one is the largest.
    known = 1 / scale
    known /= np.linalg.norm(known)

    def product(vector: np.ndarray) -> np.ndarray:
        vector = vector.ravel()
        result = normalised @ vector + graph.floor * scale * (scale @ vector)
        return np.asarray(result - known * (known @ vector))

    operator = LinearOperator((count, count), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(count)
    start -= known * (known @ start)
    _, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=_TOLERANCE)
    return np.asarray(vectors[:, 0] * scale)


def best_split(graph: Similarity, vector: np.ndarray) -> tuple[np.ndarray, float]:
    """The threshold of an eigenvector with the least normalised cut.

    Ncut(S) = cut(S) / vol(S) + cut(S) / vol(rest). All thresholds are found in one pass over the
    cells in the order of ``vector``: moving a cell across changes the cut by its own edges only.

    Args:
        graph: Over n >= 2 cells.
        vector: (n,).

    Returns:
        bool (n,), whether a cell is above the threshold, and Ncut there.
    """
    low, high = float(vector.min()), float(vector.max())
    order = np.argsort(-vector, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    degrees = graph.degrees
    entries = graph.sparse.tocoo()
    # Weight between the first m cells of the order: of each pair, from the later one onwards.
    later = np.maximum(rank[entries.coords[0]], rank[entries.coords[1]])
    number = np.arange(1, len(order) + 1)
    shared = np.bincount(later, weights=entries.data, minlength=len(order))
    inside = np.cumsum(shared) + graph.floor * number**2
    volume = np.cumsum(degrees[order])
    levels = np.linspace(low, high, DIFFCUT_LEVELS + 2)[1:-1]
    sizes = np.searchsorted(-vector[order], -levels, side="left")  # how many are above a level
    sizes = np.unique(sizes[(sizes > 0) & (sizes < len(order))])
    if len(sizes) == 0:
        return np.zeros(len(order), bool), np.inf
    part, cut = volume[sizes - 1], volume[sizes - 1] - inside[sizes - 1]
    values = cut / part + cut / (volume[-1] - part)
    best = int(values.argmin())
    return rank < sizes[best], float(values[best])


def recursive_cut(graph: Similarity) -> np.ndarray:
    """DiffCut's segmentation.

    Args:
        graph: Over n cells.

    Returns:
        int64 (n,), the segment of each cell, numbered from 0.
    """
    labels = np.zeros(graph.sparse.shape[0], np.int64)
    waiting, count = [np.arange(len(labels))], 1
    while waiting:
        cells = waiting.pop()
        if len(cells) < 2:
            continue
        part = graph.among(cells)
        above, value = best_split(part, second_eigenvector(part))
        if value < DIFFCUT_LIMIT:
            labels[cells[above]] = count
            count += 1
            waiting += [cells[above], cells[~above]]
    return labels
