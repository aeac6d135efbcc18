"""The numbers in a pipeline's configurations that networks are built from, with bounds.

Diffusers and transformers build what a configuration says and compare it with the weights only
then; a noise schedule is not compared with anything. These types bound what they allocate and loop
over, far above every published model (our choice). All else in a configuration is left to them.
"""

from typing import Annotated

from pydantic import Field

from dseg.settings.fields import FROM_LIST
from dseg.settings.typed_json import Record as Configuration

Width = Annotated[int, Field(ge=1, le=2**14)]
Side = Annotated[int, Field(ge=1, le=2**10)]
Layers = Annotated[int, Field(ge=0, le=64)]
_BLOCKS = Field(max_length=8)
Widths = Annotated[tuple[Width, ...], FROM_LIST, _BLOCKS, Field(min_length=1)]
LayersByBlock = Annotated[tuple[Layers, ...], FROM_LIST, _BLOCKS]
Names = Annotated[tuple[str, ...], FROM_LIST, _BLOCKS]
Size = Side | Annotated[tuple[Side, Side], FROM_LIST]
Beta = Annotated[float, Field(gt=0, lt=1)]
Betas = Annotated[tuple[Beta, ...], FROM_LIST, Field(min_length=1, max_length=100_000)]


class UNet(Configuration):
    in_channels: Width = 4
    out_channels: Width = 4
    sample_size: Size | None = None
    block_out_channels: Widths = (320,)
    down_block_types: Names | None = None
    up_block_types: Names | None = None
    layers_per_block: Layers | LayersByBlock = 2
    transformer_layers_per_block: (
        Layers | LayersByBlock | Annotated[tuple[LayersByBlock, ...], FROM_LIST, _BLOCKS]
    ) = 1
    reverse_transformer_layers_per_block: (
        Annotated[tuple[LayersByBlock | Layers, ...], FROM_LIST, _BLOCKS] | None
    ) = None
    cross_attention_dim: Width | Widths | None = None
    attention_head_dim: Width | Widths | None = None
    num_attention_heads: Width | Widths | None = None
    norm_num_groups: Width | None = None


class Autoencoder(Configuration):
    in_channels: Width = 3
    out_channels: Width = 3
    latent_channels: Width = 4
    sample_size: Annotated[int, Field(ge=1, le=2**14)] | None = None
    block_out_channels: Widths = (64,)
    encoder_block_out_channels: Widths | None = None
    decoder_block_out_channels: Widths | None = None
    layers_per_block: Layers = 1
    num_encoder_blocks: LayersByBlock = ()
    num_decoder_blocks: LayersByBlock = ()
    norm_num_groups: Width | None = None
    upsampling_scaling_factor: Annotated[int, Field(ge=1, le=8)] = 2
    scaling_factor: Annotated[float, Field(gt=0)] = 1.0
    shift_factor: float | None = None


class Scheduler(Configuration):
    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    beta_start: Beta = 0.0001
    beta_end: Beta = 0.02
    trained_betas: Betas | None = None
    steps_offset: Annotated[int, Field(ge=0, le=100_000)] = 0


class TextEncoder(Configuration):
    vocab_size: Annotated[int, Field(ge=1, le=2**21)] | None = None
    hidden_size: Width | None = None
    intermediate_size: Annotated[int, Field(ge=1, le=2**17)] | None = None
    projection_dim: Width | None = None
    num_hidden_layers: Annotated[int, Field(ge=0, le=256)] | None = None
    num_attention_heads: Width | None = None
    max_position_embeddings: Annotated[int, Field(ge=1, le=2**16)] | None = None


CONFIGURATIONS: dict[str, type[Configuration]] = {
    "scheduler": Scheduler,
    "text_encoder": TextEncoder,
    "unet": UNet,
    "vae": Autoencoder,
}
"""The type of the configuration of each part of a pipeline that has one."""
