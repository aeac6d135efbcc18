"""Loading real pipeline folders, and the parts of a pipeline against diffusers' own calls."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from dseg.base_model.pipeline import (
    alphas_cumprod,
    decode,
    describe,
    embed,
    encode,
    fit,
    image_size,
    latent_channels,
    latent_size,
    load_pipeline,
    load_tokenizer,
    model_identity,
    predict,
    timestep_at,
    train_timesteps,
)
from dseg.errors import DsegError
from dseg.method.synthesis import sampler

pytest_plugins = ("tiny_pipeline",)


@pytest.fixture(scope="module", params=["tiny_pipeline", "tiny_pipeline_kl", "tiny_sd15"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def copy(tiny_pipeline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_pipeline, tmp_path / "model"))


def random_images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_loads_for_inference_with_ddim(folder: Path) -> None:
    pipe = load_pipeline(folder)
    own = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    assert type(pipe.scheduler).__name__ == "DDIMScheduler"
    for key in ("beta_schedule", "steps_offset", "set_alpha_to_one"):
        assert pipe.scheduler.config[key] == own[key]
    assert pipe.scheduler.config["prediction_type"] == own.get("prediction_type", "epsilon")
    assert pipe.scheduler.config["clip_sample"] is False
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_sizes_and_schedule(folder: Path) -> None:
    pipe = load_pipeline(folder)
    assert (latent_size(pipe), latent_channels(pipe), image_size(pipe)) == ((8, 8), 4, (32, 32))
    alphas = alphas_cumprod(pipe)
    assert train_timesteps(pipe) == len(alphas) == 1000
    assert (alphas.diff() < 0).all() and alphas.dtype == torch.float32
    assert [timestep_at(pipe, f) for f in (0.0, 0.1, 0.5, 1.0)] == [0, 100, 500, 999]


def test_fit_resizes_to_the_models_size_only_if_needed(tiny_pipeline: Path) -> None:
    pipe = load_pipeline(tiny_pipeline)
    image = random_images(1)[0]
    assert fit(pipe, image) is image
    ramp = np.broadcast_to(np.arange(0, 240, 2, np.uint8)[:, None, None], (120, 50, 3))
    small = fit(pipe, ramp)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    expected = (np.arange(32) + 0.5) * 7.5 - 1  # a straight line stays one
    assert np.abs(small[2:-2, :, 0] - expected[2:-2, None]).max() <= 1


def test_encode_is_the_scaled_mean_and_the_same_every_time(folder: Path) -> None:
    pipe = load_pipeline(folder)
    images = random_images()
    z = encode(pipe, images)
    assert z.shape == (3, 4, 8, 8) and z.dtype == torch.float32
    assert torch.equal(z, encode(pipe, torch.from_numpy(images)))
    x = pipe.image_processor.preprocess(images / np.float32(255))
    output = pipe.vae.encode(x)
    mean = output.latent_dist.mean if hasattr(output, "latent_dist") else output.latents
    torch.testing.assert_close(z, mean * pipe.vae.config.scaling_factor)


def test_decode_is_what_the_pipeline_shows(folder: Path) -> None:
    pipe = load_pipeline(folder)
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    images = decode(pipe, z)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.uint8
    x = pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample
    expected = [np.asarray(i) for i in pipe.image_processor.postprocess(x, output_type="pil")]
    assert np.array_equal(images, np.stack(expected))


def test_latent_shift_is_honoured_both_ways(tiny_pipeline_kl: Path) -> None:
    pipe = load_pipeline(tiny_pipeline_kl)
    images = random_images()
    plain, shown = encode(pipe, images), decode(pipe, encode(pipe, images))
    pipe.vae.register_to_config(shift_factor=0.25)
    shifted = encode(pipe, images)
    torch.testing.assert_close(shifted, plain - 0.25 * pipe.vae.config.scaling_factor)
    assert np.abs(decode(pipe, shifted).astype(int) - shown).max() <= 1


def test_embed_is_the_pipelines_own(folder: Path) -> None:
    pipe = load_pipeline(folder)
    prompts = ["a photo of a moon", "", "a photo of a key on sand"]
    expected, _ = pipe.encode_prompt(prompts, "cpu", 1, False)
    context = embed(pipe, prompts)
    assert context.shape == (3, 16, 32)
    assert torch.equal(context, expected)


def test_predict_is_float32_whatever_the_model_computes_in(tiny_pipeline: Path) -> None:
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = []
    for dtype in ("float32", "bfloat16"):
        pipe = load_pipeline(tiny_pipeline, dtype=dtype)
        assert pipe.unet.dtype == getattr(torch, dtype)
        outputs.append(predict(pipe, z, 500, embed(pipe, ["a photo of a moon"] * 2)))
    assert outputs[1].dtype == torch.float32
    assert 0 < (outputs[0] - outputs[1]).abs().max() < 0.1 * outputs[0].abs().max()


@pytest.mark.parametrize("name", ["tiny_sd15", "tiny_sd2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timestep_spacing": "trailing"},
        {"timestep_spacing": "linspace"},
        {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        {"clip_sample": True, "steps_offset": 0},  # what the pipeline itself mends
        {"trained_betas": [0.0001 * (1 + step % 7) for step in range(1000)]},
    ],
)
def test_schedules_of_real_repositories(
    name: str, changes: dict, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "model"))
    file = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps(config))
    pipe = load_pipeline(folder)
    expected = DDIMScheduler.from_config(config | {"clip_sample": False, "steps_offset": 1})
    assert torch.equal(alphas_cumprod(pipe), expected.alphas_cumprod)
    assert pipe.scheduler.final_alpha_cumprod == expected.final_alpha_cumprod
    assert pipe.scheduler.config.prediction_type == config.get("prediction_type", "epsilon")
    assert (alphas_cumprod(pipe)[-1] == 0) == ("rescale_betas_zero_snr" in changes)
    for steps in (4, 20, 50):
        expected.set_timesteps(steps)
        assert torch.equal(sampler(pipe, steps).timesteps, expected.timesteps)


def test_penultimate_layers_are_those_of_the_file(tiny_sd2: Path) -> None:
    """Stable Diffusion 2 reads its text encoder's last layer but one: its files end with it."""
    pipe = load_pipeline(tiny_sd2)
    tokens = pipe.tokenizer(["the key"], padding="max_length", return_tensors="pt").input_ids
    expected = pipe.text_encoder(tokens).last_hidden_state
    assert pipe.text_encoder.config.hidden_act == "gelu"
    assert torch.equal(embed(pipe, ["the key"]), expected) and expected.shape == (1, 16, 48)


def test_tokenizer_without_a_limit_takes_the_text_encoders(copy: Path) -> None:
    file = copy / "tokenizer" / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["model_max_length"]
    file.write_text(json.dumps(config))
    assert load_tokenizer(copy).model_max_length == 16


def test_identity_is_of_what_is_read(tiny_pipeline: Path, copy: Path) -> None:
    digest = model_identity(tiny_pipeline)
    assert len(digest) == 64 and model_identity(copy) == digest
    # what lies beside the parts, is hidden, or is another form of the same weights
    for name in (
        "README.md",
        ".cache/x",
        "unet/.notes.json",
        "safety_checker/model.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
    ):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("not read")
    assert model_identity(copy) == digest
    config = copy / "unet" / "config.json"
    config.write_text(config.read_text() + "\n")
    changed = model_identity(copy)
    (copy / "tokenizer" / "added_tokens.json").write_text("{}")
    assert len({digest, changed, model_identity(copy)}) == 3


def test_half_precision_weights_are_read_for_float16_only(copy: Path, tmp_path: Path) -> None:
    full = model_identity(copy)
    pipe = load_pipeline(copy)
    expected = pipe.unet.conv_in.weight.half()
    pipe.to(torch.float16)
    pipe.unet.conv_in.weight.data += 1  # another value, to tell the two apart
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    for file in (tmp_path / "half").glob("*/*.fp16.safetensors"):
        shutil.copy(file, copy / file.parent.name)
    assert torch.equal(load_pipeline(copy, dtype="float16").unet.conv_in.weight, expected + 1)
    assert torch.equal(load_pipeline(copy).unet.conv_in.weight.half(), expected)
    assert model_identity(copy) == full != model_identity(copy, dtype="float16")
    for part in ("unet", "vae", "text_encoder"):
        for file in (copy / part).glob("*.safetensors"):
            if ".fp16." not in file.name:
                file.unlink()
    pipe = load_pipeline(copy)  # there is nothing else
    assert pipe.unet.dtype == torch.float32
    assert torch.equal(pipe.unet.conv_in.weight.half(), expected + 1)


def test_description_says_type_device_and_size(tiny_pipeline: Path) -> None:
    said = describe(load_pipeline(tiny_pipeline, dtype="bfloat16"))
    assert re.fullmatch(
        r"bfloat16 on cpu, \d\.\d M parameters, 0\.\d\d GiB, v_prediction prediction", said
    )


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="model.path: no folder .*absent"):
        load_pipeline(tmp_path / "absent")


def test_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="not a diffusers pipeline folder.*model_index.json"):
        load_pipeline(tmp_path)


def test_damaged_weights(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DsegError, match="cannot be loaded"):
        load_pipeline(copy)


def test_weights_under_another_name(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    assert whole.count(b'"conv_in.weight"') == 1
    weights.write_bytes(whole.replace(b'"conv_in.weight"', b'"conv_in.weighs"'))
    with pytest.raises(DsegError, match=r"unet: its weights lack 'conv_in\.weight'; fetch"):
        load_pipeline(copy)


def test_unusable_dtype_or_device(tiny_pipeline: Path) -> None:
    with pytest.raises(DsegError, match="model.dtype: 'int8'"):
        load_pipeline(tiny_pipeline, dtype="int8")
    with pytest.raises(DsegError, match="model.device: 'tpu9'"):
        load_pipeline(tiny_pipeline, device="tpu9")
