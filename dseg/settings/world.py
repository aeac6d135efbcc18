"""Settings of the embedded world and model: renders, instruments that judge, training.

A part of ``dseg.settings.run``, which is read first.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from dseg.settings.fields import Count, Fraction, Place, Positive, Section

Split = Literal["val", "test", "mild", "shift", "harsh", "multi"]


class WorldSettings(Section):
    size: Annotated[int, Field(ge=16, multiple_of=8)]
    """Height and width of a rendered image, pixels."""
    images: Mapping[Split, Count]
    """Rendered images by split."""
    shift_strength: Fraction
    """How far shift departs from the training domain; mild half as far, harsh half as far again."""


class InstrumentsSettings(Section):
    images: Count
    """Renders each instrument is trained on."""
    epochs: Count
    """Passes over them."""
    scored: Count | None
    """Synthetic images on which the oracle segmenter judges mask methods; null: none."""


class AutoencoderSettings(Section):
    channels: Count
    """Latent channels."""
    images: Count
    """Images in the training set."""
    steps: Count
    """Training steps."""
    batch_size: Count
    """Images in a training step."""
    learning_rate: Positive
    """Peak learning rate."""


class UnetSettings(Section):
    images: Count
    """Images in the training set of each process."""
    samples: Count
    """Training samples seen in all."""
    batch_size: Count
    """Samples of each process in a training step."""
    learning_rate: Positive
    """Peak learning rate."""
    processes: Count
    """Processes with one thread each."""
    checkpoint_every: Count
    """Samples between checkpoints."""


class BaseSettings(Section):
    model: Place
    """Folder the trained pipeline is written to."""
    size: Annotated[int, Field(ge=16, multiple_of=8)]
    """Height and width of the images it learns, pixels."""
    photographs: Place | None
    """Folder of photographs of clothes to learn; null: renders of the embedded world."""
    autoencoder: AutoencoderSettings
    """Training of the auto-encoder."""
    unet: UnetSettings
    """Training of the U-Net."""
