"""The command that looks at a base model before a run."""

from pathlib import Path

import pytest

from dseg import cli
from dseg.base_model.pipeline import model_identity

pytest_plugins = ("tiny_pipeline",)


def test_it_says_what_settings_have_to_fit(tiny_sd15: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["model", str(tiny_sd15), "--dtype", "bfloat16", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "images     32 x 32, latents of 4 channels",
        "attention  at strides 1, 2, 4, 8 of the latent grid",
        "features   at strides 1, 2, 4, 8",
        f"identity   {model_identity(tiny_sd15)}",
    ]
    assert "bfloat16 on cpu" in said.err and "epsilon prediction" in said.err


def test_what_cannot_be_used_is_one_line(
    tiny_sd15: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["model", str(tmp_path / "absent")]) == 2
    assert cli.main(["model", str(tiny_sd15), "--device", "tpu9"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "model.path: no folder" in lines[0]
    assert lines[1].startswith("error: model.device: 'tpu9' is not usable here")
