"""Feature maps in fewer channels while a head is trained, at no cost to the head that is written.

The maps of 50,000 images at Stable Diffusion's size are 200 GB. A head starts with a linear map of
standardised channels to `head.width`, so little is lost if it reads their principal components
(our choice). That is a linear map too: `fold` puts it into the head's own, which then reads the
channels themselves, and prediction knows nothing of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dseg.errors import DsegError


@dataclass(frozen=True)
class Projection:
    """Standardised channels on an orthonormal basis.

    Attributes:
        mean: Of each channel, float32 (C,).
        deviation: Of each channel, float32 (C,).
        basis: Principal directions, float32 (k, C), by descending variance.
    """

    mean: Tensor
    deviation: Tensor
    basis: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """Maps (B, C, h, w) of any floating type -> float32 (B, k, h, w)."""
        mean, deviation = (x.to(values.device)[:, None, None] for x in (self.mean, self.deviation))
        standard = (values.float() - mean) / deviation
        return torch.einsum("kc,bchw->bkhw", self.basis.to(values.device), standard)


def fit_projection(batches: Iterable[Tensor], components: int) -> Projection:
    """The principal components of the channels of feature maps.

    Args:
        batches: Maps (B, C, h, w) of any floating type, at least one.
        components: Number wanted; all channels where there are fewer.

    Raises:
        DsegError: No batch is given.
    """
    count, total, products = 0, torch.zeros(0), torch.zeros(0)
    for batch in batches:
        values = batch.float().cpu().transpose(0, 1).flatten(1)  # (C, B h w)
        if count == 0:
            total = torch.zeros(len(values), dtype=torch.float64)
            products = torch.zeros(len(values), len(values), dtype=torch.float64)
        count += values.shape[1]
        total += values.sum(1, dtype=torch.float64)
        products += (values @ values.T).double()
    if count == 0:
        raise DsegError("no feature maps to take principal components of: expected at least one")
    mean = total / count
    covariance = products / count - mean[:, None] * mean
    deviation = covariance.diagonal().clamp_min(0).sqrt()
    # A constant channel carries nothing, as in `Standardise`.
    deviation[deviation < 1e-6 * mean.abs().clamp_min(1.0)] = 1.0
    _, vectors = torch.linalg.eigh(covariance / (deviation[:, None] * deviation))
    basis = vectors.flip(1)[:, :components].T.contiguous()
    return Projection(mean.float(), deviation.float(), basis.float())


def fold(state: Mapping[str, Tensor], index: int, projection: Projection) -> dict[str, Tensor]:
    """The state of a head that reads channels and computes what one on components did.

    Args:
        state: Of a `SegmentationHead`.
        index: Which of its feature maps was projected.
        projection: How.
    """
    standard, linear = f"standards.{index}", f"projections.{index}"
    mean, deviation = (state[f"{standard}.{name}"].flatten() for name in ("mean", "deviation"))
    weight = state[f"{linear}.weight"].flatten(1).double() / deviation  # (width, k)
    folded = dict(state)
    folded[f"{linear}.weight"] = (weight @ projection.basis.double()).float()[:, :, None, None]
    folded[f"{linear}.bias"] = (state[f"{linear}.bias"].double() - weight @ mean.double()).float()
    folded[f"{standard}.mean"] = projection.mean[:, None, None]
    folded[f"{standard}.deviation"] = projection.deviation[:, None, None]
    return folded
