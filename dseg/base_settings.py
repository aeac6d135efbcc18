"""Settings of the embedded base model's training, which no other run reads; see `dseg.settings`."""

from dseg.section import Count, Positive, Section


class AutoencoderSettings(Section):
    channels: Count
    """Latent channels."""
    images: Count
    """Rendered images in the training set."""
    steps: Count
    """Training steps."""
    batch_size: Count
    """Images in a training step."""
    learning_rate: Positive
    """Peak learning rate."""


class UnetSettings(Section):
    images: Count
    """Rendered images in the training set of each process."""
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
    autoencoder: AutoencoderSettings
    """Training of the auto-encoder."""
    unet: UnetSettings
    """Training of the U-Net."""
