"""Load a text-to-image pipeline and call its parts: the one code path for every base model.

The embedded base model and Stable Diffusion are both folders of diffusers' StableDiffusionPipeline
layout. Nothing here, or after here, asks which one it is: sizes, channels, timesteps and noise
schedule are read from the components.
"""

import hashlib
import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dseg.device import choose_device
from dseg.errors import DsegError

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
WEIGHTS = ("text_encoder", "unet", "vae")
INDEX = "model_index.json"


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
        device: As of `dseg.device.choose_device`: "auto" takes a GPU if there is one, else the CPU.

    Raises:
        DsegError: There is no such model, it is not of the Stable Diffusion layout, it has no
            safetensors weights, or dtype or device are not usable.
    """
    torch_dtype = _dtype(dtype)
    torch_device = choose_device(device)
    folder = pipeline_folder(path, revision=revision)
    for part in WEIGHTS:
        if not any((folder / part).glob("*.safetensors")):
            raise DsegError(
                f"{folder / part}: no safetensors weights; save the pipeline again with "
                "save_pretrained(..., safe_serialization=True), pickled weights are not read"
            )
    with _quiet():
        # Here, since this import takes seconds, and its notes on absent extras should not show.
        from diffusers import DDIMScheduler, StableDiffusionPipeline
        from safetensors import SafetensorError

        try:
            pipe = StableDiffusionPipeline.from_pretrained(
                folder,
                dtype=torch_dtype,
                use_safetensors=True,
                tokenizer=load_tokenizer(folder),
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise DsegError(f"{folder}: cannot be loaded: {_one_line(error)}") from error
        config = dict(pipe.scheduler.config)
        # DDIMScheduler would clip by default; latents, unlike pixels, have no range to clip to.
        clip = bool(config.get("clip_sample", False))
        pipe.scheduler = DDIMScheduler.from_config(config, clip_sample=clip)
    if pipe.unet.config.in_channels != pipe.vae.config.latent_channels:
        raise DsegError(
            f"{folder}: the U-Net takes {pipe.unet.config.in_channels} channels and the "
            f"autoencoder gives {pipe.vae.config.latent_channels}: expected a plain text-to-image "
            "pipeline, not one for inpainting or editing"
        )
    for part in WEIGHTS:
        getattr(pipe, part).eval().requires_grad_(False).to(torch_device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_tokenizer(path: str | Path, *, revision: str | None = None) -> Any:
    """Load only the tokenizer of a pipeline, with a finite `model_max_length`.

    Raises:
        DsegError: As `load_pipeline`, for what concerns the tokenizer.
    """
    folder = pipeline_folder(path, revision=revision)
    with _quiet():
        import transformers

        name = _index(folder)["tokenizer"][1]
        try:
            tokenizer = getattr(transformers, name).from_pretrained(folder / "tokenizer")
        except (AttributeError, OSError, ValueError) as error:
            raise DsegError(f"{folder / 'tokenizer'}: cannot be loaded as {name}") from error
    text_config = json.loads((folder / "text_encoder" / "config.json").read_text("utf-8"))
    # A tokenizer saved without a limit reports 1e30; the text encoder's table of positions counts.
    limit = int(text_config.get("max_position_embeddings", tokenizer.model_max_length))
    tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def pipeline_folder(path: str | Path, *, revision: str | None = None) -> Path:
    """Folder of a pipeline of the Stable Diffusion layout; a hub id is downloaded to the cache.

    Raises:
        DsegError: No such folder or hub id, or it is not of that layout.
    """
    folder = Path(path)
    if not folder.is_dir():
        # "models/x" may be a folder or a hub id; beside an existing folder the former was meant.
        if len(folder.parts) != 2 or folder.is_absolute() or folder.parent.exists():
            raise DsegError(f"model.path: no folder {path}; expected a pipeline folder or a hub id")
        folder = _download(str(path), revision)
    index = _index(folder)
    missing = [part for part in PARTS if not (index.get(part) or [None])[0]]
    if missing or "text_encoder_2" in index:
        kind = index.get("_class_name", "of unknown class")
        lack = f"no {missing[0]}" if missing else "two text encoders"
        raise DsegError(
            f"{folder}: a pipeline {kind} with {lack}; expected one of the Stable Diffusion layout "
            f"({', '.join(PARTS)})"
        )
    return folder


def model_identity(path: str | Path, *, revision: str | None = None) -> str:
    """Hexadecimal sha256 of a pipeline: of the sorted lines of `sha256sum` over what is loaded.

    That is model_index.json and the files of its parts, but no model card or picture beside them,
    and no hidden files.

    Raises:
        DsegError: As `pipeline_folder`.
    """
    folder = pipeline_folder(path, revision=revision)
    parts = [name for name in _index(folder) if (folder / name).is_dir()]
    files = [file for part in parts for file in (folder / part).rglob("*")]
    lines = []
    for file in [folder / INDEX, *files]:
        name = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            with file.open("rb") as stream:
                lines.append((name.as_posix(), hashlib.file_digest(stream, "sha256").hexdigest()))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def latent_size(pipe: "StableDiffusionPipeline") -> tuple[int, int]:
    """Height and width of the latent grid the model was trained at."""
    size = pipe.unet.config.sample_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(pipe: "StableDiffusionPipeline") -> tuple[int, int]:
    """Height and width in pixels of the images of that grid."""
    height, width = latent_size(pipe)
    return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor


def fit(pipe: "StableDiffusionPipeline", image: np.ndarray) -> np.ndarray:
    """Resize an image uint8 (H, W, 3) to `image_size`, bicubic; its aspect ratio may change."""
    height, width = image_size(pipe)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


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


def _shift(vae: Any) -> float:
    return float(vae.config.get("shift_factor") or 0.0)


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise DsegError(f"model.dtype: {name!r}, expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _index(folder: Path) -> dict[str, Any]:
    file = folder / INDEX
    try:
        index = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DsegError(
            f"{folder}: not a diffusers pipeline folder: expected a readable {file.name} in it"
        ) from error
    return dict(index)


def _download(name: str, revision: str | None) -> Path:
    with _quiet():
        from diffusers import StableDiffusionPipeline

        try:
            folder = StableDiffusionPipeline.download(
                name, revision=revision, use_safetensors=True, safety_checker=None
            )
        except (OSError, ValueError) as error:
            raise DsegError(
                f"model.path: {name} is neither a folder nor to be had from the hub: "
                f"{_one_line(error)}"
            ) from error
    return Path(folder)


def _one_line(error: Exception) -> str:
    return textwrap.shorten(str(error), 160, placeholder=" ...")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the loaders' notes and bars: a log should hold what this program says."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    modules = (diffusers_logging, transformers_logging)
    before = [(m, m.get_verbosity(), m.is_progress_bar_enabled()) for m in modules]
    for module in modules:
        module.set_verbosity_error()
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module, verbosity, bar in before:
            module.set_verbosity(verbosity)
            if bar:
                module.enable_progress_bar()
