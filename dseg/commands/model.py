"""The command `model`: fetch a base model if need be, load it, and say what it is."""

from typing import Literal

from dseg.base_model.loading import base_model
from dseg.base_model.pipeline import image_size, latent_channels, model_identity
from dseg.method.attention import attention_layers
from dseg.method.features import decoder_channels
from dseg.settings.run import ModelSettings


def run(
    path: str,
    /,
    revision: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: str = "auto",
) -> None:
    """Print what settings have to fit: sizes, strides and identity of a base model.

    Args:
        path: A pipeline folder, or an id on the hub.
        revision: Commit, branch or tag on the hub.
        dtype: Type to compute in; it decides which weights are fetched.
        device: Where to load it: auto, cpu, cuda or cuda:1.

    Raises:
        DsegError: As `base_model`.
    """
    # Not validated as settings are: `base_model` says in one line what it cannot use.
    model = ModelSettings.model_construct(path=path, revision=revision, dtype=dtype, device=device)
    with base_model(model, "a batch of", 1) as pipe:
        height, width = image_size(pipe)
        recorded = sorted({stride for _, stride, _ in attention_layers(pipe.unet)})
        print(f"images     {width} x {height}, latents of {latent_channels(pipe)} channels")
        print(f"attention  at strides {', '.join(map(str, recorded))} of the latent grid")
        print(f"features   at strides {', '.join(map(str, sorted(decoder_channels(pipe.unet))))}")
    print(f"identity   {model_identity(path, revision=revision, dtype=dtype)}")
