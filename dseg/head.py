"""Stage 2c: the segmentation head, its training on synthetic pairs, and its predictions.

The paper trains a downstream head on diffusion features of synthetic images and their AttentionCut
masks; its architecture, loss and schedule are not known, so all of this is our choice. Two
networks take part, with about the same number of parameters (23 k and 34 k in the default run):

- `SegmentationHead` reads features of the frozen U-Net at several strides and, unless told not to,
  the image through one shallow full-resolution layer, because a latent grid is too coarse for
  boundaries.
- `RGBNetwork`, the baseline, reads the image alone: a plain convolutional U-Net.

Inputs are a tuple of tensors, one row per image: the feature maps in the order of the strides
(floating, (N, C, h, w)), then, if the network reads it, the image ((N, 3, H, W), 0 to 255). Each
is standardised by channel with statistics of the training pairs that are part of the state.
Pairs are not augmented: cached features of an image are not those of its crop or mirror image, and
mirroring did not help the baseline either.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dseg.errors import DsegError
from dseg.row_source import RowSource

WEIGHT_DECAY = 0.01
WARMUP_STEPS = 10
THRESHOLD = 0.5
STATISTICS = 2048  # pairs whose mean and deviation stand for all: millions of positions


@dataclass(frozen=True)
class Architecture:
    """What is needed to build a network again.

    Attributes:
        input: "features" for `SegmentationHead`, "rgb" for `RGBNetwork`.
        channels: Channels of each feature map; empty for "rgb".
        pixels: Whether the head also reads the image; the baseline always does.
        width: Channels of the hidden layers at the feature grid, a multiple of 4.
        size: (H, W) of the logits and of the image.
    """

    input: Literal["features", "rgb"]
    channels: tuple[int, ...]
    pixels: bool
    width: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Epoch:
    """One row of the training curve; the validation figures are nan without validation pairs."""

    epoch: int
    loss: float
    validation_loss: float
    validation_iou: float


class Standardise(nn.Module):
    """(x - mean) / deviation by channel, with statistics set once by `fit`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def fit(self, values: RowSource, items: Tensor, chunk: int = 64) -> None:
        """Take the statistics of ``values[items]``, values (N, C, h, w) of any type."""
        total = torch.zeros(values.shape[1], dtype=torch.float64)
        squares = torch.zeros_like(total)
        for part in items.split(chunk):  # a whole set in double precision may not fit in memory
            batch = values[part].double()
            total += batch.sum((0, 2, 3))
            squares += batch.square().sum((0, 2, 3))
        count = len(items) * values.shape[2] * values.shape[3]
        mean = total / count
        deviation = (squares / count - mean**2).clamp_min(0).sqrt()
        # A constant channel carries nothing: leave it at zero rather than blow up its rounding.
        deviation[deviation < 1e-6 * mean.abs().clamp_min(1.0)] = 1.0
        self.mean.copy_(mean[:, None, None])
        self.deviation.copy_(deviation[:, None, None])

    def forward(self, values: Tensor) -> Tensor:
        values = values.to(torch.float32, memory_format=torch.channels_last)
        return (values - self.mean) / self.deviation


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, group normalisation (independent of the batch), SiLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            _norm(channels_out),
            nn.SiLU(),
        )


class SegmentationHead(nn.Module):
    """Features at several strides (and the image) -> logits at image size.

    Each map is projected to ``width`` channels by a 1 x 1 convolution, upsampled to the finest and
    summed; two 3 x 3 blocks work on that grid; the result, narrowed to ``width / 4`` channels, is
    upsampled to image size, joined with a convolution of the image by addition, and fused by a last
    3 x 3 block.
    """

    def __init__(
        self, channels: Sequence[int], width: int, pixels: bool, size: tuple[int, int]
    ) -> None:
        super().__init__()
        narrow = width // 4
        self.size = size
        self.standards = nn.ModuleList(Standardise(count) for count in channels)
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.body = nn.Sequential(
            _norm(width),
            nn.SiLU(),
            ConvBlock(width, width),
            ConvBlock(width, width),
            nn.Conv2d(width, narrow, 1),
        )
        self.image_layer = nn.Conv2d(3, narrow, 3, padding=1, bias=False) if pixels else None
        if pixels:
            self.standards.append(Standardise(3))
        self.fuse = nn.Sequential(
            _norm(narrow),
            nn.SiLU(),
            ConvBlock(narrow, narrow),
            nn.Conv2d(narrow, 1, 1),
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs as in the module's text -> logits (B, H, W)."""
        values = [standard(x) for standard, x in zip(self.standards, inputs, strict=True)]
        maps = [project(x) for project, x in zip(self.projections, values, strict=False)]
        finest = max((tuple(x.shape[-2:]) for x in maps), key=lambda shape: shape[0])
        hidden = self.body(reduce(torch.add, (_upsample(x, finest) for x in maps)))
        hidden = _upsample(hidden, self.size)
        if self.image_layer is not None:
            hidden = hidden + self.image_layer(values[-1])
        return self.fuse(hidden)[:, 0]


class RGBNetwork(nn.Module):
    """Image -> logits: the baseline, a plain U-Net of four resolutions with additive skips."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (width // 4, width // 2, width, width + width // 2)
        self.standards = nn.ModuleList([Standardise(3)])
        self.down = nn.ModuleList(
            ConvBlock(before, after) for before, after in zip((3, *widths), widths, strict=False)
        )
        pairs = list(zip(widths, widths[1:], strict=False))[::-1]
        self.narrow = nn.ModuleList(nn.Conv2d(deep, shallow, 1) for shallow, deep in pairs)
        self.up = nn.ModuleList(ConvBlock(shallow, shallow) for shallow, _ in pairs)
        self.logits = nn.Conv2d(widths[0], 1, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """One input, the image (B, 3, H, W) in 0 to 255 -> logits (B, H, W)."""
        (image,) = inputs
        hidden = self.standards[0](image)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            hidden = block(F.avg_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        skips.pop()
        for narrow, block in zip(self.narrow, self.up, strict=True):
            skip = skips.pop()
            hidden = block(_upsample(narrow(hidden), skip.shape[-2:]) + skip)
        return self.logits(hidden)[:, 0]


Network = SegmentationHead | RGBNetwork


def build(architecture: Architecture, seed: int = 0) -> Network:
    """A network with weights drawn from ``seed``; the global generator is left alone.

    Raises:
        DsegError: The width does not suit, or a head has no feature maps to read.
    """
    width = architecture.width
    if width < 4 or width % 4:
        raise DsegError(f"head.width: {width}, expected a multiple of 4")
    if architecture.input == "features" and not architecture.channels:
        raise DsegError("a head on features needs at least one feature map")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Network
        if architecture.input == "rgb":
            network = RGBNetwork(width)
        else:
            network = SegmentationHead(
                architecture.channels, width, architecture.pixels, architecture.size
            )
    # Convolutions of few channels run about 1.5 times as fast in this layout on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


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
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[dict[str, Tensor], list[Epoch]]:
    """Train in place and return the state of the best epoch.

    The loss is binary cross-entropy plus Dice (both equally weighted), the optimiser AdamW with a
    short linear warm-up and cosine decay. A seeded part of the pairs is held out; the best epoch
    is the first with the highest mean IoU there, against masks of AttentionCut, not true ones.
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
                value = loss(network(*batch), masks[items].to(device))
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                schedule.step()
                total += value.item() * len(items)
            if not math.isfinite(total):
                raise DsegError(
                    f"training diverged in epoch {epoch}: lower head.learning_rate, {learning_rate}"
                )
            scores = _validate(network, inputs, masks, validation, batch_size)
            curve.append(Epoch(epoch, total / len(training), *scores))
            if not held_out or scores[1] > best_iou:
                best_iou = scores[1]
                best = {
                    name: value.detach().cpu().clone().contiguous()
                    for name, value in network.state_dict().items()
                }
    network.load_state_dict(best)
    return best, curve


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


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice (Milletari et al. 2016), means over the batch.

    Args:
        logits: (B, H, W).
        target: bool (B, H, W).
    """
    truth = target.to(logits.dtype)
    soft = logits.sigmoid()
    overlap = (soft * truth).sum((1, 2))
    # The added 1 defines the Dice of two empty masks and matters for no others.
    dice = (2 * overlap + 1) / (soft.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + (1 - dice).mean()


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
        losses += float(loss(logits, target)) * len(part)
        overlaps += float(iou(logits.sigmoid() > THRESHOLD, target).sum())
    return losses / len(items), overlaps / len(items)


def _learning_rate(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: linear up to ``warmup``, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in four groups, or fewer in very narrow networks."""
    return nn.GroupNorm(math.gcd(4, channels), channels)


def _upsample(values: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)


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
