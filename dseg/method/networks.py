"""Stage 2c: the networks that are trained on synthetic pairs; `dseg.method.head` trains them.

The architecture of the paper's downstream head is not known, so all of this is our choice:

- `SegmentationHead` ("multi") reads features of the frozen U-Net at several strides and, unless
  told not to, the image through one shallow full-resolution layer, because a latent grid is too
  coarse for boundaries. It and the baseline have about the same number of parameters (23 k and
  34 k in the default run).
- `LinearHead` and `ConvHead` are plainer heads on the same features, without the image: how much
  the features say by themselves, and what a few layers on their grid add.
- `RGBNetwork`, the baseline, reads the image alone: a plain convolutional U-Net.

Inputs are a tuple of tensors, one row per image: the feature maps in the order of the strides
(floating, (N, C, h, w)), then, if the network reads it, the image ((N, 3, H, W), 0 to 255). Each
is standardised by channel with statistics of the training pairs that are part of the state.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dseg.errors import DsegError
from dseg.method.row_source import RowSource


@dataclass(frozen=True)
class Architecture:
    """What is needed to build a network again.

    Attributes:
        input: "features" for a head on the features of `kind`, "rgb" for `RGBNetwork`.
        channels: Channels of each feature map; empty for "rgb".
        pixels: Whether a head "multi" also reads the image; the baseline always does.
        width: Channels of the hidden layers at the feature grid, a multiple of 4.
        size: (H, W) of the logits and of the image.
        kind: Of a head on features: "linear", "conv" or "multi".
    """

    input: Literal["features", "rgb"]
    channels: tuple[int, ...]
    pixels: bool
    width: int
    size: tuple[int, int]
    kind: Literal["linear", "conv", "multi"] = "multi"

    @property
    def reads_image(self) -> bool:
        """Whether the image is among the inputs of the network."""
        return self.input == "rgb" or (self.kind == "multi" and self.pixels)


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


class LinearHead(nn.Module):
    """Features -> logits, one weight per channel: a linear probe of the upsampled features."""

    def __init__(self, channels: Sequence[int], size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.standards = nn.ModuleList(Standardise(count) for count in channels)
        self.projections = nn.ModuleList(nn.Conv2d(count, 1, 1) for count in channels)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Feature maps as in the module's text -> logits (B, H, W)."""
        # A linear map commutes with the upsampling, and is cheaper before it.
        maps = _project(self.standards, self.projections, inputs)
        return reduce(torch.add, (_upsample(x, self.size) for x in maps))[:, 0]


class ConvHead(nn.Module):
    """Features -> logits by two 3 x 3 blocks at the finest feature grid, upsampled at the end."""

    def __init__(self, channels: Sequence[int], width: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.standards = nn.ModuleList(Standardise(count) for count in channels)
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.body = _body(width, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Feature maps as in the module's text -> logits (B, H, W)."""
        maps = _project(self.standards, self.projections, inputs)
        return _upsample(self.body(_sum_at_finest(maps)), self.size)[:, 0]


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
        self.body = _body(width, narrow)
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
        count = len(self.projections)
        maps = _project(self.standards[:count], self.projections, inputs[:count])
        hidden = _upsample(self.body(_sum_at_finest(maps)), self.size)
        if self.image_layer is not None:
            (image,) = inputs[count:]
            hidden = hidden + self.image_layer(self.standards[count](image))
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


Network = LinearHead | ConvHead | SegmentationHead | RGBNetwork


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
        elif architecture.kind == "linear":
            network = LinearHead(architecture.channels, architecture.size)
        elif architecture.kind == "conv":
            network = ConvHead(architecture.channels, width, architecture.size)
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


def _body(width: int, channels_out: int) -> nn.Sequential:
    """Two 3 x 3 blocks at the feature grid."""
    return nn.Sequential(
        _norm(width),
        nn.SiLU(),
        ConvBlock(width, width),
        ConvBlock(width, width),
        nn.Conv2d(width, channels_out, 1),
    )


def _project(
    standards: nn.ModuleList, projections: nn.ModuleList, inputs: Sequence[Tensor]
) -> list[Tensor]:
    return [
        project(standard(x))
        for standard, project, x in zip(standards, projections, inputs, strict=True)
    ]


def _sum_at_finest(maps: Sequence[Tensor]) -> Tensor:
    finest = max((tuple(x.shape[-2:]) for x in maps), key=lambda shape: shape[0])
    return reduce(torch.add, (_upsample(x, finest) for x in maps))


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in four groups, or fewer in very narrow networks."""
    return nn.GroupNorm(math.gcd(4, channels), channels)


def _upsample(values: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)
