"""AttentionCut: attention and image -> mask, without training.

The idea, cross-attention for what and self-attention for where, is the paper's; its exact energy
is not public, so this one, its weights and its filter are our choice. Over pixels p in P (the
image at a working resolution) and cells a in A (the grid of the self-attention), with labels
M in {0, 1}:

    E(M) = 1/|P| sum_p t_p(M_p)  +  1/|A| sum_a t_a(M_a)                               data
         + lambda_colour / |P|            sum_p    max(0, -(2 M_p - 1) g_p)            colour
         + lambda_self / (|A| neighbours) sum_(ab) w_ab             [M_a != M_b]       self
         + lambda_contrast / sqrt|P|      sum_(pq) v_pq             [M_p != M_q]       contrast
         + lambda_link / |P|              sum_p                     [M_p != M_cell(p)] link

    t(1) = -log f,  t(0) = -log(1 - f),  f = clip(sigmoid((c - otsu(c)) / tau), clip, 1 - clip)
    w_ab = (b_ab / mean b)^power,        b_ab = sum_m sqrt(A_am A_bm)
    v_pq = exp(-|I_p - I_q|^2 / 2 sigma^2) / |p - q|,    sigma^2 = mean |I_p - I_q|^2

c is the noun's cross map to the power ``exponent``, after ``walk_steps`` of random walk on the
self-attention, stretched to [0, 1]; (ab) runs over the sparse graph of `affinity`, (pq) over
the 8-neighbourhood of the pixels; g is the log-ratio of `colour`, first from f, then from the
last cut, until a cut is the last one again or ``colour_iterations`` are made. Data terms are
means in nats and the contrast term is a boundary length in units of the image's side, so that the
weights mean the same at every resolution. Each term goes with its weight at 0; with ``size: 0``
there are no pixels and the cut is on the attention's grid alone. The minimum is exact. More, with
each term's share, in docs/attentioncut.md.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from dseg.errors import DsegError
from dseg.method.cut.energy import Problem, pose, pose_pixels, with_colour
from dseg.method.cut.evidence import Attention
from dseg.method.cut.filter import Reason, judge
from dseg.method.cut.graphcut import Graph, energy, minimum_cut
from dseg.method.resample import resize
from dseg.settings.masks import AttentionCutSettings


@dataclass(frozen=True)
class Mask:
    """The mask of one image.

    Attributes:
        mask: bool (H, W).
        soft: float32 (H, W) in [0, 1], above .5 exactly where ``mask`` is set if the working
            resolution is the image's.
        energy: E(M) at the minimum, in nats.
        area: Share of the image covered.
        kept: Whether the filter keeps it.
        reason: Why not; KEPT otherwise.
    """

    mask: np.ndarray
    soft: np.ndarray
    energy: float
    area: float
    kept: bool
    reason: Reason


def attention_cut(attention: Attention, image: np.ndarray, settings: AttentionCutSettings) -> Mask:
    """Mask of the object whose noun gave the cross maps.

    Args:
        attention: On the image; cross maps may have any resolution.
        image: uint8 (H, W, 3).
        settings: Its ``cross_strides`` say which cross maps are read.

    Raises:
        DsegError: A cross map is not there, or an array has another shape, type or range, or
            holds NaN.
    """
    attention = attention.at(settings.cross_strides)
    cut = _solve(pose(attention, image, settings), settings)
    mask, soft = _at_size(cut, (image.shape[0], image.shape[1]))
    reason = judge(mask, attention.noun_map, settings)
    return Mask(
        mask=mask,
        soft=soft,
        energy=energy(cut.graph, cut.labels),
        area=float(mask.mean()),
        kept=reason is Reason.KEPT,
        reason=reason,
    )


def pixel_cut(soft: np.ndarray, image: np.ndarray, settings: AttentionCutSettings) -> np.ndarray:
    """Any soft mask, cut by AttentionCut's pixel layer alone: data, contrast and colour.

    The soft mask's log-odds take the place of the noun map's, with one half for the threshold:
    f = clip(sigmoid((soft - 1/2) / tau), clip, 1 - clip). So a rival, or a head, gets what the
    pixels give AttentionCut, and nothing of its attention (our choice).

    Args:
        soft: (H, W) in [0, 1], float, or bool.
        image: uint8 (H, W, 3).
        settings: Of the terms. Where they have no pixel layer, ``size: 0``, it is the image's size.

    Returns:
        float32 (H, W) in [0, 1]; its mask is what is above .5.

    Raises:
        DsegError: The soft mask is of another size than the image, or holds NaN.
    """
    if soft.shape != image.shape[:2] or not np.isfinite(soft).all():
        raise DsegError(
            f"soft mask {soft.shape} of an image {image.shape[:2]}: expected one size, and no NaN"
        )
    cut = _solve(pose_pixels(soft, image, settings), settings)
    return _at_size(cut, (image.shape[0], image.shape[1]))[1]


@dataclass(frozen=True)
class _Cut:
    """A solved problem: the last graph, its minimum, and that of the pixels as an image."""

    graph: Graph
    labels: np.ndarray
    foreground: np.ndarray


def _solve(problem: Problem, settings: AttentionCutSettings) -> _Cut:
    """Cut, with the colours of the last cut, until nothing changes or the iterations are made."""
    shape, size = problem.foreground.shape, problem.foreground.size
    foreground = problem.foreground
    # Without a colour term there is nothing to re-estimate: the first cut is the last.
    for _ in range(settings.colour_iterations if settings.lambda_colour > 0 else 1):
        graph = with_colour(problem, foreground, settings.lambda_colour)
        labels = minimum_cut(graph)
        last, foreground = foreground, labels[:size].reshape(shape)
        if np.array_equal(foreground, last):  # the same colours would give the same cut
            break
    return _Cut(graph, labels, foreground)


def _at_size(cut: _Cut, full: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The mask bool (H, W) and the soft mask float32 (H, W) of a cut, at the size of the image."""
    shape, size = cut.foreground.shape, cut.foreground.size
    probability = _data_probability(cut.graph, size).reshape(shape)
    return resize(cut.foreground, full) > 0.5, resize((probability + cut.foreground) / 2, full)


def _data_probability(graph: Graph, nodes: int) -> np.ndarray:
    """What the unary terms of the first ``nodes`` nodes alone say: probabilities (nodes,)."""
    unary = graph.unary[:nodes]
    return expit((unary[:, 0] - unary[:, 1]) * nodes)
