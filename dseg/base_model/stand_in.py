"""Stable Diffusion 1.5 without its weights: the same networks, filled with random numbers.

Time and memory do not depend on the values of weights, so what the full-size run costs can be
measured on any machine with nothing downloaded. Images are noise, and no score of them means
anything. The configuration is that of the published model; its numbers of parameters are checked.
"""

from typing import TYPE_CHECKING, Any

import torch

from dseg.errors import DsegError

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

NAME = "Stable Diffusion 1.5, random weights"
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
VOCABULARY = 49_408
_START, _END = "<|startoftext|>", "<|endoftext|>"


def build_stand_in(dtype: torch.dtype = torch.float32) -> "StableDiffusionPipeline":
    """The pipeline, on the CPU; weights are drawn as for a training from nothing, from one seed.

    Raises:
        DsegError: The libraries build other networks than those of the published model.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = made_up_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts: dict[str, Any] = {
            "unet": diffusers.UNet2DConditionModel(
                sample_size=64,
                block_out_channels=(320, 640, 1280, 1280),
                down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
                layers_per_block=2,
                cross_attention_dim=768,
                attention_head_dim=8,  # in this model's configuration, the number of heads
            ).to(dtype),
            "vae": diffusers.AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                latent_channels=4,
                sample_size=512,
                scaling_factor=0.18215,
            ).to(dtype),
            "text_encoder": CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=VOCABULARY,
                    hidden_size=768,
                    intermediate_size=3072,
                    projection_dim=768,
                    num_hidden_layers=12,
                    num_attention_heads=12,
                    max_position_embeddings=77,
                    hidden_act="quick_gelu",
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            ).to(dtype),
        }
    for name, expected in PARAMETERS.items():
        count = sum(parameter.numel() for parameter in parts[name].parameters())
        if count != expected:
            raise DsegError(
                f"{NAME}: {name} has {count:,} parameters where the published model has "
                f"{expected:,}: this version of diffusers or transformers builds another network"
            )
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return diffusers.StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def made_up_tokenizer() -> Any:
    """A CLIP tokenizer with as many tokens as the published one; its merges mean nothing."""
    from transformers import CLIPTokenizer

    # The 256 bytes as byte-level BPE writes them: as they are where that can be printed.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(code) for code in [*printable, *range(256, 512 - len(printable))]]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pairs = [a + b for a in letters for b in letters]
    # Each of two tokens that are there already: pairs, pairs with a letter, pairs of pairs.
    candidates = [(a, b + end) for a in letters for b in letters for end in ("", "</w>")]
    candidates += [(a, b + end) for a in pairs for b in letters for end in ("", "</w>")]
    candidates += [(a, b) for a in pairs for b in pairs]
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    merges = candidates[: VOCABULARY - len(tokens) - 2]
    tokens += [a + b for a, b in merges] + [_START, _END]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=77,
    )
