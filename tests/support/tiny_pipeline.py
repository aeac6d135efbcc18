"""Tiny random-weight text-to-image pipelines, real components on disk, for the tests.

A test module asks for the fixtures with ``pytest_plugins = ("tiny_pipeline",)``:
`tiny_pipeline` (AutoencoderTiny, v-prediction, like the embedded base model) and
`tiny_pipeline_kl` (AutoencoderKL, epsilon prediction, PNDM, like Stable Diffusion 1.5).
Images are 32 x 32, latents 8 x 8 with 4 channels, attention layers at strides 1 and 2.
`tiny_sd15` and `tiny_sd2` have the blocks and switches of Stable Diffusion 1.5 and 2.1: attention
at strides 1, 2 and 4 and in the middle.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import Attention
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

NOUNS = tuple(
    "strawberry starfish donut moon daisy fish mushroom gift ball gear key cactus object".split()
)
CONTEXTS = tuple("wood grass sky brick tiles water stone sand night cloth".split())
MAX_TOKENS = 16

# Networks this small gain nothing from threads, and on a busy machine threads wait for each other.
torch.set_num_threads(1)


def build_tokenizer(max_tokens: int = MAX_TOKENS) -> CLIPTokenizer:
    """Build a CLIP tokenizer in which every word of the tests is one token.

    Other lower-case words are spelt letter by letter, so they are nouns of several tokens.
    """
    # function words last: the merge "o n" must not come before those of "moon"
    words = [*NOUNS, *CONTEXTS, *"a an photo of on the picture".split()]
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tokens = ["<|startoftext|>", "<|endoftext|>", *characters, *(c + "</w>" for c in characters)]
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        left = pieces[0]
        for right in pieces[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
            if left not in tokens:
                tokens.append(left)
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=max_tokens,
    )
    split = [word for word in words if len(tokenizer(word).input_ids) != 3]
    if split:
        raise ValueError(f"words of several tokens: {split}")
    return tokenizer


def build_tiny_pipeline(folder: Path, *, autoencoder: str = "tiny", seed: int = 0) -> Path:
    """Write a random StableDiffusionPipeline folder; `autoencoder` is "tiny" or "kl"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = build_tokenizer()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                projection_dim=32,
                num_hidden_layers=1,
                num_attention_heads=4,
                max_position_embeddings=MAX_TOKENS,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        # small default embeddings would make all prompts, and all attention rows, alike
        text_encoder.get_input_embeddings().weight.data.mul_(50)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        for module in unet.modules():
            if isinstance(module, Attention):
                module.to_q.weight.data.mul_(3)
                module.to_k.weight.data.mul_(3)
        if autoencoder == "tiny":
            vae = AutoencoderTiny(
                latent_channels=4,
                encoder_block_out_channels=(8, 8, 8),
                decoder_block_out_channels=(8, 8, 8),
                num_encoder_blocks=(1, 1, 1),
                num_decoder_blocks=(1, 1, 1),
            )
            vae.decoder.layers[-1].weight.data.mul_(3)
            vae.decoder.layers[-1].bias.data.fill_(0.5)  # mid grey, not black
            scheduler = DDIMScheduler(
                beta_schedule="squaredcos_cap_v2",
                prediction_type="v_prediction",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            )
        elif autoencoder == "kl":
            vae = AutoencoderKL(
                latent_channels=4,
                block_out_channels=(8, 8, 8),
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                norm_num_groups=4,
                sample_size=32,
                scaling_factor=0.5,
            )
            scheduler = PNDMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                skip_prk_steps=True,
                steps_offset=1,
            )
        else:
            raise ValueError(f'autoencoder is "tiny" or "kl", not {autoencoder!r}')
        pipeline = StableDiffusionPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder)
    return Path(folder)


# What differs between the generations of Stable Diffusion, as their configurations say it.
GENERATIONS = {
    "sd15": {
        "unet": {"cross_attention_dim": 32, "attention_head_dim": 8},  # 8 heads of any width
        "text": {"hidden_size": 32, "hidden_act": "quick_gelu"},
        "scheduler": {  # as the repository has it, with a key that PNDM does not know
            "_class_name": "PNDMScheduler",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
            "clip_sample": False,
        },
    },
    "sd2": {
        "unet": {
            "cross_attention_dim": 48,
            "attention_head_dim": [2, 4, 8, 8],  # heads of one width
            "use_linear_projection": True,
            "upcast_attention": True,
        },
        "text": {"hidden_size": 48, "hidden_act": "gelu"},
        "scheduler": {
            "_class_name": "DDIMScheduler",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
        },
    },
}


def build_generation(folder: Path, generation: str) -> Path:
    """Write a random pipeline with the architecture of a generation of Stable Diffusion."""
    config = GENERATIONS[generation]
    build_tiny_pipeline(folder, autoencoder="kl")
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        text_config = pipeline.text_encoder.config.to_dict() | config["text"]
        text_encoder = CLIPTextModel(CLIPTextConfig(**text_config | {"num_hidden_layers": 2}))
        text_encoder.get_input_embeddings().weight.data.mul_(50)
        unet = UNet2DConditionModel(
            sample_size=8,
            layers_per_block=2,
            block_out_channels=(16, 32, 64, 64),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            norm_num_groups=8,
            **config["unet"],
        )
        for module in unet.modules():
            if isinstance(module, Attention):
                module.to_q.weight.data.mul_(3)
                module.to_k.weight.data.mul_(3)
    pipeline.register_modules(unet=unet, text_encoder=text_encoder)
    pipeline.save_pretrained(folder)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(config["scheduler"]))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", config["scheduler"]["_class_name"]]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def tiny_sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pipeline like Stable Diffusion 1.5; read only."""
    return build_generation(tmp_path_factory.mktemp("sd15") / "pipeline", "sd15")


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pipeline like Stable Diffusion 2.1; read only."""
    return build_generation(tmp_path_factory.mktemp("sd2") / "pipeline", "sd2")


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the pipeline with AutoencoderTiny; read only."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pipeline")


@pytest.fixture(scope="session")
def tiny_pipeline_kl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the pipeline with AutoencoderKL; read only."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("kl") / "pipeline", autoencoder="kl")
