"""Unsupervised object discovery with text-to-image diffusion models, after DiffusionSeg."""

__version__ = "0.1.0"
