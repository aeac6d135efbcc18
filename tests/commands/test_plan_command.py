"""The command `plan`: what it says with and without a calibration, measured on a tiny model."""

import json
from pathlib import Path

import pytest

from dseg.base_model.pipeline import image_size, latent_channels, latent_size, load_pipeline
from dseg.cli import main
from dseg.commands.plan import (
    FAMILY,
    find_model,
    read_calibration,
    read_geometry,
    report,
    run,
)
from dseg.errors import DsegError
from dseg.method.features import decoder_channels
from dseg.orchestration.budget import Stage
from dseg.orchestration.calibration import Rates
from dseg.settings.reading import load_settings
from dseg.settings.run import Settings

pytest_plugins = ("tiny_pipeline",)


def settings_with(root: Path, **model: object) -> Settings:
    settings = load_settings(root / "params.yaml")
    return settings.model_copy(update={"model": settings.model.model_copy(update=model)})


@pytest.fixture
def checkout(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_pipeline: Path
) -> Path:
    """A folder like the repository's root, with the tiny model under the default run."""
    params = (root / "params.yaml").read_text()
    params = params.replace("path: models/dseg-tiny", f"path: {tiny_pipeline}")
    params = params.replace("cross_strides: [1, 2, 4]", "cross_strides: [1, 2]")
    params = params.replace("daam, cross_strides: [1, 2]", "daam, cross_strides: [1]")
    (tmp_path / "params.yaml").write_text(params.replace("batch_size: 32", "batch_size: 2"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["tiny_pipeline", "tiny_pipeline_kl"])
def test_sizes_are_read_from_the_model(
    root: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    settings, pipe = settings_with(root, path=str(folder)), load_pipeline(folder, device="cpu")
    assert find_model(settings) == folder
    geometry = read_geometry(settings, folder)
    assert geometry.image == image_size(pipe)
    assert geometry.latents == (latent_channels(pipe), *latent_size(pipe))
    assert geometry.channels == decoder_channels(pipe.unet)
    assert geometry.train_timesteps == pipe.scheduler.config.num_train_timesteps


def test_a_model_that_is_not_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = settings_with(
        root, path="stable-diffusion-v1-5/stable-diffusion-v1-5", revision="0" * 40
    )
    assert find_model(known) is None and read_geometry(known, None) == FAMILY
    other = settings_with(root, path="owner/another", revision="main")
    with pytest.raises(DsegError, match="owner/another is not on this machine.*fetch it first"):
        read_geometry(other, find_model(other))


def test_hours_are_not_guessed_but_measured(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan"]) == 0
    before = capsys.readouterr().out
    assert (
        "Hours: not calibrated" in before and "dseg plan --profile embedded --calibrate" in before
    )
    assert main(["plan", "--calibrate"]) == 0
    after = capsys.readouterr().out
    assert "measured on cpu" in after and "?" not in after
    found = json.loads((checkout / "artifacts/embedded/calibration.json").read_text())
    assert set(found["rates"]) == set(Rates.__annotations__)
    assert all(value > 0 for value in found["rates"].values())
    # Other batches, features or steps of recording are other rates: ask again.
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("guidance: 3.0", "guidance: 1.0"))
    run()
    assert "not calibrated" in capsys.readouterr().out


def test_a_full_disk_is_said_in_advance() -> None:
    stages = [Stage("synthesis", 2, 10, {"sampling": 5}, size=7 * 10**9, scratch=10**9)]
    assert "not enough" in report("x", stages, None, free=6 * 10**9)
    assert "not enough" not in report("x", stages, None, free=9 * 10**9)


def test_rates_of_a_gpu_are_not_taken_from_a_cpu(checkout: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("device: auto", "device: cuda"))
    with pytest.raises(DsegError, match="there is no GPU here.*calibrate where the run is to be"):
        run(calibrate=True)
    assert read_calibration(load_settings(params), Path("nowhere.json")) is None
