"""Which kind of pipeline a folder holds, and which of its files are read."""

import json
import re
from pathlib import Path

import pytest

from dseg.base_model.files import PARTS, Weights, check_kind, choose_weights, files_of, wanted_files
from dseg.errors import DsegError

# What the repository of Stable Diffusion 1.5 holds of weights, among other files.
SD15 = [
    "model_index.json",
    "README.md",
    "v1-5-pruned-emaonly.safetensors",
    "v1-inference.yaml",
    "feature_extractor/preprocessor_config.json",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "safety_checker/model.fp16.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
]
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SCHEDULER = {"beta_schedule": "scaled_linear", "prediction_type": "epsilon"}


def write(folder: Path, index=INDEX, unet=None, vae=None, scheduler=SCHEDULER) -> Path:
    """Configurations of a pipeline."""
    files = {
        "model_index.json": index,
        "unet/config.json": {"in_channels": 4} | (unet or {}),
        "vae/config.json": {"latent_channels": 4} | (vae or {}),
        "scheduler/scheduler_config.json": scheduler,
    }
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(values))
    return folder


def test_one_variant_of_the_weights_and_no_safety_checker() -> None:
    full, half = (choose_weights(SD15, dtype, "sd") for dtype in ("float32", "float16"))
    assert full == choose_weights(SD15, "bfloat16", "sd")
    assert full == Weights(
        None,
        (
            "text_encoder/model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ),
    )
    assert half.variant == "fp16" and all(".fp16." in name for name in half.files)
    read = wanted_files(SD15, half)
    assert {name.partition("/")[0] for name in read} == {"model_index.json", *PARTS}
    assert [name for name in read if name.endswith((".safetensors", ".bin"))] == [*half.files]
    assert "tokenizer/merges.txt" in read and "unet/config.json" in read


@pytest.mark.parametrize(
    "names",
    [
        ["diffusion_pytorch_model-00001-of-00002", "diffusion_pytorch_model-00002-of-00002"],
        [
            "diffusion_pytorch_model.fp16-00001-of-00002",
            "diffusion_pytorch_model.fp16-00002-of-00002",
        ],
    ],
)
def test_all_shards_of_a_large_part_are_read(names: list[str]) -> None:
    variant = ".fp16" if ".fp16" in names[0] else ""
    unet = [f"unet/{name}.safetensors" for name in names]
    others = [f"vae/diffusion_pytorch_model{variant}.safetensors"]
    others += [f"text_encoder/model{variant}.safetensors"]
    found = choose_weights([*unet, *others], "float16", "x")
    assert found.files == tuple(sorted([*unet, *others]))
    assert found.variant == (variant[1:] or None)


def test_other_forms_of_weights_are_refused_by_name() -> None:
    pickled = [name for name in SD15 if not name.startswith("unet/diffusion")]
    message = "sd/unet: no safetensors weights, only diffusion_pytorch_model.bin; pickled weights"
    with pytest.raises(DsegError, match=re.escape(message)):
        choose_weights([*pickled, "unet/diffusion_pytorch_model.bin"], "float32", "sd")
    with pytest.raises(DsegError, match="sd/unet: no safetensors weights; pickled"):
        choose_weights(pickled, "float32", "sd")
    mixed = [name for name in SD15 if name != "unet/diffusion_pytorch_model.safetensors"]
    mixed.remove("vae/diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(DsegError, match="some parts .* in half precision only"):
        choose_weights(mixed, "float16", "sd")


def test_links_are_files_and_hidden_files_are_none(tmp_path: Path) -> None:
    folder = write(tmp_path / "snapshot")
    (folder / "unet" / "config.json").rename(tmp_path / "blob")
    (folder / "unet" / "config.json").symlink_to(tmp_path / "blob")
    (folder / "unet" / ".lock.json").write_text("{}")
    assert files_of(folder) == [
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "vae/config.json",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": INDEX | {"text_encoder": [None, None]}}, "has no text_encoder"),
        ({"index": INDEX | {"text_encoder_2": ["transformers", "X"]}}, "has two text encoders"),
        ({"index": {"_class_name": "FluxPipeline"}}, "FluxPipeline has no scheduler"),
        ({"unet": {"in_channels": 9}}, "takes 9 channels and an autoencoder that gives 4"),
        ({"unet": {"addition_embed_type": "text_time"}}, "addition_embed_type 'text_time'"),
        ({"unet": {"class_embed_type": "projection"}}, "class_embed_type 'projection'"),
        ({"unet": {"time_cond_proj_dim": 256}}, "time_cond_proj_dim 256"),
        ({"scheduler": {"shift": 3.0}}, "a PNDMScheduler without betas"),
        ({"scheduler": SCHEDULER | {"prediction_type": "flow"}}, "predicts 'flow'"),
    ],
)
def test_other_kinds_of_pipeline_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    check_kind(write(tmp_path / "right"), "x")
    with pytest.raises(DsegError, match=f"^x: wrong kind of pipeline: .*{re.escape(message)}"):
        check_kind(write(tmp_path / "wrong", **changes), "x")


def test_unreadable_configurations_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(DsegError, match=r"vae/config\.json: no JSON .*fetch the pipeline anew"):
        check_kind(folder, "x")
    (folder / "model_index.json").write_text("[]")
    with pytest.raises(DsegError, match="not a diffusers pipeline folder"):
        check_kind(folder, "x")
