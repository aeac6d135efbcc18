"""Stage 2c: training of the segmentation head on synthetic pairs, and its predictions.

The paper trains a downstream head on diffusion features of synthetic images and their AttentionCut
masks; its architecture, loss and schedule are not known, so all of this is our choice. The
networks and what they read are in `dseg.method.networks`.

Pairs are not augmented: cached features of an image are not those of its crop or mirror image, and
mirroring did not help the baseline either.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from dseg.errors import DsegError
from dseg.method.networks import Architecture, Network, Standardise, build, parameter_count
from dseg.method.row_source import RowSource

__all__ = [
    "LOSSES",
    "Architecture",
    "Epoch",
    "Network",
    "build",
    "iou",
    "loss",
    "parameter_count",
    "predict",
    "train",
]

WEIGHT_DECAY = 0.01
WARMUP_STEPS = 10
THRESHOLD = 0.5
STATISTICS = 2048  # pairs whose mean and deviation stand for all: millions of positions

# (logits (B, H, W), target bool (B, H, W)) -> a number, mean over the batch
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of the training curve; the validation figures are nan without validation pairs."""

    epoch: int
    loss: float
    validation_loss: float
    validation_iou: float


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels; logits (B, H, W), target bool (B, H, W)."""
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss (Milletari et al. 2016), mean over images; as `cross_entropy`."""
    truth, soft = target.to(logits.dtype), logits.sigmoid()
    overlap = (soft * truth).sum((1, 2))
    # The added 1 defines the Dice of two empty masks and matters for no others.
    shares = (2 * overlap + 1) / (soft.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return (1 - shares).mean()


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """The default: binary cross-entropy plus soft Dice, equally weighted; as `cross_entropy`."""
    return cross_entropy(logits, target) + dice(logits, target)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {"bce": cross_entropy, "dice": dice, "bce-dice": loss}
)


def train(
    network: Network,
    inputs: Sequence[RowSource],
    masks: RowSource,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    validation_fraction: float,
    seed: int,
    criterion: Loss = loss,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[dict[str, Tensor], list[Epoch]]:
    """Train in place and return the state of the best epoch.

    The optimiser is AdamW with a short linear warm-up and cosine decay. A seeded part of the pairs
    is held out; the best epoch is the first with the highest mean IoU there, against masks of
    AttentionCut, not true ones.
    On a CPU the result is bit-identical for a seed, a number of threads and a torch build.

    Args:
        network: From `build`; its device is used.
        inputs: One tensor for each input of the network, N rows each, or what reads such rows
            from disk.
        masks: bool (N, H, W), at the size of the logits; likewise.
        epochs: Passes over the training pairs.
        batch_size: Pairs in a step; the last batch of an epoch may be smaller.
        learning_rate: Peak learning rate.
        validation_fraction: Share of the pairs held out, at least one pair if above 0. With 0 the
            last epoch is returned.
        seed: Of the split and the order. The weights come from `build`.
        criterion: The loss, one of `LOSSES`.
        progress: Wraps the epochs, to report them.

    Returns:
        The state on the CPU (float32, with the input statistics), and one `Epoch` for each epoch.

    Raises:
        DsegError: Inputs and masks do not have the same, or enough, rows, or the loss is not
            finite.
    """
    count = len(masks)
    if any(len(values) != count for values in inputs):
        raise DsegError(f"{count} masks for inputs of {[len(values) for values in inputs]} rows")
    if count < 2:
        raise DsegError(f"{count} training pairs: expected at least 2")
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=generator)
    held_out = 0
    if validation_fraction > 0:
        held_out = min(count - 1, max(1, round(validation_fraction * count)))
    validation, training = order[:held_out], order[held_out:]

    for standard, values in zip(network.standards, inputs, strict=True):
        cast(Standardise, standard).fit(values, training[:STATISTICS])
    steps = epochs * -(-len(training) // batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
    warmup = min(WARMUP_STEPS, steps // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _learning_rate(step, steps, warmup)
    )

    best: dict[str, Tensor] = {}
    best_iou = -1.0
    curve: list[Epoch] = []
    with _deterministic():
        for epoch in progress(range(1, epochs + 1)):
            network.train()
            total = 0.0
            shuffled = training[torch.randperm(len(training), generator=generator)]
            for items in shuffled.split(batch_size):
                batch = [values[items].to(device) for values in inputs]
                value = criterion(network(*batch), masks[items].to(device))
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                schedule.step()
                total += value.item() * len(items)
            if not math.isfinite(total):
                raise DsegError(
                    f"training diverged in epoch {epoch}: lower head.learning_rate, {learning_rate}"
                )
            scores = _validate(network, inputs, masks, validation, batch_size, criterion)
            curve.append(Epoch(epoch, total / len(training), *scores))
            if not held_out or scores[1] > best_iou:
                best_iou = scores[1]
                best = {
                    name: value.detach().cpu().clone().contiguous()
                    for name, value in network.state_dict().items()
                }
    network.load_state_dict(best)
    return best, curve


def as_planes(images: Tensor) -> Tensor:
    """Images uint8 (n, H, W, 3) as a network reads them: uint8 (n, 3, H, W)."""
    return images.permute(0, 3, 1, 2)


@torch.no_grad()
def predict(network: Network, inputs: Sequence[Tensor], batch_size: int = 32) -> Tensor:
    """Soft masks of N images: float32 (N, H, W) in [0, 1], on the CPU."""
    device = next(network.parameters()).device
    network.eval()
    parts = [
        network(*(values.to(device) for values in batch)).sigmoid().cpu()
        for batch in zip(*(values.split(batch_size) for values in inputs), strict=True)
    ]
    return torch.cat(parts)


def iou(predicted: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of bool masks (B, H, W) -> (B,); 1 where both are empty."""
    union = (predicted | target).sum((1, 2))
    shared = (predicted & target).sum((1, 2))
    return torch.where(union > 0, shared / union.clamp_min(1), 1.0)


@torch.no_grad()
def _validate(
    network: Network,
    inputs: Sequence[RowSource],
    masks: RowSource,
    items: Tensor,
    batch_size: int,
    criterion: Loss,
) -> tuple[float, float]:
    """Mean loss and mean IoU over the held-out pairs; nan if there are none."""
    if not len(items):
        return float("nan"), float("nan")
    device = next(network.parameters()).device
    network.eval()
    losses, overlaps = 0.0, 0.0
    for part in items.split(batch_size):
        logits = network(*(values[part].to(device) for values in inputs))
        target = masks[part].to(device)
        losses += float(criterion(logits, target)) * len(part)
        overlaps += float(iou(logits.sigmoid() > THRESHOLD, target).sum())
    return losses / len(items), overlaps / len(items)


def _learning_rate(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: linear up to ``warmup``, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@contextmanager
def _deterministic() -> Iterator[None]:
    """Deterministic kernels where there are any, as a loan: the process's setting is restored."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    # warn_only: bilinear upsampling has no deterministic gradient on CUDA, and should still run.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
