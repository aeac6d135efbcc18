"""Record attention of chosen layers while the U-Net runs untouched.

`record_attention` puts a recording processor around the original processor of each chosen layer.
The original computes the layer's output, so images are bit-identical with and without recording.
Beside it softmax(q k^T / sqrt(d)) is computed again for the conditional half of the batch only,
a few heads at a time, and added to one float32 running sum a resolution: memory grows neither with
steps nor with layers.

Resolutions are named by their stride relative to the latent grid (1 = the grid itself), so the
same settings serve models of different depth. Which layers and timesteps the paper averages is
not known: all layers at the chosen strides, with equal weights (our choice).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dseg.errors import DsegError
from dseg.method.cut.evidence import AttentionMaps

# Attention scores held at a time, float32. 1 MB stays in a processor's cache, which is 3.7 times
# faster there than 64 MB. A GPU wants few large operations: there a chunk is many heads of many
# items, 128 MB, and as much again for the probabilities.
CHUNK = {"cpu": 2**18, "cuda": 2**25}
HEADS = {"cpu": 1}  # at a time, where not all that fit: a CPU gains nothing from several


@dataclass(frozen=True)
class AttentionPlan:
    """What to record.

    Attributes:
        cross_strides: Resolutions of the noun's cross maps.
        affinity_stride: Resolution of the self-attention.
        neighbours: Largest entries kept of each row of the self-attention.
        share: Whether a cross map is the noun's share of what noun and context together draw, in
            place of what the noun draws of all attention (our choice). Where a context says what
            the object is on, both compete for each position; the rest goes to tokens without
            meaning, more of it in some places than in others.
    """

    cross_strides: tuple[int, ...]
    affinity_stride: int
    neighbours: int
    share: bool = False


@dataclass
class Recorder:
    """Running means of the attention of one batch.

    Attributes:
        plan: What to record.
        size: Height and width of the latents.
        columns: Weight of each token in its item's noun map, float32 (B, L); rows sum to 1.
        context: The same for the map of the context, of which the noun has its share; None where
            no share is recorded.
        active: Whether the next pass of the U-Net counts; the sampling loop sets it.
        cross: Sums of noun maps, float32 (B, N), by stride.
        affinity: Sum of self-attention, float32 (B, N, N).
        beside: Sums of the maps of the context, likewise.
        counts: Number of maps in each sum, by kind and stride.
    """

    plan: AttentionPlan
    size: tuple[int, int]
    columns: Tensor
    active: bool = False
    context: Tensor | None = None
    cross: dict[int, Tensor] = field(default_factory=dict)
    beside: dict[int, Tensor] = field(default_factory=dict)
    affinity: Tensor | None = None
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """Number of items B."""
        return len(self.columns)

    def add_cross(self, stride: int, query: Tensor, key: Tensor, scale: float) -> None:
        """Add one layer's cross-attention; see `noun_attention`."""
        maps = noun_attention(query, key, scale, self.columns.to(query.device))
        self.cross[stride] = self.cross[stride].add_(maps) if stride in self.cross else maps
        if self.context is not None:
            maps = noun_attention(query, key, scale, self.context.to(query.device))
            self.beside[stride] = self.beside[stride].add_(maps) if stride in self.beside else maps
        self._count("cross", stride)

    def add_self(self, stride: int, query: Tensor, key: Tensor, scale: float) -> None:
        """Add one layer's self-attention; see `add_mean_attention`."""
        if self.affinity is None:
            shape = (len(query), query.shape[2], key.shape[2])
            self.affinity = torch.zeros(shape, device=query.device)
        add_mean_attention(self.affinity, query, key, scale)
        self._count("self", stride)

    def mean_cross(self) -> dict[int, Tensor]:
        """Noun map at each stride, mean over layers, heads and steps, float32 (B, h, w).

        With a context, the noun's share of both means.
        """
        self._require(self.affinity)
        means = {}
        for stride in self.plan.cross_strides:
            if self.context is None:
                mean = self.cross[stride] / self.counts["cross", stride]
            else:
                mean = self.cross[stride] / (self.cross[stride] + self.beside[stride])
            means[stride] = mean.unflatten(1, grid_at(self.size, stride))
        return means

    def mean_affinity(self) -> Tensor:
        """Self-attention, mean over layers, heads and steps, float32 (B, N, N), row-stochastic."""
        total = self._require(self.affinity)
        return total / self.counts["self", self.plan.affinity_stride]

    def maps(self) -> AttentionMaps:
        """The means in the artifact's types.

        Raises:
            DsegError: Nothing was recorded.
        """
        indices, weights = sparsify(self.mean_affinity(), self.plan.neighbours)
        cross = {s: maps.half().cpu().numpy() for s, maps in self.mean_cross().items()}
        return AttentionMaps(cross, indices, weights)

    def _count(self, kind: str, stride: int) -> None:
        self.counts[kind, stride] = self.counts.get((kind, stride), 0) + 1

    @staticmethod
    def _require(total: Tensor | None) -> Tensor:
        if total is None:
            raise DsegError(
                "attention: nothing was recorded; expected at least one pass of the U-Net within "
                "the timesteps to record"
            )
        return total


@contextmanager
def record_attention(unet: Any, recorder: Recorder) -> Iterator[Recorder]:
    """Record into `recorder` while the U-Net runs inside the ``with`` block.

    Only the chosen layers are touched; their processors are put back however the block ends.

    Args:
        unet: A UNet2DConditionModel. Where a pass has more rows than the recorder has items, its
            last rows are recorded: the conditional half under guidance.
        recorder: Sums to add to, whenever it is active.

    Raises:
        DsegError: The model has no attention at a chosen stride.
    """
    layers = attention_layers(unet)
    chosen = []
    for kind, strides in (
        ("cross", recorder.plan.cross_strides),
        ("self", (recorder.plan.affinity_stride,)),
    ):
        there = {stride for layer_kind, stride, _ in layers if layer_kind == kind}
        absent = sorted(set(strides) - there)
        if absent or not strides:
            key = "cross_strides" if kind == "cross" else "affinity_stride"
            raise DsegError(
                f"attention.{key}: {list(strides)}, expected some of {sorted(there)}, the strides "
                f"of this model's {kind}-attention"
            )
        chosen += [layer for layer in layers if layer[0] == kind and layer[1] in strides]
    originals = [(module, module.get_processor()) for _, _, module in chosen]
    try:
        for kind, stride, module in chosen:
            original = module.get_processor()
            module.set_processor(_RecordingProcessor(original, recorder, kind, stride))
        yield recorder
    finally:
        for module, original in originals:
            module.set_processor(original)


def attention_layers(unet: Any) -> list[tuple[str, int, Any]]:
    """Attention layers of a UNet2DConditionModel: ("cross" or "self", stride, module)."""
    layers: list[tuple[str, int, Any]] = []
    stride = 1

    def collect(block: Any) -> None:
        for transformer in getattr(block, "attentions", None) or ():
            for layer in getattr(transformer, "transformer_blocks", ()):
                for module in (layer.attn1, layer.attn2):
                    if module is not None:
                        kind = "cross" if module.is_cross_attention else "self"
                        layers.append((kind, stride, module))

    for block in unet.down_blocks:
        collect(block)
        stride *= 2 if block.downsamplers else 1
    if unet.mid_block is not None:
        collect(unet.mid_block)
    for block in unet.up_blocks:
        collect(block)
        stride //= 2 if block.upsamplers else 1
    return layers


def make_recorder(
    plan: AttentionPlan,
    size: tuple[int, int],
    spans: Sequence[tuple[int, int]],
    contexts: Sequence[tuple[int, int]] | None,
    length: int,
) -> Recorder:
    """A recorder of a batch of prompts.

    Args:
        plan: What to record.
        size: Height and width of the latents.
        spans: First and last + 1 token of each prompt's noun.
        contexts: The same of its context; needed for shares.
        length: Tokens of a prompt, padding included.

    Raises:
        DsegError: A share is to be recorded, and a prompt has no context.
    """
    if not plan.share:
        return Recorder(plan, size, noun_columns(spans, length))
    if contexts is None or any(end <= start for start, end in contexts):
        raise DsegError(
            "attention.measure: share, but a prompt says no context of which the noun could have "
            "its share; put {context} into prompts.templates, and set recording.context, or set "
            "the measure to noun"
        )
    context = noun_columns(contexts, length)
    return Recorder(plan, size, noun_columns(spans, length), context=context)


def noun_columns(spans: Sequence[tuple[int, int]], length: int) -> Tensor:
    """Weights (B, length) that average the tokens first .. last + 1 of each noun."""
    columns = torch.zeros(len(spans), length)
    for row, (start, end) in zip(columns, spans, strict=True):
        if not 0 <= start < end <= length:
            raise DsegError(f"noun at tokens {start}-{end} of {length}: expected a span within")
        row[start:end] = 1 / (end - start)
    return columns


def noun_attention(query: Tensor, key: Tensor, scale: float, columns: Tensor) -> Tensor:
    """Attention from each position to the noun: softmax over all tokens, noun's columns averaged.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, L, d).
        scale: Factor of the scores, usually 1 / sqrt(d).
        columns: Weight of each token, (B, L).

    Returns:
        Mean over heads, float32 (B, N).
    """
    total = query.new_zeros(query.shape[0], query.shape[2], dtype=torch.float32)
    for rows, probabilities in _attention(query, key, scale):
        total[rows] += (probabilities @ columns[rows, None, :, None]).squeeze(-1).sum(1)
    return total / query.shape[1]


def add_mean_attention(total: Tensor, query: Tensor, key: Tensor, scale: float) -> None:
    """Add the mean over heads of softmax(scale q k^T) to `total`, float32 (B, N, M), in place."""
    for rows, probabilities in _attention(query, key, scale):
        # One head needs no sum, which would be a pass over memory.
        summed = probabilities.sum(1) if probabilities.shape[1] > 1 else probabilities[:, 0]
        total[rows].add_(summed, alpha=1 / query.shape[1])


def sparsify(affinity: Tensor, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest entries of each row of (B, N, N): indices int32 and weights float16 (B, N, k)."""
    weights, indices = affinity.topk(min(neighbours, affinity.shape[-1]), dim=-1)
    return indices.int().cpu().numpy(), weights.half().cpu().numpy()


def grid_at(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width of the attention grid at a stride; odd sizes are rounded up."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _attention(query: Tensor, key: Tensor, scale: float) -> Iterator[tuple[slice, Tensor]]:
    """Yield softmax(scale q k^T) of some items and heads, float32 (rows, heads, N, M).

    As many heads as fit in a chunk, and where all do, as many items.
    """
    items, heads, n, _ = query.shape
    chunk = CHUNK.get(query.device.type, CHUNK["cuda"])
    fitting = max(1, chunk // (n * key.shape[2]))
    width = min(heads, fitting, HEADS.get(query.device.type, heads))
    step = max(1, fitting // width)
    for start in range(0, items, step):
        rows = slice(start, start + step)
        for head in range(0, heads, width):
            q, k = query[rows, head : head + width], key[rows, head : head + width]
            scores = _product(q.flatten(0, 1), k.flatten(0, 1), scale)
            yield rows, scores.softmax(dim=-1).unflatten(0, q.shape[:2])


def _product(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """scale q k^T of (G, N, d) and (G, M, d), float32 (G, N, M).

    On CUDA half-precision inputs are multiplied as they are and summed in float32, as the model's
    own attention does.
    """
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        # The query is scaled rather than the scores: a pass over what is 13 times as large.
        return torch.bmm(query * scale, key.transpose(1, 2), out_dtype=torch.float32)
    return torch.bmm(query.float() * scale, key.float().transpose(1, 2))


class _RecordingProcessor:
    """Let the original processor compute the layer, and record its attention beside it."""

    def __init__(self, original: Any, recorder: Recorder, kind: str, stride: int) -> None:
        self.original = original
        self.recorder = recorder
        self.kind = kind
        self.stride = stride

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if self.recorder.active:
            self.record(attn, hidden_states, encoder_hidden_states, attention_mask)
        output: Tensor = self.original(
            attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs
        )
        return output

    @torch.no_grad()
    def record(
        self, attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None
    ) -> None:
        if mask is not None:
            raise DsegError("attention: a masked attention layer cannot be recorded")
        items = self.recorder.items
        hidden = hidden[-items:]  # the conditional half
        context = hidden if context is None else context[-items:]
        if self.kind == "cross" and attn.norm_cross:
            context = attn.norm_encoder_hidden_states(context)
        # (B, N, heads * d) -> (B, heads, N, d)
        query = attn.to_q(hidden).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        key = attn.to_k(context).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        add = self.recorder.add_cross if self.kind == "cross" else self.recorder.add_self
        add(self.stride, query, key, attn.scale)
