"""Load a text-to-image pipeline and call its parts: the one code path for every base model.

The embedded base model and Stable Diffusion are both folders of diffusers' StableDiffusionPipeline
layout. Nothing here, or after here, asks which one it is: sizes, channels, timesteps and noise
schedule are read from the components.
"""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dseg.base_model.device import choose_device
from dseg.base_model.files import (
    INDEX,
    WEIGHTS,
    check_kind,
    choose_weights,
    files_of,
    identity_of,
    read_configuration,
    read_index,
)
from dseg.base_model.hub import fetch_configuration, fetch_pipeline
from dseg.base_model.memory import value_count
from dseg.errors import DsegError

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_pipeline(
    path: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
) -> "StableDiffusionPipeline":
    """Load a pipeline for inference: evaluation mode, no gradients, DDIM, safetensors only.

    Args:
        path: A pipeline folder, or an id on the Hugging Face hub ("owner/name").
        revision: Commit, branch or tag on the hub; not used for a folder.
        dtype: "float32", "float16" or "bfloat16".
        device: As of `choose_device`: "auto" takes a GPU if there is one, else the CPU.

    Raises:
        DsegError: As `pipeline_folder`, or the weights are damaged, or dtype or device are not
            usable.
    """
    torch_dtype = _dtype(dtype)
    torch_device = choose_device(device)
    folder = pipeline_folder(path, revision=revision, dtype=dtype)
    weights = choose_weights(files_of(folder), dtype, str(folder))
    with _quiet():
        # Here, since this import takes seconds, and its notes on absent extras should not show.
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        tokenizer = load_tokenizer(folder)
        try:
            pipe = StableDiffusionPipeline.from_pretrained(
                folder,
                dtype=torch_dtype,
                variant=weights.variant,
                use_safetensors=True,
                tokenizer=tokenizer,
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
            )
            config = dict(pipe.scheduler.config)
            # DDIMScheduler would clip by default; latents, unlike pixels, have no range to clip to.
            clip = bool(config.get("clip_sample", False))
            pipe.scheduler = DDIMScheduler.from_config(config, clip_sample=clip)
        except MemoryError:
            raise
        except Exception as error:  # the libraries raise many types, of one meaning to a person
            raise _unloadable(folder, error) from error
    _check_values(pipe, [folder / name for name in weights.files], str(folder))
    for part in WEIGHTS:
        getattr(pipe, part).eval().requires_grad_(False).to(torch_device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_tokenizer(path: str | Path, *, revision: str | None = None) -> Any:
    """Load only the tokenizer of a pipeline, with a finite `model_max_length`.

    Of a model on the hub, no weights are fetched.

    Raises:
        DsegError: As `pipeline_folder`, or the tokenizer cannot be loaded.
    """
    folder = _local_folder(path) or fetch_configuration(str(path), revision)
    with _quiet():
        import transformers

        try:
            name = str(read_index(folder)["tokenizer"][1])
            tokenizer: Any = getattr(transformers, name).from_pretrained(folder / "tokenizer")
            words = max(tokenizer.get_vocab().values()) + 1
            longest = int(tokenizer.model_max_length)
        except DsegError:
            raise
        except Exception as error:  # the library raises many types, of one meaning to a person
            raise _unloadable(folder / "tokenizer", error) from error
    text_config = read_configuration(folder, "text_encoder")
    known = text_config.get("vocab_size", words)
    if not 0 < words <= known or longest < 1:
        raise DsegError(
            f"{folder / 'tokenizer'}: has numbers of words up to {words} and room for {longest} "
            f"words, but the text encoder knows {known}; fetch the pipeline anew"
        )
    # A tokenizer saved without a limit reports 1e30; the text encoder's table of positions counts.
    tokenizer.model_max_length = min(longest, text_config.get("max_position_embeddings", longest))
    return tokenizer


def pipeline_folder(
    path: str | Path, *, revision: str | None = None, dtype: str = "float32"
) -> Path:
    """Folder with the files of a pipeline; those of a hub id are fetched into the hub's cache.

    Args:
        path: As `load_pipeline`.
        revision: As `load_pipeline`.
        dtype: Type to compute in: of a model on the hub, the weights that fit it are fetched.

    Raises:
        DsegError: No such folder or hub id, it is of another kind, has no safetensors weights,
            or cannot be fetched.
    """
    return _local_folder(path) or fetch_pipeline(str(path), revision, dtype)


def model_identity(path: str | Path, *, revision: str | None = None, dtype: str = "float32") -> str:
    """Hexadecimal sha256 of what is read of a pipeline; see `identity_of`.

    Raises:
        DsegError: As `pipeline_folder`.
    """
    folder = pipeline_folder(path, revision=revision, dtype=dtype)
    return identity_of(folder, choose_weights(files_of(folder), dtype, str(folder)))


def describe(pipe: "StableDiffusionPipeline") -> str:
    """Type, device, parameters and memory of the weights, in words for a log."""
    networks = [getattr(pipe, part) for part in WEIGHTS]
    tensors = [tensor for network in networks for tensor in network.parameters()]
    count = sum(tensor.numel() for tensor in tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    dtype = str(pipe.unet.dtype).removeprefix("torch.")
    prediction = pipe.scheduler.config.prediction_type
    return (
        f"{dtype} on {pipe.unet.device}, {count / 1e6:.1f} M parameters, {size / 2**30:.2f} GiB, "
        f"{prediction} prediction"
    )


def latent_size(pipe: "StableDiffusionPipeline") -> tuple[int, int]:
    """Height and width of the latent grid the model was trained at."""
    size = pipe.unet.config.sample_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(pipe: "StableDiffusionPipeline") -> tuple[int, int]:
    """Height and width in pixels of the images of that grid."""
    height, width = latent_size(pipe)
    return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor


def fit(pipe: "StableDiffusionPipeline", image: np.ndarray) -> np.ndarray:
    """Resize an image uint8 (H, W, 3) to `image_size`; as `stretch`."""
    return stretch(image, image_size(pipe))


def stretch(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image uint8 (H, W, 3) to a height and width, bicubic; its aspect may change."""
    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def latent_channels(pipe: "StableDiffusionPipeline") -> int:
    """Number of channels of the latents."""
    return int(pipe.unet.config.in_channels)


def train_timesteps(pipe: "StableDiffusionPipeline") -> int:
    """Number of timesteps of the diffusion process, usually 1000."""
    return int(pipe.scheduler.config.num_train_timesteps)


def timestep_at(pipe: "StableDiffusionPipeline", fraction: float) -> int:
    """The timestep at a fraction in [0, 1] of the training timesteps; 1 gives the last one."""
    count = train_timesteps(pipe)
    return min(round(fraction * count), count - 1)


def alphas_cumprod(pipe: "StableDiffusionPipeline") -> Tensor:
    """Share of signal variance at each training timestep, float32 (T,), on the CPU."""
    return pipe.scheduler.alphas_cumprod.to("cpu", torch.float32)


@torch.no_grad()
def encode(pipe: "StableDiffusionPipeline", images: np.ndarray | Tensor) -> Tensor:
    """Latents of images: the posterior's mean, shifted and scaled as the U-Net expects them.

    Args:
        pipe: The pipeline.
        images: uint8 (B, H, W, 3), H and W multiples of the autoencoder's factor.

    Returns:
        float32 (B, C, h, w) on the pipeline's device.
    """
    vae = pipe.vae
    x = torch.as_tensor(images).to(vae.device).permute(0, 3, 1, 2)  # (B, 3, H, W)
    encoded = vae.encode((x.float() / 127.5 - 1.0).to(vae.dtype))
    # A variational autoencoder gives a distribution, a plain one (AutoencoderTiny) the latents.
    z = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    return (z.float() - _shift(vae)) * vae.config.scaling_factor


@torch.no_grad()
def decode(pipe: "StableDiffusionPipeline", latents: Tensor) -> np.ndarray:
    """Images uint8 (B, H, W, 3) of latents (B, C, h, w); the inverse of `encode`."""
    vae = pipe.vae
    z = latents.to(vae.device, torch.float32) / vae.config.scaling_factor + _shift(vae)
    x = vae.decode(z.to(vae.dtype)).sample.float()  # (B, 3, H, W) in [-1, 1]
    x = (x / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return x.permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.no_grad()
def embed(pipe: "StableDiffusionPipeline", prompts: Sequence[str]) -> Tensor:
    """Text embeddings (B, L, D) in the model's precision; L = the tokenizer's maximum length."""
    tokens = pipe.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=pipe.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    encoder = pipe.text_encoder
    # CLIP as trained attends to the padding; only encoders that say so want it masked.
    masked = getattr(encoder.config, "use_attention_mask", False)
    mask = tokens.attention_mask.to(encoder.device) if masked else None
    return encoder(tokens.input_ids.to(encoder.device), attention_mask=mask)[0]


@torch.no_grad()
def predict(
    pipe: "StableDiffusionPipeline", latents: Tensor, timestep: int, context: Tensor
) -> Tensor:
    """One pass of the U-Net.

    Args:
        pipe: The pipeline.
        latents: Noisy latents (B, C, h, w) on the pipeline's device.
        timestep: Training timestep of all of them.
        context: Text embeddings (B, L, D) from `embed`.

    Returns:
        The output (B, C, h, w), float32; noise or velocity, as the scheduler's configuration says.
    """
    x = latents.to(pipe.unet.dtype)
    return pipe.unet(x, timestep, encoder_hidden_states=context, return_dict=False)[0].float()


def embed_each(pipe: "StableDiffusionPipeline", texts: Sequence[str]) -> Tensor:
    """Text embeddings (B, L, D) of B texts; each distinct one is encoded once."""
    distinct = list(dict.fromkeys(texts))
    return embed(pipe, distinct)[[distinct.index(text) for text in texts]]


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise DsegError(f"model.dtype: {name!r}, expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _local_folder(path: str | Path) -> Path | None:
    """The folder of a pipeline of the right kind; None if `path` is to be asked of the hub."""
    folder = Path(path)
    if not folder.is_dir():
        # "models/x" may be a folder or a hub id; beside an existing folder the former was meant.
        if len(folder.parts) != 2 or folder.is_absolute() or folder.parent.exists():
            raise DsegError(
                f"model.path: no folder {path}; expected a folder with a {INDEX}, or a hub id"
            )
        return None
    check_kind(folder, str(folder))
    return folder


def _unloadable(folder: Path, error: Exception) -> DsegError:
    reason = textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" ...")
    return DsegError(f"{folder}: cannot be loaded: {reason}; fetch the pipeline anew")


def _check_values(pipe: "StableDiffusionPipeline", files: Sequence[Path], shown: str) -> None:
    """Refuse weights that are not all there, which the loaders would draw, and what is no number.

    Raises:
        DsegError: The files hold fewer values than the networks, or a value is not finite.
    """
    for part in WEIGHTS:
        network = getattr(pipe, part)
        count = sum(tensor.numel() for tensor in network.parameters())
        there = value_count(file for file in files if file.parent.name == part)
        if there < count:
            raise DsegError(
                f"{shown}/{part}: its weights are {there} values, but its configuration asks for "
                f"{count}; fetch the pipeline anew"
            )
        for name, tensor in network.state_dict().items():
            if tensor.is_meta:  # the file has as many values, but under another name
                raise DsegError(
                    f"{shown}/{part}: its weights lack {name!r}; fetch the pipeline anew"
                )
            if not bool(torch.isfinite(tensor).all()):
                dtype = str(tensor.dtype).removeprefix("torch.")
                raise DsegError(
                    f"{shown}/{part}: {name!r} has values that are infinite or no numbers in "
                    f"{dtype}; set model.dtype to another type or fetch the pipeline anew"
                )
    alphas = pipe.scheduler.alphas_cumprod
    if not bool(((alphas >= 0) & (alphas <= 1)).all()):
        raise DsegError(
            f"{shown}/scheduler: its betas give no noise schedule: expected shares of signal in "
            "[0, 1]; fetch the pipeline anew"
        )


def _shift(vae: Any) -> float:
    return float(vae.config.get("shift_factor") or 0.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the loaders' notes and bars: a log should hold what this program says.

    So too the pages on outdated scheduler settings, which diffusers mends itself as it loads.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    modules = (diffusers_logging, transformers_logging)
    before = [(m, m.get_verbosity(), m.is_progress_bar_enabled()) for m in modules]
    for module in modules:
        module.set_verbosity_error()
        module.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for module, verbosity, bar in before:
            module.set_verbosity(verbosity)
            if bar:
                module.enable_progress_bar()
