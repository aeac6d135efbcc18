"""Trained heads on disk: weights and what they are good for, in one safetensors file.

A file holds all trainings of one head. They share architecture and data and differ in their
weights, which are named ``<training>.<parameter>``.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from dseg.artifacts.tensors import TensorFile
from dseg.artifacts.weights import check_weights, load_weights, write_weights
from dseg.method.networks import Architecture, Network, build
from dseg.settings.fields import FROM_LIST, Count, Fraction, Section, Text
from dseg.settings.run import FeaturesSettings, InversionSettings

KIND = "head"
_Channels = Annotated[int, Field(ge=1, le=2**16)]
_Side = Annotated[int, Field(ge=1, le=2**14)]


class ArchitectureAbout(Section):
    """As `Architecture`, with bounds: a network is built from it before its weights are read."""

    input: Literal["features", "rgb"]
    channels: Annotated[tuple[_Channels, ...], FROM_LIST, Field(max_length=64)]
    pixels: bool
    width: Annotated[int, Field(ge=4, le=2**14, multiple_of=4)]
    size: Annotated[tuple[_Side, _Side], FROM_LIST]
    kind: Literal["linear", "conv", "multi"]


class ModelSaid(Section):
    """The base model that a head's features are of."""

    path: Text
    revision: Text | None
    identity: Text


class Said(Section):
    """What is said of a head; a stage says what it knows, and what is not said is not written."""

    settings_hash: Text | None = None
    """Of the settings that it was trained with."""
    pairs: Count | None = None
    """Pairs of image and mask that it was trained on."""
    parameters: Count | None = None
    head: Mapping[Text, str | int | float | bool | None] | None = None
    """The settings of its training, for people."""
    features: FeaturesSettings | None = None
    """This and the next two: what it reads, of a head on features."""
    inversion: InversionSettings | None = None
    model: ModelSaid | None = None
    trained_on: Text | None = None
    """This and the next three: of the oracle, and how good it and the classifier are."""
    images: Count | None = None
    classifier_accuracy: Fraction | None = None
    segmenter_iou: Fraction | None = None


class HeadAbout(Section):
    """What the header of a head says beside its weights."""

    trainings: Annotated[int, Field(ge=1, le=1000)]
    architecture: ArchitectureAbout
    about: Said


def write_head(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    architecture: Architecture,
    about: Said,
) -> None:
    """Write a head that was trained once; as `write_heads`."""
    write_heads(path, [state], architecture, about)


def write_heads(
    path: str | os.PathLike[str],
    states: Sequence[Mapping[str, Tensor]],
    architecture: Architecture,
    about: Said,
) -> None:
    """Write all trainings of a head atomically; the same content gives the same bytes.

    Args:
        path: Where; its folder is made if need be.
        states: The network's state after each training, on the CPU.
        architecture: How to build the network.
        about: What else a reader should know.
    """
    header = HeadAbout(
        trainings=len(states),
        architecture=ArchitectureAbout(**asdict(architecture)),
        about=about,
    )
    tensors = {
        f"{training}.{name}": value
        for training, state in enumerate(states)
        for name, value in state.items()
    }
    write_weights(path, tensors, kind=KIND, about=header)


def read_head(path: str | os.PathLike[str]) -> tuple[Network, Architecture, Said]:
    """The first training's network, its architecture and what was said; as `read_heads`."""
    networks, architecture, about = read_heads(path)
    return networks[0], architecture, about


def read_heads(
    path: str | os.PathLike[str],
) -> tuple[list[Network], Architecture, Said]:
    """The networks that `write_heads` wrote, on the CPU, one for each training.

    Returns:
        The networks, their architecture, and what was said about them.

    Raises:
        DsegError: The file is missing, damaged, or not of this version.
    """
    file = TensorFile(path, kind=KIND, maker="the stage head")
    header = file.about(HeadAbout)
    architecture = Architecture(**header.architecture.model_dump())
    if architecture.input == "features" and not architecture.channels:
        raise file.damaged("a head on features has at least one feature map")
    with torch.device("meta"):  # nothing is allocated before the file is known to hold as much
        plan = build(architecture)
    networks = []
    for training in range(header.trainings):
        check_weights(file, plan.state_dict(), f"{training}.")
        network = build(architecture)
        load_weights(file, network, f"{training}.")
        networks.append(network)
    expected = header.trainings * len(plan.state_dict())
    if len(file.arrays) != expected:
        raise file.damaged(f"{len(file.arrays)} tensors, expected {expected}")
    return networks, architecture, header.about
