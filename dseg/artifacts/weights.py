"""Weights of networks on disk: as `dseg.artifacts.tensors`, to and from a network's state."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dseg.artifacts.tensors import TensorFile, dtype_of, write_tensors
from dseg.settings.fields import Section


class Nothing(Section):
    """Weights of which nothing is said."""


def write_weights(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    *,
    kind: str,
    about: Section | None = None,
) -> None:
    """Write a network's state atomically; the same content gives the same bytes.

    Args:
        path: Where; its folder is made if need be.
        state: Tensors by name.
        kind: What they are, such as "head".
        about: What else a reader should know.

    Raises:
        DsegError: As `write_tensors`.
    """
    arrays = {name: value.detach().cpu().numpy() for name, value in state.items()}
    write_tensors(path, arrays, kind=kind, about=about or Nothing())


def read_weights(
    path: str | os.PathLike[str], network: nn.Module, *, kind: str, maker: str
) -> None:
    """Fill a network with the weights in a file; see `TensorFile` and `load_weights`."""
    file = TensorFile(path, kind=kind, maker=maker)
    file.about(Nothing)
    load_weights(file, network)


def load_weights(file: TensorFile, network: nn.Module, prefix: str = "") -> None:
    """Fill a network with the weights in a file whose names begin with ``prefix``; `read_state`."""
    network.load_state_dict(read_state(file, network.state_dict(), prefix))


def read_state(file: TensorFile, like: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors in a file whose names begin with ``prefix``, by the rest of the name.

    Raises:
        DsegError: As `check_weights`, their bytes are damaged, or some are infinite or no numbers.
    """
    check_weights(file, like, prefix)
    state = {name: torch.from_numpy(file.read(prefix + name)) for name in like}
    for name, values in state.items():
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise file.damaged(f"{prefix + name!r} has values that are infinite or no numbers")
    return state


def check_weights(file: TensorFile, like: Mapping[str, Tensor], prefix: str = "") -> None:
    """Hold names, types and shapes of weights against a network's state, which may be on "meta".

    Raises:
        DsegError: They differ.
    """
    there = {
        name.removeprefix(prefix): (array.shape, dtype_of(array))
        for name, array in file.arrays.items()
        if name.startswith(prefix)
    }
    for name, value in like.items():
        dtype = torch.empty(0, dtype=value.dtype).numpy().dtype
        if there.pop(name, None) != (tuple(value.shape), dtype):
            raise file.damaged(
                f"its weights do not fit this version's networks: expected {prefix + name!r} of "
                f"{tuple(value.shape)}"
            )
    if there:
        raise file.damaged(
            f"its weights do not fit this version's networks, which have no {min(there)!r}"
        )
