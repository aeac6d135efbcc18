"""How far evaluation splits of the embedded world are shifted, relative to the run's setting."""

from collections.abc import Mapping
from types import MappingProxyType

# `test` and the others are of one domain but for the shift; of `val` and `multi` nothing is said.
STRENGTHS: Mapping[str, float] = MappingProxyType(
    {"test": 0.0, "mild": 0.5, "shift": 1.0, "harsh": 1.5}
)
MOST = 1.0  # beyond it there is no harsher


def shift_strength(split: str, setting: float) -> float:
    """The strength of a split in [0, 1], `setting` being that of `shift`."""
    return min(MOST, STRENGTHS[split] * setting)
