"""The base model as a stage has it: found, held against the memory, loaded, named in the log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dseg.base_model.device import choose_device
from dseg.base_model.files import choose_weights, files_of, read_configuration
from dseg.base_model.memory import check_memory, free_bytes, out_of_memory, pass_bytes, weight_bytes
from dseg.base_model.pipeline import describe, load_pipeline, pipeline_folder
from dseg.errors import DsegError
from dseg.settings.run import ModelSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


@contextmanager
def base_model(
    model: ModelSettings,
    batch: str,
    size: int,
    *,
    images: int | None = None,
    rows: int | None = None,
) -> Iterator["StableDiffusionPipeline"]:
    """The loaded base model, for the length of a ``with`` block; one line on it on standard error.

    Args:
        model: Which model, in which type, on which device.
        batch: The setting that memory is proportional to, such as "synthesis.batch_size".
        size: Its value.
        images: Images encoded or decoded at once; None: as many as `size`.
        rows: Latents in a pass of the U-Net; None: as many as `size`.

    Raises:
        DsegError: As `load_pipeline`; there is too little memory by the estimate of
            `dseg.base_model.memory`; or the block ran out of memory.
    """
    device = choose_device(model.device)
    folder = pipeline_folder(model.path, revision=model.revision, dtype=model.dtype)
    weights = choose_weights(files_of(folder), model.dtype, str(folder))
    check_memory(
        weight_bytes((folder / name for name in weights.files), model.dtype),
        pass_bytes(
            read_configuration(folder, "unet"),
            read_configuration(folder, "vae"),
            images=size if images is None else images,
            rows=size if rows is None else rows,
            dtype=model.dtype,
        ),
        free_bytes(device),
        place=str(device),
        setting=f"{batch} {size}",
    )
    with memory_errors(batch, size):
        pipe = load_pipeline(folder, dtype=model.dtype, device=model.device)
        at = f" at {model.revision}" if model.revision else ""
        print(f"model {model.path}{at}: {describe(pipe)}", file=sys.stderr, flush=True)
        if device.type == "cpu" and model.dtype == "float16":
            print(
                "note: a CPU computes float16 much slower than float32; model.dtype bfloat16 "
                "needs as little memory",
                file=sys.stderr,
                flush=True,
            )
        yield pipe


@contextmanager
def memory_errors(batch: str, size: int) -> Iterator[None]:
    """Turn running out of memory inside the ``with`` block into one line that says what to change.

    Args:
        batch: The setting that memory is proportional to.
        size: Its value.

    Raises:
        DsegError: The block ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        said = (str(error).splitlines() or [""])[0][:160].rstrip(". ")
        raise DsegError(
            f"out of memory with {batch} {size}{f' ({said})' if said else ''}; lower it, set "
            "model.dtype to float16 or bfloat16, or choose another model.device"
        ) from error
