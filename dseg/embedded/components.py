"""The parts of the embedded base model, untrained: all of its architecture is our choice.

Together they are an ordinary `StableDiffusionPipeline`: 64 px images, latents of 16 x 16.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

MAX_TOKENS = 16
TEXT_WIDTH = 64
PATCH = 4  # pixels of an image to one cell of the latent grid, along a side


def build_tokenizer(words: Sequence[str], max_tokens: int = MAX_TOKENS) -> CLIPTokenizer:
    """Build a CLIP byte-pair tokenizer in which every word is one token.

    An earlier merge takes precedence, so the order of words matters: "o n" of "on" must not break
    up "moon". Words that came out broken go to the front until none does. Any other word is spelt
    letter by letter.

    Raises:
        ValueError: No order was found; the broken words are named.
    """
    order = sorted(words, key=len, reverse=True)
    for _ in range(len(order)):
        tokenizer = _tokenizer(order, max_tokens)
        split = [word for word in order if len(tokenizer(word).input_ids) != 3]
        if not split:
            return tokenizer
        order = split + [word for word in order if word not in split]
    raise ValueError(f"words of several tokens: {split}")


def _tokenizer(words: Sequence[str], max_tokens: int) -> CLIPTokenizer:
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = ["<|startoftext|>", "<|endoftext|>", *characters, *(c + "</w>" for c in characters)]
    merges: list[tuple[str, str]] = []
    for word in words:
        left, *rest = [*word[:-1], word[-1] + "</w>"]
        for right in rest:
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
            if left not in tokens:
                tokens.append(left)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_tokens)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Build a CLIP text model without transformer layers: embeddings and a final norm.

    With layers, the causal attention would copy the noun into every later token, and those
    would draw the U-Net's attention away from the noun.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=0,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(channels: int, grid: int = 16) -> UNet2DConditionModel:
    """Build the U-Net: 3.2 M parameters, attention at 16 x 16, 8 x 8 and (in the middle) 4 x 4.

    `attention_head_dim` is diffusers' name for the number of heads: two, since on a CPU four
    narrow ones cost a quarter of the speed.
    """
    return UNet2DConditionModel(
        sample_size=grid,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(32, 64, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def build_autoencoder(channels: int) -> AutoencoderTiny:
    """Build the auto-encoder: a linear encoder (see `autoencoder.py`), a convolutional decoder."""
    width = 3 * PATCH * PATCH  # what the encoder must carry to see every pixel of a patch
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 3,
        decoder_block_out_channels=(width,) * 3,
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(1, 1, 0),
        latent_channels=channels,
        scaling_factor=2.5,
    )


def build_scheduler() -> DDIMScheduler:
    """Build the noise schedule: squared cosine, velocity prediction, 1000 timesteps."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def assemble(
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderTiny,
) -> StableDiffusionPipeline:
    """Put the parts into the pipeline that `StableDiffusionPipeline.from_pretrained` loads."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
