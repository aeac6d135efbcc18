"""Memory told from files, and refused before it runs out."""

from pathlib import Path

import pytest
import torch

from dseg.base_model.memory import (
    GIB,
    check_memory,
    free_bytes,
    out_of_memory,
    pass_bytes,
    weight_bytes,
)
from dseg.base_model.pipeline import load_pipeline
from dseg.errors import DsegError

pytest_plugins = ("tiny_pipeline",)
UNET = {"sample_size": 64, "block_out_channels": [320, 640, 1280, 1280]}
VAE = {"block_out_channels": [128, 256, 512, 512]}


def test_weights_are_counted_without_loading_them(tiny_pipeline_kl: Path) -> None:
    files = list(tiny_pipeline_kl.glob("*/*.safetensors"))
    for dtype in ("float32", "bfloat16"):
        pipe = load_pipeline(tiny_pipeline_kl, dtype=dtype)
        networks = (pipe.unet, pipe.vae, pipe.text_encoder)
        loaded = sum(p.numel() * p.element_size() for net in networks for p in net.parameters())
        assert weight_bytes(files, dtype) == loaded


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    for content in (b"", b"\x10", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0[]"):
        file.write_bytes(content)
        with pytest.raises(DsegError, match="model.safetensors: not a whole safetensors file"):
            weight_bytes([file], "float32")


def test_a_pass_is_proportional_and_the_larger_of_two() -> None:
    one = pass_bytes(UNET, VAE, images=1, rows=1, dtype="float32")
    assert one == 4 * 256 * 512 * 512 * 4  # the decoder's
    assert pass_bytes(UNET, VAE, images=8, rows=16, dtype="float16") == 4 * one
    denoising = pass_bytes(UNET, VAE, images=0, rows=1, dtype="float32")
    assert denoising == 24 * 320 * 64 * 64 * 4
    assert pass_bytes(UNET, VAE, images=1, rows=100, dtype="float32") == 100 * denoising
    tiny = {"decoder_block_out_channels": [64, 64, 64, 64]}
    assert pass_bytes(UNET, tiny, images=1, rows=1, dtype="float32") == 4 * 64 * 512 * 512 * 4
    wide = UNET | {"sample_size": [64, 128]}
    assert pass_bytes(wide, VAE, images=1, rows=1, dtype="float32") == 2 * one


def test_what_does_not_fit_is_refused_with_the_estimate() -> None:
    asked = {"place": "cuda:0", "setting": "synthesis.batch_size 16"}
    check_memory(2 * GIB, GIB, 3 * GIB, **asked)
    with pytest.raises(DsegError) as said:
        check_memory(2 * GIB, GIB, 3 * GIB - 1, **asked)
    assert str(said.value).startswith(
        "not enough memory on cuda:0: the base model needs about 3.00 GiB (2.00 GiB of weights, "
        "about 1.00 GiB for a pass with synthesis.batch_size 16), but 3.00 GiB are free; lower "
    )


def test_running_out_is_told_from_other_errors() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 2**50
    with pytest.raises(RuntimeError) as said:
        torch.empty(2**55, dtype=torch.uint8)
    assert out_of_memory(said.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
