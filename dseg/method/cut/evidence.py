"""What a mask is cut from beside the image: the attention on it, as one object. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dseg.errors import DsegError
from dseg.method.cut.affinity import Affinity, from_rows
from dseg.method.cut.crossmap import combine


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention on one image.

    Attributes:
        cross: The noun's cross map (h, w) at each stride, >= 0.
        affinity: The self-attention and its grid.
    """

    cross: Mapping[int, np.ndarray]
    affinity: Affinity

    @cached_property
    def noun_map(self) -> np.ndarray:
        """All cross maps as one, float32 (h, w), by `combine`, whose errors it has."""
        return combine(list(self.cross.values()))

    def at(self, strides: Sequence[int]) -> "Attention":
        """The same with the cross maps of these strides alone.

        Raises:
            DsegError: A stride was not recorded.
        """
        for stride in strides:
            if stride not in self.cross:
                there = ", ".join(f"cross_{recorded}" for recorded in sorted(self.cross)) or "none"
                raise DsegError(
                    f"no field 'cross_{stride}' (there are: {there}); add {stride} to "
                    "attention.cross_strides and record again, or take other cross_strides"
                )
        return Attention({stride: self.cross[stride] for stride in strides}, self.affinity)


@dataclass(frozen=True)
class AttentionMaps:
    """Recorded attention of B items.

    Attributes:
        cross: Noun map at each stride, float16 (B, h, w), not normalised.
        affinity_indices: Columns of the largest entries of each row of the mean self-attention,
            int32 (B, N, k), largest first; a row's own column is one of them. k is `neighbours`,
            or N where that is less.
        affinity_weights: Those entries, float16 (B, N, k); whole rows sum to 1.
    """

    cross: dict[int, np.ndarray]
    affinity_indices: np.ndarray
    affinity_weights: np.ndarray

    def of_image(self, row: int, size: tuple[int, ...]) -> Attention:
        """The attention on one of the images, of height and width ``size``."""
        cross = {stride: maps[row] for stride, maps in self.cross.items()}
        indices, weights = self.affinity_indices[row], self.affinity_weights[row]
        return Attention(cross, from_rows(indices, weights, size[0], size[1]))
