"""Trained heads on disk: weights and what they are good for, in one safetensors file.

A file holds all trainings of one head. They share architecture and data and differ in their
weights, which are named ``<training>.<parameter>``.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dseg.errors import DsegError
from dseg.networks import Architecture, Network, build
from dseg.shards import write_atomically

SCHEMA_VERSION = 2
# One metadata key, so that equal heads are equal bytes (see dseg.shards).
_HEADER_KEY = "dseg"


def write_head(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    architecture: Architecture,
    about: Mapping[str, Any],
) -> None:
    """Write a head that was trained once; as `write_heads`."""
    write_heads(path, [state], architecture, about)


def write_heads(
    path: str | os.PathLike[str],
    states: Sequence[Mapping[str, Tensor]],
    architecture: Architecture,
    about: Mapping[str, Any],
) -> None:
    """Write all trainings of a head atomically; the same content gives the same bytes.

    Args:
        path: Where; its folder is made if need be.
        states: The network's state after each training, on the CPU.
        architecture: How to build the network.
        about: What else a reader should know; anything JSON holds.
    """
    header = {
        "schema": SCHEMA_VERSION,
        "stage": "head",
        "trainings": len(states),
        "architecture": asdict(architecture),
        "about": dict(about),
    }
    metadata = {_HEADER_KEY: json.dumps(header, sort_keys=True, separators=(",", ":"))}
    # Trainings may share statistics, which safetensors refuses to write twice.
    tensors = {
        f"{training}.{name}": value.clone(memory_format=torch.contiguous_format)
        for training, state in enumerate(states)
        for name, value in state.items()
    }
    write_atomically(Path(path), lambda temporary: save_file(tensors, temporary, metadata))


def read_head(path: str | os.PathLike[str]) -> tuple[Network, Architecture, dict[str, Any]]:
    """The first training's network, its architecture and what was said; as `read_heads`."""
    networks, architecture, about = read_heads(path)
    return networks[0], architecture, about


def read_heads(
    path: str | os.PathLike[str],
) -> tuple[list[Network], Architecture, dict[str, Any]]:
    """The networks that `write_heads` wrote, on the CPU, one for each training.

    Returns:
        The networks, their architecture, and what was said about them.

    Raises:
        DsegError: The file is missing, damaged, or not of this version.
    """
    path = Path(path)
    if not path.is_file():
        raise DsegError(f"{path}: no such file; run the stage head")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DsegError(
            f"{path}: not a whole safetensors file ({error}); remove it and run the stage head"
        ) from error
    if header.get("stage") != "head" or header.get("schema") != SCHEMA_VERSION:
        raise DsegError(
            f"{path}: not a head of schema {SCHEMA_VERSION}; remove it and run the stage head"
        )
    values = header["architecture"]
    architecture = Architecture(
        input=values["input"],
        channels=tuple(values["channels"]),
        pixels=values["pixels"],
        width=values["width"],
        size=(values["size"][0], values["size"][1]),
        kind=values["kind"],
    )
    networks = []
    for training in range(header["trainings"]):
        prefix = f"{training}."
        state = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        network = build(architecture)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise DsegError(
                f"{path}: its weights do not fit this version's networks; run the stage head again"
            ) from error
        networks.append(network)
    return networks, architecture, header["about"]
