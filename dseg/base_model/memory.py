"""How much memory a base model needs, told from its files before it is loaded.

Weights are exact: the shapes in the headers of the safetensors files times the size of the type.
What a pass needs beside them is an estimate of ours, from the widest layers alone:

- U-Net: 24 maps of its first block's width a row. They are the hidden layer of the feed-forward
  part (8 maps in, 4 out), the skip connections (about 5), their concatenation (3), and what
  attention holds besides.
- Autoencoder: 4 maps, at the image's size, of the width of its second block, which the decoder
  still has there: input, normalised input, output and residual of a block.

For Stable Diffusion 1.5 at 512 pixels in float32 that is .13 GB a row and 1.1 GB an image. Measured
on a CPU at 256 pixels, one image: .28 GB for the decoder, estimated .27; .17 GB for the U-Net,
estimated .03, since a CPU's library also keeps reordered weights for the time of a convolution,
however many rows there are.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from dseg.errors import DsegError
from dseg.files import open_safetensors

GIB = 2**30
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
UNET_MAPS = 24
AUTOENCODER_MAPS = 4


def weight_bytes(files: Iterable[Path], dtype: str) -> int:
    """Bytes that weights take once they are loaded as `dtype`.

    Args:
        files: Safetensors files.
        dtype: "float32", "float16" or "bfloat16".

    Raises:
        DsegError: A file is no whole safetensors file.
    """
    return value_count(files) * ITEM_BYTES[dtype]


def value_count(files: Iterable[Path]) -> int:
    """Number of values in safetensors files; raises DsegError as `weight_bytes`."""
    return sum(_values(file) for file in files)


def pass_bytes(
    unet: Mapping[str, Any], vae: Mapping[str, Any], *, images: int, rows: int, dtype: str
) -> int:
    """Bytes that one pass of the U-Net or of the autoencoder needs beside the weights, estimated.

    The two do not run at the same time: it is the larger of them.

    Args:
        unet: Configuration of the U-Net.
        vae: Configuration of the autoencoder.
        images: Images encoded or decoded at once.
        rows: Latents in a pass of the U-Net: under guidance, two for each image.
        dtype: Type of the networks.
    """
    size = unet.get("sample_size") or 64
    height, width = (size, size) if isinstance(size, int) else size
    widths = unet.get("block_out_channels") or (320,)
    decoder = vae.get("decoder_block_out_channels") or vae.get("block_out_channels") or (64,)
    factor = 2 ** (len(decoder) - 1)
    denoising = rows * height * width * widths[0] * UNET_MAPS
    coding = images * height * width * factor**2 * decoder[min(1, len(decoder) - 1)]
    return max(denoising, coding * AUTOENCODER_MAPS) * ITEM_BYTES[dtype]


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device now; for all but CUDA, of the main memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_memory(weights: int, passing: int, free: int, *, place: str, setting: str) -> None:
    """Refuse what does not fit, before it takes minutes to fail.

    Args:
        weights: Bytes of the weights.
        passing: Bytes of a pass, as `pass_bytes` estimates them.
        free: Bytes that are free.
        place: The device's name.
        setting: The setting that a pass is proportional to, with its value.

    Raises:
        DsegError: There is less free than is needed.
    """
    if weights + passing <= free:
        return
    raise DsegError(
        f"not enough memory on {place}: the base model needs about {_gib(weights + passing)} "
        f"({_gib(weights)} of weights, about {_gib(passing)} for a pass with {setting}), but "
        f"{_gib(free)} are free; lower that, set model.dtype to float16 or bfloat16, free memory "
        "or choose another model.device"
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no more memory, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _values(file: Path) -> int:
    """From its header."""
    content = open_safetensors(file, "fetch it again")
    return sum(math.prod(content.get_slice(name).get_shape()) for name in content.keys())  # noqa: SIM118


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB"
