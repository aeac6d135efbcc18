"""The base model as stages have it: what the log says, and what runs out."""

import re
from pathlib import Path

import pytest
import torch

from dseg.base_model.loading import base_model, memory_errors
from dseg.errors import DsegError
from dseg.settings.run import ModelSettings
from dseg.stages import inversion

pytest_plugins = ("tiny_pipeline", "stage_two")


def model(folder: Path, dtype: str = "float32") -> ModelSettings:
    return ModelSettings(path=str(folder), revision=None, dtype=dtype, device="cpu")


def test_one_line_says_what_was_loaded(tiny_sd2: Path, capsys: pytest.CaptureFixture) -> None:
    with base_model(model(tiny_sd2), "synthesis.batch_size", 4, rows=8) as pipe:
        assert pipe.unet.dtype == torch.float32
    said = capsys.readouterr().err
    figures = r"float32 on cpu, \d\.\d M parameters, 0\.\d\d GiB, v_prediction prediction"
    assert re.fullmatch(f"model {re.escape(str(tiny_sd2))}: {figures}\n", said)


def test_half_precision_on_a_cpu_works_and_is_noted(
    tiny_pipeline: Path, capsys: pytest.CaptureFixture
) -> None:
    with base_model(model(tiny_pipeline, "float16"), "x", 1) as pipe:
        z = torch.zeros(1, 4, 8, 8, dtype=torch.float16)
        context = torch.zeros(1, 16, 32, dtype=torch.float16)
        assert torch.isfinite(pipe.unet(z, 100, context).sample).all()
    assert "note: a CPU computes float16 much slower" in capsys.readouterr().err


def test_a_batch_too_large_is_refused_before_loading(
    make,
    synthesis: list[Path],
    prompts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.safetensors"
    monkeypatch.setattr("dseg.base_model.loading.free_bytes", lambda device: 2**24)
    message = r"not enough memory on cpu: .* a pass with inversion\.batch_size 4096\)"
    with pytest.raises(DsegError, match=message):
        inversion.run(make(inversion={"batch_size": 4096}), synthesis[0], prompts, out)
    assert not out.exists() and capsys.readouterr().err == ""


def test_running_out_of_memory_names_the_setting() -> None:
    message = r"^out of memory with head\.batch_size 16 \(.*\); lower it, set model\.dtype"
    with pytest.raises(DsegError, match=message) as said, memory_errors("head.batch_size", 16):
        torch.empty(2**55, dtype=torch.uint8)
    assert "\n" not in str(said.value)
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("head.batch_size", 16):
        raise RuntimeError("shapes cannot be multiplied")
