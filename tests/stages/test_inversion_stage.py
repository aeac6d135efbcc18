"""Latents of synthetic and of benchmark images, whatever the batch and the shard."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dseg.artifacts.shards import read_shard, read_shards
from dseg.base_model.pipeline import alphas_cumprod, embed, encode, load_pipeline, predict
from dseg.errors import DsegError
from dseg.method.inversion import ddim_step
from dseg.stages import benchmark_inversion, inversion

pytest_plugins = ("tiny_pipeline", "stage_two")


def test_latents_of_synthetic_images(
    make, synthesis: list[Path], prompts: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / path.name for path in synthesis]
    for path, out in zip(synthesis, outs, strict=True):
        inversion.run(make(), path, prompts, out)
    shard = read_shards(outs, stage="inversion")
    assert shard.ids == read_shards(synthesis).ids and len(shard.ids) == 20
    assert shard.fields["latents"].shape == (20, 3, 4, 8, 8)
    assert shard.fields["latents"].dtype == np.float16

    pipe = load_pipeline(make().model.path)
    images = read_shards(synthesis).fields["image"]
    clean = encode(pipe, images).numpy()
    np.testing.assert_allclose(shard.fields["latents"][:, 0], clean, atol=2e-3, rtol=1e-3)
    for step in (1, 2):
        assert np.abs(shard.fields["latents"][:, step] - clean).max() > 0.1


def test_batches_change_nothing_but_rounding(
    make, synthesis: list[Path], prompts: Path, tmp_path: Path
) -> None:
    results = []
    for size in (3, 20):
        out = tmp_path / f"{size}.safetensors"
        inversion.run(make(inversion={"batch_size": size}), synthesis[1], prompts, out)
        results.append(read_shard(out).fields["latents"])
    np.testing.assert_allclose(results[0], results[1], atol=5e-3)


@pytest.mark.parametrize("name", ["tiny_pipeline", "tiny_sd15", "tiny_sd2"])
def test_sampling_leads_back_to_the_image(
    name: str,
    request: pytest.FixtureRequest,
    make,
    synthesis: list[Path],
    prompts: Path,
    tmp_path: Path,
) -> None:
    model = {"path": str(request.getfixturevalue(name))}
    pipe = load_pipeline(model["path"])
    prediction = pipe.scheduler.config.prediction_type
    assert prediction == ("epsilon" if name == "tiny_sd15" else "v_prediction")
    alphas, context = alphas_cumprod(pipe), embed(pipe, [""])
    errors = []
    for fixed_point in (0, 3):
        out = tmp_path / f"{fixed_point}.safetensors"
        chosen = make(model=model, inversion={"steps": 50, "fixed_point": fixed_point})
        inversion.run(chosen, synthesis[1], prompts, out)
        latents = torch.from_numpy(read_shard(out).fields["latents"]).float()
        sample = latents[:, 2]
        for timestep in range(300, 0, -20):
            output = predict(pipe, sample, timestep, context.expand(len(sample), -1, -1))
            levels = float(alphas[timestep]), float(alphas[timestep - 20])
            sample = ddim_step(sample, output, *levels, prediction)
        errors.append(float((sample - latents[:, 0]).abs().max()))
    assert errors[1] < errors[0] / 2


def test_a_caption_that_names_the_class(
    make, synthesis: list[Path], prompts: Path, benchmark: Path, tmp_path: Path
) -> None:
    results = []
    for text in ("", "a photo of a moon", "a photo of {article} {noun}"):
        out = tmp_path / "out.safetensors"
        inversion.run(make(inversion={"prompt": text}), synthesis[1], prompts, out)
        results.append(read_shard(out).fields["latents"])
    assert np.array_equal(results[1], results[2])
    assert np.abs(results[0][:, 2] - results[1][:, 2]).max() > 1e-3
    with pytest.raises(DsegError, match="nothing says the class of some images"):
        told = make(inversion={"prompt": "a {noun}"})
        benchmark_inversion.run(told, "test", benchmark, 0, tmp_path / "none")
    with pytest.raises(DsegError, match="no readable table; run the stage"):
        inversion.run(make(), synthesis[1], tmp_path / "nothing", out)


def test_latents_of_benchmark_images(make, benchmark: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{shard}.safetensors" for shard in range(2)]
    for shard, out in enumerate(outs):
        benchmark_inversion.run(make(), "test", benchmark, shard, out)
    shard = read_shards(outs, kind="latents", stage="benchmark_inversion")
    assert shard.ids == ("a", "b", "c")
    assert shard.fields["latents"].shape == (3, 3, 4, 8, 8)
    whole = tmp_path / "whole.safetensors"
    benchmark_inversion.run(make(inversion={"items_per_shard": 9}), "test", benchmark, 0, whole)
    np.testing.assert_allclose(
        read_shard(whole).fields["latents"], shard.fields["latents"], atol=5e-3
    )


def test_bad_requests_are_errors(
    make, synthesis: list[Path], masks: list[Path], prompts: Path, benchmark: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(DsegError, match="expected 'images'"):
        inversion.run(make(), masks[0], prompts, out)
    with pytest.raises(DsegError, match="no benchmark 'other'"):
        benchmark_inversion.run(make(), "other", benchmark, 0, out)
    with pytest.raises(DsegError, match="no shard 2"):
        benchmark_inversion.run(make(), "test", benchmark, 2, out)
    assert not out.exists()
